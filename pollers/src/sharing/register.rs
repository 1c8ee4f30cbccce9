//! Who owns each target, as far as the topic was read.

use std::collections::BTreeMap;

use dbintel_bus::{Committed, Framings, Receive, Record as Read};
use dbintel_schemas::records::Target;
use dbintel_schemas::wire::{Framing, WriterSchema, unframe};
use dbintel_schemas::{Record, Topic};
use tracing::warn;

/// What the topic says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Component that polls it.
    pub poller: String,
    /// Kind of the server.
    pub engine: String,
    /// Where it listens.
    pub endpoint: String,
    /// Labels of the target.
    pub labels: Vec<(String, String)>,
    /// Process that polls it; none after it gave the target back.
    pub owner: Option<String>,
    /// The owner's epoch.
    pub owner_epoch: i64,
    /// Since when, in µs since the epoch.
    pub updated_at: i64,
}

impl Entry {
    /// The same when nobody polls the target any more.
    pub fn given_back(&self, now: i64) -> Entry {
        Entry { owner: None, updated_at: now, ..self.clone() }
    }
}

/// The newest record of each target, and how far each partition was read.
pub struct Register {
    topic: String,
    framing: Framing,
    entries: BTreeMap<String, Entry>,
    places: BTreeMap<u32, Place>,
}

struct Place {
    next_offset: i64,
    is_at_end: bool,
}

impl Register {
    /// Nothing was read yet of these partitions, nor is known of any.
    pub fn of(framings: &Framings, partitions: &[u32]) -> Register {
        let begun = |partition: &u32| (*partition, Place { next_offset: 0, is_at_end: false });
        Register {
            topic: dbintel_bus::topic_name(Topic::Targets),
            framing: framings.of(Topic::Targets),
            entries: BTreeMap::new(),
            places: partitions.iter().map(begun).collect(),
        }
    }

    /// Everything that is on the topic was read.
    pub fn is_complete(&self) -> bool {
        self.places.values().all(|place| place.is_at_end)
    }

    /// What is known of a target.
    pub fn get(&self, target: &str) -> Option<&Entry> {
        self.entries.get(target)
    }

    /// All targets.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(target, entry)| (target.as_str(), entry))
    }

    /// A record was written. One with an older epoch, from a transaction that came late, changes nothing.
    pub fn insert(&mut self, target: &str, entry: Entry) {
        let known = self.entries.entry(target.to_owned()).or_insert_with(|| entry.clone());
        if entry.owner_epoch >= known.owner_epoch {
            *known = entry;
        }
    }

    /// Whether the partition is one of those that are read.
    pub fn covers(&self, partition: u32) -> bool {
        self.places.contains_key(&partition)
    }

    /// Where each partition was read to.
    pub fn positions(&self) -> Vec<Committed> {
        let position = |(partition, place): (&u32, &Place)| Committed {
            topic: self.topic.clone(),
            partition: *partition,
            next_offset: place.next_offset,
            metadata: String::new(),
        };
        self.places.iter().map(position).collect()
    }

    /// A record that says who owns a target, or none that we can read.
    fn read(&self, value: &[u8]) -> Option<(String, Entry)> {
        let (writer, datum) = unframe(value).ok()?;
        let is_ours = match (writer, self.framing) {
            (WriterSchema::Fingerprint(fingerprint), _) => fingerprint == Target::FINGERPRINT,
            (WriterSchema::RegistryId(id), Framing::Confluent { schema_id }) => id == schema_id,
            _ => false,
        };
        let target = is_ours.then(|| Target::decode(datum).ok()).flatten()?;
        let entry = Entry {
            poller: target.poller.to_owned(),
            engine: target.engine.to_owned(),
            endpoint: target.endpoint.to_owned(),
            labels: target.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            owner: target.owner.map(str::to_owned),
            owner_epoch: target.owner_epoch,
            updated_at: target.updated_at,
        };
        Some((target.target.to_owned(), entry))
    }
}

impl Receive for Register {
    fn record(&mut self, record: Read<'_>) {
        if let Some(place) = self.places.get_mut(&record.partition) {
            place.next_offset = place.next_offset.max(record.offset + 1);
        }
        match record.value.map(|value| self.read(value)) {
            Some(Some((target, entry))) => self.insert(&target, entry),
            None => {
                let target = record.key.and_then(|key| std::str::from_utf8(key).ok());
                target.map(|target| self.entries.remove(target));
            }
            // Whoever becomes owner begins with the time of day, which is higher than whatever stands here.
            Some(None) => {
                let (partition, offset) = (record.partition, record.offset);
                warn!(topic = self.topic, partition, offset, "a record of the targets cannot be read; passing over it");
            }
        }
    }

    fn at_end(&mut self, _topic: usize, partition: u32, next_offset: i64) {
        if let Some(place) = self.places.get_mut(&partition) {
            place.next_offset = place.next_offset.max(next_offset);
            place.is_at_end = true;
        }
    }
}
