//! The embedded log: the contract, and what only it has.

mod beside;
mod crash;
pub(crate) mod disk;
mod scene;

use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{
    Bus, BusError, Committed, Isolation, NewTopic, Polled, Position, ReaderSpec, Record, Retention, SendError, Start,
};
use dbintel_tests::conformance::{self, BusUnderTest};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;
use scene::{LIMIT, create, group, group_that_fetches, numbered, position, publish, read};

struct UnderTest(Embedded);

impl BusUnderTest for UnderTest {
    fn bus(&self) -> &dyn Bus {
        &self.0
    }

    fn kafka(&self) -> bool {
        false
    }
}

#[test]
fn conforms() {
    let scratch = Scratch::new("log");
    let config = Config {
        rebalance_timeout: Duration::from_secs(2),
        retention_check_interval: Duration::from_millis(200),
        ..scene::config(&scratch)
    };
    conformance::suite(&UnderTest(Embedded::open(&config).unwrap()));
}

#[test]
fn everything_is_there_after_closing_and_opening() {
    let scratch = Scratch::new("log");
    let config = scene::config(&scratch);
    let kept = {
        let bus = Embedded::open(&config).unwrap();
        create(&bus, "input", Retention::Unlimited);
        create(&bus, "other", Retention::Compacted);
        publish(&bus, "input", 0..10);
        bus.trim("input", 0, 4).unwrap();
        let mut member = group(&bus, "group", "input");
        member.commit(&[Committed { metadata: "seven".to_owned(), ..position("input", 7) }]).unwrap();
        // Nobody waits for these: closing does.
        let producer = bus.producer().unwrap();
        (10..20).for_each(|number| producer.send(numbered("input", &number.to_string())).unwrap());
        bus.describe_topics("").unwrap()
    };
    let bus = Embedded::open(&config).unwrap();
    let described = bus.describe_topics("").unwrap();
    assert_eq!(described[1], kept[1]);
    assert_eq!((&described[0].name, described[0].retention), (&kept[0].name, kept[0].retention));
    assert_eq!(read(&bus, "input", Start::Beginning), (4..20).collect::<Vec<_>>());
    let committed = bus.committed("group", &["input".to_owned()]).unwrap();
    assert_eq!(committed, [Committed { metadata: "seven".to_owned(), ..position("input", 7) }]);
    publish(&bus, "input", 20..21);
    assert_eq!(read(&bus, "input", Start::Offset(20)), [20], "offsets go on where they were");
}

#[test]
fn commits_that_wait_share_a_batch() {
    const THREADS: usize = 8;
    const COMMITS_EACH: usize = 50;
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&scene::config(&scratch)).unwrap();
    create(&bus, "input", Retention::Unlimited);
    create(&bus, "output", Retention::Unlimited);
    let mut members: Vec<_> = (0..THREADS).map(|number| group(&bus, &number.to_string(), "input")).collect();
    let before = bus.statistics();
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        for member in &mut members {
            scope.spawn(|| {
                together.wait();
                for _ in 0..COMMITS_EACH {
                    member.send(numbered("output", "1")).unwrap();
                    member.commit(&[position("input", 0)]).unwrap();
                }
            });
        }
    });
    let after = bus.statistics();
    assert_eq!(after.commits - before.commits, (THREADS * COMMITS_EACH) as u64);
    let batches = after.batches - before.batches;
    assert!(batches < after.commits - before.commits, "{batches} batches, each with an fsync of its own");
    assert_eq!(read(&bus, "output", Start::Beginning).len(), THREADS * COMMITS_EACH);
}

