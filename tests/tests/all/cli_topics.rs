//! `topics` and `tap` on the embedded log: what the table says is made, every difference is found, and records are decoded.

use std::time::Duration;

use dbintel_bus::{Bus as _, NewTopic, Outgoing, Retention, embedded};
use dbintel_schemas::Record as _;
use dbintel_schemas::records::RawText;
use dbintel_schemas::wire::{Framing, write};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::registry::Registry;
use serde_json::Value;

use crate::cli_rig::{Ended, FREE_PORTS, LIMIT, json_lines, run, said, text};

/// Topics of the table, and the changelog of the processors.
pub const TOPICS: usize = 26;

const PIPELINE: &str = "pollers: {postgresql: {username: monitor}}\npipelines: {main: {pollers: [postgresql]}}\n";

fn embedded_configuration(scratch: &Scratch) -> String {
    let file = scratch
        .write("dbintel.yaml", &format!("{PIPELINE}service: {{state_directory: {}}}\n", scratch.path().display()));
    text(&file).to_owned()
}

/// The topics that differ, with how.
pub fn drift(ended: &Ended) -> Vec<(String, String)> {
    let topics: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let line = |topic: &Value| {
        let drift: Vec<&str> = topic["drift"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        (topic["topic"].as_str().unwrap().to_owned(), drift.join("; "))
    };
    topics.as_array().unwrap().iter().map(line).filter(|(_, drift)| !drift.is_empty()).collect()
}

pub fn describe(configuration: &str) -> Ended {
    run(&["topics", "describe", "--json", "--config", configuration], &[])
}

fn pair(name: &str, drift: &str) -> (String, String) {
    (name.to_owned(), drift.to_owned())
}

#[test]
fn the_embedded_log_gets_every_topic_once() {
    let scratch = Scratch::new("topics");
    let configuration = embedded_configuration(&scratch);
    let created = said(&["topics", "create", "--config", &configuration], &[]);
    assert!(created.contains(&format!("{TOPICS} topics created, 0 existed")), "{created}");
    assert!(created.contains("created dbintel.enrich-changelog\n"), "{created}");
    let again = said(&["topics", "create", "--config", &configuration], &[]);
    assert!(again.contains(&format!("0 topics created, {TOPICS} existed")), "{again}");
    let described = describe(&configuration);
    assert_eq!((described.code, drift(&described)), (Some(0), Vec::new()));
    let table = said(&["topics", "describe", "--config", &configuration], &[]);
    assert_eq!(table.lines().count(), 1 + TOPICS, "{table}");
}

#[test]
fn a_log_that_differs_is_told_apart() {
    let scratch = Scratch::new("topics");
    let configuration = embedded_configuration(&scratch);
    let config = embedded::Config { directory: scratch.path().join("log"), ..Default::default() };
    let topic = |name: &str, partitions, retention, message_bytes_max| NewTopic {
        name: format!("dbintel.{name}"),
        partitions,
        retention,
        message_bytes_max,
    };
    let day = Retention::Time(Duration::from_hours(24));
    let differing =
        [topic("raw.queries", 3, day, 4 << 20), topic("targets", 1, day, 5000), topic("mine", 1, day, 1 << 20)];
    embedded::Embedded::open(&config).unwrap().create_topics(&differing).unwrap();
    said(&["topics", "create", "--config", &configuration], &[]);
    let described = describe(&configuration);
    let expected = [
        pair("dbintel.raw.queries", "partitions: 3, not 1; largest message: 4194304, not 1048576"),
        pair("dbintel.targets", "compaction: 24h, not compacted; largest message: 5000, not 1048576"),
    ];
    assert_eq!((described.code, drift(&described)), (Some(1), expected.to_vec()));
    let [health, free, metrics, ..] = FREE_PORTS;
    let refused = run(&["up", "--quiet", "--config", &configuration, health, free, metrics, free], &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("dbintel.raw.queries has 3 partitions and has to have 1"), "{}", refused.stderr);
}

#[test]
fn records_in_the_frame_of_a_registry_are_decoded() {
    let (registry, scratch) = (Registry::shared(), Scratch::new("tap"));
    let schema_id = registry.register("cli-tap-value", RawText::SCHEMA);
    let state = scratch.path().display();
    let bus = format!("bus: {{embedded: {{}}, schema_registry: {{url: '{}'}}}}\n", registry.url);
    let file = scratch.write("dbintel.yaml", &format!("{PIPELINE}service: {{state_directory: {state}}}\n{bus}"));
    said(&["topics", "create", "--config", text(&file)], &[]);
    let log =
        embedded::Embedded::open(&embedded::Config { directory: scratch.path().join("log"), ..Default::default() });
    let producer = log.unwrap().producer().unwrap();
    let record = RawText { target: "db1", query_id: "42", ..RawText::default() };
    for schema_id in [schema_id, u32::MAX, u32::MAX] {
        let mut value = Vec::new();
        write(&record, Framing::Confluent { schema_id }, &mut value);
        let outgoing = Outgoing {
            topic: "dbintel.raw.texts",
            partition: 0,
            timestamp: 1_700_000_000_000,
            key: Some(b"db1"),
            value: Some(&value),
            headers: &[],
        };
        producer.send(outgoing).unwrap();
    }
    producer.flush(LIMIT).unwrap();
    drop(producer);
    let tap = ["tap", "raw.texts", "--from", "beginning", "--count", "3", "--config", text(&file)];
    let tapped = run(&tap, &[]);
    assert_eq!(tapped.code, Some(0), "{}", tapped.stderr);
    let lines = json_lines(&tapped.stdout);
    assert_eq!((&lines[0]["value"]["query_id"], &lines[0]["error"]), (&Value::from("42"), &Value::Null), "{lines:?}");
    assert!(lines[1]["error"].as_str().unwrap().contains("registry id 4294967295"), "{lines:?}");
    assert_eq!(tapped.stderr.matches("could not find the schema").count(), 1, "one search for both: {}", tapped.stderr);
}
