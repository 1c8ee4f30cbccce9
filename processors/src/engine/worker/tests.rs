//! A worker that dies at each step of its commits, on the embedded log: in the end outputs, books and state are as if nothing
//! had happened.

use std::path::Path;
use std::sync::Arc;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{
    Bus, CommitError, Committed, Isolation, Outgoing, Position, ReaderSpec, Receipt, Start, planned_topics,
};
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::records::LedgerEntry;
use dbintel_schemas::topics::Topic;

use super::*;
use crate::delta::Delta;
use crate::engine::group::{GroupConfig, Pipeline};
use crate::engine::restore::Restore;
use crate::engine::store::{Entry, MemoryStore, Store};
use crate::engine::{Context, Disposition, Metrics, Processor, Row, StateError, StateTable, StateValue, Table};
use crate::testing::{decoded, factory, framed, raw_query};

const GROUP: &str = "dbintel.crash";

/// Rows of a poll, each of which fills a commit.
const ROWS: usize = 8;

/// So many bytes for each statement let every commit write the store and a slice of the checkpoint.
const VALUE_BYTES: usize = 150_000;

/// Counts readings, in large values.
struct Heavy(Table<Readings>);

#[derive(Clone)]
struct Readings(u8);

impl StateValue for Readings {
    fn encode(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + VALUE_BYTES, self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(bytes[0]))
    }
}

impl Processor for Heavy {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.0]
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Row::RawQuery(raw) = row else { return Ok(Disposition::Forwarded) };
        let readings = self.0.get(raw.query_id.as_bytes())?.map_or(0, |readings| readings.0);
        self.0.insert(raw.query_id.as_bytes(), Readings(readings + 1))?;
        Ok(Disposition::Forwarded)
    }
}

/// A member that dies after so many steps, of which each record is one and each commit two: nothing of it works any more.
struct Mortal {
    member: Box<dyn Member>,
    steps_left: usize,
    /// Stopped when everything is committed.
    shared: Arc<Shared>,
    records: i64,
}

impl Mortal {
    fn step(&mut self) -> Result<(), BusError> {
        let dead = || BusError::Fatal { operation: "live".to_owned(), message: "the process was killed".to_owned() };
        self.steps_left = self.steps_left.checked_sub(1).ok_or_else(dead)?;
        Ok(())
    }
}

impl Member for Mortal {
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        self.member.poll(timeout, limit, receive)
    }

    fn committed(&mut self, partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        self.member.committed(partitions)
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.member.start(positions)
    }

    fn release(&mut self) -> Result<(), BusError> {
        self.member.release()
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        self.member.send(record)?;
        Ok(self.step()?)
    }

    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError> {
        self.step()?;
        let receipt = self.member.commit(positions)?;
        self.step()?;
        if positions.iter().map(|position| position.next_offset).sum::<i64>() == self.records {
            self.shared.stop.store(true, Ordering::Release);
        }
        Ok(receipt)
    }

    fn abort(&mut self) -> Result<(), BusError> {
        self.member.abort()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.member.seek(positions)
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.member.pause(partitions)
    }

    fn resume(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.member.resume(partitions)
    }

    fn close(self: Box<Self>) -> Result<(), BusError> {
        self.member.close()
    }
}

/// A log, and a store that outlives its workers.
struct Scene {
    bus: Arc<dyn Bus>,
    store: Arc<MemoryStore>,
    records: i64,
    directory: tempfile::TempDir,
}

