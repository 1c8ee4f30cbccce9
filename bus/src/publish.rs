//! Records on the log: how they are framed, keyed and placed, and how their schemas get there before them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbintel_schemas::records::SchemaEntry;
use dbintel_schemas::topics::{self, Topic};
use dbintel_schemas::wire::{self, Framing};
use dbintel_schemas::{Definition, Record, key, partition};

use crate::{BusError, Outgoing, Producer, SendError};

/// Full name of a topic on the bus.
pub fn topic_name(topic: Topic) -> String {
    format!("{}{}", topics::PREFIX, topic.name())
}

/// How the records of each topic are framed.
#[derive(Debug, Clone, Default)]
pub struct Framings {
    registered: Arc<BTreeMap<Topic, Framing>>,
}

impl Framings {
    /// Avro single-object encoding everywhere: there is no registry.
    pub fn single_object() -> Self {
        Self::default()
    }

    /// The registry's frame for the topics whose schema it has.
    pub fn registered(framings: BTreeMap<Topic, Framing>) -> Self {
        Self { registered: Arc::new(framings) }
    }

    /// Frame of a topic's records.
    pub fn of(&self, topic: Topic) -> Framing {
        self.registered.get(&topic).copied().unwrap_or(Framing::SingleObject)
    }
}

/// Encodes records and sends them outside of transactions. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    shared: Arc<Shared>,
}

struct Shared {
    producer: Arc<dyn Producer>,
    framings: Framings,
    partitions: u32,
    topics: Vec<Destination>,
}

struct Destination {
    name: String,
    announced: AtomicBool,
}

impl Publisher {
    /// A publisher for co-partitioned topics of this many partitions.
    pub fn new(producer: Arc<dyn Producer>, framings: Framings, partitions: u32) -> Self {
        let destination = |topic: &Topic| Destination { name: topic_name(*topic), announced: AtomicBool::new(false) };
        let topics = Topic::ALL.iter().map(destination).collect();
        Self { shared: Arc::new(Shared { producer, framings, partitions, topics }) }
    }

    /// Sends a record of a target; the key is the target. `timestamp` is in ms since the epoch.
    pub fn publish<'r, R: Record<'r>>(&self, record: &R, target: &str, timestamp: i64) -> Result<(), SendError> {
        self.send(record, target, target.as_bytes(), timestamp, &[])
    }

    /// The same, with headers.
    pub fn publish_with<'r, R: Record<'r>>(
        &self,
        record: &R,
        target: &str,
        timestamp: i64,
        headers: &[(&str, &[u8])],
    ) -> Result<(), SendError> {
        self.send(record, target, target.as_bytes(), timestamp, headers)
    }

    /// Sends a record of a compacted topic; the key is the target with an identity.
    pub fn publish_keyed<'r, R: Record<'r>>(
        &self,
        record: &R,
        target: &str,
        identity: &str,
        timestamp: i64,
    ) -> Result<(), SendError> {
        let mut bytes = Vec::new();
        key::compacted_key(target, identity, &mut bytes);
        self.send(record, target, &bytes, timestamp, &[])
    }

    /// Waits until all that was accepted is durable.
    pub fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        self.shared.producer.flush(timeout)
    }

    /// Records accepted and not yet durable.
    pub fn outstanding(&self) -> usize {
        self.shared.producer.outstanding()
    }

    /// Partitions of the co-partitioned topics.
    pub fn partitions(&self) -> u32 {
        self.shared.partitions
    }

    fn send<'r, R: Record<'r>>(
        &self,
        record: &R,
        target: &str,
        key: &[u8],
        timestamp: i64,
        headers: &[(&str, &[u8])],
    ) -> Result<(), SendError> {
        let shared = &*self.shared;
        let Some(place) = Topic::ALL.iter().position(|topic| *topic == R::TOPIC) else { return Ok(()) };
        let destination = &shared.topics[place];
        if !destination.announced.load(Ordering::Acquire) {
            announce(&*shared.producer, &Definition::of::<R>(), timestamp)?;
            destination.announced.store(true, Ordering::Release);
        }
        let mut value = Vec::with_capacity(512);
        wire::write(record, shared.framings.of(R::TOPIC), &mut value);
        shared.producer.send(Outgoing {
            topic: &destination.name,
            partition: partition::partition_of(target, shared.partitions),
            timestamp,
            key: Some(key),
            value: Some(&value),
            headers,
        })
    }
}

/// Leaves a schema where readers of single-object encoding find it. Repeating it does no harm: the topic is compacted.
fn announce(producer: &dyn Producer, definition: &Definition, timestamp: i64) -> Result<(), SendError> {
    let entry = SchemaEntry {
        fingerprint: definition.fingerprint.cast_signed(),
        name: definition.name,
        schema: definition.schema,
        writer_version: env!("CARGO_PKG_VERSION"),
    };
    let mut value = Vec::new();
    wire::write(&entry, Framing::SingleObject, &mut value);
    let fingerprint = format!("{:016x}", definition.fingerprint);
    producer.send(Outgoing {
        topic: &topic_name(Topic::Schemas),
        partition: 0,
        timestamp,
        key: Some(fingerprint.as_bytes()),
        value: Some(&value),
        headers: &[],
    })
}

/// Announces the schemas of what a process is going to write in transactions. They are there once `producer` is flushed.
pub fn announce_all(producer: &dyn Producer, definitions: &[Definition], timestamp: i64) -> Result<(), BusError> {
    for definition in definitions {
        announce(producer, definition, timestamp).map_err(|error| BusError::Unavailable {
            operation: format!("announce the schema of {}", definition.topic.name()),
            message: error.to_string(),
        })?;
    }
    Ok(())
}
