//! The log on Apache Kafka, by librdkafka.
//!
//! Reads and writes topics of a cluster; keeps no state of its own. A member is one consumer with one transactional
//! producer on one thread; positions are committed with the records that follow from them, fenced by the group's
//! generation. It recovers from everything that passes: brokers that restart, coordinators that move, answers that get
//! lost. What does not pass is a [`Fatal`](crate::BusError::Fatal) error that names the way out.
//!
//! Files: [`Config`] and the properties made of it (`settings`), the member (`member`, `fetch`, `transaction`, `outcome`),
//! the producer, the reader, questions to brokers (`admin`, `groups`, `topics`), and what all clients share (`client`,
//! `log`, `oauth`, `retire`, `failure`, `ffi`).

mod admin;
mod client;
mod clock;
mod config;
mod failure;
mod fetch;
mod ffi;
mod groups;
mod log;
mod lookout;
mod member;
mod oauth;
mod outcome;
mod partitions;
mod producer;
mod reader;
mod retire;
mod settings;
mod topics;
mod transaction;

use std::sync::Arc;

pub use config::{Config, Mechanism, Protocol, Security, Token};

use admin::Brokers;
use member::KafkaMember;
use producer::KafkaProducer;
use reader::KafkaReader;
use settings::Settings;

use crate::{
    Bus, BusError, Committed, GroupSpec, Member, NewTopic, Offsets, Producer, Reader, ReaderSpec, TopicDescription,
};

/// Checks settings without connecting to anything.
///
/// # Errors
/// [`BusError::Fatal`] if librdkafka does not know a property or does not accept its value.
pub fn check(config: &Config) -> Result<(), BusError> {
    Settings::new(config.clone()).map(drop)
}

/// A Kafka cluster.
pub struct Kafka {
    settings: Arc<Settings>,
    brokers: Brokers,
}

impl Kafka {
    /// Checks the settings. Clients connect when they are needed, in the background.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if librdkafka does not know a property or does not accept its value.
    pub fn open(config: &Config) -> Result<Kafka, BusError> {
        let settings = Arc::new(Settings::new(config.clone())?);
        let brokers = Brokers::new(Arc::clone(&settings));
        Ok(Kafka { settings, brokers })
    }
}

impl Bus for Kafka {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        Ok(Arc::new(KafkaProducer::start(&self.settings)?))
    }

    fn join(&self, group: &GroupSpec) -> Result<Box<dyn Member>, BusError> {
        Ok(Box::new(KafkaMember::join(&self.settings, group)?))
    }

    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn Reader>, BusError> {
        Ok(Box::new(KafkaReader::open(&self.settings, reader)?))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<String>, BusError> {
        self.brokers.create_topics(topics)
    }

    fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        self.brokers.describe_topics(prefix)
    }

    fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        self.brokers.offsets(topic, partition)
    }

    fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError> {
        self.brokers.committed(group, topics)
    }

    fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        self.brokers.trim(topic, partition, before)
    }

    fn health(&self) -> Result<(), BusError> {
        self.brokers.health()
    }
}
