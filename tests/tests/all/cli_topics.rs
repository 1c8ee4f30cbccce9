//! `topics` on the embedded log: what the table says is made, and every difference is found.

use std::time::Duration;

use dbintel_bus::{Bus as _, NewTopic, Retention, embedded};
use dbintel_tests::scratch::Scratch;
use serde_json::Value;

use crate::cli_rig::{Ended, run, said, text};

/// Topics of the table, and the changelog of the processors.
pub const TOPICS: usize = 25;

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
        [topic("raw.queries", 1, day, 4 << 20), topic("targets", 1, day, 5000), topic("mine", 1, day, 1 << 20)];
    embedded::Embedded::open(&config).unwrap().create_topics(&differing).unwrap();
    said(&["topics", "create", "--config", &configuration], &[]);
    let described = describe(&configuration);
    let expected = [
        pair("dbintel.raw.queries", "largest message: 4194304, not 1048576"),
        pair("dbintel.targets", "compaction: 24h, not compacted; largest message: 5000, not 1048576"),
    ];
    assert_eq!((described.code, drift(&described)), (Some(1), expected.to_vec()));
}
