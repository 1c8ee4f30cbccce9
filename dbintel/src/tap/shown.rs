//! What of a restricted topic is shown without `--reveal`.
//!
//! The rule is closed: text and bytes are redacted unless their field is known to hold none of a user's words. Numbers,
//! times and hashes are shown.

use std::collections::BTreeSet;

use serde_json::Value;

/// Fields that hold words of a fixed set, or what the operator wrote in the configuration.
const PLAIN: [&str; 24] = [
    "backend_type",
    "capabilities",
    "code_version",
    "consequence",
    "database",
    "detail",
    "disposition",
    "engine",
    "engine_version",
    "error_class",
    "kind",
    "labels",
    "name",
    "outcome",
    "poll_class",
    "reason",
    "remedy",
    "role",
    "state",
    "topic",
    "unit",
    "wait_event",
    "wait_event_type",
    "withheld",
];

/// Which texts and bytes are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// All.
    Everything,
    /// Those of these fields.
    Fields(BTreeSet<String>),
}

impl Shown {
    /// What is shown of records that were written with this schema: identifiers (their `unit` is `id`), and the fields
    /// that are known to be harmless.
    pub fn without_personal_data(schema: &Value) -> Shown {
        let mut fields: BTreeSet<String> = PLAIN.iter().map(|name| (*name).to_owned()).collect();
        collect_identifiers(schema, &mut fields);
        Shown::Fields(fields)
    }

    /// Whether the text of a field is shown.
    pub fn shows(&self, field: &str) -> bool {
        match self {
            Shown::Everything => true,
            Shown::Fields(fields) => fields.contains(field),
        }
    }
}

fn collect_identifiers(schema: &Value, fields: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            let unit_is_id = object.get("unit").and_then(Value::as_str) == Some("id");
            if let (true, Some(name)) = (unit_is_id, object.get("name").and_then(Value::as_str)) {
                fields.insert(name.to_owned());
            }
            object.values().for_each(|value| collect_identifiers(value, fields));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_identifiers(item, fields)),
        _ => {}
    }
}

/// What stands for a text that is not shown.
pub fn redacted(bytes: usize) -> String {
    format!("<redacted, {bytes} bytes>")
}
