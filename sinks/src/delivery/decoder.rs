//! Bytes to rows. A schema that another release wrote is looked up in the `schemas` topic before its records are called
//! undecodable.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, BusError, Isolation, Position, Reader, ReaderSpec, Start, topic_name};
use dbintel_schemas::records::SchemaEntry;
use dbintel_schemas::wire::{ReadError, Schemas, WriterSchema, unframe};
use dbintel_schemas::{Record, Topic};

use super::sink::Row;

/// Records of unknown schemas that are passed over before the `schemas` topic is read again.
const LOOKUP_EVERY: u64 = 1000;
/// Longest wait for the next entry of the `schemas` topic.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(200);
/// Entries read at once.
const LOOKUP_ENTRIES: usize = 100;

/// Decodes records.
pub struct Decoder {
    bus: Arc<dyn Bus>,
    entries: Option<Box<dyn Reader>>,
    schemas: Schemas,
    /// Records with an unknown schema since the last look-up.
    unknown: u64,
    scratch: Vec<u8>,
}

impl Decoder {
    /// Knows the schemas of this release.
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Decoder {
            bus,
            entries: None,
            schemas: Schemas::new(),
            unknown: 0,
            scratch: Vec::new(),
        }
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
        {
            self.look_up();
        }
        self.schemas.read(bytes, &mut self.scratch)
    }

    /// Reads what is new in the `schemas` topic, at the first unknown record and then now and again.
    fn look_up(&mut self) {
        let due = self.unknown.is_multiple_of(LOOKUP_EVERY);
        self.unknown += 1;
        if due && let Err(error) = self.read_entries() {
            tracing::warn!(%error, "could not look up the schema of a record");
        }
    }

    fn read_entries(&mut self) -> Result<(), BusError> {
        let mut reader = match self.entries.take() {
            Some(reader) => reader,
            None => self.bus.reader(&entries_from_the_beginning())?,
        };
        let schemas = &mut self.schemas;
        let mut learn = |record: dbintel_bus::Record<'_>| {
            let Some((_, datum)) = record.value.and_then(|value| unframe(value).ok()) else { return };
            let Ok(entry) = SchemaEntry::decode(datum) else { return };
            let fingerprint = entry.fingerprint.cast_unsigned();
            if !schemas.contains(WriterSchema::Fingerprint(fingerprint))
                && let Err(error) = schemas.insert_fingerprint(fingerprint, entry.schema)
            {
                tracing::warn!(%error, name = entry.name, "a schema of another release cannot be used");
            }
        };
        while reader.read(LOOKUP_TIMEOUT, LOOKUP_ENTRIES, &mut learn)? > 0 {}
        self.entries = Some(reader);
        Ok(())
    }
}

fn entries_from_the_beginning() -> ReaderSpec {
    let position = Position { topic: topic_name(Topic::Schemas), partition: 0, start: Start::Beginning };
    ReaderSpec { partitions: vec![position], isolation: Isolation::Committed }
}
