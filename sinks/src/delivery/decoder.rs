//! Bytes to rows. A schema that another release wrote is looked up in the `schemas` topic, or in the registry, before its
//! records are called undecodable. While the one that has to be asked is away, nothing is called undecodable.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbintel_bus::registry::{Registry, RegistryError};
use dbintel_bus::{Bus, BusError, Isolation, Position, Reader, ReaderSpec, Receive, Start, topic_name};
use dbintel_schemas::records::SchemaEntry;
use dbintel_schemas::wire::{ReadError, Schemas, WriterSchema, unframe};
use dbintel_schemas::{Record, Topic};

use super::sink::Row;
use crate::clock;

/// Times that an unknown schema is looked for: its writer has announced it, but the topics are not in step.
const LOOKUPS: u32 = 4;
/// Wait between two of them.
const LOOKUP_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for the next entry of the `schemas` topic.
const ENTRY_TIMEOUT: Duration = Duration::from_millis(100);
/// Entries read at once.
const ENTRIES_MAX: usize = 100;
/// Reads of one look-up.
const READS_MAX: u32 = 100;
/// Schemas that were not found. Past it they are looked for again.
const MISSING_MAX: usize = 1000;
/// Time after which a schema that was not found is looked for again.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// Decodes records.
pub struct Decoder {
    sources: Sources,
    entries: Option<Entries>,
    schemas: Schemas,
    /// Schemas that are nowhere, and until when that is believed.
    pub(super) missing: HashMap<WriterSchema, Instant>,
    scratch: Vec<u8>,
}

/// What became of the search for a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It is known.
    Found,
    /// It is nowhere, or cannot be used.
    Unknown,
    /// Whoever may know it did not answer, for this reason.
    Unavailable(String),
}

/// The `schemas` topic, read up to an offset.
struct Entries {
    reader: Box<dyn Reader>,
    next_offset: i64,
}

/// Where schemas of others are found.
#[derive(Clone)]
pub struct Sources {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The registry, if there is one.
    pub registry: Option<Arc<Registry>>,
}

impl Decoder {
    /// Knows the schemas of this release.
    pub fn new(sources: Sources) -> Self {
        let (schemas, missing) = (Schemas::new(), HashMap::new());
        Decoder { sources, entries: None, schemas, missing, scratch: Vec::new() }
    }

    /// Looks for the schema of a record's writer, unless it is known.
    pub fn prepare(&mut self, bytes: &[u8]) -> Lookup {
        let Ok((writer, _)) = unframe(bytes) else { return Lookup::Unknown };
        if self.schemas.contains(writer) {
            return Lookup::Found;
        }
        match self.missing.get(&writer) {
            Some(until) if clock::now() < *until => Lookup::Unknown,
            _ => self.look_for(writer),
        }
    }

    /// Decodes a record of a topic that sinks read.
    pub fn row<'a>(&'a mut self, topic: Topic, bytes: &'a [u8]) -> Result<Row<'a>, ReadError> {
        match topic {
            Topic::EnrichedQueries => self.decode(bytes).map(Row::Query),
            Topic::EnrichedSessions => self.decode(bytes).map(Row::Session),
            Topic::EnrichedMetrics => self.decode(bytes).map(Row::Metrics),
            Topic::EnrichedLogs => self.decode(bytes).map(Row::Log),
            _ => self.decode(bytes).map(Row::Event),
        }
    }

    /// Decodes a record that was [prepared](Decoder::prepare) for.
    pub fn decode<'a, R: Record<'a>>(&'a mut self, bytes: &'a [u8]) -> Result<R, ReadError> {
        self.schemas.read(bytes, &mut self.scratch)
    }

