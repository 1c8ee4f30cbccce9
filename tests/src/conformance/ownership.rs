//! Only the owner commits, and waiting is no polling.

use std::sync::mpsc::{TryRecvError, channel};
use std::thread;
use std::time::Duration;

use dbintel_bus::{CommitError, Polled};

use super::client::{Client, Deadline, position, publish, reaches, text, texts};
use super::{BusUnderTest, LIMIT, Names};

/// How long the member waits; it has to wake up long before.
const LONG: Duration = Duration::from_secs(60);
const AWAKE_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn replaced_owner(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 2), names.topic(bus, "output", 2));
    let group = names.name("group");
    publish(bus, &input, 0, &["one", "two"]);
    let mut old = Client::owner(bus, &group, "a", &[&input]);
    old.receive(2);
    let next_offset = old.inbox.records[0].offset + 1;
    old.member.send(text(&output, 0, "by the old owner")).expect("a record is taken");

    // The old owner says nothing any more until the group has given it up.
    let mut new = Client::join(bus, &group, "b", &[&input]);
    new.until("all partitions", |client| client.owned == Some(vec![0, 1]));
    let refused = old.member.commit(&[position(&input, 0, next_offset)]).expect_err("it owns nothing any more");
    assert!(matches!(refused, CommitError::Fenced(_)), "{refused}");
    let nothing: [&str; 0] = [];
    assert_eq!(texts(bus, &output, 0), nothing);
    assert_eq!(bus.bus().committed(&group, std::slice::from_ref(&input)).expect("positions"), []);

    new.receive(2);
    new.member.send(text(&output, 0, "by the new owner")).expect("a record is taken");
    new.member.commit(&[position(&input, 0, next_offset)]).expect("the owner commits");
    assert_eq!(texts(bus, &output, 0), ["by the new owner"]);

    let deadline = Deadline::after(LIMIT);
    while old.owned.as_ref().is_none_or(|owned| owned.len() != 1)
        || new.owned.as_ref().is_none_or(|owned| owned.len() != 1)
    {
        assert!(!deadline.passed(), "the old owner did not get a new share");
        old.turn();
        new.turn();
    }
    assert_eq!(old.revoked.first(), Some(&true), "it learned that its partitions were lost");
}

pub(super) fn same_slot(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    let group = names.name("group");
    let mut old = Client::owner(bus, &group, "a", &[&input]);
    old.member.send(text(&output, 0, "by the old member")).expect("a record is taken");
    let mut new = Client::owner(bus, &group, "a", &[&input]);
    old.member.commit(&[position(&input, 0, 0)]).expect_err("its slot is taken");
    new.member.send(text(&output, 0, "by the new member")).expect("a record is taken");
    new.member.commit(&[position(&input, 0, 0)]).expect("the owner commits");
    assert_eq!(texts(bus, &output, 0), ["by the new member"]);
}

/// Sooner than the time that a transaction may be open: what a dead member has left holds all readers back.
const ABORTED_WITHIN: Duration = Duration::from_secs(20);

pub(super) fn left_open(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    let group = names.name("group");
    let mut dead = Client::owner(bus, &group, "a", &[&input]);
    dead.member.send(text(&output, 0, "left open")).expect("a record is taken");
    let offsets = || bus.bus().offsets(&output, 0).expect("offsets");
    reaches(bus, &output, 0);
    // As if its process had ended.
    std::mem::forget(dead.member);
    let _next = Client::join(bus, &group, "a", &[&input]);
    let deadline = Deadline::after(ABORTED_WITHIN);
    while offsets().stable_end < offsets().end {
        assert!(!deadline.passed(), "what was left open stays open");
        thread::yield_now();
    }
    assert_eq!(texts(bus, &output, 0), Vec::<String>::new());
}

pub(super) fn no_owner(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    let mut client = Client::join(bus, &names.name("group"), "a", &[&input]);
    client.member.send(text(&output, 0, "from nobody")).expect("a record is taken");
    client.member.commit(&[position(&input, 0, 1)]).expect_err("it was never assigned anything");
    client.until("an assignment", |client| client.owned.is_some());
    client.member.send(text(&output, 0, "from the owner")).expect("a record is taken");
    client.member.commit(&[]).expect("the owner commits");
    assert_eq!(texts(bus, &output, 0), ["from the owner"]);
}

pub(super) fn wakes_up(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 1);
    let group = names.name("group");
    let mut client = Client::owner(bus, &group, "a", &[&input]);
    client.until("the end", |client| !client.inbox.ends.is_empty());
    thread::scope(|scope| {
        let (sender, polled) = channel();
        scope.spawn(move || {
            // The end that follows the record may be told by a poll of its own.
            for _ in 0..3 {
                let polled = client.turn_within(LONG);
                sender.send(polled.clone()).expect("the case waits");
                if matches!(polled, Polled::Revoked { .. }) {
                    break;
                }
            }
        });
        publish(bus, &input, 0, &["wake up"]);
        let woken = polled.recv_timeout(AWAKE_WITHIN).expect("the member wakes up");
        assert_eq!(woken, Polled::Records(1), "a record ends the waiting");
        let mut other = Client::join(bus, &group, "b", &[&input]);
        let deadline = Deadline::after(AWAKE_WITHIN);
        let revoked = loop {
            assert!(!deadline.passed(), "the member did not wake up");
            other.turn();
            match polled.try_recv() {
                Err(TryRecvError::Empty) | Ok(Polled::Records(0)) => {}
                other => break other,
            }
        };
        assert_eq!(revoked, Ok(Polled::Revoked { lost: false }), "a change of the group ends the waiting");
    });
}
