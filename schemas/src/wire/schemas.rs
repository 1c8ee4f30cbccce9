//! Reads values whatever schema they were written with.
//!
//! A datum of our own schema is decoded as it is. One of another schema is first checked against that schema (apache-avro
//! takes the end of the bytes for null, and trusts counts), and then resolved by apache-avro.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;

use super::shape::{Shape, ShapeError};
use super::{WireError, WriterSchema, canonical, unframe};
use crate::Record;
use crate::codec::{Cursor, DecodeError};
use crate::records::DEFINITIONS;

/// Most writer schemas that are known at once.
pub const SCHEMAS_MAX: usize = 4096;
/// Longest schema that is taken, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 1024 * 1024;

/// Known writer schemas, ours among them from the start. A clone shares the schemas and is cheap enough to be replaced
/// whenever one is added.
#[derive(Clone)]
pub struct Schemas {
    writers: HashMap<WriterSchema, Arc<Writer>>,
}

struct Writer {
    name: String,
    fingerprint: u64,
    schema: Schema,
    shape: Shape,
}

/// A schema that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// It is too long.
    #[error("the schema has {0} bytes; {SCHEMA_BYTES_MAX} are the most")]
    TooLong(usize),
    /// Too many are known.
    #[error("{SCHEMAS_MAX} writer schemas are known already")]
    TooMany,
    /// It is not an Avro schema.
    #[error("the schema is not valid")]
    Invalid(#[source] Box<apache_avro::Error>),
    /// It has no canonical form.
    #[error("the schema has no canonical form: {0}")]
    NotCanonical(String),
    /// It is not a record's.
    #[error("the schema is not that of a record")]
    NotARecord,
    /// It is another one's.
    #[error("the schema has the fingerprint {found:#018x} instead of {expected:#018x}")]
    WrongFingerprint {
        /// The fingerprint that it was said to have.
        expected: u64,
        /// The one that it has.
        found: u64,
    },
    /// Its data may be without bounds.
    #[error("the schema's data cannot be read within bounds")]
    Unbounded(#[from] ShapeError),
}

/// A value that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The schema of the writer is not known: it may be found in the `schemas` topic or the registry.
    #[error("the writer's schema is not known: {0}")]
    UnknownSchema(WriterSchema),
    /// The value has no frame that we know.
    #[error("the value is not framed")]
    NotOurFraming(#[from] WireError),
    /// The datum is not of its schema.
    #[error("the value is not of its schema")]
    Decode(#[from] DecodeError),
    /// The value is another record.
    #[error("the value is a {found}, not a {expected}")]
    WrongRecord {
        /// Full name of the record to be read.
        expected: &'static str,
        /// Full name of the record that was written.
        found: String,
    },
    /// The schema of the writer does not fit ours.
    #[error("the value does not fit our schema: {0}")]
    Resolve(String),
}

impl Schemas {
    /// Knows our own schemas, by their fingerprints as any Avro library computes them. They are parsed once per process.
    #[must_use]
    pub fn new() -> Self {
        static OURS: LazyLock<Schemas> = LazyLock::new(Schemas::parse_ours);
        OURS.clone()
    }

    fn parse_ours() -> Self {
        let ours = DEFINITIONS.iter().flat_map(|definition| {
            let writer = Writer::parse(definition.schema).expect("the build script has parsed our schemas");
            let elsewhere = writer.schema.fingerprint::<Rabin>().bytes;
            let elsewhere = elsewhere.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte));
            let writer = Arc::new(writer);
            [definition.fingerprint, elsewhere]
                .map(|fingerprint| (WriterSchema::Fingerprint(fingerprint), writer.clone()))
        });
        Self { writers: ours.collect() }
    }

    /// Adds the schema with this fingerprint, as the `schemas` topic tells it.
    pub fn insert_fingerprint(&mut self, fingerprint: u64, schema_json: &str) -> Result<(), InsertError> {
        let writer = Writer::parse(schema_json)?;
        if writer.fingerprint != fingerprint {
            return Err(InsertError::WrongFingerprint { expected: fingerprint, found: writer.fingerprint });
        }
        self.insert(WriterSchema::Fingerprint(fingerprint), writer)
    }

    /// Adds the schema with this identifier, as the registry tells it.
    pub fn insert_registry(&mut self, id: u32, schema_json: &str) -> Result<(), InsertError> {
        self.insert(WriterSchema::RegistryId(id), Writer::parse(schema_json)?)
    }

    /// Adds the schema with this globally unique identifier, as the registry tells it.
    pub fn insert_registry_guid(&mut self, guid: [u8; 16], schema_json: &str) -> Result<(), InsertError> {
        self.insert(WriterSchema::RegistryGuid(guid), Writer::parse(schema_json)?)
    }

    /// Whether values of this writer can be read.
    #[must_use]
    pub fn contains(&self, writer: WriterSchema) -> bool {
        self.writers.contains_key(&writer)
    }

    /// Reads a value. What it borrows is in `bytes`, or in `scratch` when it was written with another schema than ours.
    #[inline]
    pub fn read<'a, R: Record<'a>>(&self, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<R, ReadError> {
        Ok(R::decode(self.datum::<R>(bytes, scratch)?)?)
    }

    /// The datum of a value in our schema of `R`: a part of `bytes`, or `scratch` when it was written with another one.
    #[inline]
    pub fn datum<'a, 'r, R: Record<'r>>(
        &self,
        bytes: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], ReadError> {
        let (writer, datum) = unframe(bytes)?;
        if writer == WriterSchema::Fingerprint(R::FINGERPRINT) {
            return Ok(datum);
        }
        match self.writers.get(&writer) {
            None => Err(ReadError::UnknownSchema(writer)),
            Some(known) if known.fingerprint == R::FINGERPRINT => Ok(datum),
            Some(known) => {
                self.resolve::<R>(known, datum, scratch)?;
                Ok(scratch)
            }
        }
    }

    fn insert(&mut self, key: WriterSchema, writer: Writer) -> Result<(), InsertError> {
        if self.writers.len() >= SCHEMAS_MAX && !self.writers.contains_key(&key) {
            return Err(InsertError::TooMany);
        }
        self.writers.insert(key, Arc::new(writer));
        Ok(())
    }

    /// Writes to `scratch` what the datum is in our schema.
    fn resolve<'a, R: Record<'a>>(
        &self,
        writer: &Writer,
        datum: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        if unqualified(&writer.name) != unqualified(R::NAME) {
            return Err(ReadError::WrongRecord { expected: R::NAME, found: writer.name.clone() });
        }
        writer.check(datum, R::NAME)?;
        let ours = self.writers.get(&WriterSchema::Fingerprint(R::FINGERPRINT));
        let ours = ours.ok_or(ReadError::UnknownSchema(WriterSchema::Fingerprint(R::FINGERPRINT)))?;
        scratch.clear();
        transcode(&writer.schema, &ours.schema, datum, scratch).map_err(|error| ReadError::Resolve(error.to_string()))
    }
}

