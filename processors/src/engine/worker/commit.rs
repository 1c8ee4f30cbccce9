//! Commits of a worker: one transaction over all its tasks.
//!
//! Order: outputs, ledger, changelog with marker → input positions → commit → only then the stores. A crash before the
//! commit leaves nothing visible; a crash after it leaves the stores behind the changelog, which restoring mends.

use std::time::Duration;

use dbintel_bus::{BusError, CommitError, Outgoing, Receipt, SendError};

use super::{IDLE_WAIT, Worker, WorkerError};
use crate::engine::clock;

/// Shortest time between two commits that are made because there is nothing else to do.
const IDLE_COMMIT_GAP: Duration = Duration::from_millis(50);

impl Worker<'_> {
    pub(super) fn commit_due(&self) -> bool {
        let Some(dirty_since) = self.pace.dirty_since else { return false };
        let now = clock::now();
        let idle = self.tasks.values().all(|running| running.task.inbox.is_empty())
            && self.pace.last_commit.is_none_or(|last| now - last >= IDLE_COMMIT_GAP);
        idle || self.pace.full() || now - dirty_since >= self.shared.config.commit_interval
    }

    /// Commits what all tasks have processed.
    pub(super) fn commit(&mut self) -> Result<(), WorkerError> {
        let dirty: Vec<u32> =
            self.tasks.iter().filter(|(_, running)| running.task.dirty()).map(|(partition, _)| *partition).collect();
        if dirty.is_empty() {
            self.pace.begin();
            return Ok(());
        }
        let started = clock::now();
        let mut positions = Vec::new();
        for partition in &dirty {
            match self.send_books_and_changes(*partition) {
                Err(WorkerError::TooLarge { .. }) => return self.too_large(),
                sent => sent?,
            }
            positions.extend(self.tasks[partition].task.commit_positions());
        }
        match self.member.commit(&positions) {
            Ok(receipt) => self.committed(&dirty, &receipt)?,
            Err(error) => return self.not_committed(error),
        }
        self.shared.metrics.commits.inc();
        self.shared.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
        self.pace.last_commit = Some(clock::now());
        self.pace.begin();
        self.pace.rows_max = self.shared.config.commit_rows.min(self.pace.rows_max * 2);
        Ok(())
    }

    fn send_books_and_changes(&mut self, partition: u32) -> Result<(), WorkerError> {
        let Some(running) = self.tasks.get_mut(&partition) else { return Ok(()) };
        let parts = running.task.prepare_commit(&self.writer, &mut self.outbox)?;
        let timestamp = running.task.time_ms()?;
        self.send_outbox()?;
        for part in parts {
            let record =
                Outgoing { topic: &self.changelog, partition, timestamp, key: None, value: Some(&part), headers: &[] };
            while let Err(error) = self.member.send(record) {
                match error {
                    SendError::Full => clock::sleep(Duration::from_millis(1)),
                    SendError::Bus(error) => return Err(error.into()),
                    SendError::TooLarge { .. } => unreachable!("parts are far smaller than the changelog allows"),
                }
            }
        }
        Ok(())
    }

    fn committed(&mut self, partitions: &[u32], receipt: &Receipt) -> Result<(), WorkerError> {
        for partition in partitions {
            let Some(running) = self.tasks.get_mut(partition) else { continue };
            let end = receipt.changelog_ends.iter().find(|(number, _)| number == partition).map_or(0, |(_, end)| *end);
            let restore_from = running.task.committed(end, &self.shared.metrics)?;
            if restore_from > running.trimmed {
                match self.shared.bus.trim(&self.changelog, *partition, restore_from) {
                    Ok(()) => running.trimmed = restore_from,
                    Err(error) => tracing::warn!(%error, partition, "could not trim the changelog; trying again later"),
                }
            }
        }
        Ok(())
    }

    fn not_committed(&mut self, error: CommitError) -> Result<(), WorkerError> {
        tracing::warn!(%error, "a transaction was not committed");
        match error {
            CommitError::Aborted(_) => self.rollback(),
            CommitError::Fenced(_) => self.forget(),
            CommitError::TooLarge { .. } => self.too_large(),
            CommitError::Bus(BusError::Unavailable { .. }) => {
                self.rollback()?;
                self.shared.wait(IDLE_WAIT);
                Ok(())
            }
            CommitError::Bus(error) => Err(error.into()),
        }
    }

    /// The bus refused a record for its size: halves the transaction until the row that causes it is alone, which then goes
    /// to quarantine.
    pub(super) fn too_large(&mut self) -> Result<(), WorkerError> {
        if self.pace.rows <= 1 {
            self.tasks.values_mut().for_each(|running| running.task.refuse_oversize());
        }
        self.again_with(self.pace.rows / 2)
    }

    /// Goes back to the last commit, to make the next one after this many rows. Later commits may grow again.
    pub(super) fn again_with(&mut self, rows: usize) -> Result<(), WorkerError> {
        self.rollback()?;
        self.pace.rows_max = rows.max(1);
        Ok(())
    }

    /// Aborts the transaction and goes back to the committed positions.
    pub(super) fn rollback(&mut self) -> Result<(), WorkerError> {
        self.shared.metrics.aborts.inc();
        self.outbox.clear();
        self.member.abort()?;
        let positions: Vec<_> = self.tasks.values_mut().flat_map(|running| running.task.rollback()).collect();
        self.member.seek(&positions)?;
        self.pace.begin();
        Ok(())
    }
}
