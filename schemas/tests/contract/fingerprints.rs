//! The build script's canonical form and fingerprint are apache-avro's.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use dbintel_schemas::records::DEFINITIONS;

use super::canonical;

/// apache-avro leaves `{"type":"long"}` where the schema has a logical type; Avro for Java, the reference, does not. Its
/// canonical form of its canonical form is that of Java.
#[test]
fn canonical_forms_and_fingerprints_agree() {
    for definition in DEFINITIONS {
        let once = Schema::parse_str(definition.schema).unwrap();
        let twice = Schema::parse_str(&once.canonical_form()).unwrap();
        let json = serde_json::from_str(definition.schema).unwrap();
        let canonical_form = canonical::parsing_canonical_form(&json).unwrap();
        assert_eq!(canonical_form, twice.canonical_form(), "{}", definition.name);
        let fingerprint = twice.fingerprint::<Rabin>().bytes;
        assert_eq!(definition.fingerprint.to_le_bytes(), fingerprint.as_slice(), "{}", definition.name);
        assert_eq!(definition.name, once.name().unwrap().fullname(None));
    }
}

/// What our schemas do not have, but those of others may.
#[test]
fn other_types_have_a_canonical_form() {
    let cases = [
        (r#"{"type": "int", "logicalType": "date"}"#, r#""int""#),
        (
            r#"{"symbols": ["A", "B"], "doc": "…", "name": "e", "type": "enum"}"#,
            r#"{"name":"e","type":"enum","symbols":["A","B"]}"#,
        ),
        (r#"{"type": "array", "items": {"type": "null"}}"#, r#"{"type":"array","items":"null"}"#),
        (
            r#"{"type": "record", "name": "a.R", "namespace": "b", "fields": [{"name": "x", "type": {"type": "fixed", "name": "F", "size": 2}}, {"name": "y", "type": "F"}]}"#,
            r#"{"name":"a.R","type":"record","fields":[{"name":"x","type":{"name":"a.F","type":"fixed","size":2}},{"name":"y","type":"a.F"}]}"#,
        ),
    ];
    for (schema, expected) in cases {
        let canonical_form = canonical::parsing_canonical_form(&serde_json::from_str(schema).unwrap());
        assert_eq!(canonical_form.as_deref(), Ok(expected));
    }
}

/// From the Avro project's `share/test/data/schema-tests.txt`.
#[test]
fn fingerprints_are_those_of_the_specification() {
    let cases: [(&str, i64); 3] = [
        (r#""null""#, 7_195_948_357_588_979_594),
        (r#""boolean""#, -6_970_731_678_124_411_036),
        (r#"{"name":"foo","type":"fixed","size":15}"#, 1_756_455_273_707_447_556),
    ];
    for (canonical_form, expected) in cases {
        assert_eq!(canonical::crc64_avro(canonical_form.as_bytes()).cast_signed(), expected, "{canonical_form}");
    }
}
