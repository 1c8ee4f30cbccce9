//! Reading partitions outside of any group, in the process that writes or beside it.

use std::sync::Arc;
use std::time::Duration;

use super::beside::Beside;
use super::clock;
use super::cursor::{Cursors, Room};
use super::log::Log;
use crate::{BusError, ReaderSpec, Receive};

/// Where a reader learns of new records.
pub(super) enum Source {
    /// From the writer of the same process.
    Writer(Arc<Log>),
    /// By looking at what another process wrote.
    Beside(Arc<Beside>),
}

impl Source {
    fn log(&self) -> &Log {
        match self {
            Source::Writer(log) => log,
            Source::Beside(beside) => &beside.log,
        }
    }

    fn wait(&self, seen: u64, timeout: Duration) -> Result<(), BusError> {
        match self {
            Source::Writer(log) => log.changed.wait(seen, timeout),
            Source::Beside(beside) => beside.wait(timeout)?,
        }
        Ok(())
    }
}

/// Reads partitions. Isolation makes no difference: only committed records reach the log.
pub(super) struct Reader {
    source: Source,
    cursors: Cursors,
}

impl Reader {
    /// A reader at the given positions.
    pub fn new(source: Source, spec: &ReaderSpec) -> Result<Reader, BusError> {
        let cursors = Cursors::start(source.log(), &spec.topics(), &spec.partitions)?;
        Ok(Reader { source, cursors })
    }
}

impl crate::Reader for Reader {
    fn read(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<usize, BusError> {
        let deadline = clock::monotonic() + timeout;
        let room = Room { records: limit, bytes: usize::MAX };
        loop {
            let seen = self.source.log().changed.seen();
            let delivered = self.cursors.deliver(self.source.log(), room, receive)?;
            let left = deadline.saturating_duration_since(clock::monotonic());
            if delivered.records > 0 || delivered.ends > 0 || left.is_zero() {
                return Ok(delivered.records);
            }
            self.source.wait(seen, left)?;
        }
    }
}
