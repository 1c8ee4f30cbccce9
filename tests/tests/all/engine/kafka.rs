//! The engine on a genuine Kafka, within this process: what only a broker can do to it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher};
use dbintel_schemas::Topic;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::Quarantined;
use dbintel_schemas::topics;
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books;
use dbintel_tests::process::{Process, Program};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::wait;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use super::{GROUP, check_books, create_topics, load, poison, send_raw, start, wait_until_caught_up};

struct Scene {
    kafka: Kafka,
    bus: Arc<dyn Bus>,
    publisher: Publisher,
    scratch: Scratch,
}

impl Scene {
    fn new(partitions: u32) -> Scene {
        let (kafka, scratch) = (Kafka::start(), Scratch::new("engine"));
        let config = Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..Config::default() };
        let bus: Arc<dyn Bus> = Arc::new(KafkaBus::open(&config).unwrap());
        create_topics(&*bus, partitions);
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), partitions);
        Scene { kafka, bus, publisher, scratch }
    }

    /// Processes what is there, and stops.
    fn run(&self, state: &Path) {
        let group = start(&self.bus, state, "a");
        wait_until_caught_up(&*self.bus, 1);
        group.stop();
    }
}

#[test]
fn poison_goes_to_quarantine_and_the_flow_goes_on() {
    let scene = Scene::new(1);
    poison(&scene.bus, &scene.publisher, scene.scratch.path());
}

/// Processors in a process of their own, which dies at statement 13 of any target.
fn mortal(scene: &Scene) -> Process {
    let state = scene.scratch.path().join("state").display().to_string();
    let program = Program::new(env!("CARGO_BIN_EXE_mortal"), scene.scratch.path());
    Process::start(program.arguments([scene.kafka.bootstrap.clone(), state, "13".to_owned()]))
}

#[test]
fn a_record_that_kills_the_process_again_and_again_is_quarantined_and_the_flow_goes_on() {
    let scene = Scene::new(1);
    load::publish(&scene.publisher, 1, 20, 1..3);
    let caught_up = || super::open(&*scene.bus, GROUP, &super::INPUTS, 0) == 0;
    let mut deaths = 0;
    while deaths < 20 {
        let mut process = mortal(&scene);
        let mut alive = true;
        wait::blocking(Duration::from_secs(60), "an end or the end of the input", || {
            alive = process.running();
            (!alive || caught_up()).then_some(())
        });
        if alive {
            process.kill9();
            break;
        }
        deaths += 1;
    }
    // Two polls have the statement: three deaths for the first one, and two for the second.
    assert_eq!(deaths, 5);
    let balance = check_books(&*scene.bus, 1);
    assert_eq!((balance.dispositions["quarantined"], balance.reasons["baseline"]), (2, 19), "{balance:?}");
    assert_eq!(balance.reasons["crash"], 2, "{balance:?}");
}

#[test]
fn state_comes_back_from_a_changelog_whose_beginning_was_deleted() {
    const TARGETS: usize = 5;
    const STATEMENTS: usize = 400;
    let scene = Scene::new(1);
    let changelog = topics::changelog(GROUP);
    let mut trimmed = 0;
    for round in 0..3 {
        load::publish(&scene.publisher, TARGETS, STATEMENTS, round * 40 + 1..round * 40 + 41);
        // Nothing on disk: all state is in the changelog.
        scene.run(&scene.scratch.path().join(format!("state-{round}")));
        let start = scene.bus.offsets(&changelog, 0).unwrap().start;
        assert!(start > trimmed, "the changelog begins at {start}, as before");
        trimmed = start;
    }
    let balance = check_books(&*scene.bus, 1);
    let expected = (120 * TARGETS * (STATEMENTS + 1), TARGETS * STATEMENTS);
    assert_eq!((balance.raw, balance.reasons["baseline"]), expected, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_broker_finds_too_large_goes_alone_to_quarantine() {
    let scene = Scene::new(1);
    let limit =
        AlterConfig::new(ResourceSpecifier::Topic("dbintel.enriched.queries")).set("max.message.bytes", "20000");
    let altered = scene.kafka.admin().alter_configs(&[limit], &AdminOptions::new()).await.unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    tokio::task::block_in_place(|| {
        load::publish(&scene.publisher, 1, 10, 1..4);
        // Hashes, because the broker measures what is left after compression.
        let large: String = (0..1_500_u64).map(|number| format!("{:x?}", hash128(&[&number.to_le_bytes()]))).collect();
        for poll_seq in 4..6 {
            load::publish_one(&scene.publisher, "db0", &large, poll_seq);
        }
        load::publish(&scene.publisher, 1, 10, 6..8);
        scene.run(&scene.scratch.path().join("state"));
    });
    let balance = check_books(&*scene.bus, 1);
    // The first sight of the large one is a baseline and has no output.
    assert_eq!((balance.dispositions["quarantined"], balance.reasons["baseline"]), (1, 11), "{balance:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_record_that_is_too_large_for_the_quarantine_a_reference_is_kept() {
    let scene = Scene::new(1);
    let limit = AlterConfig::new(ResourceSpecifier::Topic("dbintel.quarantine")).set("max.message.bytes", "2000");
    let altered = scene.kafka.admin().alter_configs(&[limit], &AdminOptions::new()).await.unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    let garbage: Vec<u8> = (0..1_000_u64).flat_map(|number| hash128(&[&number.to_le_bytes()])).collect();
    tokio::task::block_in_place(|| {
        load::publish(&scene.publisher, 1, 10, 1..4);
        let producer = scene.bus.producer().unwrap();
        send_raw(&*producer, Topic::RawQueries, 0, &garbage);
        send_raw(&*producer, Topic::RawQueries, 0, b"short garbage");
        load::publish(&scene.publisher, 1, 10, 4..6);
        scene.run(&scene.scratch.path().join("state"));
    });
    let balance = check_books(&*scene.bus, 1);
    assert_eq!((balance.dispositions["quarantined"], balance.reasons["baseline"]), (2, 10), "{balance:?}");
    let schemas = Schemas::new();
    let kept = |record: &books::Copied| {
        let mut scratch = Vec::new();
        let refused: Quarantined<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        (refused.reason.to_owned(), refused.value.map_or(0, <[u8]>::len), refused.value_length, refused.truncated)
    };
    let found: Vec<_> = books::read_all(&*scene.bus, Topic::Quarantine, 0).iter().map(kept).collect();
    assert_eq!(found, [("oversize".into(), 0, 16_000, true), ("decode".into(), 13, 13, false)]);
}
