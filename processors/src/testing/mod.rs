//! Records and a task without a bus, for the tests of this crate.

use std::sync::Arc;

use dbintel_bus::{Framings, Record as BusRecord};
use dbintel_schemas::Record;
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{InstanceEpoch, LedgerEntry, QueryCounters, RawPoll, RawQuery};
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{self, Framing};

use crate::engine::changelog::{self, Change};
use crate::engine::group::{GroupConfig, INPUTS, Pipeline};
use crate::engine::outbox::Outbox;
use crate::engine::restore::Restored;
use crate::engine::schema_lookup::SchemaLookup;
use crate::engine::store::{MemoryStore, Place, Staged, Store};
use crate::engine::task::{Progress, Task, TaskError};
use crate::engine::{Metrics, Processor, ProcessorFactory};

/// Rank of an input topic.
pub fn rank(name: &str) -> usize {
    INPUTS.iter().position(|topic| topic.name() == name).expect("an input")
}

/// A record as the bus would deliver it.
#[derive(Debug, Clone)]
pub struct Input {
    /// Rank of the topic.
    pub topic: usize,
    /// Offset.
    pub offset: i64,
    /// Timestamp in ms.
    pub timestamp: i64,
    /// Framed value.
    pub value: Vec<u8>,
}

/// A framed record.
pub fn framed<'r, R: Record<'r>>(record: &R) -> Vec<u8> {
    let mut value = Vec::new();
    wire::write(record, Framing::SingleObject, &mut value);
    value
}

/// A reading of statement `query_id` in poll `poll_seq`, one second after the poll before.
pub fn raw_query(query_id: &str, poll_seq: i64, calls: i64) -> RawQuery<'_> {
    let counters =
        QueryCounters::default().with_calls(calls).with_rows(calls * 2).with_total_exec_time_ns(calls * 1_000_000);
    RawQuery {
        record_id: record_id("db1", 0, poll_seq, query_id.as_bytes()),
        poller: "postgresql",
        target: "db1",
        engine: "postgresql",
        role: "primary",
        instance: InstanceEpoch {
            system_identifier: "7",
            started_at: Some(1),
            timeline: Some(1),
            ..InstanceEpoch::default()
        },
        poll_seq,
        observed_at: poll_seq * 1_000_000,
        interval_ns: Some(1_000_000_000),
        database: Some("shop"),
        database_id: "16384",
        user_id: "10",
        query_id,
        toplevel: Some(true),
        counters,
        ..RawQuery::default()
    }
}

/// The outcome of poll `poll_seq`.
pub fn raw_poll(poll_seq: i64, snapshot_complete: bool) -> RawPoll<'static> {
    RawPoll {
        poller: "postgresql",
        target: "db1",
        instance: InstanceEpoch {
            system_identifier: "7",
            started_at: Some(1),
            timeline: Some(1),
            ..InstanceEpoch::default()
        },
        poll_seq,
        observed_at: poll_seq * 1_000_000,
        server_time: Some(poll_seq * 1_000_000),
        poll_class: "statements",
        outcome: "ok",
        snapshot_complete,
        ..RawPoll::default()
    }
}

/// The record at an offset of `raw.queries`.
pub fn query_input(offset: i64, raw: &RawQuery<'_>) -> Input {
    Input { topic: rank("raw.queries"), offset, timestamp: raw.observed_at / 1000, value: framed(raw) }
}

/// A processor as a factory.
pub fn factory<P: Processor + 'static>(make: impl Fn() -> P + Send + Sync + 'static) -> ProcessorFactory {
    Arc::new(move || Box::new(make()))
}

/// A task on a store in memory, whose commits are kept instead of sent.
pub struct Bench {
    config: GroupConfig,
    store: Arc<MemoryStore>,
    task: Task,
    outbox: Outbox,
    lookup: SchemaLookup,
    metrics: Metrics,
    uncommitted: Vec<(String, Vec<u8>)>,
    /// Committed records by full topic name.
    pub sent: Vec<(String, Vec<u8>)>,
    /// Committed parts of the changelog.
    pub changelog: Vec<Vec<u8>>,
    /// Offset below which the changelog may be deleted.
    pub restore_from: i64,
}

impl Bench {
    /// A new task with one pipeline `main` for the poller `postgresql`.
    pub fn new(processors: Vec<(String, ProcessorFactory)>) -> Self {
        Self::of(INPUTS.to_vec(), processors, None)
    }

