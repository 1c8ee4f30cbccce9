//! Avro values as JSON: times as RFC 3339, bytes as hex, maps in the order of their keys.

use dbintel_schemas::rfc3339;
use std::fmt::Write as _;

use apache_avro::types::Value as Avro;
use serde_json::{Map, Number, Value};

use super::shown::{Shown, redacted};

/// The value of a record as JSON. Texts and bytes that are not to be shown are replaced.
pub fn to_json(value: &Avro, shown: &Shown) -> Value {
    convert(value, "", shown)
}

/// `field` is the name of the nearest field of a record above the value: keys of maps are data.
fn convert(value: &Avro, field: &str, shown: &Shown) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(boolean) => Value::Bool(*boolean),
        Avro::Int(number) | Avro::Date(number) | Avro::TimeMillis(number) => Value::from(*number),
        Avro::Long(number) | Avro::TimeMicros(number) => Value::from(*number),
        Avro::TimestampMillis(ms) | Avro::LocalTimestampMillis(ms) => Value::String(rfc3339::format_ms(*ms)),
        Avro::TimestampMicros(us) | Avro::LocalTimestampMicros(us) => Value::String(rfc3339::format_us(*us)),
        Avro::TimestampNanos(ns) | Avro::LocalTimestampNanos(ns) => Value::String(rfc3339::format_us(ns / 1000)),
        Avro::Float(number) => float(f64::from(*number)),
        Avro::Double(number) => float(*number),
        Avro::String(text) if shown.shows(field) => Value::String(text.clone()),
        Avro::String(text) => Value::String(redacted(text.len())),
        Avro::Enum(_, symbol) => Value::String(symbol.clone()),
        Avro::Bytes(bytes) if shown.shows(field) => Value::String(hex(bytes)),
        Avro::Bytes(bytes) => Value::String(redacted(bytes.len())),
        Avro::Fixed(_, bytes) => Value::String(hex(bytes)),
        Avro::Union(_, inner) => convert(inner, field, shown),
        Avro::Array(items) => items.iter().map(|item| convert(item, field, shown)).collect(),
        Avro::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            sorted
                .into_iter()
                .map(|(key, value)| (key.clone(), convert(value, field, shown)))
                .collect::<Map<_, _>>()
                .into()
        }
        Avro::Record(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), convert(value, name, shown))).collect::<Map<_, _>>().into()
        }
        other => Value::String(redacted(format!("{other:?}").len())),
    }
}

/// JSON has no infinities.
fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
}

/// Two hexadecimal digits per byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;

    fn session() -> Avro {
        let text = |text: &str| Avro::Union(1, Box::new(Avro::String(text.to_owned())));
        let attributes = HashMap::from([("target".to_owned(), Avro::String("anna@example.com".to_owned()))]);
        Avro::Record(vec![
            ("target".to_owned(), Avro::String("db1".to_owned())),
            ("record_id".to_owned(), Avro::Fixed(2, vec![0xab, 1])),
            ("observed_at".to_owned(), Avro::TimestampMicros(1_700_000_000_000_000)),
            ("state".to_owned(), text("active")),
            ("application".to_owned(), text("anna")),
            ("text".to_owned(), Avro::Union(0, Box::new(Avro::Null))),
            ("weight".to_owned(), Avro::Double(1.5)),
            ("attributes".to_owned(), Avro::Map(attributes)),
        ])
    }

    #[test]
    fn everything_is_shown_when_asked_for() {
        let expected = json!({
            "target": "db1", "record_id": "ab01", "observed_at": "2023-11-14T22:13:20Z", "state": "active",
            "application": "anna", "text": null, "weight": 1.5, "attributes": { "target": "anna@example.com" },
        });
        assert_eq!(to_json(&session(), &Shown::Everything), expected);
    }

    #[test]
    fn users_words_are_redacted_also_under_keys_that_look_harmless() {
        let schema = json!({ "fields": [{ "name": "target", "type": "string", "unit": "id" }] });
        let expected = json!({
            "target": "db1", "record_id": "ab01", "observed_at": "2023-11-14T22:13:20Z", "state": "active",
            "application": "<redacted, 4 bytes>", "text": null, "weight": 1.5,
            "attributes": { "target": "<redacted, 16 bytes>" },
        });
        assert_eq!(to_json(&session(), &Shown::without_personal_data(&schema)), expected);
    }
}
