//! Servers whose clock is set back, or goes through the end of summer time: nothing stands still, and no number is wrong.

use std::time::Duration;

use dbintel_pollers::mysql;
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawQuery, RawSession};
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::clock::Clock;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use mysql_async::prelude::Queryable;

use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{LIMIT, Tape, decode, wall_us};

const SECOND: i64 = 1_000_000;

/// Calls of the statement, as they were published last.
fn calls(tape: &Tape, query_id: &str) -> Option<i64> {
    let of = |value: &Vec<u8>| {
        let row: RawQuery<'_> = decode(value);
        (row.query_id == query_id).then(|| row.counters.calls()).flatten()
    };
    tape.values(Topic::RawQueries).iter().filter_map(of).next_back()
}

fn skew(tape: &Tape, metric: &str) -> Option<f64> {
    tape.metrics().get(&(metric.to_owned(), String::new())).copied()
}

/// The server's clock in each poll of a class, in µs.
fn server_times(tape: &Tape) -> Vec<i64> {
    let time = |value: &Vec<u8>| {
        let row: RawSession<'_> = decode(value);
        row.server_time
    };
    tape.values(Topic::RawSessions).iter().filter_map(time).collect()
}

/// A server of PostgreSQL whose clock jumps takes what is under way for too old; and a signal that comes while the library is at
/// work sees the time of the machine. What is ended so is begun again.
fn assert_all_well(tape: &Tape) {
    let failed: Vec<_> = tape.polls().into_iter().filter(|poll| poll.outcome != "ok").collect();
    let is_of_jump = |class: &str| ["25P03", "io"].contains(&class);
    assert!(failed.iter().all(|poll| poll.error_class.as_deref().is_some_and(is_of_jump)), "{failed:?}");
    assert!(failed.len() <= 4, "{failed:?}");
}

#[tokio::test]
async fn the_clock_of_postgresql_is_set_back_by_an_hour() {
    for major in [Major::V12, Major::V18] {
        let clock = Clock::new();
        let mut postgres = Postgres::start(major);
        postgres.restart_by(&clock);
        let admin = open_shop(&postgres).await;
        let shop = connect_as(&postgres, "shop").await;
        shop.simple_query("BEGIN; SELECT count(*) FROM goods").await.unwrap();
        let worker = connect_as(&postgres, "shop").await;
        let id = "SELECT queryid::text FROM pg_stat_statements WHERE query LIKE 'SELECT count(*) FROM goods%' AND queryid IS NOT NULL";
        let id: String = admin.query_one(id, &[]).await.unwrap().get(0);
        let tape = Tape::of(watcher(&postgres));
        // After a jump forwards the collector of statistics of 12 gives none for a while.
        let steps = if major == Major::V12 { 2 } else { 3 };
        for seconds in [0, -3600, 0].into_iter().take(steps) {
            clock.set(seconds);
            let expected = f64::from(seconds);
            let told = |skew: f64| ((skew - expected).abs() < 5.0).then_some(());
            eventually(LIMIT, &format!("a skew of {expected} s"), async || told(skew(&tape, "postgresql.clock.skew")?))
                .await;
            worker.simple_query("SELECT count(*) FROM goods").await.unwrap();
            let counted = "SELECT calls FROM pg_stat_statements WHERE queryid::text = $1";
            let now: i64 = admin.query_one(counted, &[&id]).await.unwrap().get(0);
            eventually(LIMIT, "the calls", async || (calls(&tape, &id)? == now).then_some(())).await;
        }
        assert_all_well(&tape);
        tape.stop().await;
    }
}

