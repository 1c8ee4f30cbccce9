//! What a run leaves, as somebody who only reads the log sees it.

use dbintel_bus::model::Model;
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Record, Start, topic_name};
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::records::{LedgerEntry, Quarantined};
use dbintel_schemas::topics::Topic;

use std::time::Duration;

use super::scene::Part;
use crate::engine::restore::{Progress, Restore};
use crate::engine::store::{MemoryStore, Slice, Store};
use crate::testing::{decoded, framed};

/// Topics with outputs.
const OUTPUTS: [Topic; 4] = [Topic::EnrichedQueries, Topic::EnrichedSessions, Topic::EnrichedTexts, Topic::Quarantine];

/// Place of the quarantine among them: its records say which group refused them.
pub const REFUSED: usize = 3;

/// Topic, number of the record, disposition and reason of a row.
pub type Line = (String, usize, String, String);

/// What is there in the end, of one partition.
#[derive(Debug, PartialEq)]
pub struct Left {
    /// Of all groups.
    pub books: Vec<Line>,
    /// Values by topic.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// What the changelog of each group holds.
    pub states: Vec<Slice>,
}

/// Offsets and values of committed records.
pub fn committed(bus: &Model, topic: &str, partition: u32) -> Vec<(i64, Vec<u8>)> {
    let partitions = vec![Position { topic: topic.to_owned(), partition, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut values = Vec::new();
    let mut keep = |record: Record<'_>| values.push((record.offset, record.value.unwrap_or_default().to_vec()));
    while reader.read(Duration::ZERO, 10_000, &mut keep).unwrap() > 0 {}
    values
}

/// The lines of all entries of a group; its commits are dense. Which offset a record between groups has depends on what was
/// aborted before it: records are told by their number.
fn books(bus: &Model, part: &Part, partition: u32, run: &str) -> Vec<Line> {
    let offsets = |topic: &Topic| committed(bus, &topic_name(*topic), partition).into_iter().map(|(offset, _)| offset);
    let inputs: Vec<(&str, Vec<i64>)> =
        part.inputs.iter().map(|topic| (topic.name(), offsets(topic).collect())).collect();
    let number_of = |topic: &str, offset: i64| {
        let all = inputs.iter().find(|(name, _)| *name == topic).map(|(_, offsets)| offsets);
        let found = all.and_then(|all| all.binary_search(&offset).ok());
        found.unwrap_or_else(|| panic!("{run}: the books have offset {offset} of {topic}, which is no record"))
    };
    let ledger = committed(bus, &topic_name(Topic::Ledger), partition);
    let entries = ledger.iter().map(|(_, value)| decoded::<LedgerEntry<'_>>(value));
    let mut books = Vec::new();
    for (number, entry) in entries.filter(|entry| entry.group == part.group).enumerate() {
        assert_eq!(entry.commit_seq, number as i64 + 1, "{run}: the commits of partition {partition} are not dense");
        for input in entry.inputs.iter() {
            for line in input.dispositions.iter() {
                let offsets = OffsetSet::decode(input.first_offset, line.offsets).unwrap();
                let (topic, disposition, reason) = (input.topic, line.disposition, line.reason);
                let line = |offset| (topic.into(), number_of(topic, offset), disposition.into(), reason.into());
                books.extend(offsets.iter().map(line));
            }
        }
    }
    books.sort();
    books
}

/// The state of a group, filled from its changelog.
fn state(bus: &Model, part: &Part, partition: u32, run: &str) -> Slice {
    let topics = part.input_names();
    let mut committed = bus.committed(part.group, &topics).unwrap();
    committed.retain(|position| position.partition == partition);
    let changelog = dbintel_schemas::topics::changelog(part.group);
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
    store.scan(&[], usize::MAX).unwrap()
}

fn without_chance(value: &[u8]) -> Vec<u8> {
    let refused = decoded::<Quarantined<'_>>(value);
    let is_staged = Topic::parse(refused.topic).is_some_and(|topic| topic.stage().is_some());
    framed(&Quarantined { offset: if is_staged { 0 } else { refused.offset }, ..refused })
}

/// Reads one partition. `run` names what is checked on the way.
pub fn left(bus: &Model, parts: &[Part], partition: u32, run: &str) -> Left {
    let values = |topic: &Topic| {
        committed(bus, &topic_name(*topic), partition).into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    let mut outputs: Vec<Vec<Vec<u8>>> = OUTPUTS.iter().map(values).collect();
    if parts.len() > 1 {
        // Which group came first, and at which offset a record between them was, is chance.
        outputs[REFUSED].iter_mut().for_each(|value| *value = without_chance(value));
        outputs[REFUSED].sort_unstable();
    }
    Left {
        books: parts.iter().flat_map(|part| books(bus, part, partition, run)).collect(),
        outputs,
        states: parts.iter().map(|part| state(bus, part, partition, run)).collect(),
    }
}
