//! All of a transaction, or nothing of it.

use dbintel_bus::{Committed, Start};

use super::client::{Client, group_spec, position, publish, reaches, read_all, settled, text, texts};
use super::{BusUnderTest, Names};

pub(super) fn all_or_nothing(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 2);
    let outputs = ["a", "b", "c"].map(|name| names.topic(bus, name, 2));
    let group = names.name("group");
    publish(bus, &input, 0, &["one", "two"]);
    publish(bus, &input, 1, &["three"]);
    let mut client = Client::owner(bus, &group, "a", &[&input]);
    client.receive(3);
    for output in &outputs {
        for partition in 0..2 {
            client.member.send(text(output, partition, "out")).expect("a record is taken");
        }
    }
    let nothing: [&str; 0] = [];
    for output in &outputs {
        let before = read_all(bus, output, 0, Start::Beginning).texts();
        assert_eq!(before, nothing, "nothing is visible before the commit");
    }
    assert_eq!(bus.bus().committed(&group, std::slice::from_ref(&input)).expect("positions"), []);
    let next = |partition| {
        client.inbox.records.iter().filter(|seen| seen.partition == partition).map(|seen| seen.offset + 1).max()
    };
    let positions = [0, 1].map(|partition| Committed {
        metadata: format!("sequence 7 of {partition}"),
        ..position(&input, partition, next(partition).expect("records of the partition"))
    });
    client.member.commit(&positions).expect("a commit");
    for output in &outputs {
        for partition in 0..2 {
            assert_eq!(texts(bus, output, partition), ["out"], "{output} {partition}");
        }
    }
    assert_eq!(bus.bus().committed(&group, &[input]).expect("positions"), positions);
}

pub(super) fn aborted(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    publish(bus, &input, 0, &["one"]);
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&input]);
    client.receive(1);
    client.member.abort().expect("without a transaction there is nothing to abort");
    for round in 0..3 {
        client.member.send(text(&output, 0, "aborted")).expect("a record is taken");
        client.member.abort().expect("an abort");
        client.member.send(text(&output, 0, &format!("committed {round}"))).expect("a record is taken");
        client.member.commit(&[]).expect("a commit");
    }
    assert_eq!(texts(bus, &output, 0), ["committed 0", "committed 1", "committed 2"]);
    client.go_back();
    client.receive(1);
    assert_eq!(client.inbox.texts(), ["one"], "its position was never committed");
}

pub(super) fn members_see_what_is_committed(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    let mut writer = Client::owner(bus, &names.name("writer"), "a", &[&input]);
    writer.member.send(text(&output, 0, "aborted")).expect("a record is taken");
    reaches(bus, &output, 0);
    writer.member.abort().expect("an abort");
    publish(bus, &output, 0, &["plain"]);
    writer.member.send(text(&output, 0, "committed")).expect("a record is taken");
    writer.member.commit(&[]).expect("a commit");
    let mut reader = Client::owner(bus, &names.name("reader"), "a", &[&output]);
    reader.receive(2);
    reader.until("the end", |reader| !reader.inbox.ends.is_empty());
    assert_eq!(reader.inbox.texts(), ["plain", "committed"]);
}

pub(super) fn read_committed_end(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 1), names.topic(bus, "output", 1));
    publish(bus, &output, 0, &["before"]);
    let mut client = Client::owner(bus, &names.name("group"), "a", &[&input]);
    client.member.send(text(&output, 0, "open")).expect("a record is taken");
    let ends = bus.bus().offsets(&output, 0).expect("offsets");
    assert!(ends.stable_end <= ends.end);
    let inbox = read_all(bus, &output, 0, Start::Beginning);
    assert_eq!(inbox.texts(), ["before"]);
    let last = inbox.records[0].offset;
    assert_eq!(inbox.ends, [(0, 0, last + 1)], "the reader stops before the open transaction");
    client.member.commit(&[]).expect("a commit");
    assert_eq!(texts(bus, &output, 0), ["before", "open"]);
    let ends = bus.bus().offsets(&output, 0).expect("offsets");
    assert_eq!((ends.start, ends.stable_end), (0, ends.end));
    assert!(ends.end >= last + 2);
}

pub(super) fn positions_only(bus: &dyn BusUnderTest, names: &Names) {
    let input = names.topic(bus, "input", 1);
    let group = names.name("group");
    publish(bus, &input, 0, &["one", "two"]);
    let mut client = Client::owner(bus, &group, "a", &[&input]);
    client.receive(2);
    let positions = [position(&input, 0, client.inbox.records[0].offset + 1)];
    let receipt = client.member.commit(&positions).expect("a commit");
    assert_eq!(receipt.changelog_ends, []);
    assert_eq!(bus.bus().committed(&group, &[input]).expect("positions"), positions);
    client.go_back();
    client.receive(1);
    assert_eq!(client.inbox.texts(), ["two"]);
}

pub(super) fn receipt(bus: &dyn BusUnderTest, names: &Names) {
    let (input, output) = (names.topic(bus, "input", 2), names.topic(bus, "output", 2));
    let changelog = names.topic(bus, "changelog", 2);
    let mut spec = group_spec(&names.name("group"), "a", &[&input]);
    spec.changelog = Some(changelog.clone());
    let mut client = Client::join_as(bus, &spec);
    client.until("an assignment", |client| client.owned.is_some());
    for round in 1..=2 {
        client.member.send(text(&output, 0, "output")).expect("a record is taken");
        for number in 0..3 {
            client.member.send(text(&changelog, 1, &number.to_string())).expect("a record is taken");
        }
        let receipt = client.member.commit(&[]).expect("a commit");
        settled(bus, &changelog, 1);
        let written = read_all(bus, &changelog, 1, Start::Beginning).records;
        assert_eq!(written.len(), 3 * round);
        let last = written.last().expect("records").offset;
        assert_eq!(receipt.changelog_ends, [(1, last + 1)]);
    }
    client.member.send(text(&output, 0, "output")).expect("a record is taken");
    assert_eq!(client.member.commit(&[]).expect("a commit").changelog_ends, [], "nothing went to the changelog");
}
