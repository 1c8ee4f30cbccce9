//! Counters and texts of statements are those of `pg_stat_statements`, on the oldest and the newest server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_pollers::postgresql::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::{QueryCounters, RawMetrics, RawPoll, RawQuery, RawSession, RawText};
use dbintel_tests::servers::postgres::{Major, Postgres};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::pollers_tape::{LIMIT, Tape, decode, settings};

/// Names of the column, the newest first, and the field of the record; times in ms.
const TIMES: [(&[&str], &str); 4] = [
    (&["total_exec_time", "total_time"], "total_exec_time_ns"),
    (&["total_plan_time"], "total_plan_time_ns"),
    (&["shared_blk_read_time", "blk_read_time"], "blk_read_time_ns"),
    (&["shared_blk_write_time", "blk_write_time"], "blk_write_time_ns"),
];
const NUMBERS: [&str; 20] = [
    "calls",
    "rows",
    "plans",
    "shared_blks_hit",
    "shared_blks_read",
    "shared_blks_dirtied",
    "shared_blks_written",
    "local_blks_hit",
    "local_blks_read",
    "local_blks_dirtied",
    "local_blks_written",
    "temp_blks_read",
    "temp_blks_written",
    "wal_records",
    "wal_fpi",
    "wal_bytes",
    "jit_functions",
    "wal_buffers_full",
    "parallel_workers_to_launch",
    "parallel_workers_launched",
];

/// A shop whose statements are executed by its own role, and a role that may watch it.
pub async fn open_shop(postgres: &Postgres) -> Client {
    let admin = postgres.client("postgres").await;
    let sql = "CREATE EXTENSION pg_stat_statements; CREATE ROLE shop LOGIN; CREATE ROLE watcher LOGIN;
               GRANT pg_monitor TO watcher; CREATE TABLE goods (id int, price int); GRANT ALL ON goods TO shop;";
    admin.batch_execute(sql).await.unwrap();
    admin
}

pub async fn connect_as(postgres: &Postgres, user: &str) -> Client {
    let conninfo = format!("host=127.0.0.1 port={} user={user} dbname=postgres", postgres.port);
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

pub fn watcher(postgres: &Postgres) -> Config {
    Config { username: "watcher".to_owned(), ..settings(postgres.port) }
}

/// Executes statements of the shop, `times` times each.
async fn work(shop: &Client, times: usize) {
    for number in 0..times {
        let insert = format!("INSERT INTO goods SELECT n, n FROM generate_series(1, {}) AS n", 10 + number);
        shop.simple_query(&insert).await.unwrap();
        shop.simple_query("SELECT count(*) FROM goods WHERE price > 5").await.unwrap();
        shop.simple_query("UPDATE goods SET price = price + 1 WHERE id < 3").await.unwrap();
    }
}

type Counters = BTreeMap<String, BTreeMap<String, Option<i64>>>;

/// What the server says of the shop's statements; nothing of columns that it does not have.
async fn counters_of_server(admin: &Client) -> Counters {
    let described = admin.simple_query("SELECT * FROM pg_stat_statements(false) LIMIT 0").await.unwrap();
    let columns: BTreeSet<String> = described
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => Some(columns.iter().map(|column| column.name().to_owned())),
            _ => None,
        })
        .flatten()
        .collect();
    let column =
        |names: &[&str]| names.iter().find(|name| columns.contains(**name)).map_or("NULL", |name| *name).to_owned();
    let times = TIMES.map(|(names, field)| format!("({}::float8 * 1e6) AS {field}", column(names)));
    let numbers = NUMBERS.map(|name| format!("{}::float8 AS {name}", column(&[name])));
    let sql = format!(
        "SELECT queryid, {}, {} FROM pg_stat_statements(false) WHERE userid = 'shop'::regrole",
        times.join(", "),
        numbers.join(", ")
    );
    let mut counters = Counters::new();
    for row in admin.query(&sql, &[]).await.unwrap() {
        let fields = TIMES.iter().map(|(_, field)| *field).chain(NUMBERS);
        let value = |field: &str| row.get::<_, Option<f64>>(field).map(|value| value.round() as i64);
        let fields = fields.map(|field| (field.to_owned(), value(field))).collect();
        counters.insert(row.get::<_, i64>(0).to_string(), fields);
    }
    counters
}

/// What was last published of the shop's statements.
fn counters_of_tape(tape: &Tape) -> Counters {
    let compared: BTreeSet<_> = TIMES.iter().map(|(_, field)| *field).chain(NUMBERS).collect();
    let mut counters = Counters::new();
    for value in tape.values(Topic::RawQueries) {
        let record: RawQuery<'_> = decode(&value);
        if record.user == Some("shop") {
            assert_eq!((record.database, record.target, record.poller), (Some("postgres"), "shop", "postgresql/shop"));
            let fields = QueryCounters::FIELDS.iter().enumerate().filter(|(_, field)| compared.contains(**field));
            let fields = fields.map(|(index, field)| ((*field).to_owned(), record.counters.get(index)));
            counters.insert(record.query_id.to_owned(), fields.collect());
        }
    }
    counters
}

