//! What was released once is read for ever, and today's records are read by what was released.

use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use dbintel_schemas::wire::{Schemas, unframe};
use serde_json::{Value, json};

use super::canonical;
use super::every_record::record_type;

/// A topic of a release.
pub struct Golden {
    pub topic: String,
    fingerprint: u64,
    pub schema: String,
    pub framed: Vec<u8>,
    json: Value,
}

/// All topics of all releases.
pub fn golden() -> Vec<Golden> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let releases = fs::read_dir(testdata).unwrap().map(|entry| entry.unwrap().path());
    releases.flat_map(|release| read_release(&release)).collect()
}

fn read_release(release: &Path) -> Vec<Golden> {
    let file = |name: String| -> PathBuf { release.join(name) };
    let read_topic = |line: &str| {
        let [topic, _, fingerprint] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        Golden {
            topic: topic.to_owned(),
            fingerprint: u64::from_str_radix(fingerprint, 16).unwrap(),
            schema: fs::read_to_string(file(format!("avsc/{topic}.avsc"))).unwrap(),
            framed: fs::read(file(format!("{topic}.bin"))).unwrap(),
            json: serde_json::from_str(&fs::read_to_string(file(format!("{topic}.json"))).unwrap()).unwrap(),
        }
    };
    let fingerprints = fs::read_to_string(file("fingerprints.txt".to_owned())).unwrap();
    fingerprints.lines().map(read_topic).collect()
}

#[test]
fn released_bytes_are_read_for_ever() {
    let mut schemas = Schemas::new();
    for golden in golden() {
        schemas.insert_fingerprint(golden.fingerprint, &golden.schema).unwrap();
        let record_type = record_type(&golden.topic);
        let datum =
            (record_type.read)(&schemas, &golden.framed).unwrap_or_else(|error| panic!("{}: {error}", golden.topic));
        let read = avro_json(record_type.definition.schema, &datum);
        for (field, expected) in golden.json.as_object().unwrap() {
            if let Some(actual) = read.get(field) {
                assert_eq!(known(actual, expected), *expected, "{}: {field}", golden.topic);
            }
        }
    }
}

/// A value without the fields of nested records that were added later.
fn known(actual: &Value, expected: &Value) -> Value {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let fields =
                actual.iter().filter_map(|(name, value)| Some((name.clone(), known(value, expected.get(name)?))));
            Value::Object(fields.collect())
        }
        _ => actual.clone(),
    }
}

#[test]
fn released_bytes_are_what_their_json_says() {
    for golden in golden() {
        let (_, datum) = unframe(&golden.framed).unwrap();
        assert_eq!(avro_json(&golden.schema, datum), golden.json, "{}", golden.topic);
    }
}

#[test]
fn the_newest_release_is_still_written_byte_by_byte() {
    for golden in golden() {
        let record_type = record_type(&golden.topic);
        if record_type.definition.fingerprint == golden.fingerprint {
            let (_, datum) = unframe(&golden.framed).unwrap();
            assert_eq!((record_type.recode)(datum).unwrap().0, datum, "{}", golden.topic);
        }
    }
}

#[test]
fn released_schemas_have_their_fingerprints_and_are_compatible_both_ways() {
    let golden = golden();
    assert!(golden.len() >= 18, "v1 had 18 topics");
    for golden in golden {
        let canonical_form = canonical::parsing_canonical_form(&serde_json::from_str(&golden.schema).unwrap()).unwrap();
        assert_eq!(golden.fingerprint, canonical::crc64_avro(canonical_form.as_bytes()), "{}", golden.topic);
        check_compatible(&golden.schema, record_type(&golden.topic).definition.schema)
            .unwrap_or_else(|error| panic!("{}: {error}", golden.topic));
    }
}

/// A change of the fields of a schema.
type Change<'c> = &'c dyn Fn(&mut Vec<Value>);

#[test]
fn incompatible_changes_are_found() {
    let released = record_type("exports").definition.schema;
    let fields = json!({"name": "added", "type": "long", "doc": "…", "unit": "1"});
    let changes: [(&str, Change<'_>); 5] = [
        ("another type", &|fields| fields[0]["type"] = json!("long")),
        ("a narrower type", &|fields| fields[2]["type"] = json!("int")),
        ("null where there was none", &|fields| fields[0]["type"] = json!(["null", "string"])),
        ("a field without a default added", &|all| all.push(fields.clone())),
        ("a field without a default removed", &|fields| drop(fields.remove(0))),
    ];
    for (name, change) in changes {
        assert!(check_compatible(released, &changed(released, change)).is_err(), "{name}");
    }
}

#[test]
fn compatible_changes_are_let_through() {
    let released = record_type("exports").definition.schema;
    let changes: [(&str, Change<'_>); 3] = [
        ("nothing", &|_| {}),
        ("a field with a default added", &|fields| {
            fields.insert(0, json!({"name": "added", "type": ["null", "long"], "default": null}));
        }),
        ("another doc", &|fields| fields[0]["doc"] = json!("another")),
    ];
    for (name, change) in changes {
        assert_eq!(check_compatible(released, &changed(released, change)), Ok(()), "{name}");
    }
}

/// Whether readers of either schema read all that is written with the other.
fn check_compatible(released: &str, current: &str) -> Result<(), String> {
    let released = Schema::parse_str(released).map_err(|error| error.to_string())?;
    let current = Schema::parse_str(current).map_err(|error| error.to_string())?;
    match SchemaCompatibility::mutual_read(&released, &current) {
        Ok(Compatibility::Full) => Ok(()),
        Ok(Compatibility::Partial) => Err("not every value can be read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn changed(schema: &str, change: Change<'_>) -> String {
    let mut schema: Value = serde_json::from_str(schema).unwrap();
    change(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

fn avro_json(schema: &str, mut datum: &[u8]) -> Value {
    let schema = Schema::parse_str(schema).unwrap();
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty());
    Value::try_from(value).unwrap()
}
