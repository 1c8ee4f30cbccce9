//! Any bytes give a record or an error, and what is decoded is encoded in a form that is decoded to the same.
#![no_main]

use std::sync::LazyLock;

use dbintel_schemas::records::*;
use dbintel_schemas::wire::{Schemas, unframe};
use dbintel_schemas::{Definition, Record, offset_set::OffsetSet};
use libfuzzer_sys::fuzz_target;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

macro_rules! records {
    ($($name:ident),* $(,)?) => {
        /// Too short to compile when a record is missing.
        const _: [Definition; DEFINITIONS.len()] = [$(Definition::of::<$name>()),*];

        fn decode_each(framed: &[u8], datum: &[u8]) {
            $(
                if let Ok(record) = $name::decode(datum) {
                    let mut again = Vec::new();
                    record.encode(&mut again);
                    // As text, because a double may be NaN.
                    let again = $name::decode(&again).expect("what we write we read");
                    assert_eq!(format!("{again:?}"), format!("{record:?}"));
                }
                let mut scratch = Vec::new();
                let _ = SCHEMAS.read::<$name>(framed, &mut scratch);
            )*
        }
    };
}

records![
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
];

fuzz_target!(|bytes: &[u8]| {
    // What has a frame is decoded without it, too.
    let datum = unframe(bytes).map_or(bytes, |(_, datum)| datum);
    decode_each(bytes, datum);
    let _ = OffsetSet::decode(0, bytes);
    foreign_schema(bytes);
});

/// A schema, a zero byte, and a value of it.
fn foreign_schema(bytes: &[u8]) {
    let mut halves = bytes.splitn(2, |byte| *byte == 0);
    let (Some(schema), Some(datum)) = (halves.next(), halves.next()) else { return };
    let Ok(schema) = str::from_utf8(schema) else { return };
    let mut schemas = SCHEMAS.clone();
    if schemas.insert_registry(1, schema).is_ok() {
        let framed = [&[0, 0, 0, 0, 1], datum].concat();
        let mut scratch = Vec::new();
        let _ = schemas.read::<Target>(&framed, &mut scratch);
    }
}
