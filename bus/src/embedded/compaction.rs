//! Compaction: of each key of a compacted topic the last record stays, and small blocks become large ones.
//!
//! Two walks, as in Kafka: the first notes the last offset of each key in what is new since the last time, the second
//! rewrites everything up to there without the records that a later one replaced. Each group of blocks is replaced in
//! one batch, so that a reader or a crash sees the old blocks or the new one. Offsets stay; they get gaps.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::Ordering;

use rocksdb::WriteBatch;

use super::block::{BLOCK_BYTES, Block, Builder, Entry, Sealed, Summary};
use super::catalogue::{Partition, stored_offset};
use super::keys::{BLOCKS, INDEX, PartitionId};
use super::log::Log;
use crate::BusError;

/// Keys that one pass can tell apart; with more, it does a part and leaves the rest to the next.
const KEYS_MAX: usize = 400_000;
/// It is time to compact when this much is new, and half as much as what is compacted,
const DIRTY_BYTES_MIN: u64 = 256 << 10;
/// or when so many small blocks came together.
const DIRTY_BLOCKS_MAX: u64 = 256;
/// A block of this size that loses nothing stays as it is.
const LARGE_BYTES: usize = BLOCK_BYTES / 4;

/// Compacts a partition if enough of it is new. Tombstones older than `tombstones_from` (ms) are dropped.
/// The caller holds [`Partition::maintenance`].
pub(super) fn compact_if_due(log: &Log, partition: &Partition, tombstones_from: i64) -> Result<(), BusError> {
    let clean = stored_offset(&log.storage, &partition.id.clean())?.unwrap_or(0);
    let (mut clean_bytes, mut dirty_bytes, mut dirty_blocks) = (0, 0, 0);
    log.visit_summaries(partition.id, partition.start(), |base, summary| {
        if base < clean {
            clean_bytes += u64::from(summary.bytes);
        } else {
            dirty_bytes += u64::from(summary.bytes);
            dirty_blocks += 1;
        }
        true
    })?;
    if dirty_blocks >= DIRTY_BLOCKS_MAX || dirty_bytes >= DIRTY_BYTES_MIN.max(clean_bytes / 2) {
        compact(log, partition, clean, tombstones_from)?;
    }
    Ok(())
}

fn compact(log: &Log, partition: &Partition, clean: i64, tombstones_from: i64) -> Result<(), BusError> {
    let (id, start) = (partition.id, partition.start());
    let (latest, until) = latest_offsets(log, partition, clean)?;
    let mut rewrite = Rewrite { log, id, latest, start, tombstones_from, run: None };
    let mut next = start;
    while next < until {
        if log.closing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (base, summary) = log.summary_from(id, next)?.ok_or_else(|| log.missing(id, next))?;
        rewrite.block(base, &summary)?;
        next = summary.end(base);
    }
    rewrite.finish_run()?;
    let mut batch = WriteBatch::default();
    batch.put(id.clean(), until.to_le_bytes());
    log.storage.write(batch, false)
}

type Latest = HashMap<u128, i64>;

/// The last offset of each key in the blocks from `clean` on, and the end of these blocks.
fn latest_offsets(log: &Log, partition: &Partition, clean: i64) -> Result<(Latest, i64), BusError> {
    let (id, end) = (partition.id, partition.end());
    let mut latest = Latest::new();
    let mut next = clean.max(partition.start());
    while next < end && latest.len() < KEYS_MAX {
        let (base, block) = log.block_at(id, next)?.ok_or_else(|| log.missing(id, next))?;
        entries(log, id, base, &block, |entry| {
            if let Some(key) = entry.key {
                latest.insert(hash(key), base + i64::from(entry.delta));
            }
        })?;
        next = block.end(base);
    }
    Ok((latest, next))
}

struct Rewrite<'a> {
    log: &'a Log,
    id: PartitionId,
    latest: Latest,
    start: i64,
    tombstones_from: i64,
    run: Option<Run>,
}

/// Blocks that become one. It covers what they covered, even if no record is left.
struct Run {
    sources: Vec<i64>,
    end: i64,
    lost: u32,
    builder: Builder,
    newest_so_far: i64,
    sealed_at: i64,
}

