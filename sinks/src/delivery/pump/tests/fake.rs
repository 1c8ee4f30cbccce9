//! A log and a sink that do what the test says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use dbintel_bus::{
    Bus, BusError, CommitError, Committed, GroupSpec, Member, NewTopic, Offsets, Outgoing, Polled, Position, Producer,
    Reader, ReaderSpec, Receipt, Receive, Record, SendError, Start, TopicDescription, topic_name,
};
use dbintel_schemas::Topic;

use crate::delivery::{Arrival, Outcome, Report, Row, Settlement, Sink, StartAt, Taken, Texts, Ticket};

/// What the log holds and did.
#[derive(Default)]
pub struct World {
    /// Rows of partition 3, each a ms later than the one before; the first is of this time.
    pub rows: Vec<Vec<u8>>,
    pub first_at: i64,
    /// First row that is kept.
    pub first: usize,
    pub next: usize,
    pub events: VecDeque<Polled>,
    pub committed: BTreeMap<u32, i64>,
    pub commit_errors: VecDeque<CommitError>,
    pub starts: Vec<Start>,
    pub paused: bool,
    /// Entries of the `schemas` topic; none while it is away.
    pub schemas: Option<Vec<Vec<u8>>>,
    /// Records of the open transaction, and those of committed ones.
    open: Vec<Vec<u8>>,
    pub exports: Vec<Vec<u8>>,
    pub released: usize,
    pub seeks: usize,
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<World>>);

impl Fake {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Bus for Fake {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        Ok(Arc::new(Nowhere))
    }

    fn join(&self, _group: &GroupSpec) -> Result<Box<dyn Member>, BusError> {
        self.world().events = VecDeque::from([Polled::Assigned(vec![3])]);
        Ok(Box::new(self.clone()))
    }

    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn Reader>, BusError> {
        let Position { topic, start, .. } = &reader.partitions[0];
        if *topic == topic_name(Topic::EnrichedTexts) {
            return Err(BusError::Fatal { operation: "read".to_owned(), message: "there is no such topic".to_owned() });
        }
        Ok(Box::new(FakeReader { fake: self.clone(), start: *start, next: 0 }))
    }

    fn create_topics(&self, _topics: &[NewTopic]) -> Result<Vec<String>, BusError> {
        panic!("not asked for")
    }

    fn describe_topics(&self, _prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        panic!("not asked for")
    }

    fn offsets(&self, topic: &str, _partition: u32) -> Result<Offsets, BusError> {
        let world = self.world();
        let (start, rows) = if topic == topic_name(Topic::Schemas) {
            (0, world.schemas.as_ref().ok_or_else(away)?)
        } else {
            (world.first as i64, &world.rows)
        };
        Ok(Offsets { start, stable_end: rows.len() as i64, end: rows.len() as i64 })
    }

    fn committed(&self, _group: &str, _topics: &[String]) -> Result<Vec<Committed>, BusError> {
        panic!("not asked for")
    }

    fn trim(&self, _topic: &str, _partition: u32, _before: i64) -> Result<(), BusError> {
        panic!("not asked for")
    }

    fn health(&self) -> Result<(), BusError> {
        Ok(())
    }
}

impl Member for Fake {
    fn poll(&mut self, _timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        let mut world = self.world();
        if let Some(event) = world.events.pop_front() {
            return Ok(event);
        }
        if world.paused {
            return Ok(Polled::Records(0));
        }
        let (first, first_at) = (world.next, world.first_at);
        let rows: Vec<Vec<u8>> = world.rows.iter().skip(first).take(limit).cloned().collect();
        world.next += rows.len();
        let is_at_end = world.next == world.rows.len();
        drop(world);
        for (index, row) in rows.iter().enumerate() {
            let offset = (first + index) as i64;
            let timestamp = first_at + offset;
            receive.record(Record { topic: 0, partition: 3, offset, timestamp, key: None, value: Some(row) });
        }
        if is_at_end {
            receive.at_end(0, 3, (first + rows.len()) as i64);
        }
        Ok(Polled::Records(rows.len()))
    }

    fn committed(&mut self, _partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        let position = |(partition, next_offset): (&u32, &i64)| Committed {
            topic: topic_name(Topic::EnrichedQueries),
            partition: *partition,
            next_offset: *next_offset,
            metadata: String::new(),
        };
        Ok(self.world().committed.iter().map(position).collect())
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let mut world = self.world();
        world.starts = positions.iter().map(|position| position.start).collect();
        world.next = offset(&positions[0]);
        world.paused = false;
        Ok(())
    }

