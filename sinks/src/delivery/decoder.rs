//! Bytes to rows. A schema that another release wrote is looked up in the `schemas` topic, or in the registry, before its
//! records are called undecodable.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::registry::Registry;
use dbintel_bus::{Bus, BusError, Isolation, Position, Reader, ReaderSpec, Receive, Start, topic_name};
use dbintel_schemas::records::SchemaEntry;
use dbintel_schemas::wire::{ReadError, Schemas, WriterSchema, unframe};
use dbintel_schemas::{Record, Topic};

use super::sink::Row;

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

/// Decodes records.
pub struct Decoder {
    sources: Sources,
    entries: Option<Box<dyn Reader>>,
    schemas: Schemas,
    missing: HashSet<WriterSchema>,
    scratch: Vec<u8>,
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
        let (schemas, missing) = (Schemas::new(), HashSet::new());
        Decoder { sources, entries: None, schemas, missing, scratch: Vec::new() }
    }

    /// Decodes a record of a topic that sinks read.
    pub fn row<'a>(&'a mut self, topic: Topic, bytes: &'a [u8]) -> Result<Row<'a>, ReadError> {
        match topic {
            Topic::EnrichedQueries => self.decode(bytes).map(Row::Query),
            Topic::EnrichedSessions => self.decode(bytes).map(Row::Session),
            Topic::EnrichedMetrics => self.decode(bytes).map(Row::Metrics),
            _ => self.decode(bytes).map(Row::Event),
        }
    }

    /// Decodes a record.
    pub fn decode<'a, R: Record<'a>>(&'a mut self, bytes: &'a [u8]) -> Result<R, ReadError> {
        if let Ok((writer, _)) = unframe(bytes)
            && writer != WriterSchema::Fingerprint(R::FINGERPRINT)
            && !self.schemas.contains(writer)
            && !self.missing.contains(&writer)
        {
            self.look_for(writer);
        }
        self.schemas.read(bytes, &mut self.scratch)
    }

    /// Looks for a schema, again and again for a moment.
    fn look_for(&mut self, writer: WriterSchema) {
        for lookup in 0..LOOKUPS {
            if lookup > 0 {
                std::thread::sleep(LOOKUP_PAUSE);
            }
            match writer {
                WriterSchema::Fingerprint(_) => self.read_topic(),
                WriterSchema::RegistryId(id) => self.ask_registry(id),
                WriterSchema::RegistryGuid(_) => {}
            }
            if self.schemas.contains(writer) {
                return;
            }
        }
        if self.missing.len() >= MISSING_MAX {
            self.missing.clear();
        }
        self.missing.insert(writer);
    }

    fn ask_registry(&mut self, id: u32) {
        let Some(registry) = &self.sources.registry else { return };
        match registry.schema(id) {
            Ok(schema) => {
                if let Err(error) = self.schemas.insert_registry(id, &schema) {
                    tracing::warn!(%error, id, "a schema of the registry cannot be used");
                }
            }
            Err(error) => tracing::warn!(%error, id, "could not look up the schema of a record"),
        }
    }

    fn read_topic(&mut self) {
        match self.new_entries() {
            Ok(entries) => {
                for (fingerprint, schema) in entries {
                    if let Err(error) = self.schemas.insert_fingerprint(fingerprint, &schema) {
                        tracing::warn!(%error, fingerprint, "a schema of another release cannot be used");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "could not look up the schema of a record"),
        }
    }

    /// What came to the `schemas` topic since the last call.
    fn new_entries(&mut self) -> Result<Vec<(u64, String)>, BusError> {
        let was_read = self.entries.is_some();
        let mut reader = match self.entries.take() {
            Some(reader) => reader,
            None => self.sources.bus.reader(&entries_from_the_beginning())?,
        };
        let mut intake = Intake { schemas: &self.schemas, entries: Vec::new(), ended: false };
        for _ in 0..READS_MAX {
            let count = reader.read(ENTRY_TIMEOUT, ENTRIES_MAX, &mut intake)?;
            // The end is told when it is reached, and not again while nothing is new.
            if intake.ended || (count == 0 && was_read) {
                break;
            }
        }
        let entries = intake.entries;
        self.entries = Some(reader);
        Ok(entries)
    }
}

/// Takes what a read of the `schemas` topic brings.
struct Intake<'s> {
    schemas: &'s Schemas,
    entries: Vec<(u64, String)>,
    ended: bool,
}

impl Receive for Intake<'_> {
    fn record(&mut self, record: dbintel_bus::Record<'_>) {
        let (Some(value), mut scratch) = (record.value, Vec::new()) else { return };
        let Ok(entry) = self.schemas.read::<SchemaEntry<'_>>(value, &mut scratch) else { return };
        let fingerprint = entry.fingerprint.cast_unsigned();
        if !self.schemas.contains(WriterSchema::Fingerprint(fingerprint)) {
            self.entries.push((fingerprint, entry.schema.to_owned()));
        }
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, _next_offset: i64) {
        self.ended = true;
    }
}

fn entries_from_the_beginning() -> ReaderSpec {
    let position = Position { topic: topic_name(Topic::Schemas), partition: 0, start: Start::Beginning };
    ReaderSpec { partitions: vec![position], isolation: Isolation::Committed }
}
