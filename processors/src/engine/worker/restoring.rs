//! The state of the partitions of an assignment, several at once.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dbintel_bus::{Committed, Position, Start};

use super::WorkerError;
use crate::engine::clock;
use crate::engine::group::Shared;
use crate::engine::restore::Restore;
use crate::engine::store::{Store, StoreError};
use crate::engine::task::Task;

/// How long to wait for another process of this machine that still has a store open.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// What is needed to restore partitions.
pub(super) struct Restoring<'a> {
    pub shared: &'a Shared,
    /// Full name of the group's changelog.
    pub changelog: &'a str,
    /// Of all partitions of the assignment.
    pub committed: &'a [Committed],
}

/// A task on its state, with where to read its inputs.
pub(super) type Restored = Result<(Task, Vec<Position>), WorkerError>;

impl Restoring<'_> {
    /// Restores all partitions: most of the time is waiting for the log, so that several are restored at once.
    pub fn all(&self, partitions: &[u32]) -> Vec<(u32, Restored)> {
        let threads = self.shared.config.restores_at_once.min(partitions.len());
        if threads <= 1 {
            return partitions.iter().map(|partition| (*partition, self.one(*partition))).collect();
        }
        let (next, restored) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(partition) = partitions.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = self.one(*partition);
                restored.lock().unwrap_or_else(PoisonError::into_inner).push((*partition, one));
            }
        };
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        restored.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn one(&self, partition: u32) -> Restored {
        let config = &self.shared.config;
        let directory = config.state_directory.join(&config.name).join(partition.to_string());
        let store = self.open_store(&directory)?;
        let topics = config.input_names();
        let committed: Vec<Committed> =
            self.committed.iter().filter(|position| position.partition == partition).cloned().collect();
        let bus = &*self.shared.bus;
        let mut restored = Restore {
            bus,
            changelog: self.changelog,
            partition,
            topics: &topics,
            committed: &committed,
            batch_bytes: config.restore_bytes,
            progress: &self.shared.restoring,
        }
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
}
