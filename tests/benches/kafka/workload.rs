//! The workload: 64 targets with 5,000 statements each. In a poll the statement of rank r has moved with probability
//! min(1, 100 / r), which makes about 491 rows; one row in a thousand begins anew, as after an eviction.

use std::time::Duration;

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::partition::partition_of;
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{InstanceEpoch, QueryCounters, RawQuery};

use crate::measure::Outcome;

pub const PARTITIONS: u32 = 4;
const TARGETS_PER_PARTITION: usize = 16;
const STATEMENTS: usize = 5_000;
const START_MS: i64 = 1_780_000_000_000;
const POLL_MS: i64 = 10_000;

/// What was published.
#[derive(Debug, Default, Clone, Copy)]
pub struct Published {
    pub rows: u64,
    /// Rows of statements that had been read before: those that have a delta.
    pub again: u64,
    pub bytes: u64,
}

/// Publishes polls until there are so many rows.
pub fn publish(publisher: &Publisher, rows: u64) -> Outcome<Published> {
    let targets = targets();
    let ids: Vec<String> = (0..STATEMENTS).map(|rank| format!("-48923748923748{rank:05}")).collect();
    let mut calls = vec![0i64; targets.len() * STATEMENTS];
    let mut random = 1u64;
    let mut published = Published::default();
    for poll_seq in 1.. {
        for (number, target) in targets.iter().enumerate() {
            for rank in 0..STATEMENTS {
                let draw = next(&mut random);
                if (draw >> 32) * (rank as u64 + 1) >= 100 << 32 {
                    continue;
                }
                let calls = &mut calls[number * STATEMENTS + rank];
                published.again += u64::from(*calls > 0);
                *calls = if draw.is_multiple_of(1000) { 1 } else { *calls + 1 + (draw % 50) as i64 };
                published.rows += 1;
                send(publisher, &row(target, &ids[rank], poll_seq, *calls), &mut published)?;
            }
        }
        if published.rows >= rows {
            break;
        }
    }
    publisher.flush(Duration::from_secs(60))?;
    Ok(published)
}

/// Publishes one row of each of so many statements of each target, all of one poll: what makes state and nothing else.
pub fn publish_each(publisher: &Publisher, statements: u64) -> Outcome<Published> {
    let (targets, mut published) = (targets(), Published::default());
    for rank in 0..statements {
        let query_id = format!("-48923748{rank:012}");
        for target in &targets {
            published.rows += 1;
            send(publisher, &row(target, &query_id, 1, 1 + rank as i64), &mut published)?;
        }
    }
    publisher.flush(Duration::from_secs(60))?;
    Ok(published)
}

/// Publishes one more row of each target, of a poll after all others.
pub fn publish_again(publisher: &Publisher, round: u64) -> Outcome<()> {
    for target in targets() {
        let row = row(&target, "-4892374892374800000", 1_000_000 + round as i64, 1_000_000_000 + round as i64);
        send(publisher, &row, &mut Published::default())?;
    }
    publisher.flush(Duration::from_secs(60))?;
    Ok(())
}

/// A steady flow of statements that all move, read as they are published.
pub struct Steady {
    targets: Vec<String>,
    ids: Vec<String>,
    rows: usize,
}

impl Steady {
    /// None yet.
    pub fn new() -> Steady {
        Steady { targets: targets(), ids: (0..100).map(|rank| format!("-48923748923748{rank:05}")).collect(), rows: 0 }
    }

    /// Publishes one row more, whose read ended at `now_us`.
    pub fn publish(&mut self, publisher: &Publisher, now_us: i64) -> Outcome<()> {
        let (statement, target) = (self.rows / self.targets.len(), &self.targets[self.rows % self.targets.len()]);
        let poll_seq = 1 + (statement / self.ids.len()) as i64;
        let row = row(target, &self.ids[statement % self.ids.len()], poll_seq, poll_seq * 50);
        self.rows += 1;
        send(publisher, &RawQuery { observed_at: now_us, server_time: Some(now_us), ..row }, &mut Published::default())
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*random >> 32 ^ *random) & 0xffff_ffff | (*random & 0xffff_ffff_0000_0000)
}

fn targets() -> Vec<String> {
    let mut of_partition = [0; PARTITIONS as usize];
    let has_room = |name: &String| {
        let taken = &mut of_partition[partition_of(name, PARTITIONS) as usize];
        *taken += 1;
        *taken <= TARGETS_PER_PARTITION
    };
    let names = (0..).map(|number| format!("orders-{number:03}")).filter(has_room);
    names.take(TARGETS_PER_PARTITION * PARTITIONS as usize).collect()
}

fn send(publisher: &Publisher, row: &RawQuery<'_>, published: &mut Published) -> Outcome<()> {
    if published.rows.is_multiple_of(1024) {
        let mut bytes = Vec::new();
        dbintel_schemas::Record::encode(row, &mut bytes);
        published.bytes = bytes.len() as u64;
    }
    loop {
        match publisher.publish(row, row.target, row.observed_at / 1000) {
            Err(SendError::Full) => std::thread::sleep(Duration::from_millis(1)),
            sent => return Ok(sent?),
        }
    }
}

fn row<'a>(target: &'a str, query_id: &'a str, poll_seq: i64, calls: i64) -> RawQuery<'a> {
    let time = START_MS + poll_seq * POLL_MS;
    RawQuery {
        record_id: record_id(target, 0, poll_seq, query_id.as_bytes()),
        poller: "postgresql",
        target,
        engine: "postgresql",
        engine_version: "18.1",
        role: "primary",
        instance: InstanceEpoch {
            system_identifier: "7123456789012345678",
            started_at: Some(1_750_000_000_000_000),
            timeline: Some(1),
            statistics_reset_at: Some(1_750_000_000_000_000),
        },
        poll_seq,
        observed_at: time * 1000,
        server_time: Some(time * 1000),
        interval_ns: Some(POLL_MS * 1_000_000),
        database: Some("orders"),
        database_id: "16384",
        user: Some("orders_app"),
        user_id: "16385",
        query_id,
        toplevel: Some(true),
        entry_since_at: Some(1_750_000_000_000_000),
        min_exec_time_ns: Some(12_345),
        max_exec_time_ns: Some(98_765_432),
        counters: counters(calls),
        ..RawQuery::default()
    }
}

/// What PostgreSQL counts; the others stay null.
fn counters(calls: i64) -> QueryCounters {
    QueryCounters::default()
        .with_calls(calls)
        .with_rows(calls * 7)
        .with_total_exec_time_ns(calls * 1_234_567)
        .with_plans(calls)
        .with_total_plan_time_ns(calls * 23_456)
        .with_shared_blks_hit(calls * 1_234)
        .with_shared_blks_read(calls * 12)
        .with_shared_blks_dirtied(calls * 2)
        .with_shared_blks_written(calls)
        .with_temp_blks_read(0)
        .with_temp_blks_written(0)
        .with_blk_read_time_ns(calls * 34_567)
        .with_blk_write_time_ns(calls * 4_567)
        .with_wal_records(calls * 3)
        .with_wal_fpi(calls / 2)
        .with_wal_bytes(calls * 456)
        .with_jit_time_ns(0)
}
