//! Reading a log that another process writes: tools look at it without stopping anything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Config;
use super::log::Log;
use super::reader::{Reader, Source};
use super::storage::Storage;
use crate::{Bus, BusError, Committed, GroupSpec, Member, NewTopic, Offsets, Producer, ReaderSpec, TopicDescription};

/// How often a waiting reader looks for new records.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The log as it was when somebody last looked.
pub(super) struct Beside {
    pub log: Log,
}

impl Beside {
    /// Waits a moment, then looks at what was written meanwhile.
    pub fn wait(&self, timeout: Duration) -> Result<(), BusError> {
        std::thread::sleep(timeout.min(LOOK_INTERVAL));
        self.look()
    }

    fn look(&self) -> Result<(), BusError> {
        self.log.storage.catch_up()?;
        self.log.catalogue.load(&self.log.storage)
    }
}

/// The embedded log, opened for reading only. What would write says so.
pub struct EmbeddedReader {
    beside: Arc<Beside>,
}

impl EmbeddedReader {
    pub(super) fn open(config: &Config) -> Result<EmbeddedReader, BusError> {
        let log = Log::new(Storage::open_beside(&config.directory)?, 0)?;
        Ok(EmbeddedReader { beside: Arc::new(Beside { log }) })
    }

    fn log(&self) -> Result<&Log, BusError> {
        self.beside.look()?;
        Ok(&self.beside.log)
    }

    fn refuse<T>(&self, operation: &str) -> Result<T, BusError> {
        Err(read_only(operation, self.beside.log.storage.directory()))
    }
}

fn read_only(operation: &str, directory: &Path) -> BusError {
    BusError::Fatal {
        operation: operation.to_owned(),
        message: format!(
            "the embedded log in {} is open for reading only; ask the process that writes it through its admin address",
            directory.display()
        ),
    }
}

impl Bus for EmbeddedReader {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        self.refuse("send records")
    }

    fn join(&self, group: &GroupSpec) -> Result<Box<dyn Member>, BusError> {
        self.refuse(&format!("join group {}", group.group))
    }

    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn crate::Reader>, BusError> {
        self.beside.look()?;
        Ok(Box::new(Reader::new(Source::Beside(Arc::clone(&self.beside)), reader)?))
    }

    fn create_topics(&self, _: &[NewTopic]) -> Result<Vec<String>, BusError> {
        self.refuse("create topics")
    }

    fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        Ok(self.log()?.catalogue.describe(prefix))
    }

    fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        Ok(self.log()?.catalogue.topic(topic)?.partition(partition)?.offsets())
    }

    fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError> {
        self.log()?.positions(group, topics, |_| true)
    }

    fn trim(&self, topic: &str, _: u32, _: i64) -> Result<(), BusError> {
        self.refuse(&format!("trim {topic}"))
    }

    fn health(&self) -> Result<(), BusError> {
        self.beside.look()
    }
}
