//! Checks the books as an outsider: reads raw topics, ledger, outputs and quarantine with a reader of committed records,
//! and knows nothing of the engine but what the ledger says.

mod deltas;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Receive, Record, Start, topic_name};
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{
    EnrichedMetrics, EnrichedQuery, EnrichedSession, EnrichedText, LedgerEntry, Quarantined,
};
use dbintel_schemas::wire::Schemas;
use dbintel_schemas::{Record as _, Topic};

pub use self::deltas::{FirstSights, verify_deltas};

/// Our own schemas: whoever checks the books needs no others.
static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

/// A committed record, copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Offset.
    pub offset: i64,
    /// Value.
    pub value: Vec<u8>,
}

/// All committed records of a partition.
pub fn read_all(bus: &dyn Bus, topic: Topic, partition: u32) -> Vec<Copied> {
    read_from(bus, topic, partition, Start::Beginning)
}

/// The committed records of a partition from a place on.
pub fn read_from(bus: &dyn Bus, topic: Topic, partition: u32, start: Start) -> Vec<Copied> {
    let name = topic_name(topic);
    let end = bus.offsets(&name, partition).expect("offsets").stable_end;
    let mut reading = Reading { records: Vec::new(), position: 0 };
    let partitions = vec![Position { topic: name.clone(), partition, start }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).expect("reader");
    let deadline = crate::wait::Deadline::after(Duration::from_secs(60));
    while reading.position < end {
        reader.read(Duration::from_millis(100), 10_000, &mut reading).expect("read");
        assert!(!deadline.passed(), "{name} partition {partition}: read to {} of {end}", reading.position);
    }
    reading.records
}

struct Reading {
    records: Vec<Copied>,
    position: i64,
}

impl Receive for Reading {
    fn record(&mut self, record: Record<'_>) {
        self.position = self.position.max(record.offset + 1);
        self.records.push(Copied { offset: record.offset, value: record.value.unwrap_or_default().to_vec() });
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, next_offset: i64) {
        self.position = self.position.max(next_offset);
    }
}

/// What the books say of one group and pipeline, on one partition or on several.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Raw records of the inputs.
    pub raw: usize,
    /// Raw records without a disposition: not processed yet.
    pub open: usize,
    /// Records by disposition.
    pub dispositions: BTreeMap<String, usize>,
    /// Records that were not forwarded, by reason.
    pub reasons: BTreeMap<String, usize>,
}

impl Balance {
    /// Adds what the books say of another partition.
    pub fn add(&mut self, other: &Balance) {
        self.raw += other.raw;
        self.open += other.open;
        for (name, records) in &other.dispositions {
            *self.dispositions.entry(name.clone()).or_default() += records;
        }
        for (reason, records) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += records;
        }
    }
}

/// Input topics and where their rows come out.
const FLOWS: [(Topic, Option<Topic>); 6] = [
    (Topic::RawQueries, Some(Topic::EnrichedQueries)),
    (Topic::RawSessions, Some(Topic::EnrichedSessions)),
    (Topic::RawMetrics, Some(Topic::EnrichedMetrics)),
    (Topic::RawLogs, Some(Topic::EnrichedLogs)),
    (Topic::RawTexts, Some(Topic::EnrichedTexts)),
    (Topic::RawPolls, None),
];

/// Waits until no transaction is open on what [`verify`] reads. Of a transaction that the broker has promised to commit, one
/// partition may be readable before another: positions before books, and books before outputs.
fn wait_until_closed(bus: &dyn Bus, partition: u32) {
    let written = FLOWS.iter().filter_map(|(_, output)| *output).chain([Topic::Ledger, Topic::Quarantine]);
    let names: Vec<String> = written.map(topic_name).collect();
    let is_closed = |name: &String| {
        let offsets = bus.offsets(name, partition).expect("offsets");
        offsets.stable_end == offsets.end
    };
    let all_closed = || names.iter().all(is_closed).then_some(());
    crate::wait::blocking(Duration::from_secs(60), "an end of all transactions", all_closed);
}

