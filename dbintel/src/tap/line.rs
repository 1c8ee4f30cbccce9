//! A record of the log as one line of JSON.

use dbintel_bus::Record;
use dbintel_schemas::rfc3339;
use dbintel_schemas::topics::{self, KeyRule, Topic};
use serde_json::{Value, json};

use super::filter::Filter;
use super::shown::{Shown, redacted};
use super::value::{hex, to_json};
use super::writers::{ReadError, Writers};

/// How the records of a topic are shown.
pub struct Lines {
    /// Name of the topic, as asked for.
    topic: String,
    /// What may be personal is shown.
    reveal: bool,
    /// Keys say which target a record is about, and no more.
    key_is_target: bool,
    /// The values are Avro records.
    avro: bool,
    filters: Vec<Filter>,
}

impl Lines {
    /// Lines for a topic by its name on the log. A topic that is not in our table counts as restricted.
    pub fn new(full_name: &str, filters: Vec<Filter>, reveal: bool) -> Lines {
        let spec = Topic::parse(full_name).map(topics::spec);
        let key_is_target = spec.is_some_and(|spec| !matches!(spec.key, KeyRule::Other(_)) || !spec.restricted);
        Lines {
            topic: full_name.strip_prefix(topics::PREFIX).unwrap_or(full_name).to_owned(),
            reveal: reveal || spec.is_some_and(|spec| !spec.restricted),
            key_is_target,
            avro: !topics::is_changelog(full_name),
            filters,
        }
    }

    /// The line of a record; none if a filter does not accept it. An unknown schema is an error only if `final_try`.
    pub fn line(&self, record: &Record<'_>, writers: &Writers, final_try: bool) -> Result<Option<String>, ReadError> {
        let mut line = json!({
            "topic": self.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": rfc3339::format_ms(record.timestamp),
            "key": record.key.map(|key| self.key(key)),
        });
        match record.value {
            None if self.filters.is_empty() => line["value"] = Value::Null,
            Some(value) if !self.avro && self.filters.is_empty() => line["value"] = self.opaque(value),
            None => return Ok(None),
            Some(value) => match writers.read(value) {
                Ok((avro, shown)) => {
                    if !self.accepts(&to_json(&avro, &Shown::Everything)) {
                        return Ok(None);
                    }
                    line["value"] = to_json(&avro, if self.reveal { &Shown::Everything } else { shown });
                }
                Err(ReadError::UnknownSchema(writer)) if !final_try => return Err(ReadError::UnknownSchema(writer)),
                Err(_) if !self.filters.is_empty() => return Ok(None),
                Err(error) => {
                    line["error"] = Value::String(error.to_string());
                    line["value"] = self.opaque(value);
                }
            },
        }
        Ok(Some(line.to_string()))
    }

    fn accepts(&self, value: &Value) -> bool {
        self.filters.iter().all(|filter| filter.accepts(value))
    }

    fn key(&self, key: &[u8]) -> String {
        match std::str::from_utf8(key) {
            Ok(text) if self.reveal || self.key_is_target => text.to_owned(),
            _ if self.reveal => hex(key),
            _ => redacted(key.len()),
        }
    }

    fn opaque(&self, value: &[u8]) -> Value {
        Value::String(if self.reveal { hex(value) } else { redacted(value.len()) })
    }
}

#[cfg(test)]
mod tests {
    use dbintel_schemas::records::{Quarantined, RawText};
    use dbintel_schemas::wire::{Framing, write};

    use super::*;

    fn record<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Record<'a> {
        Record { topic: 0, partition: 2, offset: 7, timestamp: 1_700_000_000_000, key: Some(key), value }
    }

    fn shown(topic: &str, key: &[u8], value: Option<&[u8]>, filters: &[&str], reveal: bool) -> Option<Value> {
        let filters = filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
        let lines = Lines::new(topic, filters, reveal);
        let line = lines.line(&record(key, value), &Writers::ours(), true).unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    fn text() -> Vec<u8> {
        let mut bytes = Vec::new();
        let record = RawText { target: "db1", query_id: "42", text: Some("select 'anna'"), ..RawText::default() };
        write(&record, Framing::SingleObject, &mut bytes);
        bytes
    }

    #[test]
    fn a_restricted_topic_shows_identifiers_and_no_text() {
        let line = shown("dbintel.raw.texts", b"db1", Some(&text()), &[], false).unwrap();
        let place = (&line["topic"], &line["partition"], &line["offset"], &line["timestamp"], &line["key"]);
        assert_eq!(place, (&json!("raw.texts"), &json!(2), &json!(7), &json!("2023-11-14T22:13:20Z"), &json!("db1")));
        let value = &line["value"];
        assert_eq!((&value["query_id"], &value["text"]), (&json!("42"), &json!("<redacted, 13 bytes>")));
        let revealed = shown("dbintel.raw.texts", b"db1", Some(&text()), &[], true).unwrap();
        assert_eq!(revealed["value"]["text"], "select 'anna'");
    }

    #[test]
    fn filters_see_what_is_not_shown() {
        let accepted = |filter| shown("dbintel.raw.texts", b"db1", Some(&text()), &[filter], false).is_some();
        assert!(accepted("text=select 'anna'"));
        assert!(!accepted("text=select 'bert'"));
        assert!(shown("dbintel.raw.texts", b"db1", None, &["query_id=42"], false).is_none());
    }

    #[test]
    fn the_key_of_what_is_in_quarantine_may_be_anything() {
        let mut bytes = Vec::new();
        let quarantined =
            Quarantined { topic: "raw.queries", value: Some(b"anna"), reason: "decode", ..Quarantined::default() };
        write(&quarantined, Framing::SingleObject, &mut bytes);
        let line = shown("dbintel.quarantine", b"anna", Some(&bytes), &[], false).unwrap();
        assert_eq!(
            (&line["key"], &line["value"]["value"]),
            (&json!("<redacted, 4 bytes>"), &json!("<redacted, 4 bytes>"))
        );
        assert_eq!((&line["value"]["topic"], &line["value"]["reason"]), (&json!("raw.queries"), &json!("decode")));
    }

    #[test]
    fn what_cannot_be_decoded_says_why() {
        let line = shown("dbintel.raw.texts", b"db1", Some(b"anna@example.com"), &[], false).unwrap();
        assert!(line["error"].as_str().unwrap().contains("neither Avro's single-object encoding"), "{line}");
        assert_eq!(line["value"], "<redacted, 16 bytes>");
        let tombstone = shown("dbintel.targets", b"db1", None, &[], false).unwrap();
        assert_eq!((&tombstone["key"], &tombstone["value"]), (&json!("db1"), &Value::Null));
        let changelog = shown("dbintel.enrich-changelog", b"x", Some(b"state"), &[], false).unwrap();
        assert_eq!(changelog["value"], "<redacted, 5 bytes>");
    }
}
