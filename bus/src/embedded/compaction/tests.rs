//! Compaction: which records stay, where they stand, and that readers do not notice.

use std::time::Duration;

use super::*;
use crate::embedded::{Config, Embedded};
use crate::{Bus, Isolation, NewTopic, Outgoing, Position, Reader, ReaderSpec, Record, Retention, Start};

const TOPIC: &str = "compacted";
const WAIT: Duration = Duration::from_secs(30);

struct Scene {
    bus: Embedded,
    _directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        let never = Duration::from_secs(1_000_000);
        let config =
            Config { directory: directory.path().to_owned(), retention_check_interval: never, ..Config::default() };
        let bus = Embedded::open(&config).unwrap();
        let name = TOPIC.to_owned();
        let topic = NewTopic { name, partitions: 1, retention: Retention::Compacted, message_bytes_max: 1 << 20 };
        bus.create_topics(&[topic]).unwrap();
        Scene { bus, _directory: directory }
    }

    /// Each record is a block of its own.
    fn put(&self, rows: &[(&str, Option<&str>, i64)]) {
        let producer = self.bus.producer().unwrap();
        for (key, value, timestamp) in rows {
            let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
            let record = Outgoing { topic: TOPIC, partition: 0, timestamp: *timestamp, key, value, headers: &[] };
            producer.send(record).unwrap();
            producer.flush(WAIT).unwrap();
        }
    }

    fn compact(&self, tombstones_from: i64) {
        let log = &self.bus.core.log;
        let topic = log.catalogue.topic(TOPIC).unwrap();
        let partition = &topic.partitions[0];
        let clean = stored_offset(&log.storage, &partition.id.clean()).unwrap().unwrap_or(0);
        compact(log, partition, clean, tombstones_from).unwrap();
    }

    fn blocks(&self) -> usize {
        let log = &self.bus.core.log;
        let id = log.catalogue.topic(TOPIC).unwrap().partitions[0].id;
        let mut blocks = 0;
        let count = |_: i64, _: &Summary| {
            blocks += 1;
            true
        };
        log.visit_summaries(id, 0, count).unwrap();
        blocks
    }

    fn reader(&self, start: Start) -> Box<dyn Reader> {
        let partitions = vec![Position { topic: TOPIC.to_owned(), partition: 0, start }];
        self.bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap()
    }

    fn read(&self, start: Start) -> Vec<(i64, String, Option<String>)> {
        let mut reader = self.reader(start);
        let mut rows = Vec::new();
        while reader.read(Duration::ZERO, 100, &mut |record: Record<'_>| rows.push(row(record))).unwrap() > 0 {}
        rows
    }
}

fn row(record: Record<'_>) -> (i64, String, Option<String>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (record.offset, record.key.map(text).unwrap(), record.value.map(text))
}

fn kept(offset: i64, key: &str, value: &str) -> (i64, String, Option<String>) {
    (offset, key.to_owned(), Some(value.to_owned()))
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    let scene = Scene::new();
    scene.put(&[
        ("a", Some("1"), 10),
        ("b", Some("1"), 20),
        ("a", Some("2"), 30),
        ("c", Some("1"), 40),
        ("a", Some("3"), 50),
    ]);
    scene.compact(0);
    let expected = [kept(1, "b", "1"), kept(3, "c", "1"), kept(4, "a", "3")];
    assert_eq!(scene.read(Start::Beginning), expected);
    assert_eq!(scene.blocks(), 1, "small blocks become one");
    assert_eq!(scene.read(Start::Offset(2)), expected[1..], "an offset that is gone means the next");
    assert_eq!(scene.read(Start::Time(35)), expected[1..]);
    assert_eq!(scene.bus.offsets(TOPIC, 0).unwrap().end, 5);

    scene.put(&[("c", Some("2"), 60), ("d", Some("1"), 70)]);
    scene.compact(0);
    let expected = [kept(1, "b", "1"), kept(4, "a", "3"), kept(5, "c", "2"), kept(6, "d", "1")];
    assert_eq!(scene.read(Start::Beginning), expected, "the second pass replaces what the first one left");
    scene.compact(0);
    assert_eq!(scene.read(Start::Beginning), expected, "without anything new nothing changes");
}

#[test]
fn tombstones_go_when_they_are_old_even_at_the_end() {
    let scene = Scene::new();
    scene.put(&[("a", Some("1"), 10), ("b", Some("1"), 20), ("a", None, 30), ("b", None, 99)]);
    scene.compact(20);
    let tombstones = [(2, "a".to_owned(), None), (3, "b".to_owned(), None)];
    assert_eq!(scene.read(Start::Beginning), tombstones, "readers still learn of the deletions");
    scene.compact(50);
    assert_eq!(scene.read(Start::Beginning), tombstones[1..]);
    scene.compact(100);
    assert_eq!(scene.read(Start::Beginning), []);
    assert_eq!(scene.blocks(), 1, "an empty block covers the offsets that are gone");
    scene.put(&[("c", Some("1"), 100)]);
    assert_eq!(scene.read(Start::Offset(3)), [kept(4, "c", "1")], "offsets go on");
}

#[test]
fn a_reader_in_the_middle_goes_on() {
    let scene = Scene::new();
    scene.put(&[("a", Some("1"), 10), ("b", Some("1"), 20), ("a", Some("2"), 30), ("c", Some("1"), 40)]);
    let mut reader = scene.reader(Start::Beginning);
    let mut rows = Vec::new();
    reader.read(WAIT, 2, &mut |record: Record<'_>| rows.push(row(record))).unwrap();
    scene.compact(0);
    while reader.read(Duration::ZERO, 2, &mut |record: Record<'_>| rows.push(row(record))).unwrap() > 0 {}
    assert_eq!(rows, [kept(0, "a", "1"), kept(1, "b", "1"), kept(2, "a", "2"), kept(3, "c", "1")]);
}

#[test]
fn it_is_due_when_enough_is_new() {
    let scene = Scene::new();
    let due = |scene: &Scene| {
        let before = scene.blocks();
        let log = &scene.bus.core.log;
        compact_if_due(log, &log.catalogue.topic(TOPIC).unwrap().partitions[0], 0).unwrap();
        scene.blocks() < before
    };
    scene.put(&[("a", Some("1"), 10), ("a", Some("2"), 20)]);
    assert!(!due(&scene), "two small records are not worth it");
    let noise: String = (0..100_000_u32).map(|n| format!("{:x}", n.wrapping_mul(2_654_435_761))).collect();
    scene.put(&[("a", Some(&noise), 30), ("b", Some("1"), 40)]);
    assert!(due(&scene));
    assert!(!due(&scene), "it was just done");
}
