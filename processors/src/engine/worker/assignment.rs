//! Partitions come and go: restore before the first record, commit before the last.

use std::sync::atomic::Ordering;

use super::restoring::Restoring;
use super::{Running, Worker, WorkerError};
use crate::engine::clock;

impl Worker<'_> {
    /// Restores the tasks of an assignment and starts to fetch.
    pub(super) fn assign(&mut self, partitions: &[u32]) -> Result<(), WorkerError> {
        let started = clock::now();
        let committed = self.member.committed(partitions)?;
        let mut positions = Vec::new();
        let restoring = Restoring { shared: self.shared, changelog: &self.changelog, committed: &committed };
        for (partition, restored) in restoring.all(partitions) {
            let (task, starts) = restored?;
            positions.extend(starts);
            self.tasks.insert(partition, Running { task, blocked_since: None, trimmed: 0 });
            self.shared.metrics.partitions.inc();
        }
        self.member.start(&positions)?;
        self.ready.store(true, Ordering::Release);
        let restored_in = started.elapsed();
        self.shared.metrics.restore_seconds.observe(restored_in.as_secs_f64());
        tracing::info!(group = self.shared.config.name, ?partitions, ?restored_in, "partitions assigned");
        Ok(())
    }

    /// Gives all partitions back, committed as far as they were processed unless they are lost already.
    pub(super) fn revoke(&mut self, lost: bool) -> Result<(), WorkerError> {
        let partitions: Vec<u32> = self.tasks.keys().copied().collect();
        if lost {
            self.forget()?;
        } else {
            self.commit()?;
            self.close_tasks()?;
        }
        self.member.release()?;
        tracing::info!(group = self.shared.config.name, ?partitions, lost, "partitions given back");
        Ok(())
    }

    /// Drops everything since the last commit, and the tasks: somebody else owns them.
    pub(super) fn forget(&mut self) -> Result<(), WorkerError> {
        self.shared.metrics.aborts.inc();
        self.outbox.clear();
        self.member.abort()?;
        self.pace.begin();
        self.close_tasks()
    }

    pub(super) fn close_tasks(&mut self) -> Result<(), WorkerError> {
        self.ready.store(false, Ordering::Release);
        self.shared.metrics.partitions.sub(self.tasks.len() as i64);
        for (_, running) in std::mem::take(&mut self.tasks) {
            running.task.close()?;
        }
        Ok(())
    }
}
