//! Finds writer schemas that this process has not seen: in the `schemas` topic, where each writer leaves its own, or in the
//! registry, when a value is framed by it.

use std::collections::BTreeMap;
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

/// Schemas that are looked for at the same time; beyond that the oldest is given up.
const LOOKED_FOR_MAX: usize = 64;

/// Known schemas and those that are looked for.
pub struct SchemaLookup {
    schemas: Schemas,
    registry: Option<Arc<Registry>>,
    looked_for: BTreeMap<String, Search>,
}

struct Search {
    since: Instant,
    last_look: Option<Instant>,
    given_up: bool,
}

impl SchemaLookup {
    /// Knows our own schemas.
    pub fn new(registry: Option<Arc<Registry>>) -> Self {
        Self { schemas: Schemas::new(), registry, looked_for: BTreeMap::new() }
    }

    /// The schemas known so far.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// The search for the schema has ended without a result.
    pub fn given_up(&self, writer: &WriterSchema) -> bool {
        self.looked_for.get(&name(writer)).is_some_and(|search| search.given_up)
    }

    /// Looks for the schema, as long and as often as is sensible. Trouble with the bus or the registry is waited out.
    pub fn look(&mut self, writer: &WriterSchema, bus: &dyn Bus, now: Instant) {
        while self.looked_for.len() >= LOOKED_FOR_MAX {
            self.looked_for.pop_first();
        }
        let search =
            self.looked_for.entry(name(writer)).or_insert(Search { since: now, last_look: None, given_up: false });
        if search.last_look.is_some_and(|look| now - look < RETRY) {
            return;
        }
        search.last_look = Some(now);
        let over = now - search.since >= WAIT_MAX;
        match (self.ask(writer, bus), self.looked_for.get_mut(&name(writer))) {
            (Err(error), _) => {
                tracing::warn!(error, schema = name(writer), "could not look for the schema of a record")
            }
            (Ok(()), Some(search)) if over => {
                search.given_up = true;
                tracing::warn!(schema = name(writer), "no such schema is to be found; its records go to quarantine");
            }
            (Ok(()), _) => {}
        }
    }

    /// Asks where the schema should be. Not finding it is no error.
    fn ask(&mut self, writer: &WriterSchema, bus: &dyn Bus) -> Result<(), String> {
        let (WriterSchema::RegistryId(id), Some(registry)) = (writer, &self.registry) else {
            return read_schemas(bus, &mut self.schemas).map_err(|error| error.to_string());
        };
        match registry.schema(*id) {
            Ok(schema) => self.schemas.insert_registry(*id, &schema).map_err(|error| error.to_string()),
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

fn read_schemas(bus: &dyn Bus, schemas: &mut Schemas) -> Result<(), BusError> {
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