#[test]
fn whoever_waits_wakes_up_for_a_record() {
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&scene::config(&scratch)).unwrap();
    create(&bus, "input", Retention::Unlimited);
    let mut member = group(&bus, "group", "input");
    let start = |start| vec![Position { topic: "input".to_owned(), partition: 0, start }];
    member.start(&start(Start::Beginning)).unwrap();
    let mut reader =
        bus.reader(&ReaderSpec { partitions: start(Start::Beginning), isolation: Isolation::Committed }).unwrap();
    let mut ignore = |_: Record<'_>| {};
    assert_eq!(member.poll(LIMIT, 1, &mut ignore).unwrap(), Polled::Records(0), "the end is told");
    assert_eq!(reader.read(LIMIT, 1, &mut ignore).unwrap(), 0, "the end is told");
    thread::scope(|scope| {
        let (sender, woken) = channel();
        let of_member = sender.clone();
        scope.spawn(move || of_member.send(member.poll(LIMIT, 1, &mut |_: Record<'_>| {}).unwrap()).unwrap());
        scope.spawn(move || {
            let records = reader.read(LIMIT, 1, &mut |_: Record<'_>| {}).unwrap();
            sender.send(Polled::Records(records)).unwrap();
        });
        publish(&bus, "input", 0..1);
        for _ in 0..2 {
            assert_eq!(woken.recv_timeout(LIMIT / 2).unwrap(), Polled::Records(1));
        }
    });
}

#[test]
fn old_records_are_deleted_and_a_timestamp_from_the_future_protects_nothing_behind_it() {
    let scratch = Scratch::new("log");
    let retention_check_interval = Duration::from_millis(10);
    let bus = Embedded::open(&Config { retention_check_interval, ..scene::config(&scratch) }).unwrap();
    create(&bus, "long", Retention::Time(Duration::from_secs(1_000_000_000_000)));
    create(&bus, "hour", Retention::Time(Duration::from_secs(3_600)));
    create(&bus, "instant", Retention::Time(Duration::ZERO));
    for topic in ["long", "hour", "instant"] {
        publish(&bus, topic, 0..5);
    }
    let producer = bus.producer().unwrap();
    for topic in ["hour", "instant"] {
        producer.send(dbintel_bus::Outgoing { timestamp: i64::MAX, ..numbered(topic, "5") }).unwrap();
        producer.flush(LIMIT).unwrap();
    }
    let starts = || ["long", "hour", "instant"].map(|topic| bus.offsets(topic, 0).unwrap().start);
    wait::blocking(LIMIT, "deletion of what is old", || (starts() == [0, 5, 6]).then_some(()));
    assert_eq!(read(&bus, "hour", Start::Beginning), [5]);
    assert_eq!(read(&bus, "long", Start::Beginning), [0, 1, 2, 3, 4]);
}

#[test]
fn compacted_topics_are_compacted_by_themselves() {
    let scratch = Scratch::new("log");
    let retention_check_interval = Duration::from_millis(10);
    let config = Config { retention_check_interval, sync: false, ..scene::config(&scratch) };
    let bus = Embedded::open(&config).unwrap();
    create(&bus, "compacted", Retention::Compacted);
    for number in 0..300 {
        publish(&bus, "compacted", number..number + 1);
    }
    let compacted = || Some(read(&bus, "compacted", Start::Beginning)).filter(|read| read.len() < 200);
    let read = wait::blocking(LIMIT, "compaction", compacted);
    assert_eq!(read.last(), Some(&299), "the last record of the key stays");
    let refused = bus.producer().unwrap().send(dbintel_bus::Outgoing { key: None, ..numbered("compacted", "1") });
    assert!(matches!(refused, Err(SendError::Bus(BusError::Fatal { .. }))), "{refused:?}");
}

#[test]
fn a_poll_brings_no_more_bytes_than_the_member_asked_for() {
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&scene::config(&scratch)).unwrap();
    create(&bus, "input", Retention::Unlimited);
    // Five bytes each, with the key.
    publish(&bus, "input", 10..50);
    for (fetch_bytes_max, records) in [(20, 4), (18, 4), (1, 1), (0, 1)] {
        let mut member = group_that_fetches(&bus, "group", "input", fetch_bytes_max);
        let start = Start::Beginning;
        member.start(&[Position { topic: "input".to_owned(), partition: 0, start }]).unwrap();
        let mut numbers = Vec::new();
        for _ in 0..40 / records {
            let mut keep = |record: Record<'_>| numbers.push(record.offset);
            assert_eq!(member.poll(LIMIT, 1_000, &mut keep).unwrap(), Polled::Records(records));
        }
        assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    }
}

#[test]
fn the_number_of_partitions_is_fixed() {
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&scene::config(&scratch)).unwrap();
    create(&bus, "topic", Retention::Unlimited);
    let other = NewTopic {
        name: "topic".to_owned(),
        partitions: 3,
        retention: Retention::Unlimited,
        message_bytes_max: 1 << 20,
    };
    assert_eq!(bus.create_topics(&[other]).unwrap(), Vec::<String>::new(), "what exists is left alone");
    assert_eq!(bus.describe_topics("topic").unwrap()[0].partitions, 1);
}

#[test]
fn a_transaction_is_bounded() {
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&Config { transaction_bytes_max: 1_000, ..scene::config(&scratch) }).unwrap();
    create(&bus, "input", Retention::Unlimited);
    let mut member = group(&bus, "group", "input");
    let refused = (0..1_000).find_map(|_| member.send(numbered("input", "7")).err()).expect("there is a bound");
    assert!(refused.to_string().contains("commit more often"), "{refused}");
    member.commit(&[]).unwrap();
    let kept = read(&bus, "input", Start::Beginning);
    assert!(kept.len() > 10 && kept.iter().all(|number| *number == 7), "what was taken is committed");
    member.send(numbered("input", "8")).expect("the next transaction has room");
}

#[test]
fn a_member_replaced_on_its_slot_is_told_so() {
    let scratch = Scratch::new("log");
    let bus = Embedded::open(&scene::config(&scratch)).unwrap();
    create(&bus, "input", Retention::Unlimited);
    let mut old = group(&bus, "group", "input");
    let mut new = group(&bus, "group", "input");
    let mut poll = || old.poll(Duration::ZERO, 1, &mut |_: Record<'_>| {});
    assert_eq!(poll().unwrap(), Polled::Revoked { lost: true });
    old.release().unwrap();
    let told = old.poll(Duration::ZERO, 1, &mut |_: Record<'_>| {}).unwrap_err().to_string();
    assert!(told.contains("a newer member has taken slot"), "{told}");
    new.commit(&[position("input", 1)]).unwrap();
}
