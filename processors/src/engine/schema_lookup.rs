//! Finds writer schemas that this process has not seen: in the `schemas` topic, where each writer leaves its own, or in the
//! registry, when a value is framed by it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dbintel_bus::registry::{Registry, RegistryError};
use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Start, topic_name};
use dbintel_schemas::records::SchemaEntry;
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{Schemas, WriterSchema};

/// How long a record waits for its schema before it is called poison.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// Time between two looks.
const RETRY: Duration = Duration::from_millis(500);

/// Searches that are remembered; beyond that the oldest is forgotten.
const SEARCHES_MAX: usize = 64;

/// Known schemas and those that are looked for.
pub struct SchemaLookup {
    schemas: Schemas,
    registry: Option<Arc<Registry>>,
    /// In the order of their beginning.
    searches: Vec<Search>,
}

struct Search {
    writer: WriterSchema,
    since: Instant,
    last_look: Option<Instant>,
    given_up: bool,
}

impl SchemaLookup {
    /// Knows our own schemas.
    pub fn new(registry: Option<Arc<Registry>>) -> Self {
        Self { schemas: Schemas::new(), registry, searches: Vec::new() }
    }

    /// The schemas known so far.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The search for the schema has ended without a result. Without a registry its names mean nothing.
    pub fn given_up(&self, writer: &WriterSchema) -> bool {
        let of_registry = !matches!(writer, WriterSchema::Fingerprint(_));
        let search = self.searches.iter().find(|search| search.writer == *writer);
        of_registry && self.registry.is_none() || search.is_some_and(|search| search.given_up)
    }

    /// Looks for the schema, as long and as often as is sensible. Trouble with the bus or the registry is waited out.
    pub fn look(&mut self, writer: &WriterSchema, bus: &dyn Bus, now: Instant) {
        let number = self.search(writer, now);
        let search = &mut self.searches[number];
        if search.last_look.is_some_and(|look| now - look < RETRY) {
            return;
        }
        search.last_look = Some(now);
        let over = now - search.since >= WAIT_MAX;
        match self.ask(writer, bus) {
            Err(error) => tracing::warn!(error, schema = name(writer), "could not look for the schema of a record"),
            Ok(()) if over || self.waited_in_vain() => {
                self.searches[number].given_up = true;
                tracing::warn!(schema = name(writer), "no such schema is to be found; its records go to quarantine");
            }
            Ok(()) => {}
        }
    }

    /// Waiting was of no use for the last one that was given up: a foreign writer's rubbish may name any number of schemas,
    /// and must not hold the partition back for each.
    fn waited_in_vain(&self) -> bool {
        self.searches.iter().any(|search| search.given_up)
    }

    /// The search for this schema, begun now if there was none.
    fn search(&mut self, writer: &WriterSchema, now: Instant) -> usize {
        if let Some(number) = self.searches.iter().position(|search| search.writer == *writer) {
            return number;
        }
        if self.searches.len() >= SEARCHES_MAX {
            self.searches.remove(0);
        }
        self.searches.push(Search { writer: *writer, since: now, last_look: None, given_up: false });
        self.searches.len() - 1
    }

    /// Asks where the schema should be. Not finding it is no error.
    fn ask(&mut self, writer: &WriterSchema, bus: &dyn Bus) -> Result<(), String> {
        let (WriterSchema::RegistryId(id), Some(registry)) = (writer, &self.registry) else {
            return read_schemas(bus, &mut self.schemas).map_err(|error| error.to_string());
        };
        match registry.schema(*id) {
            Ok(schema) => {
                if let Err(error) = self.schemas.insert_registry(*id, &schema) {
                    tracing::warn!(%error, id, "a schema of the registry is not usable");
                }
                Ok(())
            }
            Err(RegistryError::Unknown(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Readable form of a writer schema's reference.
pub fn name(writer: &WriterSchema) -> String {
    match writer {
        WriterSchema::Fingerprint(fingerprint) => format!("fingerprint {fingerprint:016x}"),
        WriterSchema::RegistryId(id) => format!("registry id {id}"),
        WriterSchema::RegistryGuid(guid) => format!("registry guid {:032x}", u128::from_be_bytes(*guid)),
    }
}

/// Adds the schemas that writers have left on the log.
pub fn read_schemas(bus: &dyn Bus, schemas: &mut Schemas) -> Result<(), BusError> {
    let topic = topic_name(Topic::Schemas);
    let end = bus.offsets(&topic, 0)?.stable_end;
    let partitions = vec![Position { topic, partition: 0, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
    let mut entries: Vec<(u64, String)> = Vec::new();
    let mut next_offset = 0;
    while next_offset < end {
        let read = reader.read(Duration::from_secs(1), 1000, &mut |record: Record<'_>| {
            next_offset = record.offset + 1;
            let mut scratch = Vec::new();
            let entry = record.value.map(|value| schemas.read::<SchemaEntry<'_>>(value, &mut scratch).map(owned));
            if let Some(Ok(entry)) = entry {
                entries.push(entry);
            }
        })?;
        if read == 0 {
            break;
        }
    }
    for (fingerprint, schema) in entries {
        if let Err(error) = schemas.insert_fingerprint(fingerprint, &schema) {
            tracing::warn!(%error, "a schema in the schemas topic is not usable");
        }
    }
    Ok(())
}

fn owned(entry: SchemaEntry<'_>) -> (u64, String) {
    (entry.fingerprint as u64, entry.schema.to_owned())
}

#[cfg(test)]
mod tests {
    use dbintel_bus::model::{Config, Model};
    use dbintel_bus::planned_topics;

    use super::*;

    fn log() -> Model {
        let bus = Model::new(Config::default());
        bus.create_topics(&planned_topics(1, &[])).unwrap();
        bus
    }

    #[test]
    fn without_a_registry_nothing_waits_for_one() {
        let lookup = SchemaLookup::new(None);
        assert!(lookup.given_up(&WriterSchema::RegistryId(7)));
        assert!(lookup.given_up(&WriterSchema::RegistryGuid([7; 16])));
        assert!(!lookup.given_up(&WriterSchema::Fingerprint(7)));
    }

    #[test]
    fn only_the_first_of_many_unknown_schemas_is_waited_for() {
        let bus = log();
        let mut lookup = SchemaLookup::new(None);
        let start = crate::engine::clock::now();
        let first = WriterSchema::Fingerprint(u64::MAX);
        lookup.look(&first, &bus, start);
        assert!(!lookup.given_up(&first), "its writer may be about to announce it");
        lookup.look(&first, &bus, start + WAIT_MAX);
        assert!(lookup.given_up(&first));
        for number in 0..2 * SEARCHES_MAX as u64 {
            let writer = WriterSchema::Fingerprint(number);
            lookup.look(&writer, &bus, start + WAIT_MAX);
            assert!(lookup.given_up(&writer), "number {number} held the partition back");
        }
        assert!(lookup.searches.len() <= SEARCHES_MAX);
    }
}