    fn release(&mut self) -> Result<(), BusError> {
        self.world().released += 1;
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        assert_eq!((record.topic, record.partition), ("dbintel.exports", 3));
        self.world().open.push(record.value.unwrap().to_vec());
        Ok(())
    }

    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError> {
        let mut world = self.world();
        let open = std::mem::take(&mut world.open);
        if let Some(error) = world.commit_errors.pop_front() {
            return Err(error);
        }
        world.exports.extend(open);
        for position in positions {
            world.committed.insert(position.partition, position.next_offset);
        }
        Ok(Receipt::default())
    }

    fn abort(&mut self) -> Result<(), BusError> {
        self.world().open.clear();
        Ok(())
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let mut world = self.world();
        world.seeks += 1;
        world.next = offset(&positions[0]);
        Ok(())
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        assert_eq!(partitions, [3]);
        self.world().paused = true;
        Ok(())
    }

    fn resume(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        assert_eq!(partitions, [3]);
        self.world().paused = false;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), BusError> {
        Ok(())
    }
}

/// Takes the announcement of a schema.
struct Nowhere;

impl Producer for Nowhere {
    fn send(&self, _record: Outgoing<'_>) -> Result<(), SendError> {
        Ok(())
    }

    fn flush(&self, _timeout: Duration) -> Result<(), BusError> {
        Ok(())
    }

    fn outstanding(&self) -> usize {
        0
    }
}

/// Reads one partition: rows from a time on, or all schemas.
struct FakeReader {
    fake: Fake,
    start: Start,
    next: usize,
}

impl Reader for FakeReader {
    fn read(&mut self, _timeout: Duration, _limit: usize, receive: &mut dyn Receive) -> Result<usize, BusError> {
        let world = self.fake.world();
        let (rows, partition) = match self.start {
            Start::Time(time) => {
                self.next = self.next.max(usize::try_from(time - world.first_at).unwrap_or(0)).min(world.rows.len());
                (&world.rows, 3)
            }
            _ => (world.schemas.as_ref().ok_or_else(away)?, 0),
        };
        let first = std::mem::replace(&mut self.next, rows.len());
        for (index, row) in rows.iter().enumerate().skip(first) {
            let offset = index as i64;
            receive.record(Record { topic: 0, partition, offset, timestamp: offset, key: None, value: Some(row) });
        }
        receive.at_end(0, partition, rows.len() as i64);
        Ok(rows.len() - first)
    }
}

fn offset(position: &Position) -> usize {
    match position.start {
        Start::Offset(offset) => offset as usize,
        other => panic!("{other:?} is no offset"),
    }
}

fn away() -> BusError {
    BusError::Unavailable { operation: "read".to_owned(), message: "as the test says".to_owned() }
}

/// What the sink holds.
#[derive(Default)]
pub struct Held {
    pub taken: Vec<(Ticket, String)>,
    pub reports: Vec<Report>,
    pub generation: u64,
    pub room: usize,
    /// How far it looks back, if it does.
    pub look_back: Option<Duration>,
}

#[derive(Clone, Default)]
pub struct Holding(Arc<Mutex<Held>>);

impl Holding {
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// The receiver takes the rows with these numbers.
    pub fn settle(&self, numbers: &[usize], outcome: Outcome) {
        let mut held = self.held();
        let settled =
            numbers.iter().map(|number| Settlement { ticket: held.taken[*number].0, items: 1, outcome }).collect();
        let generation = held.generation;
        held.reports.push(Report { generation, settled, attempts: 2, failure: None, duration: Duration::from_secs(1) });
    }
}

impl Sink for Holding {
    fn start_at(&self) -> StartAt {
        self.held().look_back.map_or(StartAt::Committed, StartAt::Ago)
    }

    fn assigned(&mut self, _partitions: &[u32], generation: u64) {
        self.held().generation = generation;
    }

    fn take(&mut self, row: &Row<'_>, arrival: Arrival, _texts: &mut Texts) -> Taken {
        self.held().taken.push((arrival.ticket, row.target().to_owned()));
        Taken::Pending(1)
    }

    fn has_room(&mut self) -> bool {
        let held = self.held();
        held.taken.len() < held.room
    }

    fn collect(&mut self, reports: &mut Vec<Report>) {
        reports.append(&mut self.held().reports);
    }
}
