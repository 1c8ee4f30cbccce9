//! What the tests of the embedded log share.

use std::ops::Range;
use std::time::Duration;

use dbintel_bus::embedded::Config;
use dbintel_bus::{
    Bus, Committed, GroupSpec, Isolation, Member, NewTopic, Outgoing, Polled, Position, ReaderSpec, Receive, Record,
    Retention, Start,
};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;

/// How long a test waits for what has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long a reader waits for a record before the test looks at its limit.
pub(crate) const READ_WAIT: Duration = Duration::from_secs(1);

pub(crate) fn config(scratch: &Scratch) -> Config {
    Config { directory: scratch.path().to_owned(), ..Config::default() }
}

pub(crate) fn create(bus: &dyn Bus, name: &str, retention: Retention) {
    let topic = NewTopic { name: name.to_owned(), partitions: 1, retention, message_bytes_max: 1 << 20 };
    bus.create_topics(&[topic]).unwrap();
}

/// A member that owns the one partition of a topic.
pub(crate) fn group(bus: &dyn Bus, name: &str, topic: &str) -> Box<dyn Member> {
    group_that_fetches(bus, name, topic, 1 << 20)
}

/// As [`group`], with a bound on what a poll brings.
pub(crate) fn group_that_fetches(bus: &dyn Bus, name: &str, topic: &str, fetch_bytes_max: usize) -> Box<dyn Member> {
    let mut member = bus
        .join(&GroupSpec {
            group: name.to_owned(),
            topics: vec![topic.to_owned()],
            changelog: None,
            slot: "0".into(),
            fetch_bytes_max,
        })
        .unwrap();
    assert_eq!(member.poll(LIMIT, 1, &mut |_: Record<'_>| {}).unwrap(), Polled::Assigned(vec![0]));
    member
}

pub(crate) fn position(topic: &str, next_offset: i64) -> Committed {
    Committed { topic: topic.to_owned(), partition: 0, next_offset, metadata: String::new() }
}

/// A record whose key is always the same and whose value is a number.
pub(crate) fn numbered<'a>(topic: &'a str, number: &'a str) -> Outgoing<'a> {
    Outgoing { topic, partition: 0, timestamp: 1_000, key: Some(b"key"), value: Some(number.as_bytes()), headers: &[] }
}

/// Sends numbers and waits until they are durable.
pub(crate) fn publish(bus: &dyn Bus, topic: &str, numbers: Range<i64>) {
    let producer = bus.producer().unwrap();
    numbers.for_each(|number| producer.send(numbered(topic, &number.to_string())).unwrap());
    producer.flush(LIMIT).unwrap();
}

/// The numbers in a topic, up to where it ends for now.
pub(crate) fn read(bus: &dyn Bus, topic: &str, start: Start) -> Vec<i64> {
    read_by(bus, topic, start, |record| record.value)
}

/// As [`read`], for records whose key is the number.
pub(crate) fn read_keys(bus: &dyn Bus, topic: &str) -> Vec<i64> {
    read_by(bus, topic, Start::Beginning, |record| record.key)
}

fn read_by(bus: &dyn Bus, topic: &str, start: Start, text: fn(Record<'_>) -> Option<&[u8]>) -> Vec<i64> {
    let partitions = vec![Position { topic: topic.to_owned(), partition: 0, start }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut numbers = Numbers { text, numbers: Vec::new(), ended: false };
    wait::blocking(LIMIT, &format!("the end of {topic}"), || {
        reader.read(READ_WAIT, 1_000, &mut numbers).unwrap();
        numbers.ended.then_some(())
    });
    numbers.numbers
}

struct Numbers {
    text: fn(Record<'_>) -> Option<&[u8]>,
    numbers: Vec<i64>,
    ended: bool,
}

impl Receive for Numbers {
    fn record(&mut self, record: Record<'_>) {
        let text = std::str::from_utf8((self.text)(record).unwrap()).unwrap();
        self.numbers.push(text.parse().unwrap());
    }

    fn at_end(&mut self, _: usize, _: u32, _: i64) {
        self.ended = true;
    }
}
