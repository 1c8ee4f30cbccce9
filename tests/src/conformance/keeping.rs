//! What a log deletes by itself: records that are older than their topic keeps them, and those that a later one replaces.

use std::thread;
use std::time::Duration;

use dbintel_bus::{NewTopic, Outgoing, Retention, Start};

use super::client::{Client, Deadline, Seen, producer, read_all, text};
use super::{BusUnderTest, LIMIT, Names};

const HOUR_MS: i64 = 3_600_000;
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

fn create(bus: &dyn BusUnderTest, names: &Names, retention: Retention) -> String {
    let name = names.name("kept");
    let topic = NewTopic { name: name.clone(), partitions: 1, retention, message_bytes_max: 1 << 20 };
    bus.bus().create_topics(&[topic]).expect("a topic is created");
    name
}

fn send(bus: &dyn BusUnderTest, topic: &str, records: &[(&str, &str, i64)]) {
    let producer = producer(bus);
    for (key, value, timestamp) in records {
        let record = Outgoing { timestamp: *timestamp, key: Some(key.as_bytes()), ..text(topic, 0, value) };
        producer.send(record).expect("a record is taken");
    }
    producer.flush(LIMIT).expect("records become durable");
}

#[expect(clippy::disallowed_methods, reason = "a real bus deletes by the time of day")]
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a time after 1970").as_millis()).expect("a time of this age")
}

pub(super) fn retention(bus: &dyn BusUnderTest, names: &Names) {
    let topic = create(bus, names, Retention::Time(Duration::from_secs(3_600)));
    let now = now_ms();
    send(bus, &topic, &[("a", "old", now - 3 * HOUR_MS), ("a", "older", now - 4 * HOUR_MS)]);
    let end = bus.bus().offsets(&topic, 0).expect("offsets").end;
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&topic]);
    let deadline = Deadline::after(LIMIT);
    while bus.bus().offsets(&topic, 0).expect("offsets").start < end {
        assert!(!deadline.passed(), "what is too old stays");
        bus.maintain(&topic);
        thread::sleep(PAUSE);
    }
    assert_eq!(read_all(bus, &topic, 0, Start::Beginning).records, []);
    send(bus, &topic, &[("a", "new", now), ("a", "newer", now + 1)]);
    for _ in 0..5 {
        bus.maintain(&topic);
        thread::sleep(PAUSE);
    }
    let kept = read_all(bus, &topic, 0, Start::Beginning);
    assert_eq!(kept.texts(), ["new", "newer"], "what is not too old stays");
    assert_eq!(kept.records[0].offset, end, "offsets go on");
    client.until("what is kept", |client| client.inbox.texts().ends_with(&["new".to_owned(), "newer".to_owned()]));
}

pub(super) fn compaction(bus: &dyn BusUnderTest, names: &Names) {
    let topic = create(bus, names, Retention::Compacted);
    let first = now_ms() - 100 * HOUR_MS;
    let records = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("b", "5"), ("d", "6")];
    let at = |number: usize| first + HOUR_MS * number as i64;
    let records: Vec<(&str, &str, i64)> =
        records.iter().enumerate().map(|(number, (key, value))| (*key, *value, at(number))).collect();
    send(bus, &topic, &records);
    let before = read_all(bus, &topic, 0, Start::Beginning).records;
    let expected: Vec<Seen> = [2, 3, 4, 5].map(|place: usize| before[place].clone()).to_vec();
    let deadline = Deadline::after(LIMIT);
    // A log may leave alone what it has only just written: others follow until it was compacted.
    for number in before.len().. {
        let last = number.to_string();
        send(bus, &topic, &[("last", &last, at(number))]);
        bus.maintain(&topic);
        let after = read_all(bus, &topic, 0, Start::Beginning).records;
        let of_others: Vec<Seen> = after.iter().filter(|seen| seen.key.as_deref() != Some(b"last")).cloned().collect();
        assert!(expected.iter().all(|seen| of_others.contains(seen)), "the last of each key stays: {of_others:?}");
        assert_eq!(after.last().expect("a record").text(), last);
        if of_others == expected {
            break;
        }
        assert!(!deadline.passed(), "what was replaced stays: {of_others:?}");
        thread::sleep(PAUSE);
    }
    // In front of what is gone one goes on behind it.
    let gone = before[0].offset;
    let read = read_all(bus, &topic, 0, Start::Offset(gone)).records;
    assert_eq!(read[..expected.len()], expected);
}
