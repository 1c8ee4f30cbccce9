//! Every metric that the Collector's receiver emits by default equals the server's own view of it, at two moments
//! between which a load changed it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_pollers::postgresql::Config;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use tokio_postgres::Client;

use crate::pollers_statements::{open_shop, watcher};
use crate::pollers_tape::{LIMIT, Tape, settings, wall_us};

type Values = BTreeMap<(String, String), f64>;

/// Metric, identity and value, from any database.
const OF_SERVER: [&str; 8] = [
    "SELECT 'postgresql.commits', 'database=' || datname, xact_commit FROM pg_stat_database WHERE datname IN ('postgres', 'shop')",
    "SELECT 'postgresql.rollbacks', 'database=' || datname, xact_rollback FROM pg_stat_database WHERE datname IN ('postgres', 'shop')",
    "SELECT 'postgresql.backends', 'database=' || d.datname, count(a.pid) FROM pg_database d LEFT JOIN pg_stat_activity a
     ON a.datid = d.oid WHERE d.datname IN ('postgres', 'shop') GROUP BY d.datname",
    "SELECT 'postgresql.database.count', '', count(*) FROM pg_database WHERE NOT datistemplate",
    "SELECT 'postgresql.db_size', 'database=' || datname, pg_database_size(oid) FROM pg_database WHERE datname IN ('postgres', 'shop')",
    "SELECT 'postgresql.connection.max', '', setting::int FROM pg_settings WHERE name = 'max_connections'",
    "SELECT 'postgresql.wal.age', '', trunc(extract(epoch FROM now() - last_archived_time)) FROM pg_stat_archiver
     WHERE last_archived_time IS NOT NULL",
    "SELECT 'postgresql.bgwriter.' || name, attributes, value FROM pg_stat_bgwriter, LATERAL (VALUES
         ('buffers.allocated', '', buffers_alloc), ('buffers.writes', 'source=bgwriter', buffers_clean),
         ('maxwritten', '', maxwritten_clean)) AS v (name, attributes, value)",
];

const CHECKPOINTS_SINCE_17: &str = "SELECT 'postgresql.bgwriter.' || name, attributes, value FROM pg_stat_checkpointer, LATERAL (VALUES
    ('buffers.writes', 'source=checkpoints', buffers_written::float8), ('checkpoint.count', 'type=requested', num_requested::float8),
    ('checkpoint.count', 'type=scheduled', num_timed::float8), ('duration', 'type=write', write_time),
    ('duration', 'type=sync', sync_time)) AS v (name, attributes, value)";

const CHECKPOINTS_UNTIL_16: &str = "SELECT 'postgresql.bgwriter.' || name, attributes, value FROM pg_stat_bgwriter, LATERAL (VALUES
    ('buffers.writes', 'source=checkpoints', buffers_checkpoint::float8), ('checkpoint.count', 'type=requested', checkpoints_req::float8),
    ('checkpoint.count', 'type=scheduled', checkpoints_timed::float8), ('duration', 'type=write', checkpoint_write_time),
    ('duration', 'type=sync', checkpoint_sync_time), ('buffers.writes', 'source=backend', buffers_backend::float8),
    ('buffers.writes', 'source=backend_fsync', buffers_backend_fsync::float8)) AS v (name, attributes, value)";

