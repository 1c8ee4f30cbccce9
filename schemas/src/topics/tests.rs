use std::collections::BTreeSet;

use super::*;
use crate::records::DEFINITIONS;

#[test]
fn rows_are_in_the_order_of_the_topics() {
    for (topic, row) in Topic::ALL.into_iter().zip(&TABLE) {
        assert_eq!(row.topic, topic);
        assert_eq!(spec(topic), row);
    }
}

#[test]
fn names_are_distinct_and_parse() {
    let names: BTreeSet<&str> = Topic::ALL.into_iter().map(Topic::name).collect();
    assert_eq!(names.len(), Topic::ALL.len());
    for topic in Topic::ALL {
        assert_eq!(Topic::parse(topic.name()), Some(topic));
        assert_eq!(Topic::parse(&topic.full_name()), Some(topic));
    }
    assert_eq!(Topic::parse("raw.querie"), None);
}

#[test]
fn topics_with_a_record_and_schema_files_are_the_same() {
    // All stages have one record.
    let has_file = |row: &&TopicSpec| row.topic.stage().is_none() || row.topic == Topic::StagedText;
    let from_table: BTreeSet<(Topic, &str)> =
        TABLE.iter().filter(has_file).filter_map(|row| Some((row.topic, row.record?))).collect();
    let from_files: BTreeSet<(Topic, &str)> = DEFINITIONS.iter().map(|row| (row.topic, row.name)).collect();
    assert_eq!(from_table, from_files);
}

#[test]
fn restricted_topics_are_short_lived_and_the_ledger_outlives_them() {
    let lifetime = |topic| match spec(topic).retention {
        Retention::Time(time) => time,
        Retention::Compacted => Duration::MAX,
    };
    for row in &TABLE {
        assert_eq!(
            row.restricted,
            row.topic.name().starts_with("raw.") || row.topic.stage().is_some() || row.topic == Topic::Quarantine,
            "{}",
            row.topic
        );
        assert!(!row.restricted || lifetime(row.topic) <= Duration::from_hours(7 * 24), "{}", row.topic);
        assert!(
            !row.topic.name().starts_with("raw.") || lifetime(row.topic) < lifetime(Topic::Ledger),
            "{}",
            row.topic
        );
    }
}

#[test]
fn changelogs_are_told_from_topics() {
    assert_eq!(changelog("dbintel.enrich"), "dbintel.enrich-changelog");
    assert!(is_changelog(&changelog("dbintel.enrich")));
    assert!(Topic::ALL.into_iter().all(|topic| !is_changelog(&topic.full_name())));
}

#[test]
fn stages_are_found_by_the_kind_of_their_processor() {
    assert_eq!(Topic::staged_for("adaptive_sampler"), Some(Topic::StagedAdaptiveSampler));
    assert_eq!(Topic::StagedText.stage(), Some("text"));
    assert_eq!((Topic::staged_for("delta"), Topic::RawTexts.stage()), (None, None));
}
