//! The engine on a real log: the flow, the books, and what becomes of poison.

mod embedded;
mod kafka;
pub mod load;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, Producer, Publisher, planned_topics, topic_name};
use dbintel_processors::delta::Delta;
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{
    Context, Disposition, Group, GroupConfig, Metrics, Pipeline, Processor, Row, StateError,
};
use dbintel_schemas::Topic;
use dbintel_schemas::records::Quarantined;
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::{self, Balance, verify, verify_deltas};
use dbintel_tests::wait;

/// Group of the tests.
pub const GROUP: &str = "dbintel.enrich";

/// Pipeline of the tests.
pub const PIPELINE: &str = "main";

/// Creates all topics.
pub fn create_topics(bus: &dyn Bus, partitions: u32) {
    bus.create_topics(&planned_topics(partitions, &[GROUP])).expect("topics");
}

/// Panics on statements whose id says so.
struct Fragile;

impl Processor for Fragile {
    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        match row {
            Row::RawQuery(raw) if raw.query_id == load::PANICS => panic!("on purpose"),
            _ => Ok(Disposition::Forwarded),
        }
    }
}

/// Starts a group with `delta`, as one process would.
pub fn start(bus: &Arc<dyn Bus>, state: &Path, slot: &str) -> Group {
    let processors: Vec<(String, dbintel_processors::engine::ProcessorFactory)> =
        vec![("fragile".into(), Arc::new(|| Box::new(Fragile))), ("delta".into(), Arc::new(|| Box::new(Delta::new())))];
    let pipeline = Pipeline { name: PIPELINE.into(), pollers: vec!["postgresql".into()], processors, next: None };
    let mut config = GroupConfig::new(GROUP, vec![pipeline], state.to_path_buf());
    config.slot = slot.into();
    // A few thousand rows are many commits, and many writes of the store.
    (config.commit_rows, config.flush_bytes) = (5_000, 1 << 20);
    let metrics = Metrics::register(&prometheus::Registry::new(), GROUP).expect("metrics");
    Group::start(config, Arc::clone(bus), metrics, StoreMemory::new(16 << 20).stores()).expect("group")
}

/// Waits until the group has committed everything that is on its inputs.
pub fn wait_until_caught_up(bus: &dyn Bus, partitions: u32) {
    wait_until_group_caught_up(bus, GROUP, &INPUTS, partitions);
}

/// The same of any group with these inputs.
pub fn wait_until_group_caught_up(bus: &dyn Bus, group: &str, inputs: &[Topic], partitions: u32) {
    wait::blocking(Duration::from_secs(120), group, || {
        (0..partitions).all(|partition| open(bus, group, inputs, partition) == 0).then_some(())
    });
}

fn open(bus: &dyn Bus, group: &str, inputs: &[Topic], partition: u32) -> i64 {
    let topics: Vec<String> = inputs.iter().map(|topic| topic_name(*topic)).collect();
    let committed = bus.committed(group, &topics).expect("positions");
    let behind = |topic: &String| {
        let end = bus.offsets(topic, partition).expect("offsets").stable_end;
        let position = committed.iter().find(|position| position.topic == *topic && position.partition == partition);
        // Control records stand behind the last record: what counts is that no record does.
        let next = position.map_or(0, |position| position.next_offset);
        if end <= next { 0 } else { books::records_between(bus, topic, partition, next, end) }
    };
    topics.iter().map(behind).sum()
}

/// Checks what a group that has caught up leaves on the log: each partition has rows and each of them a disposition, the
/// books balance, deltas telescope, and no statement was forgotten and seen for the first time again. Gives the books of
/// all partitions together.
pub fn check_books(bus: &dyn Bus, partitions: u32) -> Balance {
    let mut together = Balance::default();
    for partition in 0..partitions {
        let balance = verify(bus, GROUP, PIPELINE, partition);
        assert!(balance.raw > 0 && balance.open == 0, "partition {partition}: {balance:?}");
        let seen = verify_deltas(bus, PIPELINE, partition);
        let baselines = balance.reasons.get("baseline").copied().unwrap_or(0);
        assert_eq!(baselines + seen.new_entries, seen.statements, "partition {partition}: first sights, {balance:?}");
        together.add(&balance);
    }
    together
}

/// Sends bytes as a foreign producer would.
pub fn send_raw(producer: &dyn Producer, topic: Topic, partition: u32, value: &[u8]) {
    let name = topic_name(topic);
    let record = dbintel_bus::Outgoing {
        topic: &name,
        partition,
        timestamp: load::START_MS,
        key: None,
        value: Some(value),
        headers: &[],
    };
    producer.send(record).expect("send");
    producer.flush(Duration::from_secs(30)).expect("flush");
}

/// Puts on `raw.queries` what a foreign producer may: random bytes, a record of an unknown schema, and one that makes a
/// processor panic. Each is in quarantine afterwards, and the rows around them went on.
pub fn poison(bus: &Arc<dyn Bus>, publisher: &Publisher, scratch: &Path) {
    let group = start(bus, &scratch.join("state"), "a");
    load::publish(publisher, 1, 10, 1..3);
    let unknown_schema = [&[0xc3, 0x01][..], &[9; 8], &[1, 2, 3]].concat();
    let foreign = bus.producer().unwrap();
    send_raw(&*foreign, Topic::RawQueries, 0, b"random bytes");
    send_raw(&*foreign, Topic::RawQueries, 0, &unknown_schema);
    load::publish_one(publisher, "db0", load::PANICS, 3);
    load::publish(publisher, 1, 10, 4..6);
    wait_until_caught_up(&**bus, 1);
    group.stop();
    let balance = check_books(&**bus, 1);
    assert_eq!((balance.dispositions["quarantined"], balance.reasons["baseline"]), (3, 10), "{balance:?}");
    let schemas = Schemas::new();
    let records = books::read_all(&**bus, Topic::Quarantine, 0);
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