/// From the database `shop`.
const OF_DATABASE: [&str; 5] = [
    "SELECT 'postgresql.table.count', 'database=shop', count(*) FROM pg_stat_user_tables",
    "SELECT 'postgresql.' || name, 'database=shop,' || before || 'schema=' || schemaname || after || ',table=' || relname, value
     FROM pg_stat_user_tables, LATERAL (VALUES ('rows', '', ',state=live', n_live_tup), ('rows', '', ',state=dead', n_dead_tup),
         ('operations', 'operation=ins,', '', n_tup_ins), ('operations', 'operation=upd,', '', n_tup_upd),
         ('operations', 'operation=del,', '', n_tup_del), ('operations', 'operation=hot_upd,', '', n_tup_hot_upd),
         ('table.vacuum.count', '', '', vacuum_count), ('table.size', '', '', pg_relation_size(relid))
     ) AS v (name, before, after, value)",
    "SELECT 'postgresql.blocks_read', 'database=shop,schema=' || schemaname || ',source=' || source || ',table=' || relname,
         coalesce(value, 0) FROM pg_statio_user_tables, LATERAL (VALUES ('heap_read', heap_blks_read), ('heap_hit', heap_blks_hit),
         ('idx_read', idx_blks_read), ('idx_hit', idx_blks_hit), ('toast_read', toast_blks_read),
         ('toast_hit', toast_blks_hit), ('tidx_read', tidx_blks_read), ('tidx_hit', tidx_blks_hit)) AS v (source, value)",
    "SELECT 'postgresql.index.scans', 'database=shop,index=' || indexrelname || ',schema=' || schemaname || ',table=' || relname, idx_scan
     FROM pg_stat_user_indexes",
    "SELECT 'postgresql.index.size', 'database=shop,index=' || indexrelname || ',schema=' || schemaname || ',table=' || relname,
         pg_relation_size(indexrelid) FROM pg_stat_user_indexes",
];

async fn add(values: &mut Values, client: &Client, sql: &str) {
    let sql = format!("SELECT name, identity, value::float8 FROM ({sql}) AS m (name, identity, value)");
    for row in client.query(&sql, &[]).await.unwrap() {
        values.insert((row.get(0), row.get(1)), row.get(2));
    }
}

/// What the server says, by connections that were open all the time.
async fn values_of_server(admin: &Client, shop: &Client, major: Major) -> Values {
    let mut values = Values::new();
    for sql in OF_SERVER {
        add(&mut values, admin, sql).await;
    }
    add(&mut values, admin, if major >= Major::V17 { CHECKPOINTS_SINCE_17 } else { CHECKPOINTS_UNTIL_16 }).await;
    for sql in OF_DATABASE {
        add(&mut values, shop, sql).await;
    }
    values
}

