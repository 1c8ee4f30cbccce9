//! Targets from a list that somebody else keeps: a file, or an HTTP service, in the format of Prometheus' service discovery.
//!
//! ```json
//! [{"targets": ["orders-db:5432", "billing-db:5432"], "labels": {"team": "payments"}}]
//! ```
//!
//! Each address is a server to be polled with the settings of the component. Labels are added to those of the component;
//! those that begin with `__` are dropped. The label `target` names the only address of its group.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::time::Duration;

use dbintel_bus::http::{HttpClient, redacted};
use dbintel_config::{ComponentId, Document, Section};

use crate::config::Config;
use crate::settings::{Endpoint, valid_target};

/// Most targets of one list.
pub const TARGETS_MAX: usize = 10_000;
/// Longest wait for the answer of an HTTP service.
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);
/// Label that names a target.
const NAME: &str = "target";

/// Where a list is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a file, YAML or JSON.
    File(PathBuf),
    /// Behind an address.
    Http {
        /// The address.
        url: String,
        /// PEM file of the authorities to trust; the system's if not set.
        ca_file: Option<PathBuf>,
    },
}

/// Where a component finds its targets, and how often it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Where the list is.
    pub source: Source,
    /// Time between two looks.
    pub refresh_interval: Duration,
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its name, if it has one of its own.
    pub target: Option<String>,
    /// Labels beside those of the component.
    pub labels: BTreeMap<String, String>,
}

impl Discovery {
    /// Reads the section `discovery` of a poller.
    pub fn read(section: &mut Section) -> Discovery {
        let file = section.doc("File with the list, YAML or JSON.").optional_text("file");
        let http = section.optional_section("http");
        let default = if http.is_some() { "1m" } else { "5s" };
        let refresh_interval = section
            .doc("Time between two looks; 5s for a file and 1m for HTTP unless set.")
            .duration_within("refresh_interval", default, "1s"..="1d");
        let source = match (file, http) {
            (Some(file), None) => Source::File(file.into()),
            (None, Some(mut http)) => Source::Http {
                url: http.doc("Address that answers with the list.").required_text("url"),
                ca_file: http.doc("PEM file of the authorities to trust.").optional_text("ca_file").map(PathBuf::from),
            },
            _ => {
                section.problem_here("give one of `file` and `http`: where the list of targets is");
                Source::File(PathBuf::new())
            }
        };
        Discovery { source, refresh_interval }
    }

    /// Where the list is, for people.
    pub fn place(&self) -> String {
        match &self.source {
            Source::File(path) => path.display().to_string(),
            Source::Http { url, .. } => redacted(url),
        }
    }

    /// Reads the list. Blocks.
    ///
    /// # Errors
    /// What is wrong with it, line by line. No part of it counts then.
    pub fn look(&self) -> Result<Vec<Found>, String> {
        let place = self.place();
        let bytes = match &self.source {
            Source::File(path) => std::fs::read(path).map_err(|error| format!("could not read {place}: {error}"))?,
            Source::Http { url, ca_file } => {
                let client = HttpClient::new(url, "", "", ca_file.as_ref(), HTTP_TIMEOUT);
                let answer = client.and_then(|client| client.get("")).map_err(|error| error.to_string())?;
                if answer.status != 200 {
                    return Err(format!("{place} answers with status {}", answer.status));
                }
                answer.body.into_bytes()
            }
        };
        parse(&place, &bytes)
    }
}

/// The targets of a list.
fn parse(place: &str, bytes: &[u8]) -> Result<Vec<Found>, String> {
    let document = Document::from_stranger(place, bytes).map_err(|problems| problems.to_string())?;
    let groups = document.read_list(|mut section| read_group(&mut section)).map_err(|problems| problems.to_string())?;
    let found: Vec<Found> = groups.into_iter().flatten().collect();
    if found.len() > TARGETS_MAX {
        return Err(format!("{place}: {} targets, and {TARGETS_MAX} is the most", found.len()));
    }
    Ok(found)
}

