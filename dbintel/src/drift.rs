//! How the topics of a log differ from what they should be.

use dbintel_bus::{NewTopic, Retention, TopicDescription, retention_text};

/// What was found out about one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Full name.
    pub name: String,
    /// What it should be; none for a topic that is not ours to judge.
    pub planned: Option<NewTopic>,
    /// What it is; none if it is missing.
    pub actual: Option<Actual>,
    /// What differs, in words.
    pub drift: Vec<String>,
}

/// What a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actual {
    /// Partitions.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
    /// Largest record, in bytes.
    pub message_bytes_max: usize,
    /// Offsets that are kept, over all partitions.
    pub records: i64,
}

/// Compares each planned topic with what there is; topics that nobody planned come last.
pub fn compare(planned: &[NewTopic], described: &[TopicDescription]) -> Vec<Finding> {
    let find = |name: &str| described.iter().find(|topic| topic.name == name);
    let ours = planned.iter().map(|plan| {
        let actual = find(&plan.name).map(actual);
        let drift = actual.as_ref().map_or_else(|| vec!["missing".to_owned()], |actual| differences(plan, actual));
        Finding { name: plan.name.clone(), planned: Some(plan.clone()), actual, drift }
    });
    let unplanned = described.iter().filter(|topic| planned.iter().all(|plan| plan.name != topic.name));
    let others = unplanned.map(|topic| Finding {
        name: topic.name.clone(),
        planned: None,
        actual: Some(actual(topic)),
        drift: Vec::new(),
    });
    ours.chain(others).collect()
}

fn actual(topic: &TopicDescription) -> Actual {
    Actual {
        partitions: topic.partitions,
        retention: topic.retention,
        message_bytes_max: topic.message_bytes_max,
        records: topic.offsets.iter().map(|offsets| offsets.stable_end - offsets.start).sum(),
    }
}

fn differences(plan: &NewTopic, actual: &Actual) -> Vec<String> {
    let mut drift = Vec::new();
    if actual.partitions != plan.partitions {
        drift.push(format!("partitions: {}, not {}", actual.partitions, plan.partitions));
    }
    if actual.retention != plan.retention {
        let what = match (actual.retention, plan.retention) {
            (Retention::Time(_), Retention::Time(_)) => "retention",
            _ => "compaction",
        };
        drift.push(format!("{what}: {}, not {}", retention_text(&actual.retention), retention_text(&plan.retention)));
    }
    if actual.message_bytes_max != plan.message_bytes_max {
        drift.push(format!("largest message: {}, not {}", actual.message_bytes_max, plan.message_bytes_max));
    }
    drift
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dbintel_bus::Offsets;

    use super::*;

    const DAY: Retention = Retention::Time(Duration::from_hours(24));

    fn plan(name: &str, retention: Retention) -> NewTopic {
        NewTopic { name: name.to_owned(), partitions: 3, retention, message_bytes_max: 1000 }
    }

    fn described(plan: &NewTopic) -> TopicDescription {
        let offsets = vec![Offsets { start: 2, stable_end: 7, end: 9 }; plan.partitions as usize];
        let NewTopic { name, partitions, retention, message_bytes_max } = plan.clone();
        TopicDescription { name, partitions, retention, message_bytes_max, offsets }
    }

    #[test]
    fn what_is_as_planned_shows_no_drift() {
        let plans = [plan("dbintel.a", DAY), plan("dbintel.b", Retention::Compacted)];
        let findings = compare(&plans, &plans.each_ref().map(described));
        assert!(findings.iter().all(|finding| finding.drift.is_empty()), "{findings:?}");
        assert_eq!(findings[0].actual.as_ref().unwrap().records, 15);
    }

    #[test]
    fn each_difference_is_named() {
        let day = plan("dbintel.a", DAY);
        type Change = fn(&mut TopicDescription);
        let cases: [(Change, &str); 4] = [
            (|topic| topic.partitions = 1, "partitions: 1, not 3"),
            (|topic| topic.retention = Retention::Time(Duration::from_hours(72)), "retention: 3d, not 24h"),
            (|topic| topic.retention = Retention::Compacted, "compaction: compacted, not 24h"),
            (|topic| topic.message_bytes_max = 5, "largest message: 5, not 1000"),
        ];
        for (change, expected) in cases {
            let mut topic = described(&day);
            change(&mut topic);
            assert_eq!(compare(std::slice::from_ref(&day), &[topic])[0].drift, [expected]);
        }
    }

    #[test]
    fn a_missing_topic_is_drift_and_a_further_one_is_not() {
        let (ours, theirs) = (plan("dbintel.a", DAY), plan("dbintel.z", DAY));
        let findings = compare(std::slice::from_ref(&ours), &[described(&theirs)]);
        assert_eq!((findings[0].actual.as_ref(), &findings[0].drift), (None, &vec!["missing".to_owned()]));
        assert_eq!((&*findings[1].name, findings[1].drift.len()), ("dbintel.z", 0));
    }
}
