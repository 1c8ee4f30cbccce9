//! The log in one RocksDB directory: the default, with nothing installed.
//!
//! - One process writes; its roles share one [`Embedded`]. A second writer is refused, readers open the directory beside
//!   it with [`Embedded::open_reader`]. Past one machine the answer is Kafka.
//! - A transaction is a buffer of its member until the commit. One thread writes: everything that waits becomes one
//!   RocksDB batch and one fsync, so that records, ends, index and positions change together or not at all, and survive
//!   SIGKILL. Readers see committed records only because no others are ever written.
//! - Records are stored in blocks, one for each commit and partition, so that the cost is per block and not per record.
//! - After a failed commit the transaction is gone and nothing of it is visible: go back to the committed positions.
//!   A full disk fails commits with [`BusError::Unavailable`] and fills the producers' bounded buffers; both go on by
//!   themselves when there is space.
//! - Consumer groups live in the process; their positions are durable.

mod beside;
mod block;
mod catalogue;
mod clock;
mod compaction;
mod config;
mod cursor;

mod keys;
mod log;
mod member;
mod outbox;
mod reader;
mod retention;
#[cfg(test)]
mod scene;
mod space;
mod staging;
mod storage;
mod sync;
mod topic_settings;
mod writer;

use std::sync::{Arc, Mutex};

pub use beside::EmbeddedReader;
pub use config::Config;
pub use writer::Statistics;

use crate::groups::Groups;
use crate::{
    Bus, BusError, Committed, GroupSpec, Member, NewTopic, Offsets, Producer, Reader, ReaderSpec, TopicDescription,
};
use log::Log;
use reader::Source;
use retention::Maintenance;
use storage::Storage;
use writer::Writer;

/// Largest record that a topic may allow, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The embedded log, open for writing. What it hands out keeps it open.
pub struct Embedded {
    core: Arc<Core>,
}

/// What the parts of the process share. Dropping it writes what is waiting and stops the threads.
struct Core {
    config: Config,
    log: Arc<Log>,
    groups: Arc<Mutex<Groups>>,
    writer: Writer,
    maintenance: Maintenance,
}

impl Embedded {
    /// Opens the directory for writing, creating it if it is missing.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if another process is writing to it (its pid is named), or if it cannot be read.
    pub fn open(config: &Config) -> Result<Embedded, BusError> {
        let log = Arc::new(Log::new(Storage::open(&config.directory)?, config.disk_free_bytes_min)?);
        let groups = Arc::new(Mutex::new(Groups::new(config.rebalance_timeout)));
        let writer = Writer::start(Arc::clone(&log), Arc::clone(&groups), config)?;
        let maintenance = Maintenance::start(Arc::clone(&log), config)?;
        let config = config.clone();
        Ok(Embedded { core: Arc::new(Core { config, log, groups, writer, maintenance }) })
    }

    /// Opens the directory for reading, beside the process that writes it, if there is one. It serves `reader`,
    /// `describe_topics`, `offsets` and `committed`; everything else is [`BusError::Fatal`].
    ///
    /// # Errors
    /// [`BusError::Fatal`] if there is no log in the directory.
    pub fn open_reader(config: &Config) -> Result<EmbeddedReader, BusError> {
        EmbeddedReader::open(config)
    }

    /// How much was written since the log was opened.
    pub fn statistics(&self) -> Statistics {
        self.core.writer.statistics()
    }
}

impl Bus for Embedded {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        Ok(Arc::new(outbox::Producer::new(Arc::clone(&self.core))))
    }

    fn join(&self, group: &GroupSpec) -> Result<Box<dyn Member>, BusError> {
        Ok(Box::new(member::Member::join(Arc::clone(&self.core), group)?))
    }

    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(reader::Reader::new(Source::Writer(Arc::clone(&self.core.log)), reader)?))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<String>, BusError> {
        self.core.log.catalogue.create(&self.core.log.storage, topics)
    }

    fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        Ok(self.core.log.catalogue.describe(prefix))
    }

    fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        Ok(self.core.log.catalogue.topic(topic)?.partition(partition)?.offsets())
    }

    fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError> {
        self.core.log.positions(group, topics, |_| true)
    }

    fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        self.core.log.trim(topic, partition, before)
    }

    fn health(&self) -> Result<(), BusError> {
        self.core.maintenance.health()?;
        self.core.writer.health()
    }
}
