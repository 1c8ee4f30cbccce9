//! Every column of every view of PostgreSQL, of all majors, against the server's own view of it, at two moments between
//! which a load changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dbintel_pollers::postgresql::Config;
use dbintel_pollers::postgresql::views;
use dbintel_pollers::view::{Source, View};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::pollers_tape::{LIMIT, Tape, settings, wall_us};

type Values = BTreeMap<(String, String), f64>;

const SETTINGS: [(&str, &str); 10] = [
    ("shared_buffers", "1MB"),
    ("autovacuum", "off"),
    ("archive_mode", "on"),
    ("archive_command", "true"),
    ("track_io_timing", "on"),
    ("track_functions", "all"),
    ("wal_level", "logical"),
    ("max_prepared_transactions", "5"),
    ("max_replication_slots", "5"),
    ("work_mem", "64kB"),
];

const SHOP: &str = "
CREATE TABLE goods (id int PRIMARY KEY, price int, large text) WITH (fillfactor = 50);
CREATE SEQUENCE orders MAXVALUE 1000;
CREATE SEQUENCE whole MINVALUE -9223372036854775808;
SELECT setval('whole', 5);
CREATE SEQUENCE countdown INCREMENT -1 MINVALUE -1000 MAXVALUE -1;
CREATE FUNCTION total(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT pg_create_logical_replication_slot('reader', 'pgoutput');
SELECT pg_create_physical_replication_slot('standby', true);";

/// What is counted by an expression, again in other words: metric, identity and value. While somebody waits for a lock.
const WHILE_WAITING: [&str; 4] = [
    "SELECT 'postgresql.sessions.waiting_for_lock', 'database=shop,state=active', count(*) FROM pg_stat_activity
     WHERE datname = 'shop' AND wait_event_type = 'Lock'",
    "SELECT 'postgresql.locks', 'granted=false,lock_type=relation,mode=AccessExclusiveLock', count(*) FROM pg_locks
     WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND NOT granted",
    "SELECT 'postgresql.database.locks', 'database=shop,lock_type=relation,mode=ShareLock,relation=goods', 1",
    "SELECT 'postgresql.prepared_transactions', '', count(*) FROM pg_prepared_xacts",
];

/// The same from the database `shop`, at rest.
const AT_REST: [&str; 19] = [
    "SELECT 'postgresql.recovery', '', pg_is_in_recovery()::int",
    "SELECT 'postgresql.uptime', '', extract(epoch FROM now() - pg_postmaster_start_time())",
    "SELECT 'postgresql.connection.reserved', '', setting::int FROM pg_settings WHERE name = 'superuser_reserved_connections'",
    "SELECT 'postgresql.timeline', '', timeline_id FROM pg_control_checkpoint()",
    "SELECT 'postgresql.prepared_transactions', '', count(*) FROM pg_prepared_xacts",
    "SELECT 'postgresql.wal.segments', '', count(*) FROM pg_ls_waldir()",
    "SELECT 'postgresql.wal.size', '', sum(size) FROM pg_ls_waldir()",
    "SELECT 'postgresql.database.xid.age', 'database=' || datname, age(datfrozenxid) FROM pg_database WHERE datname = 'shop'",
    "SELECT 'postgresql.database.multixact.age', 'database=shop', mxid_age(datminmxid) FROM pg_database WHERE datname = 'shop'",
    "SELECT 'postgresql.xmin.age', 'holder=prepared_transaction', max(age(transaction)) FROM pg_prepared_xacts",
    "SELECT 'postgresql.replication.slot.retained', 'database=shop,plugin=pgoutput,slot=reader,slot_type=logical',
         pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) FROM pg_replication_slots WHERE slot_name = 'reader'",
    "SELECT 'postgresql.replication.slot.active', 'database=,plugin=,slot=standby,slot_type=physical', 0",
    "SELECT 'postgresql.table.count', 'database=shop', count(*) FROM pg_stat_user_tables",
    "SELECT 'postgresql.table.size.total', 'database=shop,schema=public,table=goods', pg_total_relation_size('goods')",
    "SELECT 'postgresql.table.size.toast', 'database=shop,schema=public,table=goods',
         pg_table_size(reltoastrelid) + pg_indexes_size(reltoastrelid) FROM pg_class WHERE relname = 'goods'",
    "SELECT 'postgresql.table.xid.age', 'database=shop,schema=public,table=goods', age(relfrozenxid) FROM pg_class
     WHERE relname = 'goods'",
    "SELECT 'postgresql.sequence.usage', 'database=shop,schema=public,sequence=orders', (last_value - 1) / 999.0::float8 FROM orders",
    "SELECT 'postgresql.sequence.usage', 'database=shop,schema=public,sequence=countdown', (-1 - last_value) / 999.0::float8 FROM countdown",
    "SELECT 'postgresql.setting', 'pending_restart=false,setting=work_mem,source=command line,unit=kB,value=64', 1",
];

