//! Readers for tests: YAML in, configuration or problems out.

use crate::document::{Node, Value};
use crate::environment::Environment;
use crate::load::{Document, Loaded};
use crate::problem::Problems;
use crate::section::Section;

/// Reads `yaml` as the file `c.yaml`.
pub(crate) fn read<T>(
    yaml: &str,
    environment: &Environment,
    reader: impl FnOnce(&mut Section) -> T,
) -> Result<Loaded<T>, Problems> {
    Document::from_text("c.yaml", yaml, environment)?.read(reader)
}

/// The problems of `yaml`, one per line and without the count; empty if it is accepted.
pub(crate) fn problems<T>(
    yaml: &str,
    environment: &Environment,
    reader: impl FnOnce(&mut Section) -> T,
) -> Vec<String> {
    match read(yaml, environment, reader) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Asks for `keys`, and writes what stands there on one line.
pub(crate) fn outline(section: &mut Section, keys: &[&str]) -> String {
    let shown = |key: &&str| section.raw(key).map(|node| format!("{key}={}", outline_of(&node)));
    keys.iter().filter_map(shown).collect::<Vec<_>>().join(" ")
}

fn outline_of(node: &Node) -> String {
    match &node.value {
        Value::Scalar(scalar) if scalar.is_null() => "null".to_owned(),
        Value::Scalar(scalar) => scalar.text().to_owned(),
        Value::Sequence(items) => {
            format!("[{}]", items.iter().map(outline_of).collect::<Vec<_>>().join(","))
        }
        Value::Mapping(entries) => {
            let entry = |entry: &crate::Entry| format!("{}:{}", entry.key.text(), outline_of(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
        }
    }
}
