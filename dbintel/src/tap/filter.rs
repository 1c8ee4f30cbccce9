//! `--filter field=value`: which records are shown.

use serde_json::Value;

/// One condition: the field at a path has a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    path: Vec<String>,
    value: String,
}

impl Filter {
    /// Reads `target=production` or `counters.calls=3`.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let (path, value) = text.split_once('=').ok_or_else(|| malformed(text))?;
        if path.split('.').any(str::is_empty) {
            return Err(malformed(text));
        }
        Ok(Filter { path: path.split('.').map(str::to_owned).collect(), value: value.to_owned() })
    }

    /// Whether the field is there and has the value. Nothing is written as `null`.
    pub fn accepts(&self, record: &Value) -> bool {
        let field = self.path.iter().try_fold(record, |value, name| value.get(name));
        match field {
            None => false,
            Some(Value::String(text)) => *text == self.value,
            Some(other) => *other.to_string() == *self.value,
        }
    }
}

fn malformed(text: &str) -> String {
    format!("`{text}` is no filter: write field=value, such as target=production or counters.calls=3")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_compared_as_they_are_shown() {
        let record = json!({ "target": "a=b", "counters": { "calls": 3 }, "database": null, "snapshot": true });
        let cases = [
            ("target=a=b", true),
            ("target=a", false),
            ("counters.calls=3", true),
            ("counters.calls=30", false),
            ("database=null", true),
            ("snapshot=true", true),
            ("nowhere=null", false),
            ("target.deeper=x", false),
        ];
        for (text, accepted) in cases {
            assert_eq!(Filter::parse(text).unwrap().accepts(&record), accepted, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_says_how_to_write_one() {
        for text in ["target", "=x", "a..b=1"] {
            assert!(Filter::parse(text).unwrap_err().contains("write field=value"), "{text}");
        }
    }
}
