//! From the end of a poll's read until a reader of committed records has the row: 10,000 rows a second, all in one process.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use dbintel_bus::{
    Bus, Framings, Isolation, Position, Publisher, ReaderSpec, Receive, Record, Start, planned_topics, topic_name,
};
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics};
use dbintel_schemas::Topic;
use dbintel_schemas::records::EnrichedQuery;
use dbintel_schemas::wire::Schemas;
use serde_json::{Value, json};

use crate::engine::{Chain, pipeline};
use crate::measure::Outcome;
use crate::workload::{PARTITIONS, Steady};

const ROWS_PER_SECOND: u32 = 10_000;
const STEP: Duration = Duration::from_millis(10);
/// Until caches and connections are warm.
const WARM_UP: Duration = Duration::from_secs(5);
const TIME: Duration = Duration::from_secs(30);

/// Runs the whole pipeline under a steady flow.
pub fn run(bus: Arc<dyn Bus>, state: &Path, group: &str) -> Outcome<Value> {
    bus.create_topics(&planned_topics(PARTITIONS, &[group]))?;
    let config = GroupConfig::new(group, vec![pipeline(Chain::Whole)?], state.to_path_buf());
    let metrics = Metrics::register(&prometheus::Registry::new(), group)?;
    let running = Group::start(config, Arc::clone(&bus), metrics.clone(), StoreMemory::new(64 << 20).stores())?;
    while !running.readiness()() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let publisher = Publisher::new(bus.producer()?, Framings::single_object(), PARTITIONS);
    let stop = AtomicBool::new(false);
    let mut delays = std::thread::scope(|scope| -> Outcome<Delays> {
        let publishing = scope.spawn(|| publish(&publisher, &stop).map_err(|error| error.to_string()));
        let read = read(&*bus);
        stop.store(true, Ordering::Relaxed);
        publishing.join().map_err(|_| "the publisher panicked")??;
        read
    })?;
    running.stop();
    delays.micros.sort_unstable();
    let at = |share: f64| delays.micros[((delays.micros.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    Ok(json!({"rows": delays.micros.len(), "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": at(1.0)}))
}

fn now_us() -> i64 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as i64
}

fn publish(publisher: &Publisher, stop: &AtomicBool) -> Outcome<()> {
    let mut flow = Steady::new();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..ROWS_PER_SECOND * STEP.as_millis() as u32 / 1000 {
            flow.publish(publisher, now_us())?;
        }
        next += STEP;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(publisher.flush(Duration::from_secs(60))?)
}

struct Delays {
    schemas: Schemas,
    since: i64,
    micros: Vec<i64>,
}

impl Receive for Delays {
    fn record(&mut self, record: Record<'_>) {
        let mut scratch = Vec::new();
        let read = self.schemas.read(record.value.unwrap_or_default(), &mut scratch);
        let row: EnrichedQuery<'_> = read.expect("our own record");
        if row.observed_at >= self.since {
            self.micros.push(now_us() - row.observed_at);
        }
    }
}

fn read(bus: &dyn Bus) -> Outcome<Delays> {
    let position =
        |partition| Position { topic: topic_name(Topic::EnrichedQueries), partition, start: Start::Beginning };
    let partitions = (0..PARTITIONS).map(position).collect();
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
    let since = now_us() + WARM_UP.as_micros() as i64;
    let mut delays = Delays { schemas: Schemas::new(), since, micros: Vec::new() };
    let deadline = Instant::now() + WARM_UP + TIME;
    while Instant::now() < deadline {
        reader.read(Duration::from_millis(1), 10_000, &mut delays)?;
    }
    Ok(delays)
}
