//! The loop against a log and a sink that do what the test says, one turn at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use dbintel_bus::{
    Bus, NewTopic, Offsets, Outgoing, Producer, Reader, ReaderSpec, Receipt, Receive, Record, SendError,
    TopicDescription,
};
use dbintel_schemas::Record as _;
use dbintel_schemas::records::EnrichedQuery;
use dbintel_schemas::wire::{Framing, unframe, write};
use prometheus::Registry;

use super::*;
use crate::delivery::{Arrival, Outcome, Row, Settlement, Taken, Ticket};

/// What the log holds and did.
#[derive(Default)]
struct World {
    rows: Vec<Vec<u8>>,
    next: usize,
    events: VecDeque<Polled>,
    committed: BTreeMap<u32, i64>,
    commit_errors: VecDeque<CommitError>,
    starts: Vec<Start>,
    paused: bool,
    /// Records of the open transaction, and those of committed ones.
    open: Vec<Vec<u8>>,
    exports: Vec<Vec<u8>>,
    released: usize,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl Bus for Fake {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        panic!("not asked for")
    }

    fn join(&self, _group: &GroupSpec) -> Result<Box<dyn Member>, BusError> {
        panic!("not asked for")
    }

    fn reader(&self, _reader: &ReaderSpec) -> Result<Box<dyn Reader>, BusError> {
        Err(BusError::Fatal { operation: "read".to_owned(), message: "there is no such topic".to_owned() })
    }

    fn create_topics(&self, _topics: &[NewTopic]) -> Result<Vec<String>, BusError> {
        panic!("not asked for")
    }

    fn describe_topics(&self, _prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        panic!("not asked for")
    }

