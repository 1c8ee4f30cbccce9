//! Rows of made-up targets, as a poller would publish them.

use std::time::Duration;

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{InstanceEpoch, QueryCounters, RawPoll, RawQuery};

/// Time of the first poll in ms.
pub const START_MS: i64 = 1_780_000_000_000;

/// Id of the statement that makes a processor panic.
pub const PANICS: &str = "panics";

/// Publishes polls `polls` of `targets` targets with `statements` statements each, of which a third moves.
pub fn publish(publisher: &Publisher, targets: usize, statements: usize, polls: std::ops::Range<i64>) {
    for poll_seq in polls {
        for target in 0..targets {
            let target = format!("db{target}");
            for statement in 0..statements {
                let moved = (poll_seq + statement as i64) / 3;
                send(|| {
                    publisher.publish(&query(&target, &statement.to_string(), poll_seq, moved), &target, time(poll_seq))
                });
            }
            send(|| publisher.publish(&poll(&target, poll_seq), &target, time(poll_seq)));
        }
    }
    publisher.flush(Duration::from_secs(30)).expect("flush");
}

/// Publishes one statement.
pub fn publish_one(publisher: &Publisher, target: &str, id: &str, poll_seq: i64) {
    send(|| publisher.publish(&query(target, id, poll_seq, poll_seq), target, time(poll_seq)));
    publisher.flush(Duration::from_secs(30)).expect("flush");
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
        counters: QueryCounters {
            calls: Some(calls),
            total_exec_time_ns: Some(calls * 1000),
            ..QueryCounters::default()
        },
        ..RawQuery::default()
    }
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
