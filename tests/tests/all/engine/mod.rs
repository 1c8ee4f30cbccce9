//! The engine on a real log: the flow, the books, and what becomes of poison.

mod embedded;
pub mod load;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, Producer, planned_topics, topic_name};
use dbintel_processors::delta::Delta;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{
    Context, Disposition, Group, GroupConfig, Metrics, Pipeline, Processor, Row, StateError,
};
use dbintel_schemas::Topic;
use dbintel_tests::{books, wait};

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
    let pipeline = Pipeline { name: PIPELINE.into(), pollers: vec!["postgresql".into()], processors };
    let mut config = GroupConfig::new(GROUP, vec![pipeline], state.to_path_buf());
    config.slot = slot.to_owned();
    let metrics = Metrics::register(&prometheus::Registry::new(), GROUP).expect("metrics");
    Group::start(config, Arc::clone(bus), metrics, StoreMemory::new(16 << 20)).expect("group")
}

/// Waits until the group has committed everything that is on its inputs.
pub fn wait_until_caught_up(bus: &dyn Bus, partitions: u32) {
    wait::blocking(Duration::from_secs(60), "the group catches up", || {
        (0..partitions).all(|partition| open(bus, partition) == 0).then_some(())
    });
}

fn open(bus: &dyn Bus, partition: u32) -> i64 {
    let topics: Vec<String> =
        dbintel_processors::engine::group::INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let committed = bus.committed(GROUP, &topics).expect("positions");
    let behind = |topic: &String| {
        let end = bus.offsets(topic, partition).expect("offsets").stable_end;
        let position = committed.iter().find(|position| position.topic == *topic && position.partition == partition);
        // Control records stand behind the last record: what counts is that no record does.
        let next = position.map_or(0, |position| position.next_offset);
        if end <= next { 0 } else { books::records_between(bus, topic, partition, next, end) }
    };
    topics.iter().map(behind).sum()
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
