//! Deletes what is older than its topic keeps, and runs compaction: a thread that wakes up now and then.

#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rocksdb::WriteBatch;

use super::catalogue::{Partition, Topic};
use super::keys::{BLOCKS, INDEX};
use super::log::Log;
use super::sync::locked;
use super::{Config, clock, compaction};
use crate::{BusError, Retention};

/// Deleted bytes at which their disk space is reclaimed at once instead of with the next RocksDB compaction.
const RECLAIM_BYTES: u64 = 32 << 20;

/// Handle of the thread. Dropping it stops the thread.
pub(super) struct Maintenance {
    log: Arc<Log>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Maintenance {
    /// Starts the thread.
    pub fn start(log: Arc<Log>, config: &Config) -> Result<Maintenance, BusError> {
        let stop = Arc::new(Stop::default());
        let (interval, tombstone_retention) = (config.retention_check_interval, config.tombstone_retention);
        let (log_of_thread, stop_of_thread) = (Arc::clone(&log), Arc::clone(&stop));
        let run = move || {
            while !stop_of_thread.wait(interval) {
                pass(&log_of_thread, tombstone_retention, clock::wall_ms());
            }
        };
        let thread = std::thread::Builder::new()
            .name("bus-retention".to_owned())
            .spawn(run)
            .map_err(|error| BusError::Fatal { operation: "start a thread".to_owned(), message: error.to_string() })?;
        Ok(Maintenance { log, stop, thread: Some(thread) })
    }

    /// Whether old records are still being deleted.
    pub fn health(&self) -> Result<(), BusError> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return Ok(());
        }
        Err(BusError::Fatal {
            operation: "delete old records of the embedded log".to_owned(),
            message: "the thread that does it has stopped; restart the process".to_owned(),
        })
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        *locked(&self.stop.stopped) = true;
        self.stop.changed.notify_all();
        self.log.closing.store(true, Ordering::Relaxed);
        self.log.storage.stop_background_work();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Stop {
    fn wait(&self, interval: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(locked(&self.stopped), interval, |stopped| !*stopped);
        *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
    }
}

/// Looks at every partition once. `now` is the wall clock in ms.
fn pass(log: &Log, tombstone_retention: Duration, now: i64) {
    let mut failures = Vec::new();
    for topic in log.catalogue.all() {
        for partition in &topic.partitions {
            if log.closing.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = maintain(log, &topic, partition, tombstone_retention, now) {
                failures.push(error);
            }
        }
    }
    if log.deleted_bytes.load(Ordering::Relaxed) >= RECLAIM_BYTES {
        log.deleted_bytes.store(0, Ordering::Relaxed);
        failures.extend(log.storage.reclaim(&log.space).err());
    }
    if let Some(error) = failures.first() {
        tracing::warn!(%error, failures = failures.len(), "retention did not get through; it is tried again");
    }
}

fn maintain(
    log: &Log,
    topic: &Topic,
    partition: &Partition,
    tombstone_retention: Duration,
    now: i64,
) -> Result<(), BusError> {
    let _guard = locked(&partition.maintenance);
    match topic.settings.retention {
        Retention::Time(kept) => expire(log, partition, before(now, kept), now),
        Retention::Compacted => compaction::compact_if_due(log, partition, before(now, tombstone_retention)),
        Retention::Unlimited => Ok(()),
    }
}

fn before(now: i64, kept: Duration) -> i64 {
    now.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX))
}

/// Deletes the leading blocks whose newest record is older than `kept_from`. A block from the future, written while the
/// clock was ahead, keeps nothing: it goes with the first expired block behind it.
fn expire(log: &Log, partition: &Partition, kept_from: i64, now: i64) -> Result<(), BusError> {
    let mut start = partition.start();
    let end = partition.end();
    log.visit_summaries(partition.id, start, |base, summary| {
        let aged_from = summary.aged_from();
        if base < end && aged_from < kept_from {
            start = summary.end(base);
        }
        base < end && (aged_from < kept_from || aged_from > now)
    })?;
    advance_start(log, partition, start)
}

/// Deletes the records below `before`. Whole blocks go; of the block that holds `before` the rest is no longer shown.
/// The caller holds [`Partition::maintenance`].
pub(super) fn advance_start(log: &Log, partition: &Partition, before: i64) -> Result<(), BusError> {
    let (id, offsets) = (partition.id, partition.offsets());
    let start = before.clamp(offsets.start, offsets.end);
    if start == offsets.start {
        return Ok(());
    }
    let mut bytes = 0;
    let mut removed = None;
    log.visit_summaries(id, offsets.start, |base, summary| {
        let end = summary.end(base);
        if end <= start {
            bytes += u64::from(summary.bytes);
            removed = Some((removed.map_or(base, |(first, _)| first), end));
        }
        end <= start
    })?;
    let mut batch = WriteBatch::default();
    batch.put(id.start(), start.to_le_bytes());
    if let Some((first, end)) = removed {
        for family in [BLOCKS, INDEX] {
            batch.delete_range_cf(log.storage.family(family), id.block(first), id.block(end));
        }
    }
    // First, so that nobody looks for what is about to go.
    partition.publish_start(start);
    // Not synced: if a crash undoes it, it is done again.
    if let Err(error) = log.storage.write(batch, false) {
        // Nothing went: the next attempt begins where this one did.
        partition.publish_start(offsets.start);
        return Err(error);
    }
    log.deleted_bytes.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}
