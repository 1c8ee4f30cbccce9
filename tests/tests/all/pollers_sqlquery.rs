//! Statements of the configuration, on real servers: what they give, and what comes of those that cannot be.

use std::collections::BTreeMap;

use dbintel_config::{Document, Environment};
use dbintel_pollers::sqlquery::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::RawMetrics;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;

use crate::pollers_tape::{LIMIT, Seen, Tape, decode};

/// The Collector's example, with the columns of PostgreSQL 13 to 16 and one that no version has.
const PERFORMANCE: &str = "
- sql: |
    SELECT queryid::text as query_id, LEFT(query, 500) as query_text, calls, total_exec_time, mean_exec_time, stddev_exec_time,
           rows, shared_blks_hit, shared_blks_read, blk_read_time, blk_write_time, cpu_time
    FROM pg_stat_statements
    WHERE calls > 10 AND mean_exec_time > 0
    ORDER BY mean_exec_time DESC
    LIMIT 200
  metrics:
    - {metric_name: db.query.calls, value_column: calls, attribute_columns: [query_id], value_type: int, monotonic: true}
    - {metric_name: db.query.mean_time, value_column: mean_exec_time, attribute_columns: [query_id], value_type: double, unit: ms}
    - {metric_name: db.query.cpu_time, value_column: cpu_time, attribute_columns: [query_id], value_type: double, unit: ms}
  collection_interval: 200ms
  timeout: 10s
";

fn config(driver: &str, source: &str, queries: &str) -> Config {
    let queries: String = queries.lines().map(|line| format!("  {line}\n")).collect();
    let text = format!("driver: {driver}\ndatasource: '{source}'\ncollection_interval: 200ms\nqueries:\n{queries}");
    let nothing = Environment::from_iter::<[(&str, &str); 0]>([]);
    let loaded = Document::from_text("sqlquery.yaml", &text, &nothing).unwrap().read(Config::read);
    loaded.unwrap_or_else(|problems| panic!("{problems}")).config
}

fn on_postgresql(postgres: &Postgres, queries: &str) -> Config {
    let source = format!("postgresql://postgres@{HOST}:{}/postgres?sslmode=disable", postgres.port);
    config("postgres", &source, queries)
}

/// The newest values, by metric and object.
fn values(tape: &Tape) -> BTreeMap<(String, String), (String, f64)> {
    let mut values = BTreeMap::new();
    for value in tape.values(Topic::RawMetrics) {
        let row = decode::<RawMetrics<'_>>(&value);
        let object: Vec<String> = row.object.iter().map(|(name, value)| format!("{name}={value}")).collect();
        for point in row.points.iter() {
            let value = point.int_value.map_or_else(|| point.double_value.unwrap(), |value| value as f64);
            values.insert((point.name.to_owned(), object.join(",")), (point.kind.to_owned(), value));
        }
    }
    values
}

/// A poll that failed with such words.
async fn failed(tape: &Tape, words: &str) -> Seen {
    eventually(LIMIT, words, async || {
        let is_it = |poll: &Seen| poll.error.as_ref().is_some_and(|error| error.contains(words));
        tape.polls().into_iter().find(is_it)
    })
    .await
}

#[tokio::test]
async fn the_example_of_the_guide_runs_where_its_columns_are() {
    let postgres = Postgres::start(Major::V16);
    let admin = postgres.client("postgres").await;
    admin
        .batch_execute(
            "CREATE SCHEMA extensions; CREATE EXTENSION pg_stat_statements SCHEMA extensions;
             CREATE VIEW public.pg_stat_statements AS SELECT *, total_exec_time / 2 AS cpu_time FROM extensions.pg_stat_statements",
        )
        .await
        .unwrap();
    for _ in 0..20 {
        admin.batch_execute("SELECT count(*) FROM pg_class").await.unwrap();
    }
    let tape = Tape::of(on_postgresql(&postgres, PERFORMANCE));
    let sql =
        "SELECT queryid::text FROM extensions.pg_stat_statements WHERE query LIKE 'SELECT count(*) FROM pg_class'";
    let id: String = admin.query_one(sql, &[]).await.unwrap().get(0);
    let of = |metric: &str| (metric.to_owned(), format!("query_id={id}"));
    let seen = eventually(LIMIT, "the statement", async || {
        let values = values(&tape);
        values.contains_key(&of("db.query.calls")).then_some(values)
    })
    .await;
    assert_eq!(seen[&of("db.query.calls")], ("counter".to_owned(), 20.0));
    let (mean, cpu) = (&seen[&of("db.query.mean_time")], &seen[&of("db.query.cpu_time")]);
    assert!(mean.0 == "gauge" && (cpu.1 - mean.1 * 10.0).abs() < 1e-6, "{mean:?} {cpu:?}");
    tape.stop().await;

    let newest = Postgres::start(Major::V18);
    newest.client("postgres").await.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let tape = Tape::of(on_postgresql(&newest, PERFORMANCE));
    let poll = failed(&tape, "does not exist; `statements` of a `postgresql` poller").await;
    assert!(
        poll.class == "queries"
            && poll.error.unwrap().starts_with("query 1 (db.query.calls): column \"blk_read_time\"")
    );
    tape.stop().await;
}