    fn offsets(&self, _topic: &str, _partition: u32) -> Result<Offsets, BusError> {
        panic!("not asked for")
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
        let first = world.next;
        let rows: Vec<Vec<u8>> = world.rows.iter().skip(first).take(limit).cloned().collect();
        world.next += rows.len();
        let is_at_end = world.next == world.rows.len();
        drop(world);
        for (index, row) in rows.iter().enumerate() {
            let offset = (first + index) as i64;
            receive.record(Record { topic: 0, partition: 3, offset, timestamp: 1, key: None, value: Some(row) });
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
        world.next = match world.starts[0] {
            Start::Offset(offset) => offset as usize,
            _ => 0,
        };
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

    fn seek(&mut self, _positions: &[Position]) -> Result<(), BusError> {
        panic!("not asked for")
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

/// What the sink holds.
#[derive(Default)]
struct Held {
    taken: Vec<(Ticket, String)>,
    reports: Vec<Report>,
    generation: u64,
    room: usize,
}

#[derive(Clone, Default)]
struct Holding(Arc<Mutex<Held>>);

impl Holding {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// The receiver takes the rows with these numbers.
    fn settle(&self, numbers: &[usize], outcome: Outcome) {
        let mut held = self.held();
        let settled =
            numbers.iter().map(|number| Settlement { ticket: held.taken[*number].0, items: 1, outcome }).collect();
        let generation = held.generation;
        held.reports.push(Report { generation, settled, attempts: 2, failure: None, duration: Duration::from_secs(1) });
    }
}

impl Sink for Holding {
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

struct Rig {
    pump: Pump,
    member: Fake,
    sink: Holding,
}

impl Rig {
    fn new(rows: Vec<Vec<u8>>) -> Self {
        let (member, sink) = (Fake::default(), Holding::default());
        sink.held().room = usize::MAX;
        member.world().rows = rows;
        member.world().events.push_back(Polled::Assigned(vec![3]));
        let settings = Settings {
            id: "otlp".to_owned(),
            topics: vec![Topic::EnrichedQueries],
            pipelines: vec!["wanted".to_owned()],
            slot: "0".to_owned(),
            texts: true,
            framings: Framings::single_object(),
        };
        let metrics = Metrics::new(&Registry::new(), "otlp");
        let flag = || Arc::new(AtomicBool::new(false));
        let sources = Sources { bus: Arc::new(member.clone()), registry: None };
        let pump = Pump::new(settings, sources, Box::new(sink.clone()), metrics, flag(), flag());
        Rig { pump, member, sink }
    }

    fn step(&mut self) {
        self.pump.step(&mut self.member).unwrap();
    }

    /// Turns of the loop after which a commit is due.
    fn commit(&mut self) {
        self.step();
        self.pump.commit(&mut self.member).unwrap();
    }

    fn committed(&self) -> Option<i64> {
        self.member.world().committed.get(&3).copied()
    }
}

fn row(pipeline: &str, target: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write(&EnrichedQuery { pipeline, target, ..EnrichedQuery::default() }, Framing::SingleObject, &mut out);
    out
}

fn rows(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| row("wanted", &format!("t{index}"))).collect()
}

fn export(bytes: &[u8]) -> Export<'_> {
    Export::decode(unframe(bytes).unwrap().1).unwrap()
}

#[test]
fn only_what_is_settled_is_committed_and_recorded() {
    let mut rig = Rig::new(rows(4));
    for _ in 0..3 {
        rig.step();
    }
    assert_eq!(rig.sink.held().taken.len(), 4);
    assert_eq!(rig.member.world().starts, [Start::Beginning]);
    rig.sink.settle(&[1, 2], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), None);
    rig.sink.settle(&[0], Outcome::Rejected("invalid_argument"));
    rig.commit();
    assert_eq!(rig.committed(), Some(3));
    let world = rig.member.world();
    let record = export(&world.exports[0]);
    assert_eq!((record.sink, record.topic, record.partition), ("otlp", "enriched.queries", 3));
    assert_eq!((record.first_offset, record.next_offset), (0, 3));
    assert_eq!((record.accepted, record.rejected, record.skipped), (2, 1, 0));
    assert_eq!((record.attempts, record.error_class), (4, Some("invalid_argument")));
}

#[test]
fn rows_of_other_pipelines_and_undecodable_ones_are_passed_over_and_counted() {
    let mut rig = Rig::new(vec![row("other", "a"), b"\xc3\x01garbage".to_vec(), row("wanted", "b"), Vec::new()]);
    for _ in 0..3 {
        rig.step();
    }
    let taken: Vec<String> = rig.sink.held().taken.iter().map(|(_, target)| target.clone()).collect();
    assert_eq!(taken, ["b"]);
    rig.sink.settle(&[0], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), Some(4));
    let world = rig.member.world();
    let record = export(&world.exports[0]);
    assert_eq!((record.accepted, record.rejected, record.skipped), (1, 2, 1));
    assert_eq!(rig.pump.metrics.undecodable.get(), 2);
}

#[test]
fn a_full_sink_pauses_the_partitions_until_it_has_room() {
    let mut rig = Rig::new(rows(1));
    rig.sink.held().room = 1;
    for _ in 0..3 {
        rig.step();
    }
    rig.step();
    assert!(rig.member.world().paused);
    assert_eq!(rig.pump.metrics.paused.get(), 1);
    rig.member.world().rows.push(row("wanted", "late"));
    rig.step();
    assert_eq!(rig.sink.held().taken.len(), 1);
    rig.sink.held().room = 2;
    rig.step();
    assert_eq!((rig.member.world().paused, rig.pump.metrics.paused.get()), (false, 0));
    assert_eq!(rig.sink.held().taken.len(), 2);
}

#[test]
fn too_many_open_rows_pause_the_partitions_too() {
    let mut rig = Rig::new(rows(OPEN_ROWS_MAX + 2 * POLL_ROWS_MAX));
    for _ in 0..2 * OPEN_ROWS_MAX / POLL_ROWS_MAX {
        rig.step();
    }
    assert!(rig.member.world().paused);
    assert!(rig.pump.tracker.open_rows() < OPEN_ROWS_MAX + POLL_ROWS_MAX);
}

#[test]
fn partitions_are_given_back_with_what_is_settled_and_read_again_from_there() {
    let mut rig = Rig::new(rows(3));
    for _ in 0..3 {
        rig.step();
    }
    rig.sink.settle(&[0, 1], Outcome::Accepted);
    rig.member.world().events.push_back(Polled::Revoked { lost: false });
    rig.step();
    assert_eq!((rig.committed(), rig.member.world().released), (Some(2), 1));
    // An answer that comes too late belongs to nobody.
    let stale = rig.sink.held().taken[2].0;
    let settled = vec![Settlement { ticket: stale, items: 1, outcome: Outcome::Accepted }];
    let report = Report { generation: 1, settled, attempts: 1, failure: None, duration: Duration::ZERO };
    rig.member.world().events.push_back(Polled::Assigned(vec![3]));
    rig.step();
    rig.step();
    assert_eq!(rig.member.world().starts, [Start::Offset(2)]);
    assert_eq!(rig.sink.held().taken.len(), 4, "the open row is delivered again");
    rig.sink.held().reports.push(report);
    rig.commit();
    assert_eq!(rig.committed(), Some(2));
    rig.sink.settle(&[3], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), Some(3));
}

#[test]
fn lost_partitions_are_not_committed() {
    let mut rig = Rig::new(rows(1));
    for _ in 0..3 {
        rig.step();
    }
    rig.sink.settle(&[0], Outcome::Accepted);
    rig.member.world().events.push_back(Polled::Revoked { lost: true });
    rig.step();
    assert_eq!((rig.committed(), rig.member.world().released), (None, 1));
}

#[test]
fn a_commit_that_fails_is_made_up_for_by_the_next_one() {
    let mut rig = Rig::new(rows(2));
    for _ in 0..3 {
        rig.step();
    }
    rig.sink.settle(&[0], Outcome::Accepted);
    rig.member.world().commit_errors.push_back(CommitError::Aborted("the broker was restarted".to_owned()));
    rig.commit();
    assert_eq!((rig.committed(), rig.member.world().exports.len()), (None, 0));
    rig.sink.settle(&[1], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), Some(2));
    let world = rig.member.world();
    let record = export(&world.exports[0]);
    assert_eq!((world.exports.len(), record.first_offset, record.next_offset, record.accepted), (1, 0, 2, 2));
}