/// Checks one partition of a group and pipeline that works on nothing; panics at the first thing that does not balance.
pub fn verify(bus: &dyn Bus, group: &str, pipeline: &str, partition: u32) -> Balance {
    wait_until_closed(bus, partition);
    let ledger = Ledger::read(bus, group, pipeline, partition);
    let mut balance = Balance { reasons: ledger.reasons.clone(), ..Balance::default() };
    let mut outputs: BTreeMap<Topic, (i64, u128)> = BTreeMap::new();
    for (input, output) in FLOWS {
        let raw: BTreeSet<i64> = read_all(bus, input, partition).iter().map(|record| record.offset).collect();
        let booked = ledger.offsets.get(input.name()).cloned().unwrap_or_default();
        for offset in booked.keys() {
            assert!(raw.contains(offset), "{}: the ledger has offset {offset}, which is no record", input.name());
        }
        balance.raw += raw.len();
        balance.open += raw.len() - booked.len();
        let booked_as = |wanted: &str| -> BTreeSet<i64> {
            booked.iter().filter(|(_, name)| *name == wanted).map(|(offset, _)| *offset).collect()
        };
        for name in booked.values() {
            *balance.dispositions.entry(name.clone()).or_default() += 1;
        }
        let (origins, sum) = output.map_or_else(Default::default, |topic| origins(bus, topic, pipeline, partition));
        assert_eq!(origins, booked_as("forwarded"), "{}: outputs and forwarded rows differ", input.name());
        let refused = quarantined(bus, input, partition, |record| record.group == group && record.pipeline == pipeline);
        assert_eq!(refused, booked_as("quarantined"), "{}: quarantine", input.name());
        if let Some(output) = output {
            outputs.insert(output, sum);
        }
    }
    for (topic, counted) in outputs {
        let booked = ledger.outputs.get(topic.name()).copied().unwrap_or_default();
        assert_eq!(counted, booked, "{}: number and hash of the outputs", topic.name());
    }
    each_text_is_told_once(bus, pipeline, partition);
    balance
}

/// Within a day, the dictionary is told each statement of a target once, by whatever row brought it first.
fn each_text_is_told_once(bus: &dyn Bus, pipeline: &str, partition: u32) {
    let mut told = BTreeSet::new();
    for record in read_all(bus, Topic::EnrichedTexts, partition) {
        let mut scratch = Vec::new();
        let text: EnrichedText<'_> = SCHEMAS.read(&record.value, &mut scratch).expect(EnrichedText::NAME);
        if let Some(fingerprint) = text.fingerprint.filter(|_| text.pipeline == pipeline) {
            let is_first = told.insert((text.target.to_owned(), fingerprint.to_owned()));
            assert!(is_first, "{}: the text of {fingerprint} was told twice", text.target);
        }
    }
}

struct Ledger {
    /// Disposition of each offset, by input topic.
    offsets: BTreeMap<String, BTreeMap<i64, String>>,
    /// Records by reason.
    reasons: BTreeMap<String, usize>,
    /// Number and summed hash of the outputs, by topic.
    outputs: BTreeMap<String, (i64, u128)>,
}

impl Ledger {
    fn read(bus: &dyn Bus, group: &str, pipeline: &str, partition: u32) -> Self {
        let mut ledger = Self { offsets: BTreeMap::new(), reasons: BTreeMap::new(), outputs: BTreeMap::new() };
        let mut next_seq = None;
        for record in read_all(bus, Topic::Ledger, partition) {
            let mut scratch = Vec::new();
            let entry: LedgerEntry<'_> = SCHEMAS.read(&record.value, &mut scratch).expect("a ledger entry");
            if entry.group != group || entry.pipeline != pipeline {
                continue;
            }
            let expected = next_seq.replace(entry.commit_seq + 1);
            assert!(
                expected.is_none_or(|seq| seq == entry.commit_seq),
                "commit {} follows {expected:?}",
                entry.commit_seq
            );
            ledger.add(&entry);
        }
        ledger
    }

