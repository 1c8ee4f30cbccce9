//! Any bytes give a record or an error.

use std::sync::LazyLock;

use dbintel_schemas::Record;
use dbintel_schemas::codec::Fault;
use dbintel_schemas::records::{LedgerEntry, SchemaEntry, Target};
use dbintel_schemas::wire::{Schemas, unframe};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::every_record::{Recode, record_type, record_types};
use super::golden::{Golden, golden};

/// A number that takes ten bytes: the largest, and one beyond.
const LARGEST: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
const TOO_LARGE: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];

static GOLDEN: LazyLock<Vec<Golden>> = LazyLock::new(golden);
static OURS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..400)) {
        for record_type in record_types() {
            check(record_type.recode, &bytes);
        }
    }

    /// Small numbers pass for lengths and branches, and so get further.
    #[test]
    fn random_small_bytes(bytes in vec(prop_oneof![Just(0_u8), Just(2), 0_u8..8, any::<u8>()], 0..400)) {
        for record_type in record_types() {
            check(record_type.recode, &bytes);
        }
    }

    #[test]
    fn damaged_records(position: prop::sample::Index, bit in 0_u8..8, cut: prop::sample::Index) {
        for golden in &*GOLDEN {
            let record_type = record_type(&golden.topic);
            let (_, datum) = unframe(&golden.framed).unwrap();
            let mut flipped = datum.to_vec();
            flipped[position.index(datum.len())] ^= 1 << bit;
            check(record_type.recode, &flipped);
            let shortened = &datum[..cut.index(datum.len())];
            prop_assert!((record_type.recode)(shortened).is_err());
        }
    }

    /// The schema of a writer may be damaged as well, and data be of another schema than they say.
    #[test]
    fn damaged_schemas_and_values(
        topic: prop::sample::Index,
        change in damage(),
        position: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let golden = topic.get(&GOLDEN);
        let mut schemas = OURS.clone();
        let mut schema: Value = serde_json::from_str(&golden.schema).unwrap();
        change.apply(&mut schema);
        if schemas.insert_registry(1, &schema.to_string()).is_ok() {
            let mut framed = [&[0, 0, 0, 0, 1], &golden.framed[10..]].concat();
            drop((record_type(&golden.topic).read)(&schemas, &framed));
            framed[5 + position.index(golden.framed.len() - 10)] ^= 1 << bit;
            drop((record_type(&golden.topic).read)(&schemas, &framed));
        }
    }
}

/// Puts something else at some place of a schema.
#[derive(Debug)]
struct Damage {
    place: prop::sample::Index,
    replacement: Value,
}

fn damage() -> impl Strategy<Value = Damage> {
    let replacements = [
        json!("int"),
        json!("bytes"),
        json!("dbintel.Hash128"),
        json!(-1),
        json!(1.5),
        json!(null),
        json!([]),
        json!(["null", "string", "double"]),
        json!({"type": "map", "values": "null"}),
        json!({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}),
        json!({"type": "enum", "name": "Symbols", "symbols": ["A", "B"]}),
        json!({"type": "int", "size": "x", "precision": "x", "scale": []}),
    ];
    let replacement = prop::sample::select(replacements.to_vec());
    (any::<prop::sample::Index>(), replacement).prop_map(|(place, replacement)| Damage { place, replacement })
}

impl Damage {
    fn apply(&self, schema: &mut Value) {
        let mut places = Vec::new();
        collect_places(schema, String::new(), &mut places);
        let place = &places[self.place.index(places.len())];
        *schema.pointer_mut(place).unwrap() = self.replacement.clone();
    }
}

fn collect_places(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect_places(item, format!("{place}/{index}"), places));
        }
        Value::Object(object) => {
            object.iter().for_each(|(key, item)| collect_places(item, format!("{place}/{key}"), places));
        }
        _ => {}
    }
    places.push(place);
}