/// What nothing here can move, or moves as it likes.
const AT_A_STANDSTILL: [&str; 16] = [
    "postgresql.bgwriter.maxwritten",
    "postgresql.checksum_failures",
    "postgresql.checkpointer.restartpoints",
    "postgresql.connection.reserved",
    "postgresql.database.conflicts",
    "postgresql.database.multixact.age",
    "postgresql.query.conflicts",
    "postgresql.recovery",
    "postgresql.replication.slot.active",
    "postgresql.replication.slot.streams",
    "postgresql.setting",
    "postgresql.slru.flushes",
    "postgresql.slru.truncates",
    "postgresql.table.autoanalyze.count",
    "postgresql.table.autovacuum.count",
    "postgresql.timeline",
];

#[tokio::test]
async fn columns_of_views_are_those_of_the_server_on_every_major() {
    let mut still = BTreeMap::new();
    for major in Major::ALL {
        let mut settings_of_major = SETTINGS.to_vec();
        settings_of_major.extend((major >= Major::V13).then_some(("logical_decoding_work_mem", "64kB")));
        settings_of_major.extend((major >= Major::V14).then_some(("track_wal_io_timing", "on")));
        let postgres = Postgres::start_with(major, &settings_of_major);
        let admin = postgres.client("postgres").await;
        admin.batch_execute("CREATE DATABASE shop").await.unwrap();
        let shop = postgres.client("shop").await;
        for statement in SHOP.split_terminator(";\n") {
            shop.batch_execute(statement).await.unwrap();
        }
        let config = Config { connections_max: 2, username: "watcher".to_owned(), ..settings(postgres.port) };
        admin.batch_execute(&dbintel_pollers::postgresql::setup::sql(&config)).await.unwrap();
        shop.batch_execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO watcher").await.unwrap();
        let tape = Tape::of(config);
        let mut moments: Vec<Values> = Vec::new();
        for round in 0..2 {
            work(&postgres, &shop, round).await;
            let locked = while_somebody_waits(&postgres, &shop, &tape).await;
            assert_between(major, &locked);
            let rest =
                compare(&shop, &AT_REST, true, &tape, &["metrics", "replication", "settings", "tables", "sizes"]).await;
            assert_between(major, &rest);
            moments.push(rest.after);
        }
        let skew = tape.metrics()[&("postgresql.clock.skew".to_owned(), String::new())];
        assert!(skew.abs() < 1.0, "{major:?}: {skew} s on one machine");
        still.insert(format!("{major:?}"), unmoved(&moments[0], &moments[1]));
        tape.stop().await;
    }
    assert!(still.values().all(BTreeSet::is_empty), "{still:?}");
}

/// What was published, and what the server said before and after.
struct Compared {
    before: Values,
    published: Values,
    after: Values,
}

