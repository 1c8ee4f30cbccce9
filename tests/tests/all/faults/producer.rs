//! What a producer outside of transactions has accepted arrives, each record once and in order, whatever becomes of the network
//! and of the broker.

#![expect(clippy::disallowed_methods, reason = "measures how long nothing is acknowledged")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_bus::{Bus, Outgoing, Producer, SendError, topic_name};
use dbintel_schemas::Topic;
use dbintel_tests::books::{Copied, read_all};
use dbintel_tests::proxy::Proxy;
use dbintel_tests::wait;

use super::{Scene, number_of, say};

const PARTITIONS: u32 = 2;
/// Longer than a client waits for an answer, and than a broker may be silent before the others do without it.
const LONG: Duration = Duration::from_secs(17);
/// Within this time it goes on after each fault.
const LIMIT: Duration = Duration::from_secs(120);

type Fault = (&'static str, fn(&mut Scene, &Proxy));

const FAULTS: [Fault; 7] = [
    ("connections are cut", |_, proxy| at_work(|| proxy.cut())),
    ("connections are closed on one side", |_, proxy| at_work(|| proxy.half_close())),
    ("nothing comes through", |_, proxy| {
        proxy.hold();
        thread::sleep(LONG);
        proxy.go_on();
    }),
    ("the broker is frozen for a moment", |scene, _| freeze(scene, Duration::from_secs(6))),
    ("the broker is frozen", |scene, _| freeze(scene, LONG)),
    RESTART,
    ("the broker is killed", |scene, _| {
        scene.kafka.process.kill9();
        scene.kafka.start_again();
    }),
];

/// Does something to connections as soon as there are any.
fn at_work(disturb: impl Fn() -> usize) {
    wait::blocking(LIMIT, "a connection", || (disturb() > 0).then_some(()));
}

/// While it stops it answers for a moment that there are topics and no brokers.
const RESTART: Fault = ("the broker is restarted", |scene, _| scene.kafka.restart());

fn freeze(scene: &mut Scene, time: Duration) {
    scene.kafka.process.sigstop();
    thread::sleep(time);
    scene.kafka.process.sigcont();
}

/// Sends numbers to each partition without waiting for any answer, until it is told to stop; gives how many.
fn send_numbers(producer: &dyn Producer, age: Duration, stop: &AtomicBool) -> u64 {
    let topic = topic_name(Topic::RawPolls);
    let mut next = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let timestamp = (UNIX_EPOCH.elapsed().unwrap() - age).as_millis() as i64;
        for partition in 0..PARTITIONS {
            let value = next.to_le_bytes();
            let record =
                || Outgoing { topic: &topic, partition, timestamp, key: None, value: Some(&value), headers: &[] };
            while let Err(error) = producer.send(record()) {
                assert!(matches!(error, SendError::Full) && !stop.load(Ordering::Relaxed), "{error}");
                thread::yield_now();
            }
        }
        next += 1;
        thread::sleep(Duration::from_millis(1));
    }
    producer.flush(LIMIT).expect("everything is acknowledged in the end");
    next
}

/// Lets everything happen while records of this age are sent. Gives how many were sent to each partition, and what is there.
fn play(age: Duration, faults: &[Fault]) -> (u64, Vec<Vec<u64>>) {
    let (mut scene, proxy) = Scene::behind_a_proxy(PARTITIONS, 1);
    let bootstrap_servers = vec![proxy.address()];
    let bus = KafkaBus::open(&Config { bootstrap_servers, ..Config::default() }).unwrap();
    let (producer, stop) = (bus.producer().unwrap(), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let sending = thread::spawn(move || send_numbers(&*producer, age, &stopped));
    let topic = topic_name(Topic::RawPolls);
    let end = |scene: &Scene| scene.bus.offsets(&topic, 0).map_or(0, |log| log.end);
    for round in 0..number_of("PRODUCER_ROUNDS", 1) {
        for (name, fault) in faults {
            fault(&mut scene, &proxy);
            let (before, since) = (end(&scene), Instant::now());
            wait::blocking(LIMIT, name, || (end(&scene) > before).then_some(()));
            say!("round {round}: {name:<40} goes on after {:>5.1} s", since.elapsed().as_secs_f64());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = sending.join().unwrap();
    let number = |record: Copied| u64::from_le_bytes(record.value[..].try_into().unwrap());
    let arrived = |partition| read_all(&*scene.bus, Topic::RawPolls, partition).into_iter().map(number).collect();
    (sent, (0..PARTITIONS).map(arrived).collect())
}

#[test]
fn what_a_producer_accepted_arrives_once_and_in_order() {
    let (sent, arrived) = play(Duration::ZERO, &FAULTS);
    for numbers in arrived {
        let wrong = numbers.iter().zip(0..).find(|(found, expected)| *found != expected);
        assert_eq!((numbers.len() as u64, wrong), (sent, None), "sent, and the first that is not the next");
    }
}

#[test]
fn a_broker_that_is_restarted_again_and_again_is_found_each_time() {
    let (sent, arrived) = play(Duration::ZERO, &[RESTART; 6]);
    assert!(arrived.iter().all(|numbers| numbers.len() as u64 == sent));
}

/// Brokers tell a producer's first request from its second by what they remember of it, and forget it a day after the time of its
/// last record: then they may take a record twice.
#[test]
fn what_a_producer_accepted_arrives_though_the_brokers_have_forgotten_it() {
    let (sent, arrived) = play(Duration::from_secs(7 * 24 * 3600), &FAULTS);
    for numbers in arrived {
        let distinct: BTreeSet<u64> = numbers.into_iter().collect();
        let missing: Vec<u64> = (0..sent).filter(|number| !distinct.contains(number)).collect();
        assert_eq!(missing, [0; 0], "of {sent}");
    }
}

/// The first record of a partition gets lost on its way. A broker that has never heard of the producer would take the second.
#[test]
fn a_record_that_gets_lost_on_its_way_is_sent_again_before_the_next() {
    let (scene, proxy) = Scene::behind_a_proxy(PARTITIONS, 1);
    let bootstrap_servers = vec![proxy.address()];
    let bus = KafkaBus::open(&Config { bootstrap_servers, ..Config::default() }).unwrap();
    let producer = bus.producer().unwrap();
    let topic = topic_name(Topic::RawPolls);
    let timestamp = UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let send = |partition, value: &'static str| {
        let value = Some(value.as_bytes());
        producer.send(Outgoing { topic: &topic, partition, timestamp, key: None, value, headers: &[] }).unwrap();
    };
    // So that it is connected and knows the topic.
    send(1, "zero");
    producer.flush(LIMIT).unwrap();
    proxy.hold();
    send(0, "one");
    proxy.lose_what_is_held();
    send(0, "two");
    producer.flush(LIMIT).unwrap();
    let values: Vec<Vec<u8>> =
        read_all(&*scene.bus, Topic::RawPolls, 0).into_iter().map(|record| record.value).collect();
    assert_eq!(values, [b"one", b"two"]);
}