#[tokio::test]
async fn a_statement_that_cannot_be_stops_nothing_else() {
    let postgres = Postgres::start(Major::V18);
    let admin = postgres.client("postgres").await;
    admin
        .batch_execute("CREATE TABLE goods (name text, price int); INSERT INTO goods VALUES ('x', 7), ('y', NULL)")
        .await
        .unwrap();
    let queries = "
- {sql: 'SELECT name, price FROM goods -- all;', metrics: [{metric_name: good, value_column: price, attribute_columns: [name]}]}
- {sql: 'SELECT 1 AS n; DROP TABLE goods', metrics: [{metric_name: two, value_column: n}]}
- {sql: 'WITH gone AS (DELETE FROM goods RETURNING 1 AS n) SELECT n FROM gone', metrics: [{metric_name: gone, value_column: n}]}
- {sql: 'SELECT 1 AS n FROM pg_sleep(30)', timeout: 300ms, metrics: [{metric_name: slow, value_column: n}]}
- {sql: 'SELECT n FROM generate_series(1, 20) AS n', max_rows: 10, metrics: [{metric_name: many, value_column: n}]}
- {sql: 'SELECT name FROM goods', metrics: [{metric_name: text, value_column: name}]}
- {sql: 'SELECT name FROM goods', metrics: [{metric_name: absent, value_column: price}]}
";
    let tape = Tape::of(on_postgresql(&postgres, queries));
    let expected = [
        ("query 2 (two): the server refused the statement with SQLSTATE 42601", "error"),
        ("query 3 (gone): ", "error"),
        ("query 4 (slow): ", "timeout"),
        ("query 5 (many): more than 10 rows: add a LIMIT, or raise `max_rows`", "error"),
        ("query 6 (text): column `name` of row 1 holds a text, and is declared as a whole number", "error"),
        ("query 7 (absent): the result has no column `price`, it has name", "error"),
    ];
    for (words, outcome) in expected {
        let poll = failed(&tape, words).await;
        assert_eq!(poll.outcome, outcome, "{poll:?}");
    }
    let before = tape.polls().len();
    tape.polls_after(before, "queries", 20).await;
    let values = values(&tape);
    let good: Vec<_> =
        values.iter().map(|((metric, object), (kind, value))| (&**metric, &**object, &**kind, *value)).collect();
    assert_eq!(good, [("good", "name=x", "gauge", 7.0)], "NULL is no value");
    assert_eq!(admin.query_one("SELECT count(*) FROM goods", &[]).await.unwrap().get::<_, i64>(0), 2);
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbintel'";
    assert_eq!(admin.query_one(ours, &[]).await.unwrap().get::<_, i64>(0), 1, "one connection for all");
    tape.stop().await;
}

#[tokio::test]
async fn statements_run_on_every_flavour_of_mysql() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        mysql
            .run(&[
                "CREATE DATABASE shop",
                "CREATE TABLE shop.goods (name text, price int)",
                "INSERT INTO shop.goods VALUES ('x', 7), ('y', NULL), ('z', 9)",
                "CREATE USER 'watcher'@'%' IDENTIFIED BY 'se:cr@et'",
                "GRANT SELECT, INSERT, DELETE ON shop.* TO 'watcher'@'%'",
                "GRANT PROCESS ON *.* TO 'watcher'@'%'",
                "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
            ])
            .await;
        let queries = "
- {sql: 'SELECT name, price FROM goods;', metrics: [{metric_name: good, value_column: price, attribute_columns: [name], value_type: double}]}
- {sql: 'SELECT SUM(price) AS total FROM goods', metrics: [{metric_name: total, value_column: total, data_type: sum}]}
- {sql: 'SELECT 1 AS n; DELETE FROM goods', metrics: [{metric_name: two, value_column: n}]}
- {sql: 'SELECT CPU_TIME FROM performance_schema.events_statements_summary_by_digest', metrics: [{metric_name: cpu, value_column: CPU_TIME}]}
- {sql: 'SELECT SLEEP(30) AS n FROM goods', timeout: 300ms, metrics: [{metric_name: slow, value_column: n}]}
";
        let source = format!("watcher:se:cr@et@tcp({HOST}:{})/shop", mysql.port);
        let tape = Tape::of(config("mysql", &source, queries));
        for words in ["query 3 (two): ", "query 4 (cpu): "] {
            let poll = failed(&tape, words).await;
            assert_eq!(poll.outcome, "error", "{flavour:?}: {poll:?}");
        }
        let total = ("total".to_owned(), String::new());
        let seen = eventually(LIMIT, "all that is good", async || {
            let values = values(&tape);
            (values.len() >= 3 && values.contains_key(&total)).then_some(values)
        })
        .await;
        assert_eq!(seen[&total], ("sum".to_owned(), 16.0), "{flavour:?}");
        assert_eq!(seen[&("good".to_owned(), "name=x".to_owned())], ("gauge".to_owned(), 7.0));
        assert!(!seen.contains_key(&("good".to_owned(), "name=y".to_owned())));
        tape.stop().await;
        assert_eq!(mysql.rows("SELECT COUNT(*) FROM shop.goods").await[0].get::<u64, _>(0), Some(3));
        let leaked = tape.polls().iter().any(|poll| poll.error.as_ref().is_some_and(|error| error.contains("cr@et")));
        assert!(!leaked, "{flavour:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_let_us_in_is_told_without_the_password() {
    let postgres = Postgres::start(Major::V18);
    let source = format!("postgresql://nobody:secret@{HOST}:{}/postgres?sslmode=disable", postgres.port);
    let queries = "- {sql: 'SELECT 1 AS n', metrics: [{metric_name: n, value_column: n}]}";
    let tape = Tape::of(config("postgres", &source, queries));
    let poll =
        eventually(LIMIT, "a refusal", async || tape.polls().into_iter().find(|poll| poll.outcome == "refused")).await;
    assert!(!poll.error.unwrap().contains("secret"));
    tape.stop().await;
}
