//! Processes of the product that come, go and die, while the books have to balance.

use std::path::Path;
use std::sync::Arc;

use dbintel_bus::embedded::{self, Embedded};
use dbintel_bus::kafka::{self, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher};
use dbintel_tests::books::{Balance, verify};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use rustix::process::Signal;

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, said, text};
use crate::engine::{GROUP, PIPELINE, load, wait_until_caught_up};

const PARTITIONS: u32 = 4;

/// Kills of a process that runs everything.
const KILLS: usize = 10;

/// Polls between two things that happen, of 8 targets with 200 statements.
const POLLS: i64 = 6;

fn processors(kafka: &Kafka, scratch: &Scratch) -> std::path::PathBuf {
    let configuration = format!(
        "pollers: {{postgresql: {{endpoint: '127.0.0.1:1', username: nobody}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: {PARTITIONS}}}}}
",
        kafka.bootstrap
    );
    scratch.write("dbintel.yaml", &configuration)
}

/// Starts a process with processors, and waits until it has said where it listens.
pub fn processor(configuration: &Path, state: &Path) -> Running {
    let arguments: Vec<&str> = ["processor", "--config", text(configuration)].into_iter().chain(FREE_PORTS).collect();
    let mut running = Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(state))]);
    running.port("health");
    running
}

fn balance(bus: &dyn Bus, partitions: u32) -> Vec<Balance> {
    (0..partitions).map(|partition| verify(bus, GROUP, PIPELINE, partition)).collect()
}

#[test]
fn processors_join_leave_and_die_on_kafka_and_the_books_balance() {
    let (kafka, scratch) = (Kafka::start(), Scratch::new("faults"));
    let configuration = processors(&kafka, &scratch);
    said(&["topics", "create", "--config", text(&configuration)], &[]);
    let config = kafka::Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..kafka::Config::default() };
    let bus: Arc<dyn Bus> = Arc::new(KafkaBus::open(&config).unwrap());
    let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), PARTITIONS);
    let mut polls = (1..).step_by(POLLS as usize);
    let mut more = || {
        let first = polls.next().unwrap();
        load::publish(&publisher, 8, 200, first..first + POLLS);
    };

    let state = |name: &str| scratch.path().join(name);
    let mut first = processor(&configuration, &state("first"));
    let mut second = processor(&configuration, &state("second"));
    more();
    let mut third = processor(&configuration, &state("third"));
    more();
    wait_until_caught_up(&*bus, PARTITIONS);
    more();
    third.process.signal(Signal::TERM);
    assert!(third.process.wait_for_end(LIMIT).success(), "{}", third.process.log());
    more();
    second.process.kill9();
    more();
    let mut again = processor(&configuration, &state("second"));
    more();
    wait_until_caught_up(&*bus, PARTITIONS);
    for running in [&mut first, &mut again] {
        running.process.signal(Signal::TERM);
        assert!(running.process.wait_for_end(LIMIT).success(), "{}", running.process.log());
    }

    let balances = balance(&*bus, PARTITIONS);
    let raw: usize = balances.iter().map(|balance| balance.raw).sum();
    assert_eq!(raw, 6 * POLLS as usize * 8 * 201);
    for balance in balances.iter().filter(|balance| balance.raw > 0) {
        assert_eq!(balance.open, 0, "{balance:?}");
        assert!(balance.dispositions["forwarded"] > 0, "{balance:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_ten_times_on_the_embedded_log_keeps_its_books() {
    let (postgres, scratch) = (Postgres::start(Major::V18), Scratch::new("killed"));
    let client = postgres.client("postgres").await;
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let configuration = format!(
        "pollers: {{postgresql: {{endpoint: '127.0.0.1:{}', username: postgres, collection_interval: 1s}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql]}}}}
",
        postgres.port
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    let state = scratch.path().join("state");
    let arguments: Vec<&str> = ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_PORTS).collect();
    for kill in 0..KILLS {
        let mut up = Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&state))]);
        let committed = "dbintel_processor_commits_total{";
        up.wait_until_ready();
        wait::eventually(LIMIT, "three commits", async || {
            client.batch_execute("SELECT count(*) FROM pg_class").await.unwrap();
            up.sample("metrics", committed).filter(|commits| *commits >= 3.0)
        })
        .await;
        up.process.kill9();
        assert!(state.join("log").exists(), "kill {kill}");
    }
    let mut last = Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&state))]);
    last.wait_until_ready();
    last.process.signal(Signal::TERM);
    assert!(last.process.wait_for_end(LIMIT).success(), "{}", last.process.log());

    let config = embedded::Config { directory: state.join("log"), ..embedded::Config::default() };
    let bus = Embedded::open(&config).unwrap();
    let balance = verify(&bus, GROUP, PIPELINE, 0);
    assert_eq!(balance.open, 0, "{balance:?}");
    assert!(balance.raw > KILLS * 3 && balance.dispositions["forwarded"] > KILLS, "{balance:?}");
}