/// Changes everything that can be changed at will. What a session did is counted at the latest when it ends.
async fn work(postgres: &Postgres, admin: &Client, round: usize) {
    admin.simple_query(&format!("CREATE DATABASE more_{round}")).await.unwrap();
    let shop = postgres.client("shop").await;
    let large = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n";
    let sql = format!(
        "CREATE TABLE more_{round} (id int);
         INSERT INTO goods SELECT n, 1, ({large}) FROM generate_series({round} * 500 + 1, {round} * 500 + 500) AS n;
         UPDATE goods SET price = 2 WHERE id % 5 = 0; UPDATE goods SET id = -id WHERE id % 7 = 0;
         DELETE FROM goods WHERE id % 11 = 0;
         SET application_name = 'load'; SET enable_seqscan = off; SELECT length(large) FROM goods WHERE id = 3;"
    );
    shop.batch_execute(&sql).await.unwrap();
    shop.simple_query("BEGIN; DELETE FROM goods; ROLLBACK").await.unwrap();
    drop(shop);
    eventually(LIMIT, "the end of the load", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'load'";
        (admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
    postgres.client("shop").await.simple_query("VACUUM goods").await.unwrap();
    admin.simple_query("CHECKPOINT").await.unwrap();
    admin.simple_query("SELECT pg_switch_wal()").await.unwrap();
}

/// Waits until all sessions of the load are gone, ours are there, and the log is archived.
async fn settle(admin: &Client, archived_before: i64, backends: i64) {
    eventually(LIMIT, "rest", async || {
        let sql = "SELECT (SELECT archived_count FROM pg_stat_archiver),
                          (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')";
        let row = admin.query_one(sql, &[]).await.unwrap();
        (row.get::<_, i64>(0) > archived_before && row.get::<_, i64>(1) == backends).then_some(())
    })
    .await;
}

/// Before 15 a collector counts what sessions tell it, and what it says may be half a second old. VACUUM is told last.
async fn wait_for_collector(shop: &Client, vacuums: i64) {
    eventually(LIMIT, "the last thing that is counted", async || {
        let sql = "SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'goods'";
        (shop.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == vacuums).then_some(())
    })
    .await;
}

/// Each value lies between what the server said before and after; most are the same both times.
fn assert_between(published: &Values, before: &Values, after: &Values) {
    for (key, low) in before {
        let high = after[key];
        let value = published.get(key).unwrap_or_else(|| panic!("{key:?} is missing"));
        assert!((low.min(high)..=low.max(high)).contains(value), "{key:?}: {value}, server {low} and {high}");
    }
}

#[tokio::test]
async fn metrics_are_those_of_the_server_at_two_moments() {
    for major in Major::ALL {
        let quiet = [("autovacuum", "off"), ("archive_mode", "on"), ("archive_command", "true")];
        let postgres = Postgres::start_with(major, &quiet);
        let admin = postgres.client("postgres").await;
        admin.batch_execute("CREATE DATABASE shop").await.unwrap();
        let shop = postgres.client("shop").await;
        shop.batch_execute("CREATE TABLE goods (id int PRIMARY KEY, price int, large text) WITH (fillfactor = 50)")
            .await
            .unwrap();
        // One connection for each database, so that their number rests too.
        let tape = Tape::of(Config { connections_max: 4, ..settings(postgres.port) });
        let mut moments: Vec<Values> = Vec::new();
        for round in 0..2 {
            let archived = admin.query_one("SELECT archived_count FROM pg_stat_archiver", &[]).await.unwrap().get(0);
            work(&postgres, &admin, round).await;
            let (of_test, for_server, databases) = (2, 1, 3 + round as i64);
            settle(&admin, archived, of_test + for_server + databases).await;
            wait_for_collector(&shop, 1 + round as i64).await;
            let before = values_of_server(&admin, &shop, major).await;
            tape.whole_poll("metrics").await;
            for class in ["tables", "sizes"] {
                wait_for_database(&tape, class, "shop").await;
                wait_for_database(&tape, class, "postgres").await;
            }
            let published = tape.metrics();
            let after = values_of_server(&admin, &shop, major).await;
            assert_between(&published, &before, &after);
            moments.push(after);
        }
        assert_load_changed(&moments[0], &moments[1]);
        tape.stop().await;
    }
}

/// Waits until a poll of this database that begins from now on has ended well.
async fn wait_for_database(tape: &Tape, class: &str, database: &str) {
    let begin = wall_us();
    let is_it = |poll: &crate::pollers_tape::Seen| {
        poll.class == class
            && poll.database.as_deref() == Some(database)
            && poll.outcome == "ok"
            && poll.started_at > begin
    };
    tape.poll_with(&format!("{class} of {database}"), is_it).await;
}

/// All that a load can change did change.
fn assert_load_changed(first: &Values, second: &Values) {
    let changed: BTreeSet<_> =
        first.iter().filter(|(key, value)| second[*key] != **value).map(|(key, _)| key.clone()).collect();
    let goods = "database=shop,schema=public,table=goods";
    let index = "database=shop,index=goods_pkey,schema=public,table=goods";
    let of_goods = |attribute: &str| {
        let mut parts: Vec<_> = goods.split(',').chain([attribute]).collect();
        parts.sort_unstable();
        parts.join(",")
    };
    let mut expected = vec![
        ("postgresql.commits", "database=shop".to_owned()),
        ("postgresql.rollbacks", "database=shop".to_owned()),
        ("postgresql.database.count", String::new()),
        ("postgresql.db_size", "database=shop".to_owned()),
        ("postgresql.table.count", "database=shop".to_owned()),
        ("postgresql.table.size", goods.to_owned()),
        ("postgresql.table.vacuum.count", goods.to_owned()),
        ("postgresql.index.scans", index.to_owned()),
        ("postgresql.index.size", index.to_owned()),
        ("postgresql.bgwriter.buffers.allocated", String::new()),
        ("postgresql.bgwriter.buffers.writes", "source=checkpoints".to_owned()),
        ("postgresql.bgwriter.checkpoint.count", "type=requested".to_owned()),
        ("postgresql.bgwriter.duration", "type=write".to_owned()),
        ("postgresql.rows", of_goods("state=live")),
    ];
    for operation in ["ins", "upd", "del", "hot_upd"] {
        expected.push(("postgresql.operations", of_goods(&format!("operation={operation}"))));
    }
    for source in ["heap_hit", "idx_hit", "toast_hit", "tidx_hit"] {
        expected.push(("postgresql.blocks_read", of_goods(&format!("source={source}"))));
    }
    for (metric, identity) in expected {
        assert!(
            changed.contains(&(metric.to_owned(), identity.clone())),
            "{metric} {identity} did not change: {changed:?}"
        );
    }
}

#[tokio::test]
async fn databases_are_chosen_and_connections_are_bounded() {
    let postgres = Postgres::start(Major::V18);
    let admin = postgres.client("postgres").await;
    for database in ["a", "b", "c", "d", "closed", "shop_1", "shopper"] {
        admin.simple_query(&format!("CREATE DATABASE {database}")).await.unwrap();
    }
    admin.simple_query("ALTER DATABASE closed ALLOW_CONNECTIONS false").await.unwrap();
    let mut config = settings(postgres.port);
    config.exclude_databases = vec!["d".to_owned(), "shop_*".to_owned()];
    let tape = Tape::of(config);
    let mut most = 0;
    eventually(LIMIT, "two rounds through the databases", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbintel'";
        most = most.max(admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0));
        (tape.polls().iter().filter(|poll| poll.class == "tables").count() >= 10).then_some(())
    })
    .await;
    tape.stop().await;
    assert!((2..=3).contains(&most), "{most} connections");
    let databases: BTreeSet<_> = tape.polls().into_iter().filter_map(|poll| poll.database).collect();
    assert_eq!(databases, ["a", "b", "c", "postgres", "shopper"].map(str::to_owned).into());
    assert_eq!(tape.metrics()[&("postgresql.database.count".to_owned(), String::new())], 6.0);
}

#[tokio::test]
async fn names_that_are_no_utf8_are_replaced() {
    let postgres = Postgres::start(Major::V18);
    let admin = postgres.client("postgres").await;
    admin.simple_query("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").await.unwrap();
    let bytes = postgres.client("bytes").await;
    let sql = r"DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', convert_from('\x636166e9', 'SQL_ASCII')); END $$";
    bytes.simple_query(sql).await.unwrap();
    let tape = Tape::of(settings(postgres.port));
    wait_for_database(&tape, "tables", "bytes").await;
    let key = ("postgresql.rows".to_owned(), "database=bytes,schema=public,state=live,table=caf\u{fffd}".to_owned());
    assert_eq!(tape.metrics().get(&key), Some(&0.0));
    tape.stop().await;
}

/// Connections change between databases: each time one new backend, for all that is due there, and never one too many.
#[tokio::test]
async fn a_turn_of_a_database_is_one_connection() {
    let postgres = Postgres::start_with(Major::V18, &[("log_connections", "on")]);
    let admin = open_shop(&postgres).await;
    for number in 1..8 {
        admin.simple_query(&format!("CREATE DATABASE shop_{number}")).await.unwrap();
    }
    let mut config = watcher(&postgres);
    admin.simple_query(&format!("ALTER ROLE watcher CONNECTION LIMIT {}", 1 + config.connections_max)).await.unwrap();
    (config.tables.interval, config.sizes.interval) = (Duration::from_secs(1), Duration::from_secs(1));
    let tape = Tape::of(config);
    let of_class = |class: &str| tape.polls().into_iter().filter(|poll| poll.class == class).count();
    eventually(LIMIT, "four rounds through the databases", async || (of_class("tables") >= 32).then_some(())).await;
    let turns = of_class("tables");
    let backends = postgres.process.log().matches("connection authorized: user=watcher").count();
    tape.stop().await;
    // The first connection is for the server; two lanes may be in the middle of a turn.
    assert!(backends <= turns + 1 + 2, "{backends} backends in {turns} turns");
    let polls = tape.polls();
    assert!(polls.iter().all(|poll| poll.outcome == "ok"), "{polls:?}");
    let databases: BTreeSet<_> = polls.iter().filter_map(|poll| poll.database.as_ref()).collect();
    assert_eq!(databases.len(), 8);
}
