//! Values of other writers' schemas are read by Avro's rules.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use dbintel_schemas::Record;
use dbintel_schemas::codec::Fault;
use dbintel_schemas::records::{Export, Target};
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{Framing, InsertError, ReadError, Schemas, WriterSchema, write};
use serde_json::{Value, json};

use super::every_record::record_types;

const REGISTRY_ID: u32 = 7;

/// A target as a foreign writer sends it: its schema's fields, and the values.
fn foreign_target(fields: &[(Value, Avro)]) -> (String, Vec<u8>) {
    let schema = json!({
        "type": "record", "name": "Target", "namespace": "elsewhere",
        "fields": fields.iter().map(|(field, _)| field.clone()).collect::<Vec<_>>(),
    });
    let parsed = Schema::parse(&schema).unwrap();
    let name = |field: &Value| field["name"].as_str().unwrap().to_owned();
    let value = Avro::Record(fields.iter().map(|(field, value)| (name(field), value.clone())).collect());
    let mut framed = vec![0];
    framed.extend_from_slice(&REGISTRY_ID.to_be_bytes());
    GenericDatumWriter::builder(&parsed).build().unwrap().write_value_ref(&mut framed, &value).unwrap();
    (schema.to_string(), framed)
}

fn text(name: &str) -> (Value, Avro) {
    (json!({"name": name, "type": "string"}), Avro::String(format!("the {name}")))
}

/// The fields that a target needs.
fn needed_fields() -> Vec<(Value, Avro)> {
    let mut fields: Vec<(Value, Avro)> = ["target", "poller", "engine", "endpoint"].map(text).into();
    fields.push((json!({"name": "owner_epoch", "type": "long"}), Avro::Long(5)));
    fields.push((json!({"name": "updated_at", "type": "long"}), Avro::Long(1_760_000_000_000_000)));
    fields
}

fn read_target(schema: &str, framed: &[u8], check: impl FnOnce(Result<Target<'_>, ReadError>)) {
    let mut schemas = Schemas::new();
    schemas.insert_registry(REGISTRY_ID, schema).unwrap();
    let mut scratch = b"left over".to_vec();
    check(schemas.read(framed, &mut scratch));
}

fn expected_target() -> Target<'static> {
    Target {
        target: "the target",
        poller: "the poller",
        engine: "the engine",
        endpoint: "the endpoint",
        owner_epoch: 5,
        updated_at: 1_760_000_000_000_000,
        ..Target::default()
    }
}

#[test]
fn optional_fields_may_be_missing() {
    let (schema, framed) = foreign_target(&needed_fields());
    read_target(&schema, &framed, |target| assert_eq!(target, Ok(expected_target())));
}

#[test]
fn fields_may_come_in_another_order_and_be_more() {
    let mut fields = needed_fields();
    fields.reverse();
    fields.insert(
        2,
        (
            json!({"name": "colour", "type": {"type": "array", "items": "string"}}),
            Avro::Array(vec![Avro::String("red".into())]),
        ),
    );
    let (schema, framed) = foreign_target(&fields);
    read_target(&schema, &framed, |target| assert_eq!(target, Ok(expected_target())));
}

#[test]
fn an_int_is_promoted_to_a_long_also_where_null_is_allowed() {
    let mut fields = needed_fields();
    fields[4] = (json!({"name": "owner_epoch", "type": "int"}), Avro::Int(5));
    fields.push((
        json!({"name": "owner", "type": ["string", "null"]}),
        Avro::Union(0, Box::new(Avro::String("me".into()))),
    ));
    let (schema, framed) = foreign_target(&fields);
    read_target(&schema, &framed, |target| assert_eq!(target, Ok(Target { owner: Some("me"), ..expected_target() })));
}

#[test]
fn a_needed_field_that_is_missing_is_told() {
    let fields = needed_fields();
    let (schema, framed) = foreign_target(&fields[1..]);
    read_target(&schema, &framed, |target| match target {
        Err(ReadError::Resolve(error)) => assert!(error.contains("target"), "{error}"),
        other => panic!("{other:?}"),
    });
}