fn read_group(section: &mut Section) -> Vec<Found> {
    let addresses = section.list_of_text("targets", &[]);
    let mut labels = section.text_map("labels");
    let name = labels.remove(NAME);
    labels.retain(|label, _| !label.starts_with("__"));
    if name.is_some() && addresses.len() != 1 {
        section.problem_in("labels", NAME, "names one server, and the group has another number of them");
    }
    if name.as_deref().is_some_and(|name| !valid_target(name)) {
        section.problem_in("labels", NAME, "is no name of a target: it is empty, too long, or has control characters");
    }
    let mut found = Vec::with_capacity(addresses.len());
    for address in addresses {
        match address.parse() {
            Ok(endpoint) => found.push(Found { endpoint, target: name.clone(), labels: labels.clone() }),
            Err(error) => section.problem("targets", format!("`{address}`: {error}")),
        }
    }
    found
}

/// Settings for each server that was found, by the name of its target. A name that stands twice counts once; those that do
/// are in the second part.
pub fn targets(component: &ComponentId, template: &Config, found: &[Found]) -> (BTreeMap<String, Config>, Vec<String>) {
    let (mut targets, mut doubled) = (BTreeMap::new(), Vec::new());
    let nameless = ComponentId { name: None, ..component.clone() };
    for found in found {
        let config = template.of(found);
        let name = config.target_name(&nameless);
        match targets.entry(name) {
            Entry::Occupied(first) => doubled.push(first.key().clone()),
            Entry::Vacant(place) => drop(place.insert(config)),
        }
    }
    (targets, doubled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgresql;

    fn read(text: &str) -> Vec<Found> {
        parse("list.json", text.as_bytes()).unwrap()
    }

    fn found(endpoint: &str, target: Option<&str>, labels: &[(&str, &str)]) -> Found {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Found { endpoint: endpoint.parse().unwrap(), target: target.map(str::to_owned), labels }
    }

    #[test]
    fn a_list_of_prometheus_is_read() {
        let json = r#"[{"targets": ["a:5432", "[::1]:5433"], "labels": {"team": "x", "__meta_az": "1"}}, {"targets": ["b:1"]}]"#;
        let team = [("team", "x")];
        let expected = [found("a:5432", None, &team), found("[::1]:5433", None, &team), found("b:1", None, &[])];
        assert_eq!(read(json), expected);
        let yaml = "- targets: ['a:5432']\n  labels: {target: orders, env: prod}\n";
        assert_eq!(read(yaml), [found("a:5432", Some("orders"), &[("env", "prod")])]);
        assert_eq!(read("[]"), []);
    }

    #[test]
    fn what_is_wrong_with_a_list_is_told_with_its_place() {
        let cases = [
            ("{}", "expected a list of mappings"),
            ("[1]", "expected a mapping"),
            ("[{\"targets\": [\"a\"]}]", "`a`: expected host:port"),
            ("[{\"targts\": []}]", "unknown key `targts`, did you mean `targets`?"),
            ("[{\"targets\": [\"a:1\", \"b:1\"], \"labels\": {\"target\": \"x\"}}]", "names one server"),
            ("[{\"targets\": [\"${file:/etc/passwd}:1\"]}]", "line 1: nothing is expanded here"),
            ("[{\"targets\": [\"a:1\"", "list.json:2:1: while parsing a flow sequence"),
        ];
        for (text, expected) in cases {
            let error = parse("list.json", text.as_bytes()).unwrap_err();
            assert!(error.contains(expected) && error.starts_with("list.json"), "{text}: {error}");
        }
    }

    #[test]
    fn settings_are_those_of_the_component_with_labels_of_both() {
        let labels = [("team", "x"), ("region", "eu")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let template =
            postgresql::Config { username: "watcher".to_owned(), labels: labels.into(), ..Default::default() };
        let found = parse("l", br#"[{"targets": ["a:1", "a:1"], "labels": {"team": "y"}}]"#).unwrap();
        let (targets, doubled) = targets(&"postgresql/fleet".parse().unwrap(), &template.into(), &found);
        assert_eq!((targets.len(), doubled), (1, vec!["a:1".to_owned()]));
        let config = &targets["a:1"];
        assert_eq!(config.endpoint().to_string(), "a:1");
        assert_eq!(config.labels()["team"], "y");
        assert_eq!(config.labels()["region"], "eu");
    }
}
