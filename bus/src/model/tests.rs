//! What the model does to a member whose requests go wrong.

use std::collections::VecDeque;

use super::*;
use crate::{CommitError, Isolation, Member, Polled, Position, ReaderSpec, Record, Retention, Start};

const INPUT: &str = "input";
const OUTPUT: &str = "output";
const GROUP: &str = "group";

/// The fates of the next commits; everything else goes well.
struct OfCommits(VecDeque<Fate>);

impl Script for OfCommits {
    fn fate(&mut self, request: Request<'_>) -> Fate {
        if request.step == Step::Commit { self.0.pop_front().unwrap_or(Fate::Done) } else { Fate::Done }
    }
}

fn model(fates: &[Fate]) -> Model {
    let config = Config { pending_timeout: Duration::from_secs(1), ..Config::default() };
    let model = Model::scripted(config, Box::new(OfCommits(fates.iter().copied().collect())));
    let topic = |name: &str| NewTopic {
        name: name.to_owned(),
        partitions: 1,
        retention: Retention::Unlimited,
        message_bytes_max: 1000,
    };
    model.create_topics(&[topic(INPUT), topic(OUTPUT)]).unwrap();
    model
}

fn owner(model: &Model, slot: &str) -> Box<dyn Member> {
    let spec = GroupSpec {
        group: GROUP.to_owned(),
        topics: vec![INPUT.to_owned()],
        changelog: None,
        slot: slot.into(),
        fetch_bytes_max: 1000,
    };
    let mut member = model.join(&spec).unwrap();
    let polled = member.poll(Duration::ZERO, 1, &mut |_: Record<'_>| {}).unwrap();
    assert_eq!(polled, Polled::Assigned(vec![0]));
    member
}

fn send(member: &mut dyn Member, value: &str) {
    let record =
        Outgoing { topic: OUTPUT, partition: 0, timestamp: 0, key: None, value: Some(value.as_bytes()), headers: &[] };
    member.send(record).unwrap();
}

fn at(next_offset: i64) -> Vec<Committed> {
    vec![Committed { topic: INPUT.to_owned(), partition: 0, next_offset, metadata: String::new() }]
}

/// What readers of committed records see, and the committed position.
fn seen(model: &Model) -> (Vec<String>, Option<i64>) {
    let partitions = vec![Position { topic: OUTPUT.to_owned(), partition: 0, start: Start::Beginning }];
    let mut reader = model.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut values = Vec::new();
    let mut take = |record: Record<'_>| values.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
    reader.read(Duration::ZERO, 100, &mut take).unwrap();
    let committed = model.committed(GROUP, &[INPUT.to_owned()]).unwrap();
    (values, committed.first().map(|position| position.next_offset))
}

fn values(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

#[test]
fn a_commit_without_an_answer_is_one_and_a_refused_one_is_none() {
    time::simulate(|| {
        let model = model(&[Fate::Unanswered, Fate::Refused]);
        let mut member = owner(&model, "a");
        send(&mut *member, "one");
        let unknown = member.commit(&at(1)).unwrap_err();
        assert!(matches!(unknown, CommitError::Bus(BusError::Fenced { .. })), "{unknown}");
        assert_eq!(seen(&model), (values(&["one"]), Some(1)));
        send(&mut *member, "two");
        let refused = member.commit(&at(2)).unwrap_err();
        assert!(matches!(refused, CommitError::Bus(BusError::Unavailable { .. })), "{refused}");
        assert_eq!(seen(&model), (values(&["one"]), Some(1)));
    });
}

#[test]
fn a_late_commit_holds_unless_its_writer_has_come_again() {
    time::simulate(|| {
        for comes_again in [false, true] {
            let model = model(&[Fate::Late]);
            let mut member = owner(&model, "a");
            send(&mut *member, "one");
            member.commit(&at(1)).unwrap_err();
            assert_eq!(seen(&model), (values(&[]), None), "it has not arrived");
            let pending = member.committed(&[0]).unwrap_err();
            assert!(pending.to_string().contains("pending"), "{pending}");
            let again = comes_again.then(|| owner(&model, "a"));
            model.deliver_late();
            let expected = if comes_again { (values(&[]), None) } else { (values(&["one"]), Some(1)) };
            assert_eq!(seen(&model), expected, "{comes_again}");
            drop(again);
        }
    });
}

#[test]
fn what_a_killed_member_has_open_holds_readers_until_its_time_is_over() {
    time::simulate(|| {
        let model = model(&[]);
        let mut killed = owner(&model, "a");
        send(&mut *killed, "of the killed");
        drop(killed);
        let plain = model.producer().unwrap();
        let record =
            Outgoing { topic: OUTPUT, partition: 0, timestamp: 0, key: None, value: Some(b"behind it"), headers: &[] };
        plain.send(record).unwrap();
        assert_eq!(seen(&model).0, values(&[]));
        let offsets = model.offsets(OUTPUT, 0).unwrap();
        assert_eq!((offsets.stable_end, offsets.end), (0, 2));
        time::sleep(Config::default().transaction_timeout);
        assert_eq!(seen(&model).0, values(&["behind it"]));
        let offsets = model.offsets(OUTPUT, 0).unwrap();
        assert_eq!((offsets.stable_end, offsets.end), (3, 3), "a marker was written");
    });
}

#[test]
fn a_member_whose_transaction_was_open_for_too_long_is_fenced() {
    time::simulate(|| {
        let model = model(&[]);
        let mut slow = owner(&model, "a");
        send(&mut *slow, "one");
        time::sleep(Config::default().transaction_timeout);
        let fenced = slow.commit(&at(1)).unwrap_err();
        assert!(matches!(fenced, CommitError::Fenced(_)), "{fenced}");
        assert_eq!(seen(&model), (values(&[]), None));
    });
}

#[test]
fn compaction_keeps_the_last_committed_record_of_each_key() {
    time::simulate(|| {
        let model = model(&[]);
        let topic = NewTopic {
            name: "compacted".to_owned(),
            partitions: 1,
            retention: Retention::Compacted,
            message_bytes_max: 1000,
        };
        model.create_topics(&[topic]).unwrap();
        let record = |key: &'static str, value: &'static str| Outgoing {
            topic: "compacted",
            partition: 0,
            timestamp: 0,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        let mut member = owner(&model, "a");
        for (value, is_kept) in [("one", true), ("two", true), ("aborted", false)] {
            member.send(record("key", value)).unwrap();
            member.send(record(value, value)).unwrap();
            if is_kept { drop(member.commit(&[]).unwrap()) } else { member.abort().unwrap() }
        }
        member.send(record("key", "open")).unwrap();
        model.compact("compacted").unwrap();
        let partitions = vec![Position { topic: "compacted".to_owned(), partition: 0, start: Start::Beginning }];
        let mut found = Vec::new();
        for isolation in [Isolation::Committed, Isolation::Uncommitted] {
            let mut reader = model.reader(&ReaderSpec { partitions: partitions.clone(), isolation }).unwrap();
            let mut take = |record: Record<'_>| found.push(String::from_utf8_lossy(record.value.unwrap()).into_owned());
            reader.read(Duration::ZERO, 100, &mut take).unwrap();
        }
        assert_eq!(found, values(&["one", "two", "two", "one", "two", "two", "open"]));
    });
}
