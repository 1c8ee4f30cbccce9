//! The loop against a log and a sink that do what the test says, one turn at a time.

mod fake;

use dbintel_schemas::Record as _;
use dbintel_schemas::records::{EnrichedQuery, SchemaEntry};
use dbintel_schemas::wire::{Framing, InsertError, Schemas, unframe, write};
use prometheus::Registry;

use super::*;
use crate::delivery::{Outcome, Settlement};
use fake::{Fake, Holding};

struct Rig {
    pump: Pump,
    member: Fake,
    sink: Holding,
}

impl Rig {
    fn new(rows: Vec<Vec<u8>>) -> Self {
        Rig::starting(FirstStart::Beginning, rows)
    }

    fn starting(start_at: FirstStart, rows: Vec<Vec<u8>>) -> Self {
        let (member, sink) = (Fake::default(), Holding::default());
        sink.held().room = usize::MAX;
        member.world().rows = rows;
        member.world().events.push_back(Polled::Assigned(vec![3]));
        let settings = Settings {
            id: "otlp".to_owned(),
            topics: vec![Topic::EnrichedQueries],
            selection: Selection::of_pipelines(vec!["wanted".to_owned()]),
            slot: "0".into(),
            texts: true,
            framings: Framings::single_object(),
            start_at,
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
    assert_eq!((rig.committed(), rig.member.world().starts.clone()), (Some(0), vec![Start::Offset(0)]));
    rig.sink.settle(&[1, 2], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), Some(0));
    rig.sink.settle(&[0], Outcome::Rejected("invalid_argument"));
    rig.commit();
    assert_eq!(rig.committed(), Some(3));
    let world = rig.member.world();
    let record = export(&world.exports[1]);
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
    let record = export(&world.exports[1]);
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
    assert_eq!((rig.committed(), rig.member.world().released), (Some(0), 1));
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
    assert_eq!((rig.committed(), rig.member.world().exports.len()), (Some(0), 1));
    rig.sink.settle(&[1], Outcome::Accepted);
    rig.commit();
    assert_eq!(rig.committed(), Some(2));
    let world = rig.member.world();
    let record = export(&world.exports[1]);
    assert_eq!((world.exports.len(), record.first_offset, record.next_offset, record.accepted), (2, 0, 2, 2));
}

#[test]
fn where_a_new_sink_begins_is_committed_before_anything_is_read() {
    let cases = [(FirstStart::Now, 10), (FirstStart::Beginning, 0), (FirstStart::Ago(Duration::from_secs(3600)), 6)];
    for (start_at, expected) in cases {
        let mut rig = Rig::starting(start_at, rows(10));
        // The seventh row is an hour old, or a moment less.
        rig.member.world().first_at = clock::wall_us() / 1000 - 3_600_000 - 6;
        rig.member.world().commit_errors.push_back(CommitError::Aborted("the broker was restarted".to_owned()));
        rig.step();
        assert!(rig.pump.step(&mut rig.member).is_err(), "nothing begins before its place is committed");
        assert_eq!((rig.committed(), rig.member.world().starts.len()), (None, 0), "{start_at:?}");
        rig.step();
        let begun = rig.committed().unwrap();
        assert!((expected..=expected + 3).contains(&begun), "{start_at:?}: {begun}");
        assert_eq!(rig.member.world().starts, [Start::Offset(begun)], "{start_at:?}");
        assert_eq!(rig.pump.metrics.passed_over.get() as i64, begun, "{start_at:?}");
        let world = rig.member.world();
        let record = export(&world.exports[0]);
        assert_eq!((record.first_offset, record.next_offset, record.error_class), (begun, begun, None));
    }
}

#[test]
fn what_retention_deleted_is_counted_recorded_and_left_behind() {
    let mut rig = Rig::new(rows(10));
    rig.member.world().first = 7;
    rig.member.world().committed.insert(3, 2);
    rig.step();
    rig.step();
    let world = rig.member.world();
    assert_eq!((world.starts.clone(), world.committed[&3]), (vec![Start::Offset(7)], 7));
    assert_eq!((rig.pump.metrics.expired.get(), rig.pump.metrics.passed_over.get()), (5, 0));
    let record = export(&world.exports[0]);
    assert_eq!((record.first_offset, record.next_offset, record.error_class), (2, 7, Some("expired")));
}

#[test]
fn a_store_in_memory_is_filled_from_before_the_position_and_says_what_it_passes_over() {
    for (committed, first, settled) in [(8, 4, 8), (1, 4, 4)] {
        let mut rig = Rig::new(rows(10));
        rig.sink.held().look_back = Some(Duration::from_secs(3600));
        rig.member.world().first_at = clock::wall_us() / 1000 - 3_600_000 - 4 + 60_000;
        rig.member.world().first = first;
        rig.member.world().committed.insert(3, committed);
        rig.step();
        rig.step();
        assert_eq!(rig.member.world().starts, [Start::Offset(first as i64)]);
        assert_eq!(rig.committed(), Some(settled));
        assert_eq!(rig.pump.metrics.expired.get() as i64, settled - committed);
    }
}

/// The schema of another release, whose last field takes no bytes, and its fingerprint.
fn foreign_schema() -> (String, u64) {
    let (fields, _) = EnrichedQuery::SCHEMA.rsplit_once(']').unwrap();
    let schema = format!(r#"{fields}, {{"name": "novelty", "type": "null"}}]}}"#);
    match Schemas::new().insert_fingerprint(0, &schema) {
        Err(InsertError::WrongFingerprint { found, .. }) => (schema, found),
        other => panic!("{other:?}"),
    }
}

fn foreign_row(target: &str) -> Vec<u8> {
    let mut bytes = row("wanted", target);
    bytes[2..10].copy_from_slice(&foreign_schema().1.to_le_bytes());
    bytes
}

/// What the other release left in the `schemas` topic.
fn foreign_entry() -> Vec<u8> {
    let (schema, fingerprint) = foreign_schema();
    let fingerprint = fingerprint.cast_signed();
    let entry = SchemaEntry { fingerprint, name: "dbintel.EnrichedQuery", schema: &schema, writer_version: "9" };
    let mut bytes = Vec::new();
    write(&entry, Framing::SingleObject, &mut bytes);
    bytes
}

#[test]
fn rows_wait_while_nobody_can_be_asked_for_their_schema() {
    let mut rig = Rig::new(vec![row("wanted", "a"), foreign_row("b"), row("wanted", "c")]);
    rig.step();
    for _ in 0..3 {
        assert!(rig.pump.step(&mut rig.member).is_err());
        assert_eq!(rig.pump.tracker.open_rows(), 1, "only the row before it is taken");
    }
    assert!(rig.pump.metrics.lag.get() > 0.0);
    rig.sink.settle(&[0], Outcome::Accepted);
    rig.member.world().schemas = Some(vec![foreign_entry()]);
    rig.step();
    let taken: Vec<String> = rig.sink.held().taken.iter().map(|(_, target)| target.clone()).collect();
    assert_eq!(taken, ["a", "b", "c"]);
    assert_eq!((rig.pump.metrics.undecodable.get(), rig.member.world().seeks), (0, 3));
}

#[test]
fn a_schema_that_is_nowhere_is_asked_for_again_later() {
    let mut rig = Rig::new(vec![foreign_row("a")]);
    rig.member.world().schemas = Some(Vec::new());
    for _ in 0..2 {
        rig.step();
    }
    assert_eq!((rig.pump.metrics.undecodable.get(), rig.pump.tracker.open_rows()), (1, 0));
    rig.member.world().schemas = Some(vec![foreign_entry()]);
    rig.pump.decoder.missing.values_mut().for_each(|until| *until = clock::now());
    rig.member.world().rows.push(foreign_row("b"));
    rig.step();
    assert_eq!((rig.pump.metrics.undecodable.get(), rig.sink.held().taken.len()), (1, 1));
}

#[test]
fn readiness_comes_back_with_the_first_turn_that_works() {
    let rig = Rig::new(rows(1));
    let (ready, stop) = (Arc::clone(&rig.pump.ready), Arc::clone(&rig.pump.stop));
    let member = rig.member.clone();
    let thread = std::thread::spawn(move || rig.pump.run());
    let wait_for = |expected: bool, what: &str| {
        let started = clock::now();
        while ready.load(Ordering::Relaxed) != expected {
            assert!(clock::now().duration_since(started) < Duration::from_secs(10), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait_for(true, "it begins");
    member.world().rows.push(foreign_row("a"));
    wait_for(false, "the schemas topic is away");
    member.world().schemas = Some(vec![foreign_entry()]);
    wait_for(true, "the schemas topic is back");
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap().unwrap();
}

#[test]
fn lag_is_the_age_of_the_oldest_open_row() {
    let mut rig = Rig::new(rows(2));
    rig.member.world().first_at = clock::wall_us() / 1000 - 60_000;
    for _ in 0..3 {
        rig.step();
    }
    let lag = rig.pump.metrics.lag.get();
    assert!((60.0..90.0).contains(&lag), "{lag}");
    rig.sink.settle(&[0, 1], Outcome::Accepted);
    rig.step();
    assert_eq!(rig.pump.metrics.lag.get(), 0.0);
}

#[test]
fn a_member_that_can_commit_nothing_more_is_replaced() {
    let mut rig = Rig::new(rows(1));
    let why = || BusError::Fenced { operation: "commit".to_owned(), message: "another one has the slot".to_owned() };
    for _ in 0..2 {
        rig.step();
    }
    rig.sink.settle(&[0], Outcome::Accepted);
    rig.member.world().commit_errors.push_back(CommitError::Bus(why()));
    rig.pump.committed_at = clock::now() - COMMIT_INTERVAL;
    assert!(matches!(rig.pump.step(&mut rig.member), Err(BusError::Fenced { .. })));
    let mut member = rig.pump.join_again(Box::new(rig.member.clone()), &why()).unwrap();
    assert!(!rig.pump.delivering);
    for _ in 0..2 {
        rig.pump.step(member.as_mut()).unwrap();
    }
    assert_eq!((rig.member.world().starts.clone(), rig.sink.held().taken.len()), (vec![Start::Offset(0)], 2));
}
