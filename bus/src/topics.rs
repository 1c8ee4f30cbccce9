//! The topics that a set-up needs, from the one table of the contract.

use std::time::Duration;

use dbintel_schemas::topics::{self, CHANGELOG_MAX_MESSAGE_BYTES, Partitions, TABLE};

use crate::{NewTopic, Retention, topic_name};

/// All topics, with the changelogs of these groups; co-partitioned ones get `partitions` partitions.
pub fn planned_topics(partitions: u32, groups: &[&str]) -> Vec<NewTopic> {
    let is_read = |kind: &str| groups.iter().any(|group| group.strip_prefix(topics::PREFIX) == Some(kind));
    let planned = TABLE.iter().filter(|spec| spec.topic.stage().is_none_or(is_read));
    let listed = planned.map(|spec| NewTopic {
        name: topic_name(spec.topic),
        partitions: match spec.partitions {
            Partitions::CoPartitioned => partitions,
            Partitions::One => 1,
        },
        retention: match spec.retention {
            topics::Retention::Time(time) => Retention::Time(time),
            topics::Retention::Compacted => Retention::Compacted,
        },
        message_bytes_max: spec.max_message_bytes as usize,
    });
    let changelogs = groups.iter().map(|group| NewTopic {
        name: topics::changelog(group),
        partitions,
        retention: Retention::Unlimited,
        message_bytes_max: CHANGELOG_MAX_MESSAGE_BYTES as usize,
    });
    listed.chain(changelogs).collect()
}

/// Retention of a topic in words, as `topics describe` shows it.
pub fn retention_text(retention: &Retention) -> String {
    match retention {
        Retention::Time(time) if *time >= Duration::from_secs(2 * 86_400) => format!("{}d", time.as_secs() / 86_400),
        Retention::Time(time) => format!("{}h", time.as_secs() / 3600),
        Retention::Compacted => "compacted".into(),
        Retention::Unlimited => "trimmed by the engine".into(),
    }
}