/// apache-avro alone would take the missing end for null.
#[test]
fn a_datum_that_is_cut_is_refused_at_every_length() {
    let mut fields = needed_fields();
    fields.push((
        json!({"name": "owner", "type": ["null", "string"]}),
        Avro::Union(1, Box::new(Avro::String("me".into()))),
    ));
    let (schema, framed) = foreign_target(&fields);
    for length in 5..framed.len() {
        read_target(&schema, &framed[..length], |target| match target {
            Err(ReadError::Decode(error)) => assert_eq!(error.fault, Fault::EndOfInput, "{length}"),
            other => panic!("{length}: {other:?}"),
        });
    }
    let too_long = [framed, vec![0]].concat();
    read_target(&schema, &too_long, |target| match target {
        Err(ReadError::Decode(error)) => assert_eq!(error.fault, Fault::TrailingBytes),
        other => panic!("{other:?}"),
    });
}

#[test]
fn another_record_is_told_by_its_name() {
    let mut bytes = Vec::new();
    write(&Export::default(), Framing::SingleObject, &mut bytes);
    let mut scratch = Vec::new();
    let result: Result<Target<'_>, ReadError> = Schemas::new().read(&bytes, &mut scratch);
    let expected = ReadError::WrongRecord { expected: "dbintel.Target", found: "dbintel.Export".to_owned() };
    assert_eq!(result, Err(expected));
}

#[test]
fn our_own_schema_is_read_in_either_frame() {
    for record_type in record_types() {
        let mut schemas = Schemas::new();
        let by_id = (record_type.default_value)(Framing::Confluent { schema_id: REGISTRY_ID });
        let by_fingerprint = (record_type.default_value)(Framing::SingleObject);
        let unknown = ReadError::UnknownSchema(WriterSchema::RegistryId(REGISTRY_ID));
        assert_eq!((record_type.read)(&schemas, &by_id), Err(unknown), "{}", record_type.definition.name);
        schemas.insert_registry(REGISTRY_ID, record_type.definition.schema).unwrap();
        let datum = &by_fingerprint[10..];
        assert_eq!((record_type.read)(&schemas, &by_id).as_deref(), Ok(datum));
        assert_eq!((record_type.read)(&schemas, &by_fingerprint).as_deref(), Ok(datum));
    }
}

/// As apache-avro for Rust and Avro for Python compute it: see `wire::canonical`.
#[test]
fn our_own_schema_is_known_by_its_other_fingerprint() {
    for record_type in record_types() {
        let framed = (record_type.default_value)(Framing::SingleObject);
        let mut elsewhere = framed.clone();
        let schema = Schema::parse_str(record_type.definition.schema).unwrap();
        elsewhere[2..10].copy_from_slice(&schema.fingerprint::<Rabin>().bytes);
        assert_eq!((record_type.read)(&Schemas::new(), &elsewhere).as_deref(), Ok(&framed[10..]));
    }
}

#[test]
fn schemas_without_bounds_are_refused() {
    let deep = (0..100).fold(json!("string"), |inner, _| json!({"type": "array", "items": inner}));
    let laughs = (1..40).fold(
        json!([{"name": "x0", "type": {"type": "record", "name": "L0", "fields": []}}]),
        |fields, level| {
            let inner = json!({"type": "record", "name": format!("L{level}"), "fields": fields});
            json!([{"name": "a", "type": inner}, {"name": "b", "type": format!("L{level}")}])
        },
    );
    let cases = [
        json!([{"name": "next", "type": ["null", "T"]}]),
        json!([{"name": "nulls", "type": {"type": "array", "items": "null"}}, {"name": "x", "type": "long"}]),
        json!([{"name": "x", "type": "null"}]),
        json!([{"name": "x", "type": deep}]),
        laughs,
    ];
    for fields in cases {
        let schema = json!({"type": "record", "name": "T", "fields": fields}).to_string();
        let result = Schemas::new().insert_registry(1, &schema);
        assert!(matches!(result, Err(InsertError::Unbounded(_))), "{result:?} for {schema}");
    }
}

#[test]
fn schemas_that_are_not_what_they_are_said_to_be_are_refused() {
    let mut schemas = Schemas::new();
    assert!(matches!(schemas.insert_registry(1, "{"), Err(InsertError::Invalid(_))));
    assert!(matches!(schemas.insert_registry(1, "\"string\""), Err(InsertError::NotARecord)));
    assert!(matches!(schemas.insert_registry(1, &" ".repeat(2_000_000)), Err(InsertError::TooLong(2_000_000))));
    let wrong = schemas.insert_fingerprint(1, Target::SCHEMA);
    assert!(matches!(wrong, Err(InsertError::WrongFingerprint { expected: 1, found: Target::FINGERPRINT })));
    assert_eq!(Topic::parse("targets"), Some(Target::TOPIC));
}