    fn add(&mut self, entry: &LedgerEntry<'_>) {
        for input in entry.inputs.iter() {
            let offsets = self.offsets.entry(input.topic.to_owned()).or_default();
            for line in input.dispositions.iter() {
                let set = OffsetSet::decode(input.first_offset, line.offsets).expect("an offset set");
                assert_eq!(set.len() as i64, line.records, "{}: {} records", input.topic, line.disposition);
                if !line.reason.is_empty() {
                    *self.reasons.entry(line.reason.to_owned()).or_default() += set.len() as usize;
                }
                for offset in set.iter() {
                    let before = offsets.insert(offset, line.disposition.to_owned());
                    assert_eq!(
                        before, None,
                        "{} offset {offset} has a second disposition {}",
                        input.topic, line.disposition
                    );
                }
            }
        }
        for output in entry.outputs.iter() {
            let sum = self.outputs.entry(output.topic.to_owned()).or_default();
            *sum = (sum.0 + output.records, sum.1.wrapping_add(u128::from_le_bytes(output.hash)));
        }
    }
}

/// Origins of a pipeline's outputs, each once, with their number and summed hash.
fn origins(bus: &dyn Bus, topic: Topic, pipeline: &str, partition: u32) -> (BTreeSet<i64>, (i64, u128)) {
    let mut found = BTreeSet::new();
    let mut sum = (0, 0u128);
    for record in read_all(bus, topic, partition) {
        let (of, Some(origin)) = origin(topic, &record.value) else { continue };
        if of != pipeline {
            continue;
        }
        assert!(found.insert(origin), "{}: a second output of offset {origin}", topic.name());
        sum = (sum.0 + 1, sum.1.wrapping_add(u128::from_le_bytes(hash128(&[&record.value]))));
    }
    (found, sum)
}

/// Pipeline and origin of an output; no origin if it is derived, and no row's own.
fn origin(topic: Topic, value: &[u8]) -> (String, Option<i64>) {
    let mut scratch = Vec::new();
    let (pipeline, offset) = match topic {
        Topic::EnrichedQueries => {
            let row: EnrichedQuery<'_> = SCHEMAS.read(value, &mut scratch).expect(EnrichedQuery::NAME);
            (row.pipeline, Some(row.origin_offset))
        }
        Topic::EnrichedSessions => {
            let row: EnrichedSession<'_> = SCHEMAS.read(value, &mut scratch).expect(EnrichedSession::NAME);
            (row.pipeline, Some(row.origin_offset))
        }
        Topic::EnrichedMetrics => {
            let row: EnrichedMetrics<'_> = SCHEMAS.read(value, &mut scratch).expect(EnrichedMetrics::NAME);
            (row.pipeline, Some(row.origin_offset))
        }
        _ => {
            let row: EnrichedText<'_> = SCHEMAS.read(value, &mut scratch).expect(EnrichedText::NAME);
            (row.pipeline, (row.origin_topic == Topic::RawTexts.name()).then_some(row.origin_offset))
        }
    };
    (pipeline.to_owned(), offset)
}

/// Offsets of an input topic that are in quarantine on behalf of those who are wanted.
fn quarantined(
    bus: &dyn Bus,
    input: Topic,
    partition: u32,
    wanted: impl Fn(&Quarantined<'_>) -> bool,
) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    for record in read_all(bus, Topic::Quarantine, partition) {
        let mut scratch = Vec::new();
        let refused: Quarantined<'_> = SCHEMAS.read(&record.value, &mut scratch).expect(Quarantined::NAME);
        if refused.topic == input.name() && wanted(&refused) {
            assert!(found.insert(refused.offset), "offset {} is quarantined twice", refused.offset);
        }
    }
    found
}

/// Number of committed records of a partition in a range of offsets.
pub fn records_between(bus: &dyn Bus, topic: &str, partition: u32, from: i64, to: i64) -> i64 {
    let mut reading = Reading { records: Vec::new(), position: from };
    let partitions = vec![Position { topic: topic.to_owned(), partition, start: Start::Offset(from) }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).expect("reader");
    let deadline = crate::wait::Deadline::after(Duration::from_secs(60));
    while reading.position < to && !deadline.passed() {
        reader.read(Duration::from_millis(100), 10_000, &mut reading).expect("read");
    }
    reading.records.len() as i64
}
