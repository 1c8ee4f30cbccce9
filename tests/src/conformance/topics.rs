//! Topics and their ends.

use std::time::Duration;

use dbintel_bus::{NewTopic, Retention, Start};

use super::client::{publish, read_all};
use super::{BusUnderTest, Names};

pub(super) fn trim(bus: &dyn BusUnderTest, names: &Names) {
    let topic = names.topic(bus, "trim", 2);
    publish(bus, &topic, 0, &["one", "two", "three"]);
    publish(bus, &topic, 0, &["four", "five"]);
    publish(bus, &topic, 1, &["other"]);
    let before = read_all(bus, &topic, 0, Start::Beginning).records;
    for kept_from in [1, 3, 4] {
        bus.bus().trim(&topic, 0, before[kept_from].offset).expect("a trim");
        let ends = bus.bus().offsets(&topic, 0).expect("offsets");
        assert_eq!(ends.start, before[kept_from].offset);
        assert_eq!(read_all(bus, &topic, 0, Start::Beginning).records, before[kept_from..]);
    }
    let end = bus.bus().offsets(&topic, 0).expect("offsets").end;
    bus.bus().trim(&topic, 0, end).expect("a trim");
    assert_eq!(read_all(bus, &topic, 0, Start::Beginning).records, []);
    publish(bus, &topic, 0, &["six"]);
    let after = read_all(bus, &topic, 0, Start::Beginning).records;
    assert_eq!(
        after.iter().map(|seen| (seen.offset >= end, seen.text())).collect::<Vec<_>>(),
        [(true, "six".to_owned())]
    );
    assert_eq!(read_all(bus, &topic, 1, Start::Beginning).texts(), ["other"], "other partitions are left alone");
}

pub(super) fn create_and_describe(bus: &dyn BusUnderTest, names: &Names) {
    let topic = |name: &str, partitions, retention| NewTopic {
        name: names.name(name),
        partitions,
        retention,
        message_bytes_max: 1 << 20,
    };
    let topics = [
        topic("b", 3, Retention::Time(Duration::from_hours(24 * 365 * 100))),
        topic("a", 1, Retention::Compacted),
        topic("c", 2, Retention::Unlimited),
    ];
    let created = bus.bus().create_topics(&topics[..2]).expect("topics are created");
    assert_eq!(created, [names.name("b"), names.name("a")]);
    let created = bus.bus().create_topics(&topics).expect("topics are created");
    assert_eq!(created, [names.name("c")], "existing topics are left alone");
    publish(bus, &names.name("b"), 1, &["one", "two"]);

    let described = bus.bus().describe_topics(&names.name("")).expect("topics are described");
    let settings: Vec<_> = described.iter().map(|topic| (&topic.name, topic.partitions, topic.retention)).collect();
    let expected = [&topics[1], &topics[0], &topics[2]].map(|topic| (&topic.name, topic.partitions, topic.retention));
    assert_eq!(settings, expected);
    assert!(described.iter().all(|topic| topic.message_bytes_max == 1 << 20));
    let ends: Vec<_> = described[1].offsets.iter().map(|offsets| (offsets.start, offsets.stable_end)).collect();
    assert_eq!(ends, [(0, 0), (0, 2), (0, 0)]);
    assert_eq!(bus.bus().describe_topics(&names.name("nothing")).expect("topics are described"), []);
    bus.bus().offsets(&names.name("nothing"), 0).expect_err("an unknown topic is an error");
    assert_eq!(bus.bus().committed(&names.name("nobody"), &[names.name("a")]).expect("positions"), []);
}
