//! The topics of the log, with the ends of their partitions.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rocksdb::WriteBatch;

use super::RECORD_BYTES_MAX;
use super::keys::{self, META, PartitionId};
use super::storage::Storage;
use super::topic_settings;
use crate::{BusError, NewTopic, Offsets, TopicDescription};

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// What it was created with.
    pub settings: NewTopic,
    /// Its partitions by number.
    pub partitions: Vec<Partition>,
}

/// A partition and its ends. The writer raises the end, retention the start; everybody reads them.
#[derive(Debug)]
pub(super) struct Partition {
    /// How it stands in keys.
    pub id: PartitionId,
    start: AtomicI64,
    end: AtomicI64,
    newest: AtomicI64,
    /// Held by whoever deletes or rewrites its blocks.
    pub maintenance: Mutex<()>,
}

impl Topic {
    /// A partition by number.
    pub fn partition(&self, number: u32) -> Result<&Partition, BusError> {
        self.partitions.get(number as usize).ok_or_else(|| {
            let message = format!("it has {} partitions, counted from 0", self.partitions.len());
            BusError::Fatal { operation: format!("use partition {number} of {}", self.settings.name), message }
        })
    }

    fn describe(&self) -> TopicDescription {
        TopicDescription {
            name: self.settings.name.clone(),
            partitions: self.settings.partitions,
            retention: self.settings.retention,
            message_bytes_max: self.settings.message_bytes_max,
            offsets: self.partitions.iter().map(Partition::offsets).collect(),
        }
    }
}

impl Partition {
    fn new(id: PartitionId) -> Partition {
        let (start, end, newest) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(i64::MIN));
        Partition { id, start, end, newest, maintenance: Mutex::new(()) }
    }

    /// First offset kept.
    pub fn start(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// Offset that the next record gets.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Newest timestamp ever written.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Both ends. All that is in the log is committed, so that there is one end only.
    pub fn offsets(&self) -> Offsets {
        let end = self.end();
        Offsets { start: self.start().min(end), stable_end: end, end }
    }

    /// Makes written records visible.
    pub fn publish_end(&self, end: i64, newest: i64) {
        self.newest.store(newest, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    /// Makes a deletion visible.
    pub fn publish_start(&self, start: i64) {
        self.start.store(start, Ordering::Release);
    }

    /// The stored form of an end.
    pub fn encode_end(end: i64, newest: i64) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&end.to_le_bytes());
        bytes[8..].copy_from_slice(&newest.to_le_bytes());
        bytes
    }

    fn load(&self, storage: &Storage) -> Result<(), BusError> {
        // A reader beside the writer may see older values for a moment: ends only move forward.
        if let Some(start) = stored_offset(storage, &self.id.start())? {
            self.start.fetch_max(start, Ordering::AcqRel);
        }
        if let Some(bytes) = storage.get(META, self.id.end())?
            && let Some((end, newest)) = bytes.split_first_chunk::<8>()
            && let Ok(newest) = newest.try_into()
        {
            self.newest.fetch_max(i64::from_le_bytes(newest), Ordering::AcqRel);
            self.end.fetch_max(i64::from_le_bytes(*end), Ordering::AcqRel);
        }
        Ok(())
    }
}

/// An offset stored under a key.
pub(super) fn stored_offset(storage: &Storage, key: &[u8]) -> Result<Option<i64>, BusError> {
    let bytes = storage.get(META, key)?;
    Ok(bytes.and_then(|bytes| Some(i64::from_le_bytes(bytes.as_ref().try_into().ok()?))))
}

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
}

impl Catalogue {
    /// Reads topics and ends from the directory: at the start, and each time a reader has caught up with the writer.
    pub fn load(&self, storage: &Storage) -> Result<(), BusError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut stored = storage.range(META, &[keys::TOPIC], &[keys::TOPIC + 1]);
        stored.seek_to_first();
        while let Some((key, value)) = stored.item() {
            let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u16::from_be_bytes);
            let (Some(id), Some(settings)) = (id, topic_settings::decode(value)) else {
                return Err(BusError::Fatal {
                    operation: format!("open the embedded log in {}", storage.directory().display()),
                    message: "the entry of a topic is damaged; restore the directory or begin a new one".to_owned(),
                });
            };
            topics.entry(settings.name.clone()).or_insert_with(|| Arc::new(new_topic(id, settings)));
            stored.next();
        }
        stored.status().map_err(|error| storage.reading_failed(&error))?;
        topics.values().flat_map(|topic| &topic.partitions).try_for_each(|partition| partition.load(storage))
    }

    /// A topic by its full name.
    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, BusError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| BusError::Fatal {
            operation: format!("find topic {name}"),
            message: "it does not exist; create it with `dbintel topics create`".to_owned(),
        })
    }

    /// All topics, sorted by name.
    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Topics whose name starts with `prefix`.
    pub fn describe(&self, prefix: &str) -> Vec<TopicDescription> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let from = (Bound::Included(prefix), Bound::Unbounded);
        topics
            .range::<str, _>(from)
            .take_while(|(name, _)| name.starts_with(prefix))
            .map(|(_, t)| t.describe())
            .collect()
    }

    /// Creates what is missing, all or nothing; returns the names of what was created. What exists is left alone, also if
    /// it differs.
    pub fn create(&self, storage: &Storage, wanted: &[NewTopic]) -> Result<Vec<String>, BusError> {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = WriteBatch::default();
        let mut created: Vec<(String, Arc<Topic>)> = Vec::new();
        for settings in wanted {
            check_settings(settings)?;
            let exists = topics.contains_key(&settings.name);
            if exists || created.iter().any(|(name, _)| *name == settings.name) {
                continue;
            }
            let id = u16::try_from(topics.len() + created.len())
                .map_err(|_| refused(settings, "the log holds as many topics as it can, 65536".to_owned()))?;
            batch.put(keys::topic(id), topic_settings::encode(settings));
            created.push((settings.name.clone(), Arc::new(new_topic(id, settings.clone()))));
        }
        if !created.is_empty() {
            storage.write(batch, true)?;
        }
        let names = created.iter().map(|(name, _)| name.clone()).collect();
        topics.extend(created);
        Ok(names)
    }
}

fn new_topic(id: u16, settings: NewTopic) -> Topic {
    let numbers = 0..u16::try_from(settings.partitions).unwrap_or(u16::MAX);
    let partitions = numbers.map(|partition| Partition::new(PartitionId { topic: id, partition })).collect();
    Topic { settings, partitions }
}

fn check_settings(settings: &NewTopic) -> Result<(), BusError> {
    if settings.name.is_empty() {
        return Err(refused(settings, "a topic needs a name".to_owned()));
    }
    if settings.partitions == 0 || settings.partitions > u32::from(u16::MAX) {
        return Err(refused(settings, format!("it must have 1 to {} partitions", u16::MAX)));
    }
    if settings.message_bytes_max > RECORD_BYTES_MAX {
        return Err(refused(settings, format!("records of more than {RECORD_BYTES_MAX} bytes are not supported")));
    }
    Ok(())
}

fn refused(settings: &NewTopic, message: String) -> BusError {
    BusError::Fatal { operation: format!("create topic {:?}", settings.name), message }
}
