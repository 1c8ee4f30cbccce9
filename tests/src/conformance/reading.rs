//! Where reading starts, stops and goes on.

use dbintel_bus::{Outgoing, Position, Start};

use super::client::{Client, Deadline, Inbox, producer, publish, read_all, reader, text};
use super::{BusUnderTest, LIMIT, Names};

const FIRST_TIMESTAMP: i64 = 1_700_000_000_000;
const STEP: i64 = 1_000;

pub(super) fn starts(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "starts", 1);
    let producer = producer(bus);
    for number in 0..10 {
        let value = number.to_string();
        let timestamp = FIRST_TIMESTAMP + STEP * number;
        producer.send(Outgoing { timestamp, ..text(&topic, 0, &value) }).expect("a record is taken");
        // So that they are not stored together.
        producer.flush(LIMIT).expect("records become durable");
    }
    let third = read_all(bus, &topic, 0, Start::Beginning).records[3].offset;
    let cases = [
        (Start::Beginning, 0),
        (Start::Offset(third), 3),
        (Start::Time(i64::MIN / 2), 0),
        (Start::Time(0), 0),
        (Start::Time(FIRST_TIMESTAMP), 0),
        (Start::Time(FIRST_TIMESTAMP + 1), 1),
        (Start::Time(FIRST_TIMESTAMP + 5 * STEP), 5),
        (Start::Time(FIRST_TIMESTAMP + 5 * STEP + 1), 6),
        (Start::Time(FIRST_TIMESTAMP + 9 * STEP), 9),
        (Start::Time(FIRST_TIMESTAMP + 9 * STEP + 1), 10),
        (Start::End, 10),
    ];
    for (start, first) in cases {
        if bus.kafka() && matches!(start, Start::Time(time) if time < 0) {
            continue;
        }
        let expected: Vec<String> = (first..10).map(|number: i32| number.to_string()).collect();
        assert_eq!(read_all(bus, &topic, 0, start).texts(), expected, "{start:?}");
    }
}

pub(super) fn at_end(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "ends", 1);
    let mut reader = reader(bus.bus(), &topic, 0, Start::Beginning);
    let mut inbox = Inbox::default();
    for round in 0..3 {
        let deadline = Deadline::after(LIMIT);
        while inbox.ends.len() <= round {
            assert!(!deadline.passed(), "end {round} was not told");
            reader.read(LIMIT, 10, &mut inbox).expect("a reader reads");
        }
        assert_eq!(inbox.records.len(), 2 * round, "the end comes after the records before it");
        let above = inbox.records.last().map_or(0, |seen| seen.offset + 1);
        assert!(inbox.ends[round].2 >= above);
        // Nothing new: it is not told again.
        reader.read(std::time::Duration::ZERO, 10, &mut inbox).expect("a reader reads");
        assert_eq!(inbox.ends.len(), round + 1);
        publish(bus, &topic, 0, &["one", "two"]);
    }
}

pub(super) fn pause_and_resume(bus: &dyn BusUnderTest, names: &Names) {
    let (first, second) = (names.topic(bus, "first", 2), names.topic(bus, "second", 2));
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&first, &second]);
    client.member.pause(&[0]).expect("a member pauses");
    for topic in [&first, &second] {
        publish(bus, topic, 0, &["paused"]);
        publish(bus, topic, 1, &["flowing"]);
    }
    client.receive(2);
    // Whatever is delivered next comes after what was sent before it.
    publish(bus, &first, 1, &["later"]);
    client.receive(3);
    assert!(client.inbox.records.iter().all(|seen| seen.partition == 1), "{:?}", client.inbox.records);
    client.inbox = Inbox::default();
    client.member.resume(&[0]).expect("a member resumes");
    client.receive(2);
    assert_eq!(client.inbox.texts(), ["paused", "paused"]);
}

pub(super) fn deleted_in_front(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "deleted", 1);
    publish(bus, &topic, 0, &["one", "two"]);
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&topic]);
    client.receive(2);
    for (published, kept) in [(vec!["three", "four", "five"], vec!["five"]), (vec!["six", "seven"], vec![])] {
        // Nothing is fetched meanwhile.
        client.member.pause(&[0]).expect("a member pauses");
        publish(bus, &topic, 0, &published);
        let records = read_all(bus, &topic, 0, Start::Beginning).records;
        let (gone, last) = (&records[records.len() - kept.len() - 1], &records[records.len() - 1]);
        bus.bus().trim(&topic, 0, gone.offset + 1).expect("a trim");
        client.inbox = Inbox::default();
        client.member.resume(&[0]).expect("a member resumes");
        client.until("the end", |client| client.inbox.ends.iter().any(|end| end.2 > last.offset));
        assert_eq!(client.inbox.texts(), kept);
    }
}

pub(super) fn pause_ends_with_the_assignment(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "paused", 1);
    let group = names.name("group");
    let mut first = Client::owner(bus, &group, "a", &[&topic]);
    first.member.pause(&[0]).expect("a member pauses");
    // The only partition goes back to the first member, or to the second one and from there to the first.
    let mut second = Client::join(bus, &group, "b", &[&topic]);
    let deadline = Deadline::after(LIMIT);
    while first.revoked.is_empty() || (first.owned.is_none() && second.owned.is_none()) {
        assert!(!deadline.passed(), "the group did not share its partition anew");
        first.turn();
        second.turn();
    }
    second.member.close().expect("a member closes");
    first.until("its partition", |client| client.owned == Some(vec![0]));
    publish(bus, &topic, 0, &["flowing"]);
    first.receive(1);
}

pub(super) fn seek(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "seek", 2);
    publish(bus, &topic, 0, &["one", "two", "three"]);
    publish(bus, &topic, 1, &["other"]);
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&topic]);
    client.receive(4);
    let offsets: Vec<i64> =
        client.inbox.records.iter().filter(|seen| seen.partition == 0).map(|seen| seen.offset).collect();
    let cases = [
        (Start::Offset(offsets[1]), vec!["two", "three"]),
        (Start::Beginning, vec!["one", "two", "three"]),
        (Start::Offset(offsets[2]), vec!["three"]),
    ];
    for (start, expected) in cases {
        client.inbox = Inbox::default();
        client.member.seek(&[Position { topic: topic.clone(), partition: 0, start }]).expect("a member seeks");
        client.receive(expected.len());
        assert_eq!(client.inbox.texts(), expected, "{start:?}");
    }
    client.inbox = Inbox::default();
    client.member.seek(&[Position { topic: topic.clone(), partition: 0, start: Start::End }]).expect("a member seeks");
    publish(bus, &topic, 0, &["four"]);
    client.receive(1);
    assert_eq!(client.inbox.texts(), ["four"]);
}
