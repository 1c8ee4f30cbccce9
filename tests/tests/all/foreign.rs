//! A consumer in Python that knows only our .avsc files reads what the product writes, without and with a registry; and
//! what a foreign producer writes does the flow no harm.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use dbintel_bus::kafka::{self, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher};
use dbintel_schemas::Topic;
use dbintel_tests::books::{self, verify};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::installed;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::servers::registry::Registry;
use rustix::process::Signal;

use crate::cli_rig::{LIMIT, json_lines, said, text};
use crate::engine::{GROUP, PIPELINE, load, send_raw, wait_until_caught_up};
use crate::faults::processor;

/// What is in the log after one run of the product.
struct Log {
    kafka: Kafka,
    bus: Arc<dyn Bus>,
    _scratch: Scratch,
}

/// Runs the processors over three polls of a target, with some poison among them.
fn processed(registry: Option<&Registry>) -> Log {
    let (kafka, scratch) = (Kafka::start(), Scratch::new("foreign"));
    let registry = registry.map_or(String::new(), |registry| format!(", schema_registry: {{url: '{}'}}", registry.url));
    let configuration = format!(
        "pollers: {{postgresql: {{endpoint: '127.0.0.1:1', username: nobody}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: 1}}{registry}}}
",
        kafka.bootstrap
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    said(&["topics", "create", "--config", text(&file)], &[]);
    let config = kafka::Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..kafka::Config::default() };
    let bus: Arc<dyn Bus> = Arc::new(KafkaBus::open(&config).unwrap());
    let producer = bus.producer().unwrap();
    let publisher = Publisher::new(Arc::clone(&producer), Framings::single_object(), 1);
    let mut running = processor(&file, &scratch.path().join("state"));
    load::publish(&publisher, 2, 30, 1..3);
    send_raw(&*producer, Topic::RawQueries, 0, b"random bytes");
    send_raw(&*producer, Topic::RawQueries, 0, &[&[0xc3, 0x01][..], &[9; 8], b"?"].concat());
    load::publish(&publisher, 2, 30, 3..5);
    wait_until_caught_up(&*bus, 1);
    running.process.signal(Signal::TERM);
    assert!(running.process.wait_for_end(LIMIT).success(), "{}", running.process.log());
    Log { kafka, bus, _scratch: scratch }
}

/// What the Python consumer reads: partition and origin of each record.
fn consumed(log: &Log, records: usize, registry: &str) -> BTreeSet<i64> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(root.join("foreign/consume.py"))
        .args([&log.kafka.bootstrap, text(&root.join("../schemas/avsc/enriched.queries.avsc"))])
        .args([&records.to_string(), registry])
        .env("PYTHONPATH", installed("python").join("site"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert!(rows.iter().all(|row| row["calls"] == 1), "{rows:?}");
    rows.iter().map(|row| row["origin_offset"].as_i64().unwrap()).collect()
}

#[test]
fn a_python_consumer_decodes_single_object_encoding_and_poison_is_quarantined() {
    let log = processed(None);
    let balance = verify(&*log.bus, GROUP, PIPELINE, 0);
    assert_eq!((balance.open, balance.dispositions["quarantined"]), (0, 2), "{balance:?}");
    let records = books::read_all(&*log.bus, Topic::EnrichedQueries, 0).len();
    assert!(records > 30, "{balance:?}");
    assert_eq!(consumed(&log, records, "-").len(), records);
}

#[test]
fn a_python_consumer_decodes_the_registrys_framing() {
    let registry = Registry::start();
    let log = processed(Some(&registry));
    let records = books::read_all(&*log.bus, Topic::EnrichedQueries, 0);
    assert!(records.iter().all(|record| record.value[0] == 0), "the registry's frame is on each record");
    assert_eq!(consumed(&log, records.len(), &registry.url).len(), records.len());
}
