//! A second writer is refused; readers look on.

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Retention, Start};

use dbintel_tests::wait;

use super::crash::WriterProcess;
use super::scene::{self, LIMIT, create, group, publish, read, read_keys};

#[test]
fn a_second_writer_is_told_who_the_first_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let config = scene::config(&directory);
    let mut writer = WriterProcess::start(directory.path());
    writer.commits(1);
    let pid = writer.pid();
    let refused = Embedded::open(&config).err().expect("there is a writer");
    assert!(matches!(refused, BusError::Fatal { .. }));
    for part in [&format!("pid {pid}"), &directory.path().display().to_string(), "stop that process"] {
        assert!(refused.to_string().contains(part), "{refused} does not say {part}");
    }
    writer.kill();
    let bus = Embedded::open(&config).expect("a dead process holds no lock");
    let refused = Embedded::open(&config).err().expect("this process is the writer").to_string();
    assert!(refused.contains(&format!("this process (pid {})", std::process::id())), "{refused}");
    drop(bus);
    Embedded::open(&config).expect("a closed log can be opened again");
}

#[test]
fn a_reader_beside_the_writer_follows_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = WriterProcess::start(directory.path());
    writer.commits(1);
    let bus = Embedded::open_reader(&scene::config(&directory)).unwrap();
    let partitions = vec![Position { topic: "second".to_owned(), partition: 0, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut followed = Vec::new();
    // Past flushes, compactions and deleted files of the writer.
    for _ in 0..20 {
        writer.commits(50);
        let committed = writer.committed;
        while followed.last().is_none_or(|last| *last < committed) {
            reader.read(LIMIT, 1_000, &mut |record: Record<'_>| followed.push(record.offset)).unwrap();
        }
        let position = || bus.committed("writer", &["input".to_owned()]).unwrap()[0].next_offset;
        wait::blocking(LIMIT, "the position", || (position() > committed).then_some(()));
        let first = read_keys(&bus, "first");
        assert!(first.last().is_some_and(|last| *last >= committed));
        assert!(first.is_sorted_by(|a, b| a + 1 == *b));
    }
    assert!(followed.iter().zip(0..).all(|(offset, expected)| *offset == expected), "nothing is missing or twice");
    assert!(bus.offsets("first", 0).unwrap().start > 0, "the writer deleted what the reader had open");
    writer.kill();
}

#[test]
fn a_reader_sees_topics_that_came_later_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = scene::config(&directory);
    let writer = Embedded::open(&config).unwrap();
    create(&writer, "early", Retention::Unlimited);
    let reader = Embedded::open_reader(&config).unwrap();
    create(&writer, "late", Retention::Unlimited);
    publish(&writer, "late", 0..3);
    let mut member = group(&writer, "group", "late");
    member.commit(&[scene::position("late", 2)]).unwrap();
    assert_eq!(read(&reader, "late", Start::Beginning), [0, 1, 2]);
    assert_eq!(reader.committed("group", &["late".to_owned()]).unwrap(), [scene::position("late", 2)]);
    assert_eq!(reader.describe_topics("").unwrap(), writer.describe_topics("").unwrap());
    reader.health().unwrap();
    let refusals = [reader.producer().err(), reader.create_topics(&[]).err(), reader.trim("late", 0, 1).err()];
    for refusal in refusals {
        let refusal = refusal.expect("a reader does not write").to_string();
        assert!(refusal.contains("open for reading only"), "{refusal}");
    }
    drop(member);
    drop(writer);
    assert_eq!(read(&reader, "late", Start::Beginning), [0, 1, 2], "the log can be read without a writer");
}

#[test]
fn a_reader_needs_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Config { directory: directory.path().join("missing"), ..Config::default() };
    let refused = Embedded::open_reader(&missing).err().expect("there is nothing to read").to_string();
    assert!(refused.contains("there is no log"), "{refused}");
    assert!(!missing.directory.exists(), "looking creates nothing");
}
