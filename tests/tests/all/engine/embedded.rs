//! The engine on the embedded log, within this process.

use std::sync::Arc;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Framings, Publisher};
use dbintel_schemas::Topic;
use dbintel_schemas::records::Quarantined;
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::{self, verify};

use super::{GROUP, PIPELINE, create_topics, load, send_raw, start, wait_until_caught_up};

fn open(directory: &std::path::Path) -> Arc<dyn Bus> {
    let config = Config { directory: directory.to_path_buf(), ..Config::default() };
    Arc::new(Embedded::open(&config).expect("log"))
}

#[test]
fn the_books_balance_over_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let (log, state) = (scratch.path().join("log"), scratch.path().join("state"));
    for round in 0..3 {
        let bus = open(&log);
        create_topics(&*bus, 2);
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 2);
        let group = start(&bus, &state, "a");
        load::publish(&publisher, 5, 40, round * 10 + 1..round * 10 + 11);
        wait_until_caught_up(&*bus, 2);
        group.stop();
        let raw: usize = (0..2).map(|partition| verify(&*bus, GROUP, PIPELINE, partition).raw).sum();
        assert_eq!(raw, (round as usize + 1) * 10 * 5 * 41);
    }
    let bus = open(&log);
    let balance = verify(&*bus, GROUP, PIPELINE, 0);
    assert_eq!(balance.open, 0);
    assert!(balance.dispositions["forwarded"] > 1000, "{balance:?}");
    assert!(balance.dispositions["absorbed"] > 1000, "{balance:?}");
}

#[test]
fn poison_goes_to_quarantine_and_the_flow_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let bus = open(&scratch.path().join("log"));
    create_topics(&*bus, 1);
    let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), 1);
    let group = start(&bus, &scratch.path().join("state"), "a");
    load::publish(&publisher, 1, 10, 1..3);
    let unknown_schema = [&[0xc3, 0x01][..], &[9; 8], &[1, 2, 3]].concat();
    let foreign = bus.producer().unwrap();
    send_raw(&*foreign, Topic::RawQueries, 0, b"random bytes");
    send_raw(&*foreign, Topic::RawQueries, 0, &unknown_schema);
    load::publish_one(&publisher, "db0", load::PANICS, 3);
    load::publish(&publisher, 1, 10, 4..6);
    wait_until_caught_up(&*bus, 1);
    group.stop();
    let balance = verify(&*bus, GROUP, PIPELINE, 0);
    assert_eq!((balance.open, balance.dispositions["quarantined"]), (0, 3), "{balance:?}");
    let schemas = Schemas::new();
    let records = books::read_all(&*bus, Topic::Quarantine, 0);
    let mut refused: Vec<(String, Vec<u8>)> = Vec::new();
    for record in &records {
        let mut scratch = Vec::new();
        let record: Quarantined<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        refused.push((record.reason.to_owned(), record.value.unwrap().to_vec()));
    }
    let reasons: Vec<&str> = refused.iter().map(|(reason, _)| &**reason).collect();
    assert_eq!(reasons, ["decode", "schema", "panic"]);
    assert_eq!((&*refused[0].1, &*refused[1].1), (&b"random bytes"[..], &*unknown_schema));
}
