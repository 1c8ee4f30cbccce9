//! Which log to open, and how.

use std::sync::Arc;

use crate::{Bus, BusError, embedded, kafka};

/// Settings of the bus.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which implementation, with its settings.
    pub kind: Kind,
}

/// Implementations to choose from.
#[derive(Debug, Clone)]
pub enum Kind {
    /// One RocksDB directory on this machine.
    Embedded(embedded::Config),
    /// Apache Kafka.
    Kafka(Box<kafka::Config>),
}

/// Opens the log. Kafka is connected to in the background; the embedded log takes its directory's lock.
pub fn open(config: &Config) -> Result<Arc<dyn Bus>, BusError> {
    Ok(match &config.kind {
        Kind::Embedded(config) => Arc::new(embedded::Embedded::open(config)?),
        Kind::Kafka(config) => Arc::new(kafka::Kafka::open(config)?),
    })
}
