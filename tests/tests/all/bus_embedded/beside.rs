//! A second writer is refused; readers look on.

use std::fs;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Retention, Start};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;
use rustix::process::Signal;

use crate::cli_rig::{Running, text};

use super::crash::WriterProcess;
use super::scene::{self, LIMIT, READ_WAIT, create, group, publish, read, read_keys};

#[test]
fn a_second_writer_is_told_who_the_first_one_is() {
    let scratch = Scratch::new("log");
    let config = scene::config(&scratch);
    let mut writer = WriterProcess::start(scratch.path());
    writer.commits(1);
    let pid = writer.pid();
    let refused = Embedded::open(&config).err().expect("there is a writer");
    assert!(matches!(refused, BusError::Fatal { .. }));
    for part in [&format!("pid {pid}"), &scratch.path().display().to_string(), "stop that process"] {
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
    let scratch = Scratch::new("log");
    let mut writer = WriterProcess::start(scratch.path());
    writer.commits(1);
    let bus = Embedded::open_reader(&scene::config(&scratch)).unwrap();
    let partitions = vec![Position { topic: "second".to_owned(), partition: 0, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut followed = Vec::new();
    // Past flushes, compactions and deleted files of the writer.
    for _ in 0..20 {
        writer.commits(50);
        let committed = writer.committed;
        wait::blocking(LIMIT, "what the writer committed", || {
            reader.read(READ_WAIT, 1_000, &mut |record: Record<'_>| followed.push(record.offset)).unwrap();
            followed.last().is_some_and(|last| *last >= committed).then_some(())
        });
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
    let scratch = Scratch::new("log");
    let config = scene::config(&scratch);
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
    let scratch = Scratch::new("log");
    let missing = Config { directory: scratch.path().join("missing"), ..Config::default() };
    let refused = Embedded::open_reader(&missing).err().expect("there is nothing to read").to_string();
    assert!(refused.contains("there is no log"), "{refused}");
    assert!(!missing.directory.exists(), "looking creates nothing");
}

#[test]
fn a_tap_that_is_interrupted_leaves_nothing_behind() {
    let (state, temporary) = (Scratch::new("state"), Scratch::new("temporary"));
    let bus = Embedded::open(&Config { directory: state.path().join("log"), ..Config::default() }).unwrap();
    create(&bus, "dbintel.topic", Retention::Unlimited);
    let files = || fs::read_dir(temporary.path()).unwrap().count();
    let environment = [("DBINTEL_STATE_DIRECTORY", text(state.path())), ("TMPDIR", text(temporary.path()))];
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut tap = Running::start(&["tap", "topic"], &environment);
        tap.process.wait_until(|_| files() > 0);
        tap.process.signal(signal);
        assert!(tap.process.wait_for_end(LIMIT).success(), "{}", tap.process.log());
        assert_eq!(files(), 0, "what the reader kept there is gone");
    }
}
