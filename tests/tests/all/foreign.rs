//! Clients in Python that know only our .avsc files: one reads what the product writes, without and with a registry, and
//! one writes what does the flow no harm.

mod poison;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dbintel_bus::kafka::{self, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher, topic_name};
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{DEFINITIONS, EnrichedQuery, InstanceEpoch, LedgerEntry, QueryCounters, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_schemas::{TextMap, Topic};
use dbintel_tests::books::{self, verify};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::servers::python_site;
use dbintel_tests::servers::registry::Registry;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cli_rig::{LIMIT, Running, json_lines, said, text};
use crate::engine::{GROUP, PIPELINE, load, send_raw, wait_until_caught_up};
use crate::faults::processor;

/// Polls of a target whose rows have a map, a null and times.
const POLLS: std::ops::Range<i64> = 10..30;

/// A broker with our topics.
struct Log {
    kafka: Kafka,
    bus: Arc<dyn Bus>,
    publisher: Publisher,
    scratch: Scratch,
    configuration: PathBuf,
}

impl Log {
    fn new(partitions: u32, registry: Option<&Registry>) -> Log {
        let (kafka, scratch) = (Kafka::start(), Scratch::new("foreign"));
        let registry =
            registry.map_or(String::new(), |registry| format!(", schema_registry: {{url: '{}'}}", registry.url));
        let configuration = format!(
            "pollers: {{postgresql: {{endpoint: '127.0.0.1:1', username: nobody}}}}
processors: {{adaptive_sampler: {{default_sampling_rate: 50}}}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql], processors: [adaptive_sampler]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: {partitions}}}{registry}}}
",
            kafka.bootstrap
        );
        let configuration = scratch.write("dbintel.yaml", &configuration);
        said(&["topics", "create", "--config", text(&configuration)], &[]);
        let config = kafka::Config { bootstrap_servers: vec![kafka.bootstrap.clone()], ..kafka::Config::default() };
        let bus: Arc<dyn Bus> = Arc::new(KafkaBus::open(&config).unwrap());
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), partitions);
        Log { kafka, bus, publisher, scratch, configuration }
    }

    fn start_processor(&self) -> Running {
        processor(&self.configuration, &self.scratch.path().join("state"))
    }

    /// Runs a program of `tests/foreign` to its end and gives what it said.
    fn python(&self, program: &str, arguments: &[&str]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
        let mut command = Command::new("timeout");
        command.args([&LIMIT.as_secs().to_string(), "python3", text(&folder.join(program)), &self.kafka.bootstrap]);
        let output = command.args(arguments).env("PYTHONPATH", python_site()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

fn stop(mut processor: Running) {
    processor.process.signal(Signal::TERM);
    assert!(processor.process.wait_for_end(LIMIT).success(), "{}", processor.process.log());
}

/// Runs the processors over some polls, with poison among them.
fn processed(registry: Option<&Registry>) -> Log {
    let log = Log::new(1, registry);
    let processor = log.start_processor();
    load::publish(&log.publisher, 2, 100, 1..3);
    let producer = log.bus.producer().unwrap();
    send_raw(&*producer, Topic::RawQueries, 0, b"random bytes");
    send_raw(&*producer, Topic::RawQueries, 0, &[&[0xc3, 0x01][..], &[9; 8], b"?"].concat());
    load::publish(&log.publisher, 2, 100, 3..5);
    for poll_seq in POLLS {
        log.publisher.publish(&detailed(poll_seq), "detailed", load::START_MS + poll_seq * 10_000).unwrap();
    }
    log.publisher.flush(LIMIT).unwrap();
    wait_until_caught_up(&*log.bus, 1);
    stop(processor);
    log
}

/// A statement with values of every type of Avro that a query has.
fn detailed(poll_seq: i64) -> RawQuery<'static> {
    RawQuery {
        record_id: record_id("detailed", 0, poll_seq, b"detailed"),
        poller: "postgresql",
        target: "detailed",
        labels: TextMap::from_slice(&[("team", "payments"), ("region", "Zürich")]),
        engine: "postgresql",
        instance: InstanceEpoch { started_at: Some(1_700_000_000_000_001), ..InstanceEpoch::default() },
        poll_seq,
        observed_at: (load::START_MS + poll_seq * 10_000) * 1000 + 1,
        database_id: "16384",
        user_id: "10",
        query_id: "-42",
        toplevel: Some(true),
        counters: QueryCounters::default().with_calls(poll_seq).with_wal_bytes(i64::MAX - 100 + poll_seq),
        attributes: TextMap::from_slice(&[("kind", "select")]),
        ..RawQuery::default()
    }
}

/// Our schemas by fingerprint, and by the registry's ids if there is one.
fn schemas(registry: Option<&Registry>) -> Schemas {
    let mut schemas = Schemas::new();
    for definition in DEFINITIONS.iter().take_while(|_| registry.is_some()) {
        let subject = format!("{}-value", topic_name(definition.topic));
        let id = registry.unwrap().register(&subject, definition.schema);
        schemas.insert_registry(id, definition.schema).unwrap();
    }
    schemas
}

/// What our own reader finds in `enriched.queries`, by origin, as the Python program prints it.
fn ours(log: &Log, schemas: &Schemas) -> BTreeMap<i64, Value> {
    let records = books::read_all(&*log.bus, Topic::EnrichedQueries, 0);
    let print = |value: &[u8]| {
        let mut scratch = Vec::new();
        let row: EnrichedQuery<'_> = schemas.read(value, &mut scratch).unwrap();
        (row.origin_offset, printed(&row))
    };
    records.iter().map(|record| print(&record.value)).collect()
}

/// Fields of every type.
fn printed(row: &EnrichedQuery<'_>) -> Value {
    let counters = |counters: &QueryCounters| -> Value {
        let fields = QueryCounters::FIELDS.into_iter().enumerate();
        fields
            .map(|(index, name)| (name.to_owned(), json!(counters.get(index))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let map = |map: &TextMap<'_>| json!(map.iter().collect::<BTreeMap<_, _>>());
    json!({
        "record_id": row.record_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "pipeline": row.pipeline,
        "origin_offset": row.origin_offset,
        "target": row.target,
        "labels": map(&row.labels),
        "instance": {
            "system_identifier": row.instance.system_identifier,
            "started_at": row.instance.started_at,
            "timeline": row.instance.timeline,
            "statistics_reset_at": row.instance.statistics_reset_at,
        },
        "observed_at": row.observed_at,
        "sampling_probability": row.sampling_probability,
        "sampling_randomness": row.sampling_randomness,
        "sampling_weight": row.sampling_weight,
        "database": row.database,
        "user": row.user,
        "toplevel": row.toplevel,
        "delta_valid": row.delta_valid,
        "delta": counters(&row.delta),
        "total": counters(&row.total),
        "attributes": map(&row.attributes),
    })
}

/// What the Python consumer reads, by origin; only the fields that are compared.
fn theirs(log: &Log, records: usize, registry: &str) -> BTreeMap<i64, Value> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/avsc/enriched.queries.avsc");
    let lines = log.python("consume.py", &[text(&schema), &records.to_string(), registry]);
    let compared = printed(&EnrichedQuery::default());
    let read = |mut line: Value| {
        assert_eq!(line["partition"], 0);
        let row = line["row"].as_object_mut().unwrap();
        row.retain(|name, _| compared.get(name).is_some());
        (row["origin_offset"].as_i64().unwrap(), line["row"].take())
    };
    json_lines(&lines).into_iter().map(read).collect()
}

/// The consumer reads what we read, row by row; the rows are more than a few, and hold something of each type.
fn compare(log: &Log, schemas: &Schemas, registry: &str) {
    let ours = ours(log, schemas);
    assert!(ours.len() > 30, "{} rows", ours.len());
    assert!(ours.values().all(|row| row["sampling_weight"] == 2.0 && row["user"].is_null()), "{ours:?}");
    assert!(ours.values().any(|row| row["labels"]["region"] == "Zürich" && row["delta"]["wal_bytes"] == 1), "{ours:?}");
    assert_eq!(theirs(log, ours.len(), registry), ours);
}

/// Rows by disposition, as the ledger has them.
fn dispositions(log: &Log, schemas: &Schemas) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for record in books::read_all(&*log.bus, Topic::Ledger, 0) {
        let mut scratch = Vec::new();
        let entry: LedgerEntry<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        for line in entry.inputs.iter().flat_map(|input| input.dispositions.iter()) {
            *rows.entry(line.disposition.to_owned()).or_default() += line.records;
        }
    }
    rows
}

#[test]
fn a_python_consumer_decodes_single_object_encoding_and_poison_is_quarantined() {
    let log = processed(None);
    let balance = verify(&*log.bus, GROUP, PIPELINE, 0);
    assert_eq!((balance.open, balance.dispositions["quarantined"]), (0, 2), "{balance:?}");
    compare(&log, &Schemas::new(), "-");
}

#[test]
fn a_python_consumer_decodes_the_registrys_framing() {
    let registry = Registry::start();
    let log = processed(Some(&registry));
    let outputs = books::read_all(&*log.bus, Topic::EnrichedQueries, 0);
    assert!(outputs.iter().all(|record| record.value[0] == 0), "the registry's frame is on each record");
    let schemas = schemas(Some(&registry));
    let inputs = [Topic::RawQueries, Topic::RawPolls].map(|topic| books::read_all(&*log.bus, topic, 0).len());
    let rows = dispositions(&log, &schemas);
    assert_eq!(rows.values().sum::<i64>(), inputs.iter().sum::<usize>() as i64, "{rows:?}");
    assert_eq!((rows["forwarded"], rows["quarantined"]), (outputs.len() as i64, 2), "{rows:?}");
    compare(&log, &schemas, &registry.url);
}
