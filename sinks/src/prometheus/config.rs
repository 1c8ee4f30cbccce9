//! Settings of the Prometheus sink: the keys of the Collector's `prometheus` exporter.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use dbintel_config::Section;

use super::names::{OURS, label_name};

/// Settings of a Prometheus sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it is scraped. Port 0 takes a free one.
    pub endpoint: SocketAddr,
    /// In front of each name, such as `db_intelligence`; may be empty.
    pub namespace: String,
    /// Labels on each series; none has the name of a label of ours.
    pub const_labels: BTreeMap<String, String>,
    /// How long a series is shown after its last value, unless its poll interval asks for longer.
    pub metric_expiration: Duration,
    /// Statements of each target that have series of their own; the rest is summed up in one that is called `other`.
    pub top_statements: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 8889)),
            namespace: String::new(),
            const_labels: BTreeMap::new(),
            metric_expiration: Duration::from_secs(300),
            top_statements: 50,
        }
    }
}

impl Config {
    /// Reads the settings.
    pub fn read(section: &mut Section) -> Config {
        let endpoint =
            section.doc("Where it is scraped.").parsed("endpoint", "127.0.0.1:8889", "an address and a port");
        let namespace = section.doc("In front of each name.").text("namespace", "");
        if !namespace.is_empty() && label_name(&namespace) != namespace {
            section.problem("namespace", "a namespace has letters, digits and underscores, and begins with no digit");
        }
        let const_labels = section.doc("Labels on each series.").text_map("const_labels");
        for name in const_labels.keys() {
            if let Some(message) = const_label_problem(name) {
                section.problem("const_labels", message);
            }
        }
        if section.boolean("send_timestamps", false) {
            let message = "not used: series with timestamps of their own linger after they end, and late ones are dropped by Prometheus";
            section.warning("send_timestamps", message);
        }
        Config {
            endpoint,
            namespace,
            const_labels,
            metric_expiration: section.duration_within("metric_expiration", "5m", "1s"..="7d"),
            top_statements: section.integer("top_statements", 50usize, 1..=1000),
        }
    }
}

fn const_label_problem(name: &str) -> Option<String> {
    if label_name(name) != name {
        return Some(format!("`{name}` cannot be the name of a label: use letters, digits and underscores"));
    }
    OURS.contains(&name).then(|| format!("`{name}` is a label that some series have already: choose another name"))
}

#[cfg(test)]
mod tests {
    use dbintel_config::{Document, Environment};

    use super::*;

    fn read(yaml: &str) -> Result<Config, Vec<String>> {
        let document = Document::from_text("c.yaml", yaml, &Environment::from_iter::<[(&str, &str); 0]>([]));
        match document.and_then(|document| document.read(Config::read)) {
            Ok(loaded) => Ok(loaded.config),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_constant_label_has_no_name_of_ours() {
        for name in OURS {
            let problems = read(&format!("const_labels: {{{name}: a, environment: b}}")).unwrap_err();
            let expected = format!("c.yaml:1:15: const_labels: `{name}` is a label that some series have already");
            assert!(problems.len() == 1 && problems[0].contains(&expected), "{problems:?}");
        }
        let config = read("const_labels: {environment: a, region: b}").unwrap();
        assert_eq!(config.const_labels.len(), 2);
    }
}
