//! All record types as values, so that a test can go through them.

use dbintel_schemas::codec::DecodeError;
use dbintel_schemas::wire::{Framing, ReadError, Schemas, write};
use dbintel_schemas::{Definition, Record, records};

/// Decodes a datum and encodes it again; also returns how Rust shows it.
pub type Recode = fn(&[u8]) -> Result<(Vec<u8>, String), DecodeError>;

/// What can be done with a record of any type.
pub struct RecordType {
    pub definition: Definition,
    pub recode: Recode,
    /// Reads a framed value of any known schema and encodes it with ours.
    pub read: fn(&Schemas, &[u8]) -> Result<Vec<u8>, ReadError>,
    /// Writes the default record with a frame.
    pub default_value: fn(Framing) -> Vec<u8>,
}

macro_rules! record_types {
    ($($name:ident),* $(,)?) => {
        vec![$(RecordType {
            definition: Definition::of::<records::$name>(),
            recode: |datum| {
                let record = records::$name::decode(datum)?;
                Ok((encoded(&record), format!("{record:?}")))
            },
            read: |schemas, bytes| {
                let mut scratch = Vec::new();
                schemas.read::<records::$name>(bytes, &mut scratch).map(|record| encoded(&record))
            },
            default_value: |framing| {
                let mut bytes = Vec::new();
                write(&records::$name::default(), framing, &mut bytes);
                bytes
            },
        }),*]
    };
}

/// Every record type, in the order of the definitions.
pub fn record_types() -> Vec<RecordType> {
    record_types![
        Circuit,
        Command,
        EnrichedLog,
        EnrichedMetrics,
        EnrichedQuery,
        EnrichedResidual,
        EnrichedSession,
        EnrichedText,
        Event,
        Export,
        LedgerEntry,
        Quarantined,
        RawLog,
        RawMetrics,
        RawPoll,
        RawQuery,
        RawSession,
        RawText,
        RawVerbatim,
        SchemaEntry,
        StagedRow,
        Target,
    ]
}

/// The record type of a topic.
pub fn record_type(topic: &str) -> RecordType {
    let mut types = record_types();
    let index = types.iter().position(|record_type| record_type.definition.topic.name() == topic);
    types.swap_remove(index.unwrap_or_else(|| panic!("no record for {topic}")))
}

fn encoded<'a, R: Record<'a>>(record: &R) -> Vec<u8> {
    let mut datum = Vec::new();
    record.encode(&mut datum);
    datum
}

#[test]
fn no_record_type_is_left_out() {
    let listed: Vec<Definition> = record_types().into_iter().map(|record_type| record_type.definition).collect();
    assert_eq!(listed, records::DEFINITIONS);
}
