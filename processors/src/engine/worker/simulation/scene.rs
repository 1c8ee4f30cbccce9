//! What is processed: polls with good rows and bad ones, and processes with the processors that are shipped.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use dbintel_bus::model::Model;
use dbintel_bus::{Bus, NewTopic, Outgoing, planned_topics, topic_name};
use dbintel_config::{Document, Environment};
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{RawQuery, RawSession, RawText};
use dbintel_schemas::topics::Topic;
use prometheus::IntGauge;

use super::disk::Disks;
use super::faults::Shaken;
use crate::adaptive_sampler::{AdaptiveSampler, Config};
use crate::delta::Delta;
use crate::engine::group::{GroupConfig, INPUTS, Pipeline, Shared};
use crate::engine::{Context, Disposition, Metrics, Processor, Row, StateError, StateTable, StateValue, Table};
use crate::testing::{factory, framed, raw_poll, raw_query};
use crate::text::Text;

/// Group of all processors, or of the first ones.
pub const GROUP: &str = "dbintel.simulated";
/// Group of the others, where there are two.
pub const SECOND_GROUP: &str = "dbintel.text";
pub const PARTITIONS: u32 = 3;
pub const POLLS: i64 = 12;
/// Statements of a poll, of which the one before had half.
const STATEMENTS: i64 = 6;
/// Largest record of `enriched.queries`, so that a row with [`LARGE`] goes in and does not come out.
const OUTPUT_BYTES_MAX: usize = 2_500;
const LARGE: usize = 3_000;
/// Polls of which one row is bad: no record, a tombstone, one on which a processor panics, one whose output is too large.
const GARBAGE: i64 = 2;
const TOMBSTONE: i64 = 4;
const PANIC: i64 = 6;
const OVERSIZE: i64 = 8;
/// From this poll on the target has another owner; in a later one the old owner still sends a row.
const NEW_OWNER: i64 = 9;
const STALE: i64 = 10;
/// What the processor says that panics.
pub const PANICKED: &str = "made to panic";

/// Remembers a statement from its first reading to its second, and panics on one.
struct Restless(Table<Seen>);

#[derive(Clone)]
struct Seen;

impl StateValue for Seen {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(1);
    }

    fn decode(_: &[u8]) -> Result<Self, StateError> {
        Ok(Seen)
    }
}

impl Processor for Restless {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.0]
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Row::RawQuery(raw) = row else { return Ok(Disposition::Forwarded) };
        let key = raw.query_id.as_bytes();
        match self.0.get(key)?.is_some() {
            true => self.0.remove(key)?,
            false => self.0.insert(key, Seen)?,
        }
        match raw.query_id {
            "panic" => std::panic::panic_any(PANICKED),
            _ => Ok(Disposition::Forwarded),
        }
    }
}

/// How the processors are put into groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One group, three processes.
    Compact,
    /// Two groups, two processes each; rows go from one to the other through a topic.
    Split,
}

/// A group: its name, what it reads, and its part of the pipeline.
pub struct Part {
    pub group: &'static str,
    pub inputs: Vec<Topic>,
    pipeline: Pipeline,
    processes: usize,
}

impl Layout {
    /// Of one seed in four.
    pub fn of(seed: u64) -> Self {
        if seed % 4 == 3 { Layout::Split } else { Layout::Compact }
    }

    pub fn parts(self) -> Vec<Part> {
        let whole = pipeline();
        let part = |group, inputs, pipeline, processes| Part { group, inputs, pipeline, processes };
        match self {
            Layout::Compact => vec![part(GROUP, INPUTS.to_vec(), whole, 3)],
            Layout::Split => {
                let (first, second) = whole.processors.split_at(2);
                let staged = Topic::StagedText;
                let first = Pipeline { processors: first.to_vec(), next: Some(staged), ..whole.clone() };
                let second = Pipeline { processors: second.to_vec(), ..whole.clone() };
                vec![part(GROUP, INPUTS.to_vec(), first, 2), part(SECOND_GROUP, vec![staged], second, 2)]
            }
        }
    }
}

impl Part {
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|topic| topic_name(*topic)).collect()
    }
}

fn pipeline() -> Pipeline {
    static RULES: OnceLock<Arc<Config>> = OnceLock::new();
    let rules = RULES.get_or_init(|| {
        let yaml = "default_sampling_rate: 60\nrules:\n  - {name: rows, condition: rows > 15, sampling_rate: 40, priority: 1}\n";
        let document = Document::from_text("rules.yaml", yaml, &Environment::empty()).unwrap();
        Arc::new(document.read(Config::read).unwrap().config)
    });
    let processors = vec![
        ("restless".to_owned(), factory(|| Restless(Table::new("seen")))),
        ("delta".to_owned(), factory(Delta::new)),
        ("text".to_owned(), factory(Text::new)),
        ("adaptive_sampler".to_owned(), factory(|| AdaptiveSampler::new(Arc::clone(rules)))),
    ];
    Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors, next: None }
}

