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
use dbintel_pollers::start;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::postgres::{Major, Postgres};
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
    println!("| PostgreSQL | CPU of our backends | statements a minute |\n|---|---|---|");
    for major in [Major::V12, Major::V18] {
        let (share, statements) = measure(major).await;
        println!("| {major:?} | {:.2} % of a core | {statements:.0} |", share * 100.0);
    }
}

async fn measure(major: Major) -> (f64, f64) {
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
    let directory = tempfile::tempdir().unwrap();
    let settings = LogConfig { directory: directory.path().to_path_buf(), ..LogConfig::default() };
    let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&settings).unwrap());
    bus.create_topics(&planned_topics(1, &[])).unwrap();
    let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
    let config = Config {
        username: "watcher".to_owned(),
        endpoint: format!("{HOST}:{}", postgres.port).parse().unwrap(),
        ..Config::default()
    };
    let component = "postgresql/shop".parse().unwrap();
    let fleet = start(vec![(component, config.into())], publisher, &Registry::new()).unwrap();
    tokio::time::sleep(WARM_UP).await;
    let (before, calls_before) = (cpu(&admin).await, calls(&admin).await);
    tokio::time::sleep(MEASURED).await;
    let (after, calls_after) = (cpu(&admin).await, calls(&admin).await);
    fleet.stop().await;
    drop(sessions);
    // A backend that is new has used all of its time since.
    let ticks: f64 = after.iter().map(|(pid, ticks)| ticks - before.get(pid).copied().unwrap_or(0.0)).sum();
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

/// Time of each of our backends in ticks, in user and in kernel mode.
async fn cpu(admin: &Client) -> BTreeMap<i32, f64> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'watcher'";
    let rows = admin.query(sql, &[]).await.unwrap();
    let ticks = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()
    };
    rows.iter().map(|row| (row.get(0), ticks(row.get(0)))).collect()
}

/// Statements of ours that the server counted.
async fn calls(admin: &Client) -> f64 {
    let sql = "SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements(false) WHERE userid = 'watcher'::regrole";
    admin.query_one(sql, &[]).await.unwrap().get(0)
}
