//! Partitions come and go: restore before the first record, commit before the last.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dbintel_bus::{Committed, Position, Start, topic_name};

use super::{Running, Worker, WorkerError};
use crate::engine::clock;
use crate::engine::group::INPUTS;
use crate::engine::restore::Restore;
use crate::engine::store::{Store, StoreError};
use crate::engine::task::Task;

/// How long to wait for another process of this machine that still has a store open.
const STORE_WAIT: Duration = Duration::from_secs(10);

impl Worker<'_> {
    /// Restores the tasks of an assignment and starts to fetch.
    pub(super) fn assign(&mut self, partitions: &[u32]) -> Result<(), WorkerError> {
        let committed = self.member.committed(partitions)?;
        let mut positions = Vec::new();
        for partition in partitions {
            let (task, starts) = self.restore(*partition, &committed)?;
            positions.extend(starts);
            self.tasks.insert(*partition, Running { task, blocked_since: None, trimmed: 0 });
        }
        self.member.start(&positions)?;
        self.shared.metrics.partitions.add(partitions.len() as i64);
        self.ready.store(true, Ordering::Release);
        tracing::info!(group = self.shared.config.name, ?partitions, "partitions assigned");
        Ok(())
    }

    fn restore(&self, partition: u32, committed: &[Committed]) -> Result<(Task, Vec<Position>), WorkerError> {
        let config = &self.shared.config;
        let directory = config.state_directory.join(&config.name).join(partition.to_string());
        let store = self.open_store(&directory)?;
        let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
        let committed: Vec<Committed> =
            committed.iter().filter(|position| position.partition == partition).cloned().collect();
        let bus = &*self.shared.bus;
        let mut restored =
            Restore { bus, changelog: &self.changelog, partition, topics: &topics, committed: &committed }
                .run(&*store)?;
        for position in &mut restored.positions {
            self.skip_what_is_gone(position)?;
        }
        let positions = restored.positions.clone();
        Ok((Task::new(config, partition, store, restored), positions))
    }

    /// Retention may have deleted what the group has not read yet: that is said, and the flow goes on.
    fn skip_what_is_gone(&self, position: &mut Position) -> Result<(), WorkerError> {
        let Start::Offset(next_offset) = position.start else { return Ok(()) };
        let log = self.shared.bus.offsets(&position.topic, position.partition)?;
        if next_offset < log.start {
            let lost = log.start - next_offset;
            self.shared.metrics.lost_records.inc_by(lost as u64);
            tracing::error!(
                topic = position.topic,
                partition = position.partition,
                lost,
                "retention deleted records before they were processed; the ledger shows the gap"
            );
            position.start = Start::Offset(log.start);
        }
        Ok(())
    }

    fn open_store(&self, directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
        let deadline = clock::now() + STORE_WAIT;
        loop {
            match (self.shared.open_store)(directory) {
                Err(error) if error.busy && clock::now() < deadline && !self.shared.stopping() => {
                    self.shared.wait(Duration::from_millis(100));
                }
                opened => return opened,
            }
        }
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
