//! What a topic keeps, in Kafka's settings and back.

use std::time::Duration;

use rdkafka::admin::ConfigResource;

use crate::{NewTopic, Retention};

/// Names and values of a topic's settings.
pub type Settings = Vec<(&'static str, String)>;

/// A compacted topic is cleaned in pieces of at most this age.
const COMPACTED_SEGMENT: Duration = Duration::from_secs(10 * 60);
/// Tombstones stay for at least this long, so that whoever was away for less sees them.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Records go in pieces: of this part of the time that they are kept …
const SEGMENTS_PER_RETENTION: u32 = 8;
/// … but not smaller …
const SEGMENT_MIN: Duration = Duration::from_secs(60);
/// … and not larger.
const SEGMENT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What Kafka has if nothing is said.
const MESSAGE_BYTES_DEFAULT: usize = 1_048_588;

/// What a topic keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which records.
    pub retention: Retention,
    /// Largest record, in bytes.
    pub message_bytes_max: usize,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept { retention: Retention::Unlimited, message_bytes_max: MESSAGE_BYTES_DEFAULT }
    }
}

/// Kafka's settings for a new topic.
pub fn settings(topic: &NewTopic) -> Settings {
    let mut settings = vec![("max.message.bytes", topic.message_bytes_max.to_string())];
    match topic.retention {
        Retention::Time(kept) => {
            let segment = (kept / SEGMENTS_PER_RETENTION).clamp(SEGMENT_MIN, SEGMENT_MAX);
            settings.push(("cleanup.policy", "delete".to_owned()));
            settings.push(("retention.ms", milliseconds(kept)));
            settings.push(("segment.ms", milliseconds(segment)));
        }
        Retention::Compacted => {
            settings.push(("cleanup.policy", "compact".to_owned()));
            settings.push(("min.compaction.lag.ms", "0".to_owned()));
            settings.push(("segment.ms", milliseconds(COMPACTED_SEGMENT)));
            settings.push(("delete.retention.ms", milliseconds(TOMBSTONES_KEPT)));
        }
        Retention::Unlimited => {
            settings.push(("cleanup.policy", "delete".to_owned()));
            settings.push(("retention.ms", "-1".to_owned()));
            settings.push(("retention.bytes", "-1".to_owned()));
        }
    }
    settings
}

/// What Kafka's settings mean.
pub fn kept(resource: &ConfigResource) -> Kept {
    let value = |name: &str| resource.get(name).and_then(|entry| entry.value.as_deref());
    meaning(value)
}

fn meaning<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Kept {
    let compacted = value("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
    let kept_for = value("retention.ms").and_then(|text| text.parse::<u64>().ok());
    let retention = match kept_for {
        _ if compacted => Retention::Compacted,
        Some(kept_for) => Retention::Time(Duration::from_millis(kept_for)),
        None => Retention::Unlimited,
    };
    let message_bytes_max = value("max.message.bytes").and_then(|text| text.parse().ok());
    Kept { retention, message_bytes_max: message_bytes_max.unwrap_or(MESSAGE_BYTES_DEFAULT) }
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_what_is_described() {
        let retentions = [
            Retention::Time(Duration::from_secs(1)),
            Retention::Time(Duration::from_secs(48 * 3600)),
            Retention::Compacted,
            Retention::Unlimited,
        ];
        for retention in retentions {
            let topic = NewTopic { name: "topic".to_owned(), partitions: 1, retention, message_bytes_max: 12_345 };
            let settings = settings(&topic);
            let value = |name: &str| settings.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
            assert_eq!(meaning(value), Kept { retention, message_bytes_max: 12_345 });
        }
    }

    #[test]
    fn old_records_go_in_pieces_of_an_eighth() {
        let segment = |kept: Duration| {
            let retention = Retention::Time(kept);
            let topic = NewTopic { name: "topic".to_owned(), partitions: 1, retention, message_bytes_max: 1 };
            settings(&topic).into_iter().find(|(name, _)| *name == "segment.ms").map(|(_, value)| value)
        };
        assert_eq!(segment(Duration::from_secs(8 * 3600)).as_deref(), Some("3600000"));
        assert_eq!(segment(Duration::from_secs(1)).as_deref(), Some("60000"));
        assert_eq!(segment(Duration::from_secs(365 * 24 * 3600)).as_deref(), Some("604800000"));
    }
}