    /// The same with other inputs, and another group behind it.
    pub fn of(inputs: Vec<Topic>, processors: Vec<(String, ProcessorFactory)>, next: Option<Topic>) -> Self {
        let pipeline = Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors, next };
        let mut config = GroupConfig::new("dbintel.test", vec![pipeline], std::path::PathBuf::new());
        (config.inputs, config.flush_bytes) = (inputs, 256 << 10);
        Self::on(config, Arc::new(MemoryStore::default()), Vec::new())
    }

    fn on(config: GroupConfig, store: Arc<MemoryStore>, changelog: Vec<Vec<u8>>) -> Self {
        let place = store.place().expect("memory").unwrap_or_default();
        let positions = config.input_names().into_iter().map(|topic| {
            let known = place.marker.positions.iter().find(|(name, _)| *name == topic);
            let start = known.map_or(dbintel_bus::Start::Beginning, |(_, next)| dbintel_bus::Start::Offset(*next));
            dbintel_bus::Position { topic, partition: 0, start }
        });
        let restored =
            Restored { positions: positions.collect(), changelog_next: place.changelog_next, marker: place.marker };
        let task = Task::new(&config, 0, Arc::clone(&store) as Arc<dyn Store>, restored);
        let metrics = Metrics::register(&prometheus::Registry::new(), "dbintel.test").expect("new registry");
        let outbox = Outbox::new(Framings::single_object());
        let lookup = SchemaLookup::new(None);
        Self {
            config,
            store,
            task,
            outbox,
            lookup,
            metrics,
            uncommitted: Vec::new(),
            sent: Vec::new(),
            changelog,
            restore_from: 0,
        }
    }

    /// A new task on another machine: the state comes from the changelog alone, read from where it has to be.
    pub fn moved(self) -> Self {
        let store = Arc::new(MemoryStore::default());
        let mut place = Place { changelog_next: self.restore_from, ..Place::default() };
        let mut staged = Staged::default();
        for (offset, part) in self.changelog.iter().enumerate().skip(self.restore_from as usize) {
            let take = |table, key: &[u8], change: Change<'_>| staged.take(table, key, change);
            if let Some(marker) = changelog::read(part, take).expect("our own part") {
                let changelog_next = offset as i64 + 1;
                place = Place { changelog_next, marker: marker.ends_at(changelog_next) };
            }
        }
        store.write(&staged.batch(&*store).expect("memory"), &place).expect("memory");
        let mut moved = Self::on(self.config, store, self.changelog);
        moved.sent = self.sent;
        moved.restore_from = self.restore_from;
        moved
    }

    /// Takes inputs in.
    pub fn push(&mut self, inputs: &[Input]) {
        for input in inputs {
            let (topic, offset, timestamp) = (input.topic, input.offset, input.timestamp);
            self.task.inbox.push(&BusRecord {
                topic,
                partition: 0,
                offset,
                timestamp,
                key: None,
                value: Some(&input.value),
            });
        }
        (0..self.config.inputs.len()).for_each(|topic| self.task.inbox.at_end(topic));
    }

    /// Processes everything that waits, at most `limit` rows at once.
    pub fn process(&mut self, limit: usize) -> Result<usize, TaskError> {
        let mut processed = 0;
        loop {
            let progress = self.task.process(&self.lookup, limit, false, &mut self.outbox)?;
            let uncommitted = &mut self.uncommitted;
            let drained: Result<(), ()> = self.outbox.drain(|record| {
                uncommitted.push((record.topic.to_owned(), record.value.unwrap_or_default().to_vec()));
                Ok(())
            });
            drained.expect("kept");
            match progress {
                Progress::Rows(0) => return Ok(processed),
                Progress::Rows(rows) => processed += rows,
                Progress::UnknownSchema(writer) => panic!("unknown schema {writer:?}"),
            }
        }
    }

    /// Commits what was processed.
    pub fn commit(&mut self) {
        if !self.task.dirty() {
            return;
        }
        let parts = self.task.prepare_commit("test", &mut self.outbox).expect("memory");
        let uncommitted = &mut self.uncommitted;
        let drained: Result<(), ()> = self.outbox.drain(|record| {
            uncommitted.push((record.topic.to_owned(), record.value.unwrap_or_default().to_vec()));
            Ok(())
        });
        drained.expect("kept");
        self.sent.append(&mut self.uncommitted);
        self.changelog.extend(parts);
        self.restore_from = self.task.committed(self.changelog.len() as i64, &self.metrics).expect("memory");
    }

    /// Aborts what was processed since the last commit.
    pub fn rollback(&mut self) {
        self.outbox.clear();
        self.uncommitted.clear();
        self.task.rollback();
    }

    /// The store behind the task.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// Committed values of a topic.
    pub fn values(&self, topic: &str) -> Vec<&[u8]> {
        let full = format!("dbintel.{topic}");
        self.sent.iter().filter(|(name, _)| *name == full).map(|(_, value)| &**value).collect()
    }

    /// Number of committed rows by disposition and reason, from the ledger.
    pub fn ledger(&self) -> Vec<(String, String, i64)> {
        let mut lines: std::collections::BTreeMap<(String, String), i64> = std::collections::BTreeMap::new();
        for value in self.values("ledger") {
            let entry = decoded::<LedgerEntry<'_>>(value);
            for line in entry.inputs.iter().flat_map(|input| input.dispositions.iter()) {
                *lines.entry((line.disposition.to_owned(), line.reason.to_owned())).or_default() += line.records;
            }
        }
        lines.into_iter().map(|((disposition, reason), records)| (disposition, reason, records)).collect()
    }
}

/// Decodes a framed value.
pub fn decoded<'a, R: Record<'a>>(value: &'a [u8]) -> R {
    R::decode(wire::unframe(value).expect("framed").1).expect("our own record")
}
