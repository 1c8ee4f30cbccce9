//! The schemas that records were written with: ours, those on the `schemas` topic, and those of a registry.

use std::collections::BTreeMap;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use dbintel_bus::{Bus, BusError, Isolation, Position, ReaderSpec, Record, Start, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{DEFINITIONS, SchemaEntry};
use dbintel_schemas::wire::{WireError, WriterSchema, unframe};

use super::shown::Shown;

/// Schemas that are kept; a topic with more writers than this is nothing that we know.
const SCHEMAS_MAX: usize = 1000;
/// Longest wait for the next entry of the `schemas` topic.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Entries that are read at a time.
const READ_RECORDS: usize = 1000;

/// Known writer schemas.
pub struct Writers {
    known: BTreeMap<WriterSchema, Writer>,
}

struct Writer {
    schema: Schema,
    /// What is shown of restricted topics.
    shown: Shown,
}

/// A record cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no frame, or a broken one.
    #[error(transparent)]
    Frame(#[from] WireError),
    /// Nobody told us the schema.
    #[error("the schema of the writer is not known: {0}")]
    UnknownSchema(WriterSchema),
    /// The bytes do not fit the schema.
    #[error("the bytes do not fit the schema of the writer")]
    Datum,
}

impl Writers {
    /// Our own.
    pub fn ours() -> Writers {
        let mut writers = Writers { known: BTreeMap::new() };
        for definition in DEFINITIONS {
            writers.learn(WriterSchema::Fingerprint(definition.fingerprint), definition.schema);
        }
        writers
    }

    /// Remembers a schema; what is none is passed over.
    pub fn learn(&mut self, writer: WriterSchema, schema: &str) {
        if self.known.len() >= SCHEMAS_MAX {
            return;
        }
        let (parsed, json) = (Schema::parse_str(schema), serde_json::from_str(schema));
        if let (Ok(schema), Ok(json)) = (parsed, json) {
            self.known.insert(writer, Writer { schema, shown: Shown::without_personal_data(&json) });
        }
    }

    /// Decodes a value, and says what of it is shown if its topic is restricted.
    pub fn read(&self, value: &[u8]) -> Result<(Avro, &Shown), ReadError> {
        let (writer, datum) = unframe(value)?;
        let Writer { schema, shown } = self.known.get(&writer).ok_or(ReadError::UnknownSchema(writer))?;
        let mut rest = datum;
        let reader = GenericDatumReader::builder(schema).build().map_err(|_| ReadError::Datum)?;
        match reader.read_value(&mut rest) {
            Ok(value) if rest.is_empty() => Ok((value, shown)),
            _ => Err(ReadError::Datum),
        }
    }

    /// Reads the schemas that writers have left on the log.
    pub fn read_log(&mut self, bus: &dyn Bus) -> Result<(), BusError> {
        let topic = topic_name(Topic::Schemas);
        let end = bus.offsets(&topic, 0)?.stable_end;
        let partitions = vec![Position { topic, partition: 0, start: Start::Beginning }];
        let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
        let mut next_offset = 0;
        while next_offset < end {
            let read = reader.read(READ_TIMEOUT, READ_RECORDS, &mut |record: Record<'_>| {
                next_offset = record.offset + 1;
                self.learn_entry(record.value.unwrap_or_default());
            })?;
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    fn learn_entry(&mut self, value: &[u8]) {
        use dbintel_schemas::Record as _;
        let Ok((_, datum)) = unframe(value) else { return };
        if let Ok(entry) = SchemaEntry::decode(datum) {
            self.learn(WriterSchema::Fingerprint(entry.fingerprint.cast_unsigned()), entry.schema);
        }
    }
}