#[tokio::test]
async fn counters_are_those_of_the_server_at_two_moments() {
    for major in Major::ALL {
        let postgres = Postgres::start_with(major, &[("pg_stat_statements.track_planning", "on")]);
        let admin = open_shop(&postgres).await;
        let shop = connect_as(&postgres, "shop").await;
        let tape = Tape::of(watcher(&postgres));
        let mut moments = Vec::new();
        for times in [3, 5] {
            work(&shop, times).await;
            let before = counters_of_server(&admin).await;
            tape.whole_poll("statements").await;
            let after = counters_of_server(&admin).await;
            assert_eq!(before, after, "the shop rests");
            assert_eq!(counters_of_tape(&tape), after, "{major:?}");
            moments.push(after);
        }
        assert!(moments[1].iter().all(|(id, fields)| moments[0].get(id) != Some(fields)), "{moments:?}");
        assert!(
            moments[1].len() >= 3
                && moments[1].values().all(|fields| fields["total_plan_time_ns"] > Some(0) || major == Major::V12)
        );
        tape.stop().await;
    }
}

#[tokio::test]
async fn only_changes_are_published_between_complete_snapshots() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let shop = connect_as(&postgres, "shop").await;
    work(&shop, 1).await;
    let tape = Tape::of(Config { snapshot_interval: Duration::from_secs(2), ..watcher(&postgres) });
    let first = tape.polls_after(0, "statements", 1).await.remove(0);
    assert!(first.snapshot_complete && Some(first.rows["raw.queries"]) == first.entries, "{first:?}");
    assert_eq!(first.entries_max, Some(5000));

    let second = tape.poll_with("a second snapshot", |poll| poll.snapshot_complete).await;
    assert!((1_900_000..4_000_000).contains(&(second.started_at - first.started_at)));
    let mut published: BTreeMap<i64, usize> = BTreeMap::new();
    for value in tape.values(Topic::RawQueries) {
        let record: RawQuery<'_> = decode(&value);
        if record.user == Some("shop") {
            assert_eq!(record.snapshot, [first.poll_seq, second.poll_seq].contains(&record.poll_seq));
            *published.entry(record.poll_seq).or_default() += 1;
        }
    }
    assert_eq!(published, BTreeMap::from([(first.poll_seq, 3), (second.poll_seq, 3)]));
    tape.stop().await;
}

#[tokio::test]
async fn a_reset_and_evictions_show() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start_with(major, &[("pg_stat_statements.max", "100")]);
        let admin = open_shop(&postgres).await;
        let shop = connect_as(&postgres, "shop").await;
        work(&shop, 2).await;
        let tape = Tape::of(watcher(&postgres));
        let before = tape.whole_poll("statements").await;
        admin.simple_query("SELECT pg_stat_statements_reset()").await.unwrap();
        work(&shop, 1).await;
        let after = tape.whole_poll("statements").await;
        // Before 14 there is no information about resets and evictions.
        let told = major == Major::V18;
        assert_eq!((before.statistics_reset_at.is_some(), after.statistics_reset_at.is_some()), (told, told));
        assert!(!told || after.statistics_reset_at > before.statistics_reset_at);
        let calls: BTreeSet<_> = counters_of_tape(&tape).values().map(|fields| fields["calls"]).collect();
        assert_eq!(calls, [Some(1)].into(), "{major:?}");

        for number in 0..300 {
            shop.simple_query(&distinct(number)).await.unwrap();
        }
        let full = tape.whole_poll("statements").await;
        assert_eq!((full.entries_max, full.evictions.is_some_and(|it| it > 0)), (Some(100), told), "{full:?}");
        assert!(full.entries.is_some_and(|entries| (80..=100).contains(&entries)), "{full:?}");
        tape.stop().await;
    }
}

/// One of 8,192 statements that the server tells apart: which columns are selected.
fn distinct(number: usize) -> String {
    let columns: Vec<_> = (0..13).map(|bit| if number >> bit & 1 == 0 { "id" } else { "price" }).collect();
    format!("SELECT {} FROM goods", columns.join(", "))
}

/// All texts that were published, with why a part is hidden, by identity of the statement.
fn texts(tape: &Tape) -> Vec<(String, String, Option<String>)> {
    let text = |value: &Vec<u8>| {
        let record: RawText<'_> = decode(value);
        let (text, withheld) = (record.text.unwrap_or_default().to_owned(), record.withheld.map(str::to_owned));
        let toplevel = record.toplevel.map_or("-", |toplevel| if toplevel { "t" } else { "f" });
        (format!("{}/{}/{}/{toplevel}", record.database_id, record.user_id, record.query_id), text, withheld)
    };
    tape.values(Topic::RawTexts).iter().map(text).collect()
}