#[tokio::test]
async fn the_clock_of_mysql_is_set_back_by_an_hour() {
    for flavour in [Flavour::Mysql9, Flavour::MariadbStable] {
        let clock = Clock::new();
        let mut mysql = shop(flavour).await;
        mysql.restart_by(&clock);
        let tape = watch(&mysql);
        let mut worker = mysql.admin().await;
        worker.query_drop("SELECT COUNT(*) FROM shop.goods").await.unwrap();
        let id = "SELECT DIGEST FROM performance_schema.events_statements_summary_by_digest \
                  WHERE DIGEST_TEXT LIKE 'SELECT COUNT%goods%'";
        let digest = async || mysql.rows(id).await.first().and_then(|row| row.get::<String, _>(0));
        let id = eventually(LIMIT, "the statement in the server's table", digest).await;
        for seconds in [0, -3600, 3600] {
            clock.set(seconds);
            let expected = f64::from(seconds);
            let told = |skew: f64| ((skew - expected).abs() < 5.0).then_some(());
            eventually(LIMIT, &format!("a skew of {expected} s"), async || told(skew(&tape, "mysql.clock.skew")?))
                .await;
            worker.query_drop("SELECT COUNT(*) FROM shop.goods").await.unwrap();
            let counted = format!(
                "SELECT CAST(SUM(COUNT_STAR) AS SIGNED) FROM performance_schema.events_statements_summary_by_digest \
                 WHERE DIGEST = '{id}'"
            );
            let now: i64 = mysql.rows(&counted).await[0].get(0).unwrap();
            eventually(LIMIT, "the calls", async || (calls(&tape, &id)? == now).then_some(())).await;
        }
        assert_all_well(&tape);
        tape.stop().await;
    }
}

/// A server in the zone of its machine, with a shop.
async fn shop(flavour: Flavour) -> Mysql {
    let mysql = Mysql::start_with(flavour, &["--default-time-zone=SYSTEM"]);
    mysql
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.goods (id int PRIMARY KEY)",
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            "GRANT PROCESS ON *.* TO 'watcher'@'%'",
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
        ])
        .await;
    mysql
}

fn watch(mysql: &Mysql) -> Tape {
    let often = Duration::from_millis(200);
    let mut config = mysql::Config { username: "watcher".to_owned(), ..mysql::Config::default() };
    config.password = dbintel_config::Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
    (config.sessions.interval, config.statements.interval, config.metrics.interval) = (often, often, often);
    Tape::of(config)
}

/// From three o'clock on the clocks of Berlin show the hour again that they showed before.
#[tokio::test]
async fn the_end_of_summer_time_in_the_zone_of_the_server_changes_no_time() {
    let clock = Clock::new();
    let mut postgres = Postgres::start_with(Major::V18, &[("timezone", "Europe/Berlin")]);
    open_shop(&postgres).await;
    clock.set(before_the_end_of_summer_time());
    postgres.restart_by(&clock);
    let client = connect_as(&postgres, "shop").await;
    client.simple_query("BEGIN; SELECT 1").await.unwrap();
    let tape = Tape::of(watcher(&postgres));
    assert_goes_on(&tape).await;
    tape.stop().await;

    let clock = Clock::new();
    let mut mysql = shop(Flavour::Mysql9).await;
    clock.set(before_the_end_of_summer_time());
    mysql.process.add_environment(vec![("TZ".to_owned(), "Europe/Berlin".to_owned())]);
    mysql.restart_by(&clock);
    let mut held = mysql.admin().await;
    held.query_drop("START TRANSACTION").await.unwrap();
    held.query_drop("INSERT INTO shop.goods VALUES (1)").await.unwrap();
    let tape = watch(&mysql);
    assert_goes_on(&tape).await;
    tape.stop().await;
}

/// 2026-10-25 01:00:00 in UTC, when three o'clock of summer time becomes two o'clock.
const END_OF_SUMMER_TIME: i64 = 1_792_890_000 * SECOND;

/// How far a clock is behind that comes to it in 15 seconds, in s.
fn before_the_end_of_summer_time() -> i32 {
    i32::try_from((END_OF_SUMMER_TIME - wall_us()) / SECOND - 15).unwrap()
}

async fn assert_goes_on(tape: &Tape) {
    let is_over = |times: &[i64]| times.last().is_some_and(|last| *last > END_OF_SUMMER_TIME + 3 * SECOND);
    let times = eventually(LIMIT, "the end of summer time", async || {
        let all = server_times(tape);
        let from = all.iter().position(|time| (0..30 * SECOND).contains(&(END_OF_SUMMER_TIME - time)))?;
        let times = all[from..].to_vec();
        is_over(&times).then_some(times)
    })
    .await;
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (0..5 * SECOND).contains(step)), "{steps:?}");
    assert_all_well(tape);
}