/// What the processes of all groups are made of.
pub fn processes(parts: &[Part], bus: &Arc<Model>, disks: &Disks, faults: &Shaken) -> Vec<Shared> {
    let of_each = parts.iter().flat_map(|part| (0..part.processes).map(move |_| part));
    of_each.enumerate().map(|(number, part)| process(part, number, bus, disks, faults)).collect()
}

fn process(part: &Part, number: usize, bus: &Arc<Model>, disks: &Disks, faults: &Shaken) -> Shared {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let metrics = METRICS.get_or_init(|| Metrics::register(&prometheus::Registry::new(), GROUP).unwrap());
    let mut config = GroupConfig::new(part.group, vec![part.pipeline.clone()], Path::new("/").join(number.to_string()));
    config.inputs.clone_from(&part.inputs);
    // Small enough for many commits, writes of the store and cycles of the checkpoint.
    (config.slot, config.commit_rows, config.flush_bytes) = (format!("p{number}").as_str().into(), 7, 400);
    // On the only thread that there is.
    config.restores_at_once = 1;
    config.restore_bytes = 200;
    // Several records of the changelog for each commit.
    config.part_bytes = 250;
    let (disks, faults) = (disks.clone(), faults.clone());
    Shared {
        config,
        bus: Arc::clone(bus) as Arc<dyn Bus>,
        metrics: Metrics { partitions: IntGauge::new("partitions", "own").unwrap(), ..metrics.clone() },
        open_store: Box::new(move |directory| disks.open(directory, &faults)),
        stop: false.into(),
        restoring: Arc::default(),
        ready: Arc::new([false.into()]),
    }
}

/// The topics of the contract.
pub fn topics() -> Vec<NewTopic> {
    let mut topics = planned_topics(PARTITIONS, &[GROUP, SECOND_GROUP]);
    let limited = topic_name(Topic::EnrichedQueries);
    topics
        .iter_mut()
        .filter(|topic| topic.name == limited)
        .for_each(|topic| topic.message_bytes_max = OUTPUT_BYTES_MAX);
    topics
}

/// A record of a poll: its topic and value.
type Published = (String, Option<Vec<u8>>);

/// Writes what a poller would for a poll of each partition, and gives the number of records.
pub fn publish(bus: &Model, poll: i64) -> u64 {
    static RECORDS: OnceLock<Vec<Vec<Published>>> = OnceLock::new();
    let records = &RECORDS.get_or_init(|| (0..=POLLS).map(records).collect())[poll as usize];
    let producer = bus.producer().unwrap();
    for partition in 0..PARTITIONS {
        for (topic, value) in records {
            let (timestamp, value) = (poll * 1000, value.as_deref());
            producer.send(Outgoing { topic, partition, timestamp, key: None, value, headers: &[] }).unwrap();
        }
    }
    records.len() as u64 * u64::from(PARTITIONS)
}

fn records(poll: i64) -> Vec<Published> {
    let first = poll * STATEMENTS / 2;
    let ids: Vec<String> = (first..first + STATEMENTS).map(|id| id.to_string()).collect();
    let mut records = vec![(topic_name(Topic::RawTexts), Some(framed(&text(&ids[0], poll))))];
    let mut query = |value| records.push((topic_name(Topic::RawQueries), value));
    let reading = |id, owner_epoch| Some(framed(&RawQuery { owner_epoch, ..raw_query(id, poll, poll * 10) }));
    if poll == STALE {
        query(reading(&ids[0], 0));
    }
    ids.iter().for_each(|id| query(reading(id, i64::from(poll >= NEW_OWNER))));
    match poll {
        GARBAGE => query(Some(b"no record".to_vec())),
        TOMBSTONE => query(None),
        PANIC => query(Some(framed(&raw_query("panic", poll, poll)))),
        _ => {}
    }
    if poll == OVERSIZE || poll + 1 == OVERSIZE {
        let mut raw = raw_query("large", poll, poll * 10);
        let database = "x".repeat(LARGE);
        raw.database = Some(&database);
        query(Some(framed(&raw)));
    }
    records.push((topic_name(Topic::RawSessions), Some(framed(&session(&ids[1], poll)))));
    records.push((topic_name(Topic::RawPolls), Some(framed(&raw_poll(poll, poll % 4 == 0)))));
    records
}

fn text(query_id: &str, poll: i64) -> RawText<'_> {
    RawText {
        record_id: record_id("db1", 0, poll, query_id.as_bytes()),
        poller: "postgresql",
        target: "db1",
        observed_at: poll * 1_000_000,
        database_id: "16384",
        user_id: "10",
        query_id,
        toplevel: Some(true),
        fingerprint: Some("0123456789abcdef0123456789abcdef"),
        fingerprint_version: Some(1),
        verb: Some("SELECT"),
        text: Some("SELECT ? FROM orders"),
        ..RawText::default()
    }
}

fn session(query_id: &str, poll: i64) -> RawSession<'_> {
    RawSession {
        record_id: record_id("db1", 0, poll, b"session"),
        poller: "postgresql",
        target: "db1",
        observed_at: poll * 1_000_000,
        database_id: Some("16384"),
        session_id: "4711",
        query_id: Some(query_id),
        state: Some("active"),
        ..RawSession::default()
    }
}
