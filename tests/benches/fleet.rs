//! What a large fleet costs the process that polls it, and whether anything of it grows: 500 targets on few servers at the default
//! intervals, and then 100,000 polls of a few targets in fast motion.
//!
//! The process has the embedded log in it, which a poller on Kafka has not.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "whatever is missing in a bench ends it; it prints tables"
)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::embedded::{Config as LogConfig, Embedded};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics, topic_name};
use dbintel_config::ComponentId;
use dbintel_pollers::postgresql::Config;
use dbintel_pollers::settings::ClassConfig;
use dbintel_pollers::{Fleet, start};
use dbintel_schemas::Topic;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::postgres::{Major, Postgres};
use prometheus::Registry;

/// Targets of the large fleet, and the servers that they are spread over.
const TARGETS: usize = 500;
const MAJORS: [Major; 4] = [Major::V12, Major::V15, Major::V17, Major::V18];
/// Statements of each server.
const STATEMENTS: usize = 500;
/// Time in which everything is read for the first time, and time that is measured.
const WARM_UP: Duration = Duration::from_secs(60);
const MEASURED: Duration = Duration::from_secs(120);
/// Targets and polls of the fast motion, and the looks that are taken at it.
const FAST_TARGETS: usize = 16;
const FAST_POLLS: i64 = 100_000;
const LOOKS: i64 = 10;
/// Memory that may be more at the end than after the first look, in MiB.
const GROWTH_MIB: f64 = 16.0;
/// Ticks of the kernel's accounts in a second.
const TICKS: f64 = 100.0;

#[tokio::main]
async fn main() {
    let mut servers = Vec::new();
    for major in MAJORS {
        servers.push(server(major).await);
    }
    at_default_intervals(&servers).await;
    in_fast_motion(&servers).await;
}

async fn server(major: Major) -> Postgres {
    let postgres = Postgres::start_with(major, &[("max_connections", "600")]);
    let admin = postgres.client("postgres").await;
    let set_up = "CREATE EXTENSION pg_stat_statements; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher";
    admin.batch_execute(set_up).await.unwrap();
    for batch in 0..STATEMENTS / 100 {
        let statements: Vec<_> = (0..100).map(|number| format!("SELECT 1 AS c_{batch}_{number}")).collect();
        admin.simple_query(&statements.join("; ")).await.unwrap();
    }
    postgres
}

/// Targets on the servers in turn, with a log of their own.
struct Polled {
    fleet: Fleet,
    bus: Arc<dyn Bus>,
    _directory: tempfile::TempDir,
}

impl Polled {
    fn start(servers: &[Postgres], targets: usize, config: &Config) -> Polled {
        let directory = tempfile::tempdir().unwrap();
        let settings = LogConfig { directory: directory.path().to_path_buf(), ..LogConfig::default() };
        let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&settings).unwrap());
        bus.create_topics(&planned_topics(1, &[])).unwrap();
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
        let target = |number: usize| {
            let endpoint = format!("{HOST}:{}", servers[number % servers.len()].port).parse().unwrap();
            let component: ComponentId = format!("postgresql/db{number}").parse().unwrap();
            (component, Config { username: "watcher".to_owned(), endpoint, ..config.clone() }.into())
        };
        let fleet = start((0..targets).map(target).collect(), publisher, &Registry::new()).unwrap();
        Polled { fleet, bus, _directory: directory }
    }

    fn polls(&self) -> i64 {
        self.bus.offsets(&topic_name(Topic::RawPolls), 0).unwrap().end
    }
}

async fn at_default_intervals(servers: &[Postgres]) {
    let polled = Polled::start(servers, TARGETS, &Config::default());
    tokio::time::sleep(WARM_UP).await;
    let (cpu_before, polls_before) = (cpu_seconds(), polled.polls());
    tokio::time::sleep(MEASURED).await;
    let share = (cpu_seconds() - cpu_before) / MEASURED.as_secs_f64();
    let polls = (polled.polls() - polls_before) as f64 / MEASURED.as_secs_f64();
    println!("| targets | polls/s | CPU of the process | memory |\n|---|---|---|---|");
    println!("| {TARGETS} | {polls:.0} | {:.0} % of a core | {:.0} MiB |\n", share * 100.0, memory_mib());
    polled.fleet.stop().await;
}

async fn in_fast_motion(servers: &[Postgres]) {
    let fast = ClassConfig { interval: Duration::from_millis(100), timeout: Duration::from_secs(5) };
    let config = Config {
        sessions: fast,
        statements: fast,
        texts: fast,
        metrics: fast,
        replication: fast,
        settings: fast,
        tables: fast,
        sizes: fast,
        ..Config::default()
    };
    let polled = Polled::start(servers, FAST_TARGETS, &config);
    println!("| polls | memory MiB | descriptors | connections |\n|---|---|---|---|");
    let mut looks = Vec::new();
    for look in 1..=LOOKS {
        while polled.polls() < FAST_POLLS * look / LOOKS {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (memory, descriptors) = (memory_mib(), fs::read_dir("/proc/self/fd").unwrap().count());
        let mut connections = 0;
        for server in servers {
            connections += connections_of(server).await;
        }
        println!("| {} | {memory:.0} | {descriptors} | {connections} |", polled.polls());
        looks.push((memory, descriptors, connections));
    }
    polled.fleet.stop().await;
    let ((first, _, _), (last, _, _)) = (looks[0], looks[looks.len() - 1]);
    assert!(last < first + GROWTH_MIB, "memory grew from {first:.0} MiB to {last:.0} MiB");
    let most = FAST_TARGETS as i64 * Config::default().connections_max as i64;
    assert!(looks.iter().all(|(_, _, connections)| *connections <= most), "more than {most} connections: {looks:?}");
    let descriptors = looks.iter().map(|(_, descriptors, _)| *descriptors);
    assert!(descriptors.clone().max() <= descriptors.min().map(|least| least + 2 * FAST_TARGETS), "{looks:?}");
}

async fn connections_of(server: &Postgres) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'watcher'";
    server.client("postgres").await.query_one(sql, &[]).await.unwrap().get(0)
}

/// CPU time of this process, in user and in kernel mode.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS
}

fn memory_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
