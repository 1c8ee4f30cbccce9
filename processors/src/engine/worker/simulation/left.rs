//! What a run leaves, as somebody who only reads the log sees it.

use dbintel_bus::model::Model;
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Record, Start, topic_name};
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::records::LedgerEntry;
use dbintel_schemas::topics::Topic;

use std::time::Duration;

use super::scene::GROUP;
use crate::engine::group::INPUTS;
use crate::engine::restore::{Progress, Restore};
use crate::engine::store::{MemoryStore, Slice, Store};
use crate::testing::decoded;

/// Topics with outputs.
const OUTPUTS: [Topic; 4] = [Topic::EnrichedQueries, Topic::EnrichedSessions, Topic::EnrichedTexts, Topic::Quarantine];

/// Topic, offset, disposition and reason of a row.
pub type Line = (String, i64, String, String);

/// What is there in the end, of one partition.
#[derive(Debug, PartialEq)]
pub struct Left {
    pub books: Vec<Line>,
    /// Values by topic.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// What the changelog holds.
    pub state: Slice,
}

fn values(bus: &Model, topic: &str, partition: u32) -> Vec<Vec<u8>> {
    let partitions = vec![Position { topic: topic.to_owned(), partition, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut values = Vec::new();
    let mut keep = |record: Record<'_>| values.push(record.value.unwrap_or_default().to_vec());
    while reader.read(Duration::ZERO, 10_000, &mut keep).unwrap() > 0 {}
    values
}

/// The lines of all entries; their commits are dense.
fn books(bus: &Model, partition: u32, run: &str) -> Vec<Line> {
    let mut books = Vec::new();
    for (number, value) in values(bus, &topic_name(Topic::Ledger), partition).iter().enumerate() {
        let entry = decoded::<LedgerEntry<'_>>(value);
        assert_eq!(entry.commit_seq, number as i64 + 1, "{run}: the commits of partition {partition} are not dense");
        for input in entry.inputs.iter() {
            for line in input.dispositions.iter() {
                let offsets = OffsetSet::decode(input.first_offset, line.offsets).unwrap();
                let line =
                    |offset| (input.topic.to_owned(), offset, line.disposition.to_owned(), line.reason.to_owned());
                books.extend(offsets.iter().map(line));
            }
        }
    }
    books.sort();
    books
}

/// Reads one partition. `run` names what is checked on the way.
pub fn left(bus: &Model, partition: u32, run: &str) -> Left {
    let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let mut committed = bus.committed(GROUP, &topics).unwrap();
    committed.retain(|position| position.partition == partition);
    let changelog = dbintel_schemas::topics::changelog(GROUP);
    let store = MemoryStore::default();
    let restored = Restore {
        bus,
        changelog: &changelog,
        partition,
        topics: &topics,
        committed: &committed,
        batch_bytes: usize::MAX,
        progress: &Progress::default(),
    }
    .run(&store);
    if let Err(error) = restored {
        panic!("{run}: the state of partition {partition} is lost: {error}");
    }
    let outputs = OUTPUTS.iter().map(|topic| values(bus, &topic_name(*topic), partition)).collect();
    Left { books: books(bus, partition, run), outputs, state: store.scan(&[], usize::MAX).unwrap() }
}
