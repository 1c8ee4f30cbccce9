//! Rows of made-up targets, as a poller would publish them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::partition::partition_of;
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{InstanceEpoch, QueryCounters, RawPoll, RawQuery};

/// How long the log may take to acknowledge. A client sends again what it gave to a broker that froze only after some time of
/// silence, and may come upon that broker twice.
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// Time of the first poll in ms.
pub const START_MS: i64 = 1_780_000_000_000;

/// Id of the statement that makes a processor panic.
pub const PANICS: &str = "panics";

/// Names of this many targets, of which no partition has more than its share.
fn targets(count: usize, partitions: u32) -> Vec<String> {
    let share = count.div_ceil(partitions as usize);
    let mut taken = vec![0; partitions as usize];
    let has_room = |name: &String| {
        let taken = &mut taken[partition_of(name, partitions) as usize];
        *taken += 1;
        *taken <= share
    };
    (0..).map(|number| format!("db{number}")).filter(has_room).take(count).collect()
}

/// Publishes polls of `count` targets with `statements` statements each, of which a third moves.
pub fn publish(publisher: &Publisher, count: usize, statements: usize, polls: Range<i64>) {
    let targets = targets(count, publisher.partitions());
    for poll_seq in polls {
        for target in &targets {
            for statement in 0..statements {
                let moved = (poll_seq + statement as i64) / 3;
                send(|| {
                    publisher.publish(&query(target, &statement.to_string(), poll_seq, moved), target, time(poll_seq))
                });
            }
            send(|| publisher.publish(&poll(target, poll_seq), target, time(poll_seq)));
        }
    }
    publisher.flush(FLUSH_LIMIT).expect("flush");
}

/// Polls that are published one after the other, from a thread of its own, until it is stopped.
pub struct Flow {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<i64>,
}

impl Flow {
    /// Starts to publish with this poll, with a pause after each.
    pub fn start(publisher: Publisher, count: usize, statements: usize, first: i64, pause: Duration) -> Flow {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut next = first;
            while !stopped.load(Ordering::Relaxed) {
                publish(&publisher, count, statements, next..next + 1);
                next += 1;
                thread::sleep(pause);
            }
            next
        });
        Flow { stop, thread }
    }

    /// Stops, and gives the poll that would come next.
    pub fn stop(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the log takes all polls")
    }
}

/// Publishes one statement.
pub fn publish_one(publisher: &Publisher, target: &str, id: &str, poll_seq: i64) {
    send(|| publisher.publish(&query(target, id, poll_seq, poll_seq), target, time(poll_seq)));
    publisher.flush(FLUSH_LIMIT).expect("flush");
}

fn send(mut attempt: impl FnMut() -> Result<(), SendError>) {
    loop {
        match attempt() {
            Ok(()) => return,
            Err(SendError::Full) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn time(poll_seq: i64) -> i64 {
    START_MS + poll_seq * 10_000
}

fn instance() -> InstanceEpoch<'static> {
    InstanceEpoch { system_identifier: "7", started_at: Some(1), timeline: Some(1), statistics_reset_at: None }
}

fn query<'a>(target: &'a str, id: &'a str, poll_seq: i64, calls: i64) -> RawQuery<'a> {
    RawQuery {
        record_id: record_id(target, 0, poll_seq, id.as_bytes()),
        poller: "postgresql",
        target,
        engine: "postgresql",
        instance: instance(),
        poll_seq,
        observed_at: time(poll_seq) * 1000,
        interval_ns: Some(10_000_000_000),
        database: Some("shop"),
        database_id: "16384",
        user_id: "10",
        query_id: id,
        counters: counters(calls),
        ..RawQuery::default()
    }
}

/// As full as a server's.
fn counters(calls: i64) -> QueryCounters {
    let mut counters = QueryCounters::default();
    for index in 0..QueryCounters::FIELDS.len() {
        counters.set(index, Some(calls * 1000));
    }
    counters.with_calls(calls)
}

fn poll(target: &str, poll_seq: i64) -> RawPoll<'_> {
    RawPoll {
        record_id: record_id(target, 0, poll_seq, b"poll"),
        poller: "postgresql",
        target,
        instance: instance(),
        poll_seq,
        observed_at: time(poll_seq) * 1000,
        poll_class: "statements",
        outcome: "ok",
        ..RawPoll::default()
    }
}