#[tokio::test]
async fn each_text_is_published_once_and_literals_never() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let admin = open_shop(&postgres).await;
        let tape = Tape::of(watcher(&postgres));
        let shop = connect_as(&postgres, "shop").await;
        let planted = [
            "ALTER ROLE shop PASSWORD 'planted-password'",
            "SELECT 'planted-literal' AS literal",
            "SELECT id /* planted-comment */ FROM goods WHERE id = 41",
            "DO $$ BEGIN PERFORM 'planted-block'; END $$",
            "SELECT $tag$planted-tag$tag$ AS tagged",
            "SET application_name = 'planted-setting'",
        ];
        for sql in planted {
            admin.simple_query(sql).await.unwrap();
        }
        let waiting = "SELECT pg_sleep(3), 'planted-session' -- planted-remark";
        let sleeper = tokio::spawn({
            let client = postgres.client("postgres").await;
            async move { client.simple_query(waiting).await.map(drop) }
        });
        work(&shop, 2).await;
        tape.whole_poll("statements").await;
        tape.next_polls("sessions", 3).await;
        sleeper.await.unwrap().unwrap();
        work(&shop, 2).await;
        tape.whole_poll("statements").await;
        tape.next_polls("sessions", 2).await;
        tape.stop().await;

        let texts = texts(&tape);
        let identities: BTreeSet<_> = texts.iter().map(|(identity, ..)| identity).collect();
        assert_eq!(identities.len(), texts.len(), "a text was published twice");
        for expected in [
            "SELECT count(*) FROM goods WHERE price > ?",
            "UPDATE goods SET price = price + ? WHERE id < ?",
            "SELECT id FROM goods WHERE id = ?",
            "DO ?",
            "ALTER ROLE shop",
        ] {
            assert_eq!(texts.iter().filter(|(_, text, _)| text == expected).count(), 1, "{expected}: {texts:?}");
        }
        let hidden = texts.iter().filter(|(.., withheld)| withheld.is_some()).count();
        let withheld: i64 = tape.polls().iter().map(|poll| poll.texts_withheld).sum();
        assert!(hidden > 0 && withheld as usize == hidden, "{withheld}: {texts:?}");
        assert_nothing_planted(&tape);
    }
}

/// No byte of any record of any topic holds what was planted; the name of a session's application is no secret.
fn assert_nothing_planted(tape: &Tape) {
    for topic in [Topic::RawQueries, Topic::RawTexts, Topic::RawMetrics, Topic::RawPolls, Topic::RawSessions] {
        for value in tape.values(topic) {
            let found = value.windows(8).any(|window| window == b"planted-");
            let is_setting =
                topic == Topic::RawSessions && value.windows(15).any(|window| window == b"planted-setting");
            assert!(!found || is_setting, "{topic:?}: {}", String::from_utf8_lossy(&value));
        }
    }
}

#[tokio::test]
async fn labels_of_the_target_stand_on_every_record() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let shop = connect_as(&postgres, "shop").await;
    shop.simple_query("BEGIN").await.unwrap();
    let labels = [("region", "eu"), ("team", "orders")];
    let owned = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let tape = Tape::of(Config { labels: owned.into(), ..watcher(&postgres) });
    for class in ["sessions", "statements", "metrics", "texts"] {
        tape.polls_after(0, class, 1).await;
    }
    tape.stop().await;
    macro_rules! check {
        ($($topic:ident $record:ident),*) => {$(
            let values = tape.values(Topic::$topic);
            assert!(!values.is_empty(), "{}", stringify!($topic));
            for value in &values {
                let record: $record<'_> = decode(value);
                assert_eq!(record.labels.iter().collect::<Vec<_>>(), labels, "{}", stringify!($topic));
            }
        )*};
    }
    check!(RawQueries RawQuery, RawTexts RawText, RawSessions RawSession, RawMetrics RawMetrics, RawPolls RawPoll);
}

/// With as many statements as the server holds by default.
#[tokio::test]
async fn five_thousand_statements_are_read_whole() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let shop = connect_as(&postgres, "shop").await;
    for batch in 0..49 {
        let statements: Vec<_> = (0..99).map(|number| distinct(batch * 99 + number)).collect();
        shop.simple_query(&statements.join("; ")).await.unwrap();
    }
    let tape = Tape::of(watcher(&postgres));
    let first = tape.polls_after(0, "statements", 1).await.remove(0);
    assert!(first.snapshot_complete && first.rows["raw.queries"] > 4_850, "{first:?}");
    let texts = tape.polls_after(0, "texts", 1).await.remove(0);
    assert_eq!(texts.rows["raw.texts"], first.rows["raw.queries"]);
    let later = tape.next_polls("statements", 5).await;
    assert!(later.iter().all(|poll| poll.rows.values().all(|rows| *rows < 100)), "{later:?}");
    let slowest = later.iter().map(|poll| Duration::from_nanos(poll.duration_ns.unsigned_abs())).max();
    assert!(slowest < Some(LIMIT / 10));
    tape.stop().await;
}
