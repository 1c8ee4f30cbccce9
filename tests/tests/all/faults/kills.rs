//! Kills at busy moments, of processes whose state is on disk and larger than what is kept in memory between two writes.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::embedded::{self, Embedded};
use dbintel_schemas::topics;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use tokio_postgres::Client;

use super::{Scene, end, sample, wait_until_busy};
use crate::cli_rig::{FREE_PORTS, LIMIT, Running, text};
use crate::engine::{GROUP, check_books, wait_until_caught_up};

const KILLS: usize = 10;

/// Every third time the state directory is a new one.
const KILLS_PER_DIRECTORY: usize = 3;

/// With 4 targets on a partition, one poll changes more than 1 MiB of its state: what fills the store and the checkpoint.
const STATEMENTS: usize = 1000;

/// Statements of the server, and the columns that are enough for so many different ones.
const DISTINCT: u32 = 2000;
const COLUMNS: u32 = 11;

/// Waits until state was written to disk, and the changelog cut behind it. Opens the log for each look.
fn wait_until_flushed(open: impl Fn() -> Arc<dyn Bus>, partitions: u32) {
    wait::blocking(LIMIT, "changelogs that were cut", || {
        let bus = open();
        let start = |partition| bus.offsets(&topics::changelog(GROUP), partition).unwrap().start;
        (0..partitions).all(|partition| start(partition) > 0).then_some(())
    });
}

#[test]
fn a_processor_that_is_killed_under_load_on_kafka_forgets_nothing() {
    let scene = Scene::new(2, STATEMENTS);
    let flow = scene.flow(1, Duration::from_millis(400));
    let state = |kill: usize| format!("state-{}", kill / KILLS_PER_DIRECTORY);
    for kill in 0..KILLS {
        let mut running = scene.processor(&state(kill));
        wait_until_busy(&mut running, 2 * kill + 1);
        running.process.kill9();
    }
    let mut last = scene.processor(&state(KILLS));
    wait_until_busy(&mut last, 1);
    wait_until_flushed(|| Arc::clone(&scene.bus), 2);
    scene.settle(flow, &mut [last]);
}

/// Runs statements that differ in the columns they read, over and over.
async fn run_statements(client: Client) {
    let statement = |number: u32| {
        let columns: Vec<String> =
            (0..COLUMNS).filter(|column| number >> column & 1 == 1).map(|column| format!("c{column}")).collect();
        format!("SELECT {} FROM wide", columns.join(","))
    };
    let all: Vec<String> = (1..=DISTINCT).map(statement).collect();
    loop {
        for some in all.chunks(100) {
            // The server ends before the load, if the test fails.
            if client.batch_execute(&some.join(";")).await.is_err() {
                return;
            }
        }
    }
}

async fn start_load(postgres: &Postgres) -> tokio::task::JoinHandle<()> {
    let client = postgres.client("postgres").await;
    let columns: Vec<String> = (0..COLUMNS).map(|column| format!("c{column} int")).collect();
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    client.batch_execute(&format!("CREATE TABLE wide ({})", columns.join(","))).await.unwrap();
    let load = tokio::spawn(run_statements(client));
    let counter = postgres.client("postgres").await;
    wait::eventually(LIMIT, "all statements", async || {
        let row = counter.query_one("SELECT count(*) FROM pg_stat_statements", &[]).await.unwrap();
        (row.get::<_, i64>(0) >= i64::from(DISTINCT)).then_some(())
    })
    .await;
    load
}

/// Waits until so many commits were made and the next rows are on their way.
fn wait_until_rows_flow(up: &mut Running, commits: usize) {
    wait_until_busy(up, commits);
    let port = up.port("metrics");
    let published = || sample(port, "poller_rows_published_total", "topic=\"raw.queries\"");
    let before = published();
    up.process.wait_until(|_| published() > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_ten_times_on_the_embedded_log_keeps_its_books() {
    let (mut postgres, scratch) = (Postgres::start(Major::V18), Scratch::new("killed"));
    let load = start_load(&postgres).await;
    let configuration = format!(
        "service: {{memory: 8MiB}}
pollers: {{postgresql: {{endpoint: '127.0.0.1:{}', username: postgres, collection_interval: 250ms}}}}
pipelines: {{main: {{pollers: [postgresql]}}}}
",
        postgres.port
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    let state = scratch.path().join("state");
    // Without the address of an export, which there is none of.
    let ports = FREE_PORTS.into_iter().take(4);
    let arguments: Vec<&str> = ["up", "--quiet", "--config", text(&file)].into_iter().chain(ports).collect();
    let environment = [("DBINTEL_STATE_DIRECTORY", text(&state))];
    let config = embedded::Config { directory: state.join("log"), ..embedded::Config::default() };
    tokio::task::block_in_place(|| {
        for kill in 0..KILLS {
            let mut up = Running::start(&arguments, &environment);
            up.wait_until_ready();
            wait_until_rows_flow(&mut up, 2 + 2 * kill);
            up.process.kill9();
        }
        let mut last = Running::start(&arguments, &environment);
        last.wait_until_ready();
        wait_until_rows_flow(&mut last, 1);
        wait_until_flushed(|| Arc::new(Embedded::open_reader(&config).unwrap()), 1);
        // Without a server nothing more comes, and all that came is processed.
        postgres.process.stop();
        wait_until_caught_up(&Embedded::open_reader(&config).unwrap(), 1);
        end(&mut last);
    });
    load.abort();

    let bus = Embedded::open(&config).unwrap();
    let balance = check_books(&bus, 1);
    assert!(balance.reasons["baseline"] >= DISTINCT as usize, "{balance:?}");
    assert!(balance.dispositions["forwarded"] > KILLS * DISTINCT as usize, "{balance:?}");
}