    /// Looks for a schema, again and again for a moment.
    fn look_for(&mut self, writer: WriterSchema) -> Lookup {
        for lookup in 0..LOOKUPS {
            if lookup > 0 {
                std::thread::sleep(LOOKUP_PAUSE);
            }
            let found = match writer {
                WriterSchema::Fingerprint(_) => self.read_topic(writer),
                WriterSchema::RegistryId(id) => self.ask_registry(id),
                WriterSchema::RegistryGuid(_) => Lookup::Unknown,
            };
            if found != Lookup::Unknown {
                return found;
            }
        }
        if self.missing.len() >= MISSING_MAX {
            self.missing.clear();
        }
        self.missing.insert(writer, clock::now() + MISSING_FOR);
        Lookup::Unknown
    }

    fn ask_registry(&mut self, id: u32) -> Lookup {
        let Some(registry) = &self.sources.registry else { return Lookup::Unknown };
        let schema = match registry.schema(id) {
            Ok(schema) => schema,
            Err(RegistryError::Unknown(_)) => return Lookup::Unknown,
            Err(error) => return Lookup::Unavailable(error.to_string()),
        };
        match self.schemas.insert_registry(id, &schema) {
            Ok(()) => Lookup::Found,
            Err(error) => {
                tracing::warn!(%error, id, "a schema of the registry cannot be used");
                Lookup::Unknown
            }
        }
    }

    fn read_topic(&mut self, writer: WriterSchema) -> Lookup {
        let entries = match self.new_entries() {
            Ok(entries) => entries,
            Err(error) => return Lookup::Unavailable(error.to_string()),
        };
        for (fingerprint, schema) in entries {
            if let Err(error) = self.schemas.insert_fingerprint(fingerprint, &schema) {
                tracing::warn!(%error, fingerprint, "a schema of another release cannot be used");
            }
        }
        if self.schemas.contains(writer) { Lookup::Found } else { Lookup::Unknown }
    }

    /// What came to the `schemas` topic since the last call. After an error it is read from the beginning.
    fn new_entries(&mut self) -> Result<Vec<(u64, String)>, BusError> {
        let bus = &self.sources.bus;
        let end = bus.offsets(&topic_name(Topic::Schemas), 0)?.stable_end;
        let Entries { mut reader, next_offset } = match self.entries.take() {
            Some(entries) => entries,
            None => Entries { reader: bus.reader(&entries_from_the_beginning())?, next_offset: 0 },
        };
        let mut intake = Intake { schemas: &self.schemas, entries: Vec::new(), next_offset };
        for _ in 0..READS_MAX {
            if intake.next_offset >= end {
                let Intake { entries, next_offset, .. } = intake;
                self.entries = Some(Entries { reader, next_offset });
                return Ok(entries);
            }
            reader.read(ENTRY_TIMEOUT, ENTRIES_MAX, &mut intake)?;
        }
        let message = format!("read to offset {} of {end} in time", intake.next_offset);
        Err(BusError::Unavailable { operation: "read the schemas topic".to_owned(), message })
    }
}

/// Takes what a read of the `schemas` topic brings.
struct Intake<'s> {
    schemas: &'s Schemas,
    entries: Vec<(u64, String)>,
    next_offset: i64,
}

impl Receive for Intake<'_> {
    fn record(&mut self, record: dbintel_bus::Record<'_>) {
        self.next_offset = record.offset + 1;
        let (Some(value), mut scratch) = (record.value, Vec::new()) else { return };
        let Ok(entry) = self.schemas.read::<SchemaEntry<'_>>(value, &mut scratch) else { return };
        let fingerprint = entry.fingerprint.cast_unsigned();
        if !self.schemas.contains(WriterSchema::Fingerprint(fingerprint)) {
            self.entries.push((fingerprint, entry.schema.to_owned()));
        }
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, next_offset: i64) {
        self.next_offset = next_offset;
    }
}

fn entries_from_the_beginning() -> ReaderSpec {
    let position = Position { topic: topic_name(Topic::Schemas), partition: 0, start: Start::Beginning };
    ReaderSpec { partitions: vec![position], isolation: Isolation::Committed }
}