async fn compare(shop: &Client, by_hand: &[&str], columns: bool, tape: &Tape, classes: &[&str]) -> Compared {
    let before = values_of_server(shop, by_hand, columns).await;
    for class in classes {
        match *class {
            "tables" | "sizes" => of_shop(tape, class).await,
            _ => drop(tape.whole_poll(class).await),
        }
    }
    let published = tape.metrics();
    Compared { before, published, after: values_of_server(shop, by_hand, columns).await }
}

/// Waits until a poll of the database that begins from now on has ended well.
async fn of_shop(tape: &Tape, class: &str) {
    let begin = wall_us();
    let is_it = |poll: &crate::pollers_tape::Seen| {
        poll.class == class
            && poll.database.as_deref() == Some("shop")
            && poll.outcome == "ok"
            && poll.started_at > begin
    };
    tape.poll_with(&format!("{class} of shop"), is_it).await;
}

/// A transaction holds a lock, and another one waits for it.
async fn while_somebody_waits(postgres: &Postgres, shop: &Client, tape: &Tape) -> Compared {
    let (holder, waiter) = (postgres.client("shop").await, Arc::new(postgres.client("shop").await));
    holder.batch_execute("BEGIN; LOCK TABLE goods IN SHARE MODE").await.unwrap();
    let waiting = waiter.clone();
    let waits = tokio::spawn(async move { waiting.batch_execute("BEGIN; LOCK TABLE goods; ROLLBACK").await });
    eventually(LIMIT, "a session that waits", async || {
        let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        (shop.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    let compared = compare(shop, &WHILE_WAITING, false, tape, &["metrics", "replication", "tables"]).await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    waits.await.unwrap().unwrap();
    compared
}

async fn values_of_server(shop: &Client, by_hand: &[&str], columns: bool) -> Values {
    let mut values = Values::new();
    for sql in by_hand {
        let sql = format!("SELECT name, identity, value::float8 FROM ({sql}) AS m (name, identity, value)");
        for row in shop.query(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")) {
            values.insert((row.get(0), row.get(1)), row.get(2));
        }
    }
    for view in
        views::all().filter(|view| columns && view.source == Source::Relation && !view.rest.contains("GROUP BY"))
    {
        let Ok(messages) = shop.simple_query(&format!("SELECT * FROM {}", view.name)).await else { continue };
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                add_columns(&mut values, view, row);
            }
        }
    }
    values
}

/// The columns of a row as they stand there. Databases are those that are polled.
fn add_columns(values: &mut Values, view: &View, row: &SimpleQueryRow) {
    let column = |name: &str| row.try_get(name).unwrap_or_default();
    if view.identity.iter().any(|(_, expression)| *expression == "d.datname")
        && !matches!(column("datname"), Some("postgres" | "shop"))
    {
        return;
    }
    if view.only_on_standby {
        return;
    }
    let of_identity = |expression: &str| match expression {
        "current_database()" => "shop",
        "d.datname" => column("datname").unwrap_or_default(),
        "pg_get_function_identity_arguments(v.funcid)" => "integer",
        _ => {
            let name = expression.split("v.").nth(1).unwrap_or_default();
            column(
                name.trim_end_matches(|character: char| !character.is_alphanumeric())
                    .split(',')
                    .next()
                    .unwrap_or_default(),
            )
            .unwrap_or_default()
        }
    };
    for series in view.series {
        let Some(value) = column(series.column) else { continue };
        let mut parts: Vec<_> =
            view.identity.iter().map(|(name, from)| format!("{name}={}", of_identity(from))).collect();
        parts.extend(series.attributes.iter().map(|(name, value)| format!("{name}={value}")));
        parts.sort_unstable();
        values.insert((series.metric.to_owned(), parts.join(",")), value.parse().unwrap());
    }
}

/// Each value lies between what the server said before and after; most are the same both times.
fn assert_between(major: Major, compared: &Compared) {
    for (key, low) in &compared.before {
        let Some(high) = compared.after.get(key) else { continue };
        let value = compared.published.get(key).unwrap_or_else(|| panic!("{major:?}: {key:?} is missing"));
        let slack = 1e-9 * high.abs();
        let range = low.min(*high) - slack..=low.max(*high) + slack;
        assert!(range.contains(value), "{major:?} {key:?}: {value}, server {low} and {high}");
    }
}

/// Metrics of which nothing moved, and something should have.
fn unmoved(first: &Values, second: &Values) -> BTreeSet<String> {
    let moved: BTreeSet<_> =
        first.iter().filter(|(key, value)| second.get(*key) != Some(*value)).map(|((metric, _), _)| metric).collect();
    let still = first.keys().map(|(metric, _)| metric).filter(|metric| !moved.contains(metric));
    still.filter(|metric| !AT_A_STANDSTILL.contains(&metric.as_str())).cloned().collect()
}

/// Changes what can be changed at will. What a session did is counted at the latest when it ends.
async fn work(postgres: &Postgres, admin: &Client, round: usize) {
    let shop = postgres.client("shop").await;
    let large = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n";
    let sql = format!(
        "SET application_name = 'load';
         CREATE TABLE more_{round} (id int);
         INSERT INTO goods SELECT n, 1, ({large}) FROM generate_series({round} * 500 + 1, {round} * 500 + 500) AS n;
         UPDATE goods SET price = price + 1; UPDATE goods SET price = price + 1; UPDATE goods SET price = 2 WHERE id % 5 = 0; UPDATE goods SET id = -id WHERE id % 7 = 0;
         DELETE FROM goods WHERE id % 11 = 0;
         SELECT count(*) FROM goods; SELECT count(*) FROM (SELECT n FROM generate_series(1, 100000) AS n ORDER BY -n) AS t;
         SELECT sum(total(id)) FROM goods; SELECT nextval('orders'), nextval('countdown');
         ANALYZE goods;
         SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SELECT count(*) FROM goods;
         SET enable_seqscan = off; SELECT length(large) FROM goods WHERE id = 3;"
    );
    shop.batch_execute(&sql).await.unwrap();
    shop.simple_query("BEGIN; DELETE FROM goods; ROLLBACK").await.unwrap();
    shop.batch_execute(&format!("BEGIN; CREATE TABLE later_{round} (); PREPARE TRANSACTION 'later {round}'"))
        .await
        .unwrap();
    deadlock(postgres, &shop).await;
    let victim = postgres.client("shop").await;
    let pid: i32 = victim.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    admin.query("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let decode = "SELECT count(*) FROM pg_logical_slot_get_binary_changes('reader', NULL, NULL, 'proto_version', '1',
        'publication_names', 'everything')";
    shop.query_one(decode, &[]).await.unwrap();
    drop(shop);
    eventually(LIMIT, "the end of the load", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'load'";
        (admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    postgres.client("shop").await.simple_query("VACUUM goods").await.unwrap();
    let late =
        format!("INSERT INTO goods SELECT -100000 * ({round} + 1) - n FROM generate_series(1, 10 + {round}) AS n");
    postgres.client("shop").await.simple_query(&late).await.unwrap();
    admin.simple_query("CHECKPOINT").await.unwrap();
    admin.simple_query("SELECT pg_switch_wal()").await.unwrap();
}

/// Two sessions that wait for each other, until the server ends one of them.
async fn deadlock(postgres: &Postgres, first: &Client) {
    let second = postgres.client("shop").await;
    for client in [first, &second] {
        client.batch_execute("SET application_name = 'load'; SET deadlock_timeout = '10ms'").await.unwrap();
    }
    let (key, other) = ("SELECT pg_advisory_xact_lock(1)", "SELECT pg_advisory_xact_lock(2)");
    first.batch_execute(&format!("BEGIN; {key}")).await.unwrap();
    second.batch_execute(&format!("BEGIN; {other}")).await.unwrap();
    let (one, two) = tokio::join!(first.batch_execute(other), second.batch_execute(key));
    assert!(one.is_err() != two.is_err());
    first.batch_execute("ROLLBACK").await.unwrap();
    second.batch_execute("ROLLBACK").await.unwrap();
}
