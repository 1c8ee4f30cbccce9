//! Every field says what it is and in which unit, and its name agrees.

use dbintel_schemas::records::DEFINITIONS;
use serde_json::Value;

/// Units besides those in braces, which name what is counted.
const UNITS: [&str; 6] = ["1", "By", "id", "ns", "text", "us"];

#[test]
fn every_field_has_a_doc_and_a_unit() {
    for definition in DEFINITIONS {
        let mut fields = Vec::new();
        collect_fields(&serde_json::from_str(definition.schema).unwrap(), &mut fields);
        assert!(!fields.is_empty(), "{}", definition.name);
        for field in fields {
            check_field(definition.name, &field);
        }
    }
}

fn check_field(record: &str, field: &Value) {
    let name = field["name"].as_str().unwrap();
    let unit = field["unit"].as_str().unwrap_or_default();
    let doc = field["doc"].as_str().unwrap_or_default();
    assert!(doc.len() > 2, "{record}: {name} has no doc");
    let counts_something = unit.starts_with('{') && unit.ends_with('}') && unit.len() > 2;
    assert!(counts_something || UNITS.contains(&unit), "{record}: {name} has the unit {unit:?}");
    for (suffix, expected) in
        [("_at", "us"), ("_ns", "ns"), ("_bytes", "By"), ("_length", "By"), ("_offset", "{offset}")]
    {
        assert!(!name.ends_with(suffix) || unit == expected, "{record}: {name} has the unit {unit:?}");
    }
}

fn collect_fields(schema: &Value, fields: &mut Vec<Value>) {
    match schema {
        Value::Array(branches) => branches.iter().for_each(|branch| collect_fields(branch, fields)),
        Value::Object(object) => {
            let own = object.get("fields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for field in own {
                fields.push(field.clone());
                collect_fields(&field["type"], fields);
            }
            ["type", "items", "values"]
                .iter()
                .filter_map(|key| object.get(*key))
                .for_each(|inner| collect_fields(inner, fields));
        }
        _ => {}
    }
}
