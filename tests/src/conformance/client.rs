//! A small client: keeps what it receives and answers assignments, so that the cases read as what they are about.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dbintel_bus::{
    Bus, Committed, GroupSpec, Isolation, Member, Outgoing, Polled, Position, Producer, Reader, ReaderSpec, Receive,
    Record, Start,
};

use super::{BusUnderTest, LIMIT};

/// How long one poll waits.
const TURN: Duration = Duration::from_millis(50);
const POLL_RECORDS_MAX: usize = 100;

/// A moment by which something has to have happened.
pub(super) struct Deadline(Instant);

impl Deadline {
    /// In `limit` from now.
    #[expect(clippy::disallowed_methods, reason = "a real bus is waited for in real time")]
    pub fn after(limit: Duration) -> Deadline {
        Deadline(Instant::now() + limit)
    }

    #[expect(clippy::disallowed_methods, reason = "a real bus is waited for in real time")]
    pub fn passed(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// A record that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub topic: usize,
    pub partition: u32,
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Seen {
    /// The value as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// What was received: records, and ends as (topic, partition, next offset).
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub records: Vec<Seen>,
    pub ends: Vec<(usize, u32, i64)>,
}

impl Inbox {
    pub fn texts(&self) -> Vec<String> {
        self.records.iter().map(Seen::text).collect()
    }
}

impl Receive for Inbox {
    fn record(&mut self, record: Record<'_>) {
        self.records.push(Seen {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
        });
    }

    fn at_end(&mut self, topic: usize, partition: u32, next_offset: i64) {
        self.ends.push((topic, partition, next_offset));
    }
}

/// A member that takes what it is given and starts at its committed positions, or at the beginning.
pub(super) struct Client {
    pub member: Box<dyn Member>,
    pub inbox: Inbox,
    pub owned: Option<Vec<u32>>,
    /// Revocations seen, with whether the partitions were lost.
    pub revoked: Vec<bool>,
    topics: Vec<String>,
}

impl Client {
    /// Joins a group.
    pub fn join(bus: &dyn BusUnderTest, group: &str, slot: &str, topics: &[&str]) -> Client {
        Client::join_as(bus, &group_spec(group, slot, topics))
    }

    /// Joins a group with settings of the case's own.
    pub fn join_as(bus: &dyn BusUnderTest, spec: &GroupSpec) -> Client {
        let member = bus.bus().join(spec).expect("a member joins");
        Client { member, inbox: Inbox::default(), owned: None, revoked: Vec::new(), topics: spec.topics.clone() }
    }

    /// Joins and waits for partitions.
    pub fn owner(bus: &dyn BusUnderTest, group: &str, slot: &str, topics: &[&str]) -> Client {
        let mut client = Client::join(bus, group, slot, topics);
        client.until("an assignment", |client| client.owned.is_some());
        client
    }

    /// Polls once.
    pub fn turn(&mut self) -> Polled {
        self.turn_within(TURN)
    }

    /// Polls once, waiting for at most `timeout`.
    pub fn turn_within(&mut self, timeout: Duration) -> Polled {
        let polled = self.member.poll(timeout, POLL_RECORDS_MAX, &mut self.inbox).expect("a poll works");
        match &polled {
            Polled::Assigned(partitions) => {
                let positions = self.positions(partitions);
                self.member.start(&positions).expect("reading starts");
                self.owned = Some(partitions.clone());
            }
            Polled::Revoked { lost } => {
                self.member.release().expect("partitions are given back");
                self.owned = None;
                self.revoked.push(*lost);
            }
            Polled::Records(_) => {}
        }
        polled
    }

    /// Polls until `done`.
    pub fn until(&mut self, what: &str, done: impl Fn(&Client) -> bool) {
        let deadline = Deadline::after(LIMIT);
        while !done(self) {
            assert!(!deadline.passed(), "{what} did not come; received: {:?}", self.inbox);
            self.turn();
        }
    }

    /// Polls until this many records came.
    pub fn receive(&mut self, records: usize) {
        self.until(&format!("{records} records"), |client| client.inbox.records.len() >= records);
    }

    /// Goes back to the committed positions, as after a failed commit.
    pub fn go_back(&mut self) {
        self.inbox = Inbox::default();
        let positions = self.positions(&self.owned.clone().expect("partitions are owned"));
        self.member.seek(&positions).expect("a member seeks");
    }

    fn positions(&mut self, partitions: &[u32]) -> Vec<Position> {
        let committed = self.member.committed(partitions).expect("positions are read");
        let start = |topic: &String, partition: u32| {
            let found = committed.iter().find(|at| at.topic == *topic && at.partition == partition);
            found.map_or(Start::Beginning, |at| Start::Offset(at.next_offset))
        };
        let each = self.topics.iter().flat_map(|topic| partitions.iter().map(move |partition| (topic, *partition)));
        each.map(|(topic, partition)| Position { topic: topic.clone(), partition, start: start(topic, partition) })
            .collect()
    }
}

/// Settings of a member.
pub(super) fn group_spec(group: &str, slot: &str, topics: &[&str]) -> GroupSpec {
    GroupSpec {
        group: group.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        changelog: None,
        slot: slot.into(),
        fetch_bytes_max: 4 << 20,
    }
}

/// A record of text.
pub(super) fn text<'a>(topic: &'a str, partition: u32, value: &'a str) -> Outgoing<'a> {
    Outgoing { topic, partition, timestamp: 1_000, key: Some(b"key"), value: Some(value.as_bytes()), headers: &[] }
}

/// A committed position without metadata.
pub(super) fn position(topic: &str, partition: u32, next_offset: i64) -> Committed {
    Committed { topic: topic.to_owned(), partition, next_offset, metadata: String::new() }
}

/// Sends texts outside of transactions and waits until they are durable.
pub(super) fn publish(bus: &dyn BusUnderTest, topic: &str, partition: u32, values: &[&str]) {
    let producer = producer(bus);
    for value in values {
        producer.send(text(topic, partition, value)).expect("a record is taken");
    }
    producer.flush(LIMIT).expect("records become durable");
}

/// A producer.
pub(super) fn producer(bus: &dyn BusUnderTest) -> Arc<dyn Producer> {
    bus.bus().producer().expect("a producer is made")
}

/// A reader of one partition that sees committed records only.
pub(super) fn reader(bus: &dyn Bus, topic: &str, partition: u32, start: Start) -> Box<dyn Reader> {
    let partitions = vec![Position { topic: topic.to_owned(), partition, start }];
    bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).expect("a reader is made")
}

/// Everything in a partition from `start` up to where it ends for now.
pub(super) fn read_all(bus: &dyn BusUnderTest, topic: &str, partition: u32, start: Start) -> Inbox {
    let mut reader = reader(bus.bus(), topic, partition, start);
    let mut inbox = Inbox::default();
    let deadline = Deadline::after(LIMIT);
    while inbox.ends.is_empty() {
        assert!(!deadline.passed(), "the end of {topic} {partition} was not told");
        reader.read(TURN, POLL_RECORDS_MAX, &mut inbox).expect("a reader reads");
    }
    inbox
}

/// Waits until a broker has something on a partition, committed or not; other logs get a transaction when it ends.
pub(super) fn reaches(bus: &dyn BusUnderTest, topic: &str, partition: u32) {
    let deadline = Deadline::after(LIMIT);
    while bus.kafka() && bus.bus().offsets(topic, partition).expect("offsets").end == 0 {
        assert!(!deadline.passed(), "nothing reaches {topic} {partition}");
        thread::yield_now();
    }
}

/// Waits until no transaction is open on a partition. A commit is true when it returns, and brokers tell readers a moment
/// later.
pub(super) fn settled(bus: &dyn BusUnderTest, topic: &str, partition: u32) {
    let deadline = Deadline::after(LIMIT);
    loop {
        let offsets = bus.bus().offsets(topic, partition).expect("offsets");
        if offsets.stable_end == offsets.end {
            return;
        }
        assert!(!deadline.passed(), "a transaction on {topic} {partition} stays open");
        thread::yield_now();
    }
}

/// The texts in a partition on which no transaction is open.
pub(super) fn texts(bus: &dyn BusUnderTest, topic: &str, partition: u32) -> Vec<String> {
    settled(bus, topic, partition);
    read_all(bus, topic, partition, Start::Beginning).texts()
}