/// What is decoded is encoded in a form that is decoded to the same.
fn check(recode: Recode, bytes: &[u8]) {
    if let Ok((encoded, shown)) = recode(bytes) {
        assert_eq!(recode(&encoded), Ok((encoded.clone(), shown)));
    }
}

#[test]
fn each_fault_is_told_with_its_place() {
    // A schema entry: a long and three strings.
    let cases: [(&[u8], Fault, usize); 8] = [
        (&[], Fault::EndOfInput, 0),
        (&[0x80], Fault::EndOfInput, 0),
        (&TOO_LARGE, Fault::LongTooLarge, 0),
        (&[0xff; 11], Fault::LongTooLarge, 0),
        (&[0, 1], Fault::NegativeLength, 2),
        (&[0, 10, b'x'], Fault::EndOfInput, 2),
        (&[0, 2, 0xff, 0, 0], Fault::NotUtf8, 3),
        (&[0, 0, 0, 0, 9], Fault::TrailingBytes, 4),
    ];
    for (bytes, fault, offset) in cases {
        let error = SchemaEntry::decode(bytes).unwrap_err();
        assert_eq!((error.fault, error.offset), (fault, offset), "{bytes:?}");
    }
    let error = SchemaEntry::decode(&[0, 1]).unwrap_err();
    assert_eq!(error.to_string(), "could not read a dbintel.SchemaEntry: a length is negative (byte 2)");
    assert_eq!(SchemaEntry::decode(&[&LARGEST[..], &[0, 0, 0]].concat()).unwrap().fingerprint, i64::MIN);
}

#[test]
fn blocks_are_checked() {
    // A target: four strings, a map, a string or null, two longs.
    let target = |map: &[u8]| [&[0, 0, 0, 0], map, &[0, 0, 0]].concat();
    let decoded =
        |map: &[u8]| Target::decode(&target(map)).map(|target| target.labels.len()).map_err(|error| error.fault);
    let pair: [u8; 4] = [2, b'k', 2, b'v'];
    assert_eq!(decoded(&[0]), Ok(0));
    assert_eq!(decoded(&[&[2], &pair[..], &[0]].concat()), Ok(1));
    assert_eq!(decoded(&[&[1, 8], &pair[..], &[2], &pair[..], &[0]].concat()), Ok(2));
    assert_eq!(decoded(&[&[1, 6], &pair[..], &[0]].concat()), Err(Fault::WrongBlockSize));
    assert_eq!(decoded(&[&[1, 1], &pair[..], &[0]].concat()), Err(Fault::NegativeLength));
    assert_eq!(decoded(&[&[1], &LARGEST[..]].concat()), Err(Fault::NegativeLength));
    assert_eq!(decoded(&[&LARGEST[..], &[0]].concat()), Err(Fault::EndOfInput));
    assert_eq!(decoded(&[&[0xfe], &LARGEST[1..], &[0]].concat()), Err(Fault::EndOfInput));
    assert_eq!(decoded(&[120, 0]), Err(Fault::EndOfInput));
}

#[test]
fn a_list_in_a_list_is_read_block_by_block() {
    let disposition: [u8; 6] = [2, b'd', 2, b'r', 2, 0];
    let dispositions = [&[1, 12], &disposition[..], &[4], &disposition[..], &disposition[..], &[0]].concat();
    let input = [&[2, b't', 2, 4, 2], &dispositions[..]].concat();
    let inputs = [&[2], &input[..], &[2], &input[..], &[0]].concat();
    let datum = [&[0, 0, 0, 0, 0, 0], &inputs[..], &[0]].concat();
    let entry = LedgerEntry::decode(&datum).unwrap();
    assert_eq!(entry.inputs.len(), 2);
    for input in entry.inputs {
        assert_eq!((input.topic, input.next_offset, input.dispositions.len()), ("t", 2, 3));
        assert!(
            input.dispositions.iter().all(|item| item.disposition == "d" && item.reason == "r" && item.records == 1)
        );
    }
}
