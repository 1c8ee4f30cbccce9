//! How fast the embedded log appends and reads in one process, with an fsync for each commit.
//!
//! `cargo run --release -p dbintel-bus --example embedded_speed -- [rows] [rows per commit] [directory]`
//!
//! One thread commits transactions of rows of 350 bytes, another reads them as a member of a group and commits its
//! positions every 200 ms; the time counts until the last row is read. Rows repeat as real ones do: the same statements
//! come with other counters.
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Committed, GroupSpec, NewTopic, Outgoing, Polled, Position, Record, Retention, Start};

const ROW_BYTES: usize = 350;
const TOPIC: &str = "dbintel.raw.queries";
const TRIGGER: &str = "dbintel.trigger";
const COMMIT_INTERVAL: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(4_000_000), |rows| rows.parse())?;
    let rows_per_commit: u64 = arguments.next().map_or(Ok(5_000), |rows| rows.parse())?;
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("dbintel-embedded-speed"), PathBuf::from);
    if directory.exists() {
        return Err(format!("{} exists; name a directory that may be created", directory.display()).into());
    }
    let config = Config { directory: directory.clone(), ..Config::default() };
    let bus = Arc::new(Embedded::open(&config)?);
    for name in [TOPIC, TRIGGER] {
        let retention = Retention::Unlimited;
        bus.create_topics(&[NewTopic { name: name.to_owned(), partitions: 1, retention, message_bytes_max: 1 << 20 }])?;
    }
    let started = Instant::now();
    let appender = { (Arc::clone(&bus), rows, rows_per_commit) };
    let appender =
        std::thread::spawn(move || append(&*appender.0, appender.1, appender.2, started).map_err(|e| e.to_string()));
    let read = read_all(&*bus, rows)?;
    let appended = appender.join().map_err(|_| "the appender panicked")??;
    let seconds = started.elapsed().as_secs_f64();
    let statistics = bus.statistics();
    let megabytes = rows as f64 * ROW_BYTES as f64 / 1e6;
    println!("rows                 {read} of {ROW_BYTES} bytes, {megabytes:.0} MB");
    println!("append               {:>9.0} rows/s", rows as f64 / appended.as_secs_f64());
    println!("append and read      {:>9.0} rows/s", rows as f64 / seconds);
    println!("commits, batches     {} in {} batches, each with an fsync", statistics.commits, statistics.batches);
    println!("memory at its height {}", memory_peak()?);
    drop(bus);
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

fn group(name: &str, topic: &str) -> GroupSpec {
    GroupSpec {
        group: name.to_owned(),
        topics: vec![topic.to_owned()],
        changelog: None,
        slot: "0".into(),
        fetch_bytes_max: 16 << 20,
    }
}

fn append(bus: &dyn Bus, rows: u64, rows_per_commit: u64, started: Instant) -> Result<Duration, Box<dyn Error>> {
    let mut member = bus.join(&group("append", TRIGGER))?;
    while !matches!(member.poll(Duration::from_secs(5), 1, &mut |_: Record<'_>| {})?, Polled::Assigned(_)) {}
    let mut value = [0_u8; ROW_BYTES - 20];
    let mut state = 1_u64;
    for row in 0..rows {
        fill(&mut value, row % 5_000, &mut state);
        let key = [b'k'; 20];
        member.send(Outgoing {
            topic: TOPIC,
            partition: 0,
            timestamp: 1_700_000_000_000 + row.cast_signed() / 100,
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        })?;
        if (row + 1) % rows_per_commit == 0 || row + 1 == rows {
            member.commit(&[])?;
        }
    }
    Ok(started.elapsed())
}

/// 200 bytes that belong to the statement, 130 bytes that change each time.
fn fill(value: &mut [u8], statement: u64, state: &mut u64) {
    let mut of_statement = statement.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for (at, chunk) in value.chunks_mut(8).enumerate() {
        let source = if at < 25 { &mut of_statement } else { &mut *state };
        *source ^= *source << 13;
        *source ^= *source >> 7;
        *source ^= *source << 17;
        // Counters are small numbers: half of their bytes are zero.
        let number = if at < 25 { *source } else { *source >> 32 };
        chunk.copy_from_slice(&number.to_le_bytes()[..chunk.len()]);
    }
}

fn read_all(bus: &dyn Bus, rows: u64) -> Result<u64, Box<dyn Error>> {
    let mut member = bus.join(&group("read", TOPIC))?;
    let (mut read, mut bytes, mut next_offset) = (0, 0_usize, 0);
    let mut committed_at = Instant::now();
    while read < rows {
        let mut receive = |record: Record<'_>| {
            read += 1;
            next_offset = record.offset + 1;
            bytes += record.value.map_or(0, <[u8]>::len);
        };
        if let Polled::Assigned(_) = member.poll(Duration::from_secs(5), 10_000, &mut receive)? {
            member.start(&[Position { topic: TOPIC.to_owned(), partition: 0, start: Start::Beginning }])?;
        }
        if committed_at.elapsed() >= COMMIT_INTERVAL {
            let metadata = bytes.to_string();
            member.commit(&[Committed { topic: TOPIC.to_owned(), partition: 0, next_offset, metadata }])?;
            committed_at = Instant::now();
        }
    }
    Ok(read)
}

fn memory_peak() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM")).ok_or("no VmHWM")?;
    Ok(line.trim_start_matches("VmHWM:").trim().to_owned())
}
