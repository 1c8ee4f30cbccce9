//! Writes to an embedded log until it is killed: what the tests of crashes and of readers beside a writer need.
//!
//! Transaction n sends n to the topics `first` and `second` and commits position n + 1 of `input`; then it prints
//! `committed n`. A producer sends n to `plain` and prints `flushed n` now and then. What is older than [`KEPT`]
//! transactions is trimmed from `first`, so that files are deleted too. Retention deletes all that it finds in `aging`, and
//! of each of the [`KEYS`] keys of `latest`, n % KEYS, compaction keeps the last record.
#![expect(clippy::print_stdout, reason = "its output is read by the test that started it")]

use std::error::Error;
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Committed, GroupSpec, NewTopic, Outgoing, Polled, Record, Retention};

/// Keys of `latest`.
const KEYS: i64 = 7;
/// Transactions whose records stay in `first`.
const KEPT: i64 = 200;
const TRIM_EVERY: i64 = 50;
const FLUSH_EVERY: i64 = 10;
/// Large enough that RocksDB writes, compacts and deletes files while the test runs.
const FILLING_BYTES: usize = 64 << 10;
/// Filling of the topics that are small.
const SMALL_BYTES: usize = 8 << 10;
const RETENTION_CHECK_INTERVAL: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("name a directory")?;
    let retention_check_interval = RETENTION_CHECK_INTERVAL;
    let bus = Embedded::open(&Config { directory: directory.into(), retention_check_interval, ..Config::default() })?;
    let plain = ["input", "first", "second", "plain"].map(|name| (name, Retention::Unlimited));
    let others = [("aging", Retention::Time(Duration::ZERO)), ("latest", Retention::Compacted)];
    let topic = |(name, retention): (&str, Retention)| NewTopic {
        name: name.to_owned(),
        partitions: 1,
        retention,
        message_bytes_max: 1 << 20,
    };
    bus.create_topics(&plain.into_iter().chain(others).map(topic).collect::<Vec<_>>())?;
    let mut member = bus.join(&GroupSpec {
        group: "writer".to_owned(),
        topics: vec!["input".to_owned()],
        changelog: None,
        slot: "0".into(),
        fetch_bytes_max: 1 << 20,
    })?;
    while !matches!(member.poll(Duration::from_secs(1), 1, &mut |_: Record<'_>| {})?, Polled::Assigned(_)) {}
    let producer = bus.producer()?;
    let first = member.committed(&[0])?.first().map_or(0, |position| position.next_offset);
    let mut filling = vec![0_u8; FILLING_BYTES];
    for number in first.. {
        fill(&mut filling, number);
        let key = number.to_string();
        let record = |topic| Outgoing {
            topic,
            partition: 0,
            timestamp: number,
            key: Some(key.as_bytes()),
            value: Some(&filling),
            headers: &[],
        };
        producer.send(record("plain"))?;
        member.send(record("first"))?;
        member.send(record("second"))?;
        member.send(Outgoing { value: Some(&filling[..SMALL_BYTES]), ..record("aging") })?;
        let latest = (number % KEYS).to_string();
        let (latest, value) = (Some(latest.as_bytes()), Some(&filling[..SMALL_BYTES]));
        member.send(Outgoing { key: latest, value, ..record("latest") })?;
        let metadata = key.clone();
        member.commit(&[Committed { topic: "input".to_owned(), partition: 0, next_offset: number + 1, metadata }])?;
        println!("committed {number}");
        if number % FLUSH_EVERY == 0 {
            producer.flush(Duration::from_secs(60))?;
            println!("flushed {number}");
        }
        if number % TRIM_EVERY == 0 {
            bus.trim("first", 0, number - KEPT)?;
        }
    }
    Ok(())
}

/// Noise that does not compress.
fn fill(filling: &mut [u8], number: i64) {
    let mut state = number.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in filling.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}
