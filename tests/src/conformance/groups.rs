//! Groups: positions, shares, handing over.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_bus::Committed;

use super::client::{Client, Deadline, position, publish, text, texts};
use super::{BusUnderTest, LIMIT, Names};

/// How long others wait for what a member had that closed.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);
const PARTITIONS: u32 = 4;
const RECORDS_EACH: usize = 100;

pub(super) fn positions_survive(bus: &dyn BusUnderTest, names: &Names) {
    let (input, other) = (names.topic(bus, "input", 1), names.topic(bus, "other", 1));
    let group = names.name("group");
    publish(bus, &input, 0, &["one", "two", "three"]);
    let topics = [input.as_str(), other.as_str()];
    let mut client = Client::owner(bus, &group, "a", &topics);
    client.receive(3);
    let next_offset = client.inbox.records[1].offset;
    let committed = Committed { metadata: "sequence 42".to_owned(), ..position(&input, 0, next_offset) };
    client.member.commit(std::slice::from_ref(&committed)).expect("a commit");
    client.member.close().expect("a member closes");

    let mut client = Client::owner(bus, &group, "a", &topics);
    assert_eq!(client.member.committed(&[0]).expect("positions"), [committed]);
    client.receive(2);
    assert_eq!(client.inbox.texts(), ["two", "three"]);
}

pub(super) fn independent(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 1);
    publish(bus, &input, 0, &["one", "two"]);
    let groups = ["first", "second"].map(|group| names.name(group));
    let mut clients = groups.each_ref().map(|group| Client::owner(bus, group, "a", &[&input]));
    for client in &mut clients {
        client.receive(2);
        assert_eq!(client.inbox.texts(), ["one", "two"]);
    }
    let next_offset = clients[0].inbox.records[1].offset + 1;
    clients[0].member.commit(&[position(&input, 0, next_offset)]).expect("a commit");
    let committed = groups.map(|group| bus.bus().committed(&group, std::slice::from_ref(&input)).expect("positions"));
    assert_eq!(committed, [vec![position(&input, 0, next_offset)], Vec::new()]);
}

/// Copies the input to the output and commits after each poll, while a second member comes and goes.
pub(super) fn rebalance(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", PARTITIONS);
    let output = names.topic(bus, "output", PARTITIONS);
    let group = names.name("group");
    let mut copied = Copied { input: input.clone(), output: output.clone(), published: 0 };
    let mut first = Client::owner(bus, &group, "a", &[&input]);
    assert_eq!(first.owned, Some(vec![0, 1, 2, 3]));
    copied.publish(bus);
    copied.until_done(bus, &mut [&mut first]);

    let mut second = Client::join(bus, &group, "b", &[&input]);
    copied.publish(bus);
    let shared = |clients: &[&mut Client]| {
        clients.iter().all(|client| client.owned.as_ref().is_some_and(|owned| owned.len() == 2))
    };
    copied.until(&mut [&mut first, &mut second], "two shares", shared);
    let mut owned: Vec<u32> = first.owned.iter().chain(&second.owned).flatten().copied().collect();
    owned.sort_unstable();
    assert_eq!(owned, [0, 1, 2, 3], "each partition has one owner");
    copied.publish(bus);
    copied.until_done(bus, &mut [&mut first, &mut second]);

    copied.publish(bus);
    second.member.close().expect("a member closes");
    copied.until(&mut [&mut first], "all partitions", |clients| {
        clients[0].owned.as_ref().is_some_and(|owned| owned.len() == 4)
    });
    copied.until_done(bus, &mut [&mut first]);
}

struct Copied {
    input: String,
    output: String,
    published: usize,
}

impl Copied {
    fn publish(&mut self, bus: &dyn BusUnderTest) {
        let values: Vec<String> =
            (self.published..self.published + RECORDS_EACH).map(|number| number.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (0..PARTITIONS).for_each(|partition| publish(bus, &self.input, partition, &values));
        self.published += RECORDS_EACH;
    }

    fn until(&self, clients: &mut [&mut Client], what: &str, done: impl Fn(&[&mut Client]) -> bool) {
        let deadline = Deadline::after(LIMIT);
        while !done(clients) {
            assert!(!deadline.passed(), "{what} did not come");
            clients.iter_mut().for_each(|client| self.copy(client));
        }
    }

    /// Copies until the output holds everything, and checks that it holds it once and in order.
    fn until_done(&self, bus: &dyn BusUnderTest, clients: &mut [&mut Client]) {
        let expected: Vec<String> = (0..self.published).map(|number| number.to_string()).collect();
        let deadline = Deadline::after(LIMIT);
        for partition in 0..PARTITIONS {
            loop {
                let copied = texts(bus, &self.output, partition);
                assert_eq!(copied, expected[..copied.len()], "partition {partition}: each record once and in order");
                if copied.len() == expected.len() {
                    break;
                }
                assert!(
                    !deadline.passed(),
                    "{} records of partition {partition} were not copied",
                    expected.len() - copied.len()
                );
                clients.iter_mut().for_each(|client| self.copy(client));
            }
        }
    }

    fn copy(&self, client: &mut Client) {
        client.turn();
        let mut next = BTreeMap::new();
        for seen in std::mem::take(&mut client.inbox.records) {
            next.insert(seen.partition, seen.offset + 1);
            client.member.send(text(&self.output, seen.partition, &seen.text())).expect("a record is taken");
        }
        let positions: Vec<Committed> =
            next.into_iter().map(|(partition, next_offset)| position(&self.input, partition, next_offset)).collect();
        if !positions.is_empty() && client.owned.is_some() && client.member.commit(&positions).is_err() {
            client.go_back();
        }
    }
}

pub(super) fn close_hands_over(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 2);
    let group = names.name("group");
    let mut first = Client::owner(bus, &group, "a", &[&input]);
    let mut second = Client::join(bus, &group, "b", &[&input]);
    let deadline = Deadline::after(LIMIT);
    while first.owned != Some(vec![0]) || second.owned != Some(vec![1]) {
        assert!(!deadline.passed(), "the partitions were not shared");
        first.turn();
        second.turn();
    }
    publish(bus, &input, 0, &["waits for its owner"]);
    first.member.send(text(&input, 0, "is aborted by closing")).expect("a record is taken");
    let deadline = Deadline::after(HAND_OVER_MAX);
    first.member.close().expect("a member closes");
    while second.owned != Some(vec![0, 1]) {
        assert!(!deadline.passed(), "closing did not hand over within {HAND_OVER_MAX:?}");
        second.turn();
    }
    second.receive(1);
    assert_eq!(second.inbox.texts(), ["waits for its owner"]);
    assert_eq!(texts(bus, &input, 0), ["waits for its owner"]);
    assert_eq!(second.revoked, [false], "it could have committed before it gave its partition back");
}
