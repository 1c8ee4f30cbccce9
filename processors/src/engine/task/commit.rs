//! The commit of a task, step by step: ledger and changelog before it, the store only after it.

use dbintel_bus::{Committed, Position, Start};

use super::{CHECKPOINT_FACTOR, Committing, Pending, SLICE_BYTES_MAX, Task, TaskError};
use crate::engine::books::Commit;
use crate::engine::changelog::Marker;
use crate::engine::metrics::Metrics;
use crate::engine::outbox::Outbox;
use crate::engine::restore;
use crate::engine::store::{Place, Slice, StoreBatch, StoreError};

impl Task {
    /// Prepares the commit of everything processed: ledger into the outbox, changelog records as the return value, to be
    /// sent in this order.
    pub fn prepare_commit(&mut self, writer: &str, outbox: &mut Outbox) -> Result<Vec<Vec<u8>>, TaskError> {
        let commit_seq = self.committed.marker.commit_seq + 1;
        let task_time = self.targets.partition_time()?;
        let commit = Commit { group: &self.group, partition: self.partition, commit_seq, writer, task_time };
        let tallies = self.books.close(&commit, outbox);
        let mut changes = std::mem::take(&mut self.changes);
        changes.begin(commit_seq);
        for (key, value) in self.committed.slice.iter() {
            changes.rewrite(key, value);
        }
        let before = changes.bytes();
        self.expire(task_time)?;
        self.each_table(|table| table.log_changes(&mut changes));
        let changed_bytes = changes.bytes() - before;
        let marker = self.next_marker(commit_seq);
        let parts = changes.finish(&marker);
        self.changes = changes;
        self.pending = Some(Pending { marker, tallies, changed_bytes });
        Ok(parts)
    }

    /// The checkpoint passes over all state: what has expired goes with it.
    fn expire(&mut self, now: i64) -> Result<(), TaskError> {
        let slice = std::mem::take(&mut self.committed.slice);
        let mut outcome = Ok(());
        self.each_table(|table| {
            if outcome.is_ok() {
                outcome = table.expire(&slice, now);
            }
        });
        self.committed.slice = slice;
        Ok(outcome?)
    }

    /// Event time of the partition in ms, for the timestamps of what the task itself writes.
    pub fn time_ms(&mut self) -> Result<i64, TaskError> {
        Ok(self.targets.partition_time()? / 1000)
    }

    fn next_marker(&self, commit_seq: u64) -> Marker {
        let last = &self.committed;
        let mut checkpoint = last.marker.checkpoint.clone();
        checkpoint.cycle_start.get_or_insert(last.changelog_next);
        if last.slice_ends_cycle {
            checkpoint.restore_from = checkpoint.cycle_start.take().unwrap_or(checkpoint.restore_from);
            checkpoint.cursor.clear();
        } else if let Some(key) = last.slice.last_key() {
            checkpoint.cursor = key.to_vec();
        }
        let positions = self
            .names
            .iter()
            .zip(&self.positions)
            .filter_map(|(name, position)| Some((name.clone(), (*position)?)))
            .collect();
        Marker { commit_seq, positions, checkpoint }
    }

    /// Input positions of the prepared commit, for the transaction.
    pub fn commit_positions(&self) -> Vec<Committed> {
        let Some(Pending { marker, .. }) = &self.pending else { return Vec::new() };
        let metadata = restore::metadata(marker);
        let position = |(topic, next_offset): &(String, i64)| Committed {
            topic: topic.clone(),
            partition: self.partition,
            next_offset: *next_offset,
            metadata: metadata.clone(),
        };
        marker.positions.iter().map(position).collect()
    }

    /// The prepared commit is visible. Only now may the store learn of it. Gives the offset below which the changelog
    /// is not needed any more.
    pub fn committed(&mut self, changelog_next: i64, metrics: &Metrics) -> Result<i64, StoreError> {
        let Some(Pending { marker, tallies, changed_bytes }) = self.pending.take() else { return Ok(0) };
        self.unflushed_bytes += changed_bytes;
        for tally in tallies {
            metrics.rows.with_label_values(&[&*tally.pipeline, tally.disposition, tally.reason]).inc_by(tally.rows);
        }
        let marker = marker.ends_at(changelog_next);
        let positions = self.positions.clone();
        let (slice, slice_ends_cycle) = (Slice::default(), false);
        self.committed = Committing { marker, changelog_next, positions, slice, slice_ends_cycle };
        self.poisoned.retain(|(topic, offset), _| self.positions[*topic].is_none_or(|next| *offset >= next));
        self.each_table(|table| table.commit());
        self.attempts.committed();
        if self.unflushed_bytes >= self.flush_bytes {
            let budget = (CHECKPOINT_FACTOR * self.unflushed_bytes).min(SLICE_BYTES_MAX);
            self.flush()?;
            self.cut_slice(budget)?;
        }
        Ok(self.committed.marker.checkpoint.restore_from)
    }

    /// Brings the store up to the last commit.
    fn flush(&mut self) -> Result<(), StoreError> {
        let mut batch = StoreBatch::default();
        let cached_values = self.cached_values;
        self.each_table(|table| table.flush(&mut batch, cached_values));
        let place = Place { changelog_next: self.committed.changelog_next, marker: self.committed.marker.clone() };
        self.store.write(&batch, &place)?;
        self.unflushed_bytes = 0;
        Ok(())
    }

    /// Takes the next slice of the checkpoint from the store, which must be up to date.
    fn cut_slice(&mut self, budget: usize) -> Result<(), StoreError> {
        self.committed.slice = self.store.scan(&self.committed.marker.checkpoint.cursor, budget)?;
        self.committed.slice_ends_cycle = self.committed.slice.bytes() < budget;
        Ok(())
    }

    /// Nothing of the transaction is visible: back to the last commit. Gives the positions to read from.
    pub fn rollback(&mut self) -> Vec<Position> {
        self.pending = None;
        self.inbox.clear();
        self.books.clear();
        self.each_table(|table| table.rollback());
        self.positions.clone_from(&self.committed.positions);
        self.names
            .iter()
            .zip(&self.positions)
            .map(|(topic, position)| Position {
                topic: topic.clone(),
                partition: self.partition,
                start: position.map_or(Start::Beginning, Start::Offset),
            })
            .collect()
    }

    /// Writes what is committed to disk, for a fast start next time.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.rollback();
        self.flush()?;
        self.attempts.end();
        self.store.persist()
    }
}
