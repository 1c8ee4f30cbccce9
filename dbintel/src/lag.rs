//! How far each consumer group is behind, per topic and partition, in records and in seconds.
//!
//! Asked from the log by a slow thread, so that it is true for groups of other processes too. A partition that is read to
//! its end has a lag of 0 in both. On Kafka the marker of each transaction counts as a record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Start};
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use crate::clock;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often the stop is looked at.
const STOP_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait for the records that groups have to read next.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Records that are looked at in one round: one per partition is enough, more may come.
const READ_RECORDS: usize = 1000;

/// Groups and the full names of the topics that each reads.
pub type Groups = Vec<(String, Vec<String>)>;

/// Watches in the background while this lives.
#[derive(Debug)]
pub struct LagWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LagWatch {
    /// Ends the watch, and waits until it has let go of the log. Blocks.
    pub fn end(mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watch of the lag ended by itself");
        }
    }
}

impl Drop for LagWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

#[derive(Clone)]
struct Gauges {
    records: IntGaugeVec,
    seconds: GaugeVec,
}

/// Position of a group that is not at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Behind {
    group: String,
    topic: String,
    partition: u32,
    next_offset: i64,
}

/// Starts to watch.
pub fn watch(bus: Arc<dyn Bus>, groups: Groups, registry: &Registry) -> Result<LagWatch, prometheus::Error> {
    let labels = ["group", "topic", "partition"];
    let records = Opts::new("dbintel_consumer_lag_records", "Records that a group has not read yet");
    let seconds = Opts::new("dbintel_consumer_lag_seconds", "Age of the record that a group has to read next");
    let gauges = Gauges { records: IntGaugeVec::new(records, &labels)?, seconds: GaugeVec::new(seconds, &labels)? };
    registry.register(Box::new(gauges.records.clone()))?;
    registry.register(Box::new(gauges.seconds.clone()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let spawned = std::thread::Builder::new().name("lag".to_owned()).spawn(move || {
        while !stopped.load(Ordering::Acquire) {
            if let Err(error) = look(&*bus, &groups, &gauges) {
                tracing::debug!(%error, "the lag of the groups is not known");
            }
            pause(&stopped);
        }
    });
    if let Err(error) = &spawned {
        tracing::warn!(%error, "the lag of the groups is not watched");
    }
    Ok(LagWatch { stop, thread: spawned.ok() })
}

fn pause(stopped: &AtomicBool) {
    let deadline = clock::now() + INTERVAL;
    while !stopped.load(Ordering::Acquire) && clock::now() < deadline {
        std::thread::sleep(STOP_INTERVAL);
    }
}

fn look(bus: &dyn Bus, groups: &Groups, gauges: &Gauges) -> Result<(), BusError> {
    let mut behind = Vec::new();
    for (group, topics) in groups {
        for committed in bus.committed(group, topics)? {
            let end = bus.offsets(&committed.topic, committed.partition)?.stable_end;
            let lag = (end - committed.next_offset).max(0);
            let labels = [group, &committed.topic, &committed.partition.to_string()];
            gauges.records.with_label_values(&labels).set(lag);
            gauges.seconds.with_label_values(&labels).set(0.0);
            if lag > 0 {
                let (topic, partition, next_offset) = (committed.topic, committed.partition, committed.next_offset);
                behind.push(Behind { group: group.clone(), topic, partition, next_offset });
            }
        }
    }
    let now = clock::wall_ms();
    for (place, timestamp) in timestamps(bus, &behind)? {
        let labels = [&place.group, &place.topic, &place.partition.to_string()];
        gauges.seconds.with_label_values(&labels).set((now - timestamp).max(0) as f64 / 1000.0);
    }
    Ok(())
}

/// The timestamp of the record that each group has to read next, where there is one.
fn timestamps<'b>(bus: &dyn Bus, behind: &'b [Behind]) -> Result<Vec<(&'b Behind, i64)>, BusError> {
    let mut earliest: BTreeMap<(&str, u32), i64> = BTreeMap::new();
    for place in behind {
        let offset = earliest.entry((&place.topic, place.partition)).or_insert(place.next_offset);
        *offset = place.next_offset.min(*offset);
    }
    if earliest.is_empty() {
        return Ok(Vec::new());
    }
    let position = |(place, offset): (&(&str, u32), &i64)| Position {
        topic: place.0.to_owned(),
        partition: place.1,
        start: Start::Offset(*offset),
    };
    let spec = ReaderSpec { partitions: earliest.iter().map(position).collect(), isolation: Isolation::Committed };
    let topics = spec.topics();
    let mut found: Vec<(&Behind, i64)> = Vec::new();
    bus.reader(&spec)?.read(READ_TIMEOUT, READ_RECORDS, &mut |record: Record<'_>| {
        for place in behind.iter().filter(|place| is_next(place, &record, &topics)) {
            if found.iter().all(|(known, _)| known != &place) {
                found.push((place, record.timestamp));
            }
        }
    })?;
    Ok(found)
}

fn is_next(place: &Behind, record: &Record<'_>, topics: &[String]) -> bool {
    place.partition == record.partition && place.next_offset <= record.offset && topics[record.topic] == place.topic
}