impl Default for Schemas {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Schemas {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schemas").field("writers", &self.writers.keys()).finish()
    }
}

impl Writer {
    fn parse(schema_json: &str) -> Result<Self, InsertError> {
        if schema_json.len() > SCHEMA_BYTES_MAX {
            return Err(InsertError::TooLong(schema_json.len()));
        }
        let schema = Schema::parse_str(schema_json).map_err(|error| InsertError::Invalid(Box::new(error)))?;
        let Schema::Record(record) = &schema else { return Err(InsertError::NotARecord) };
        let name = record.name.fullname(None);
        let json = serde_json::from_str(schema_json).map_err(|error| InsertError::NotCanonical(error.to_string()))?;
        let canonical_form = canonical::parsing_canonical_form(&json).map_err(InsertError::NotCanonical)?;
        let fingerprint = canonical::crc64_avro(canonical_form.as_bytes());
        let shape = Shape::of(&schema)?;
        Ok(Self { name, fingerprint, schema, shape })
    }

    /// Whether the datum is of the writer's schema, from its first byte to its last.
    fn check(&self, datum: &[u8], record: &'static str) -> Result<(), DecodeError> {
        let mut cursor = Cursor::new(datum);
        self.shape.check(&mut cursor);
        cursor.finish().map_err(|failure| DecodeError::new(record, datum, failure))
    }
}

fn transcode(from: &Schema, to: &Schema, mut datum: &[u8], out: &mut Vec<u8>) -> Result<(), apache_avro::Error> {
    let value = GenericDatumReader::builder(from).reader_schema(to).build()?.read_value(&mut datum)?;
    GenericDatumWriter::builder(to).build()?.write_value_ref(out, &value)?;
    Ok(())
}

fn unqualified(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
