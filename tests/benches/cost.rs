//! What it costs a server to be watched at the default intervals: CPU time of the backends that serve us, as the kernel counts it,
//! with 5,000 statements and 100 sessions.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "whatever is missing in a bench ends it; it prints a table"
)]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::embedded::{Config as LogConfig, Embedded};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics};
use dbintel_pollers::postgresql::Config;
use dbintel_pollers::{mysql, start};
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use mysql_async::prelude::Queryable;
use prometheus::Registry;
use tokio_postgres::Client;

/// Time that is measured.
const MEASURED: Duration = Duration::from_secs(120);
/// Time before that, in which everything is read for the first time.
const WARM_UP: Duration = Duration::from_secs(15);
/// Ticks of the kernel's accounts in a second.
const TICKS: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| server | CPU of what serves us | statements a minute |\n|---|---|---|");
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |server: &str| named.is_empty() || named.iter().any(|name| server.contains(name.as_str()));
    for major in [Major::V12, Major::V18] {
        let server = format!("PostgreSQL {major:?}");
        if is_wanted(&server) {
            report(&server, of_postgresql(major).await);
        }
    }
    for flavour in [Flavour::Mysql9, Flavour::MariadbStable] {
        let server = format!("{flavour:?}");
        if is_wanted(&server) {
            report(&server, of_mysql(flavour).await);
        }
    }
}

fn report(server: &str, (share, statements): (f64, f64)) {
    println!("| {server} | {:.2} % of a core | {statements:.0} |", share * 100.0);
}

async fn of_postgresql(major: Major) -> (f64, f64) {
    let postgres = Postgres::start_with(major, &[("max_connections", "150")]);
    let admin = postgres.client("postgres").await;
    admin
        .batch_execute("CREATE EXTENSION pg_stat_statements; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher")
        .await
        .unwrap();
    for batch in 0..49 {
        let statements: Vec<_> = (0..100).map(|number| format!("SELECT 1 AS c_{batch}_{number}")).collect();
        admin.simple_query(&statements.join("; ")).await.unwrap();
    }
    let sessions = sessions(&postgres).await;
    let config = Config {
        username: "watcher".to_owned(),
        endpoint: format!("{HOST}:{}", postgres.port).parse().unwrap(),
        ..Config::default()
    };
    let cost = measure(config.into(), async || (cpu(&admin).await, calls(&admin).await)).await;
    drop(sessions);
    cost
}

async fn of_mysql(flavour: Flavour) -> (f64, f64) {
    let mysql = Mysql::start_with(flavour, &["--max-connections=200", "--performance-schema-digests-size=10000"]);
    let rights = if flavour == Flavour::Mysql9 { "REPLICATION CLIENT" } else { "BINLOG MONITOR, SLAVE MONITOR" };
    mysql
        .run(&[
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            &format!("GRANT PROCESS, SHOW VIEW, {rights} ON *.* TO 'watcher'@'%'"),
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
        ])
        .await;
    let mut admin = mysql.admin().await;
    for number in 0..4_900 {
        admin.query_drop(format!("SELECT 1 AS c_{number}")).await.unwrap();
    }
    let mut sessions = Vec::new();
    for number in 0..100 {
        let mut session = mysql.admin().await;
        session.query_drop(if number % 2 == 0 { "START TRANSACTION" } else { "SELECT 1" }).await.unwrap();
        sessions.push(session);
    }
    let mut config = mysql::Config { username: "watcher".to_owned(), ..mysql::Config::default() };
    config.password = dbintel_config::Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
    let cost = measure(config.into(), async || {
        let threads = "SELECT THREAD_OS_ID FROM performance_schema.threads WHERE PROCESSLIST_USER = 'watcher'";
        let threads = mysql.rows(threads).await;
        let threads = threads.iter().map(|row| row.get::<i32, _>(0).unwrap());
        let ticks = threads.map(|id| (id, ticks(&format!("/proc/{}/task/{id}/stat", mysql.process.id()))));
        let calls = "SELECT CAST(SUM(COUNT_STAR) AS DOUBLE) FROM
                     performance_schema.events_statements_summary_by_user_by_event_name WHERE USER = 'watcher'";
        (ticks.collect(), mysql.rows(calls).await[0].get(0).unwrap())
    })
    .await;
    drop(sessions);
    cost
}

/// Ticks of each backend, and statements so far.
type Account = (BTreeMap<i32, f64>, f64);

async fn measure(config: dbintel_pollers::Config, account: impl AsyncFn() -> Account) -> (f64, f64) {
    let directory = tempfile::tempdir().unwrap();
    let settings = LogConfig { directory: directory.path().to_path_buf(), ..LogConfig::default() };
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&settings).unwrap());
    bus.create_topics(&planned_topics(1, &[])).unwrap();
    let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
    let fleet = start(vec![("shop".parse().unwrap(), config)], publisher, &Registry::new()).unwrap();
    tokio::time::sleep(WARM_UP).await;
    let (before, calls_before) = account().await;
    tokio::time::sleep(MEASURED).await;
    let (after, calls_after) = account().await;
    fleet.stop().await;
    // A backend that is new has used all of its time since.
    let ticks: f64 = after.iter().map(|(id, ticks)| ticks - before.get(id).copied().unwrap_or(0.0)).sum();
    let minutes = MEASURED.as_secs_f64() / 60.0;
    (ticks / TICKS / MEASURED.as_secs_f64(), (calls_after - calls_before) / minutes)
}

/// 100 sessions, half of which have a transaction open.
async fn sessions(postgres: &Postgres) -> Vec<Client> {
    let mut sessions = Vec::new();
    for number in 0..100 {
        let client = postgres.client("postgres").await;
        let sql = if number % 2 == 0 { "BEGIN; SELECT 1" } else { "SELECT 1" };
        client.simple_query(sql).await.unwrap();
        sessions.push(client);
    }
    sessions
}

/// Time of each of our backends in ticks.
async fn cpu(admin: &Client) -> BTreeMap<i32, f64> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'watcher'";
    let rows = admin.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), ticks(&format!("/proc/{}/stat", row.get::<_, i32>(0))))).collect()
}

/// Time in user and in kernel mode.
fn ticks(stat: &str) -> f64 {
    let stat = fs::read_to_string(stat).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
}

/// Statements of ours that the server counted.
async fn calls(admin: &Client) -> f64 {
    let sql = "SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements(false) WHERE userid = 'watcher'::regrole";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}
