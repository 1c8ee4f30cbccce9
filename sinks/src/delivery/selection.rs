//! Which rows a sink takes.

use std::collections::BTreeMap;

use super::sink::Row;

/// Which rows a sink takes: those of these pipelines whose target has all of these labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Names of pipelines.
    pub pipelines: Vec<String>,
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
}

impl Selection {
    /// All rows of these pipelines.
    pub fn of_pipelines(pipelines: Vec<String>) -> Selection {
        Selection { pipelines, labels: BTreeMap::new() }
    }

    /// Whether it takes the row.
    pub fn takes(&self, row: &Row<'_>) -> bool {
        let has_label = |(name, value): (&String, &String)| row.labels().get(name) == Some(value.as_str());
        self.pipelines.iter().any(|name| name == row.pipeline()) && self.labels.iter().all(has_label)
    }
}

#[cfg(test)]
mod tests {
    use dbintel_schemas::TextMap;
    use dbintel_schemas::records::EnrichedQuery;

    use super::*;

    #[test]
    fn pipeline_and_labels_both_have_to_fit() {
        let pairs = [("environment", "production"), ("team", "payments")];
        let labels = TextMap::from_slice(&pairs);
        let row = Row::Query(EnrichedQuery { pipeline: "main", labels, ..EnrichedQuery::default() });
        let cases = [
            ("main", "", true),
            ("other", "", false),
            ("main", "team=payments", true),
            ("main", "team=payments,environment=production", true),
            ("main", "team=search", false),
            ("main", "region=", false),
        ];
        for (pipeline, labels, expected) in cases {
            let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
            let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let selection = Selection { labels, ..Selection::of_pipelines(vec![pipeline.to_owned()]) };
            assert_eq!(selection.takes(&row), expected, "{selection:?}");
        }
    }
}