impl Rewrite<'_> {
    fn block(&mut self, base: i64, summary: &Summary) -> Result<(), BusError> {
        let (base, block) = self.log.block_at(self.id, base)?.ok_or_else(|| self.log.missing(self.id, base))?;
        let mut staying = 0;
        entries(self.log, self.id, base, &block, |entry| staying += u32::from(self.stays(base, &block, entry)))?;
        if staying == summary.count && summary.bytes as usize >= LARGE_BYTES {
            return self.finish_run();
        }
        if self.run.as_ref().is_some_and(|run| delta(run.sources[0], summary.end(base)).is_none()) {
            self.finish_run()?;
        }
        let mut run = self.run.take().unwrap_or_else(|| Run::new(base));
        entries(self.log, self.id, base, &block, |entry| {
            let offset = base + i64::from(entry.delta);
            if self.stays(base, &block, entry)
                && let Some(delta) = delta(run.sources[0], offset)
            {
                run.builder.push_entry(&Entry { delta, ..*entry });
            }
        })?;
        run.add(base, summary, summary.count - staying);
        let full = run.builder.full();
        self.run = Some(run);
        if full { self.finish_run() } else { Ok(()) }
    }

    fn stays(&self, base: i64, block: &Block, entry: &Entry<'_>) -> bool {
        let offset = base + i64::from(entry.delta);
        let replaced = entry.key.is_some_and(|key| self.latest.get(&hash(key)).is_some_and(|latest| *latest > offset));
        let spent = entry.value.is_none() && entry.timestamp.min(block.sealed_at) < self.tombstones_from;
        offset >= self.start && !replaced && !spent
    }

    fn finish_run(&mut self) -> Result<(), BusError> {
        let Some(mut run) = self.run.take().filter(|run| run.sources.len() > 1 || run.lost > 0) else {
            return Ok(());
        };
        let storage = &self.log.storage;
        let base = run.sources[0];
        let mut batch = WriteBatch::default();
        for source in &run.sources {
            batch.delete_cf(storage.family(BLOCKS), self.id.block(*source));
            batch.delete_cf(storage.family(INDEX), self.id.block(*source));
        }
        let sealed = run.seal();
        batch.put_cf(storage.family(BLOCKS), self.id.block(base), &sealed.bytes);
        batch.put_cf(storage.family(INDEX), self.id.block(base), sealed.summary.encode());
        self.log.space.admit(batch.size_in_bytes() as u64)?;
        storage.write(batch, false)
    }
}

impl Run {
    fn new(base: i64) -> Run {
        let builder = Builder::default();
        Run { sources: vec![base], end: base, lost: 0, builder, newest_so_far: i64::MIN, sealed_at: i64::MIN }
    }

    fn add(&mut self, base: i64, summary: &Summary, lost: u32) {
        if self.sources[0] != base {
            self.sources.push(base);
        }
        self.end = summary.end(base);
        self.lost += lost;
        self.newest_so_far = summary.newest_so_far;
        self.sealed_at = self.sealed_at.max(summary.sealed_at);
    }

    fn seal(&mut self) -> Sealed {
        self.builder.cover(delta(self.sources[0], self.end - 1).unwrap_or(u32::MAX));
        let mut sealed = self.builder.seal(self.sealed_at);
        sealed.summary.newest_so_far = self.newest_so_far;
        sealed
    }
}

/// Distance of an offset from the base of its block; none if a block cannot reach so far.
fn delta(base: i64, offset: i64) -> Option<u32> {
    u32::try_from(offset - base).ok()
}

fn entries(
    log: &Log,
    id: PartitionId,
    base: i64,
    block: &Block,
    mut visit: impl FnMut(&Entry<'_>),
) -> Result<(), BusError> {
    let mut position = 0;
    while let Some((entry, next)) = block.entry(position).map_err(|damaged| log.damaged(id, base, damaged))? {
        visit(&entry);
        position = next;
    }
    Ok(())
}

/// 128 bits, so that two keys never meet in practice: a meeting would lose a record.
fn hash(key: &[u8]) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, key).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