/// What is there in the end.
#[derive(Debug, PartialEq)]
struct Left {
    outputs: Vec<Vec<u8>>,
    /// Offset, disposition and reason of each row.
    books: Vec<(i64, String, String)>,
    state: Vec<Entry>,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Config { directory: directory.path().join("log"), sync: false, ..Config::default() };
        let bus: Arc<dyn Bus> = Arc::new(Embedded::open(&log).unwrap());
        bus.create_topics(&planned_topics(1, &[GROUP])).unwrap();
        Self { bus, store: Arc::default(), records: 0, directory }
    }

    /// Publishes a poll: of its statements the first half is known from the poll before.
    fn publish(&mut self, poll: i64) {
        let producer = self.bus.producer().unwrap();
        for row in 0..ROWS as i64 {
            let id = (poll * ROWS as i64 / 2 + row).to_string();
            let value = framed(&raw_query(&id, poll, poll * 10));
            let (topic, value) = (&*topic_name(Topic::RawQueries), Some(&*value));
            let record = Outgoing { topic, partition: 0, timestamp: poll * 1000, key: None, value, headers: &[] };
            producer.send(record).unwrap();
            self.records += 1;
        }
        producer.flush(Duration::from_secs(10)).unwrap();
    }

    fn shared(&self) -> Arc<Shared> {
        let processors = vec![
            ("heavy".to_owned(), factory(|| Heavy(Table::new("readings")))),
            ("delta".to_owned(), factory(Delta::new)),
        ];
        let pipeline = Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors };
        let mut config = GroupConfig::new(GROUP, vec![pipeline], self.directory.path().join("state"));
        config.commit_rows = ROWS;
        config.commit_interval = Duration::from_secs(60);
        let store = Arc::clone(&self.store);
        Arc::new(Shared {
            config,
            bus: Arc::clone(&self.bus),
            metrics: Metrics::register(&prometheus::Registry::new(), GROUP).unwrap(),
            open_store: Box::new(move |_: &Path| Ok(Arc::clone(&store) as Arc<dyn Store>)),
            stop: AtomicBool::new(false),
            ready: Arc::new([AtomicBool::new(false)]),
        })
    }

    /// Lets a worker process everything, or die after so many steps.
    fn work(&self, steps: usize) -> Result<(), WorkerError> {
        let shared = self.shared();
        let worker = Worker::join(&shared, 0)?;
        let (shared, records) = (Arc::clone(&shared), self.records);
        let member = Mortal { member: worker.member, steps_left: steps, shared, records };
        Worker { member: Box::new(member), ..worker }.work()
    }

    fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        let (topic, start) = (topic.to_owned(), Start::Beginning);
        let partitions = vec![Position { topic, partition: 0, start }];
        let mut reader = self.bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
        let mut values = Vec::new();
        let mut keep = |record: Record<'_>| values.push(record.value.unwrap().to_vec());
        while reader.read(Duration::ZERO, 1000, &mut keep).unwrap() > 0 {}
        values
    }

    fn books(&self) -> Vec<(i64, String, String)> {
        let mut books = Vec::new();
        for value in self.values(&topic_name(Topic::Ledger)) {
            for input in decoded::<LedgerEntry<'_>>(&value).inputs.iter() {
                for line in input.dispositions.iter() {
                    let offsets = OffsetSet::decode(input.first_offset, line.offsets).unwrap();
                    books.extend(
                        offsets.iter().map(|offset| (offset, line.disposition.to_owned(), line.reason.to_owned())),
                    );
                }
            }
        }
        books.sort();
        books
    }

    fn left(&self) -> Left {
        let outputs = self.values(&topic_name(Topic::EnrichedQueries));
        Left { outputs, books: self.books(), state: self.store.scan(&[], usize::MAX).unwrap() }
    }

    /// The state that another machine would make of the changelog.
    fn rebuilt(&self) -> Vec<Entry> {
        let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
        let committed = self.bus.committed(GROUP, &topics).unwrap();
        let changelog = dbintel_schemas::topics::changelog(GROUP);
        let (bus, store) = (&*self.bus, MemoryStore::default());
        Restore { bus, changelog: &changelog, partition: 0, topics: &topics, committed: &committed }
            .run(&store)
            .unwrap();
        store.scan(&[], usize::MAX).unwrap()
    }
}

/// Three polls by a worker that dies after so many steps, and the rest and a fourth poll by the next one. `None` if the first
/// one did not come so far.
fn lived(steps: usize, unwritten_is_lost: bool) -> Option<Left> {
    let mut scene = Scene::new();
    (1..=3).for_each(|poll| scene.publish(poll));
    let died = scene.work(steps).is_err();
    if died && unwritten_is_lost {
        scene.store.crash();
    }
    scene.publish(4);
    scene.work(usize::MAX).unwrap();
    let left = scene.left();
    assert!(scene.rebuilt() == left.state, "dead after {steps} steps: the changelog holds another state");
    (died || steps == usize::MAX).then_some(left)
}

#[test]
fn a_death_at_any_step_of_a_commit_changes_nothing() {
    let undisturbed = lived(usize::MAX, false).unwrap();
    let of = |disposition: &str| undisturbed.books.iter().filter(|(_, name, _)| name == disposition).count();
    assert_eq!((of("forwarded"), of("absorbed")), (3 * ROWS / 2, 5 * ROWS / 2));
    for unwritten_is_lost in [false, true] {
        let mut deaths = 0;
        while let Some(left) = lived(deaths, unwritten_is_lost) {
            assert_eq!(left.books, undisturbed.books, "dead after {deaths} steps");
            assert!(left.outputs == undisturbed.outputs, "dead after {deaths} steps: the outputs differ");
            assert!(left.state == undisturbed.state, "dead after {deaths} steps: the state differs");
            deaths += 1;
        }
        assert!(deaths > 3 * ROWS, "only {deaths} steps");
    }
}

#[test]
fn processes_take_turns_in_the_order_of_their_workers() {
    let mut slots = [("b", 0), ("a", 1), ("a", 0), ("b", 1)].map(|(process, number)| slot(number, process));
    slots.sort();
    assert_eq!(slots, ["0-a", "0-b", "1-a", "1-b"]);
}
