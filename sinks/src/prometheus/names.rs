//! Names and labels as Prometheus wants them, by the rules of the OpenTelemetry specification ("Prometheus and
//! OpenMetrics compatibility") as the Collector's exporter applies them, so that dashboards made for it work.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::store::Kind;

/// All labels of ours. A constant label cannot have such a name: it would stand on a series twice.
pub const OURS: [&str; 11] = [
    "target",
    "engine",
    "engine_version",
    "role",
    "database",
    "user",
    "query_id",
    "toplevel",
    "state",
    "wait_event_type",
    "wait_event",
];

/// UCUM units and what they are called in names.
const UNITS: [(&str, &str); 24] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("%", "percent"),
];

/// Units that something is counted per.
const PER_UNITS: [(&str, &str); 4] = [("s", "second"), ("min", "minute"), ("h", "hour"), ("d", "day")];

/// How the values of an OpenTelemetry metric relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A value at a moment.
    Gauge,
    /// A cumulative sum that may fall.
    Sum,
    /// A cumulative sum that never falls.
    Counter,
}

impl Shape {
    /// What Prometheus makes of it.
    pub fn kind(self) -> Kind {
        if self == Shape::Counter { Kind::Counter } else { Kind::Gauge }
    }
}

/// The name of a metric: its tokens, its unit if they do not hold it, `ratio` for a gauge of unit 1, `total` for a
/// counter. Empty if nothing of the name can be kept.
pub fn metric_name(namespace: &str, name: &str, unit: &str, shape: Shape) -> String {
    let mut tokens: Vec<&str> = name.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    tokens.retain(|token| !token.is_empty());
    if tokens.is_empty() {
        return String::new();
    }
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    for words in [&[unit_name(main, &UNITS)][..], &["per", unit_name(per, &PER_UNITS)][..]] {
        let is_new = words.last().is_some_and(|unit| !unit.is_empty() && !tokens.contains(unit));
        if is_new {
            tokens.extend(words);
        }
    }
    match shape {
        Shape::Gauge if unit == "1" => push_last(&mut tokens, "ratio"),
        Shape::Counter => push_last(&mut tokens, "total"),
        Shape::Gauge | Shape::Sum => {}
    }
    let mut full = tokens.join("_");
    if !namespace.is_empty() {
        full = format!("{namespace}_{full}");
    }
    if full.starts_with(|first: char| first.is_ascii_digit()) {
        full.insert(0, '_');
    }
    full
}

fn push_last<'t>(tokens: &mut Vec<&'t str>, token: &'t str) {
    tokens.retain(|present| *present != token);
    tokens.push(token);
}

/// What a unit is called; annotations in braces and the unit 1 are not.
fn unit_name<'u>(unit: &'u str, names: &[(&str, &'static str)]) -> &'u str {
    if unit.is_empty() || unit == "1" || unit.contains(['{', '}']) {
        return "";
    }
    match names.iter().find(|(ucum, _)| *ucum == unit) {
        Some((_, name)) => name,
        None if unit.chars().all(|character| character.is_ascii_alphanumeric()) => unit,
        None => "",
    }
}

/// The name of a label: letters, digits and underscores, beginning with no digit and not with two underscores, which
/// are Prometheus' own.
pub fn label_name(name: &str) -> String {
    let mut label: String =
        name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect();
    if label.starts_with("__") {
        label = label.trim_start_matches('_').to_owned();
    }
    if label.is_empty() || label.starts_with(|first: char| first.is_ascii_digit()) {
        label.insert_str(0, "key_");
    }
    label
}

/// The labels of a series, in the making.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    pairs: Vec<(String, String)>,
    ours: Vec<&'static str>,
}

impl Labels {
    /// With these of [`OURS`]. One without a value is not shown, but its name is taken.
    pub fn ours(pairs: &[(&'static str, &str)]) -> Self {
        let mut labels = Labels::default();
        for (name, value) in pairs {
            debug_assert!(OURS.contains(name), "`{name}` is not in the list of our labels");
            labels.ours.push(name);
            labels.add(name, value);
        }
        labels
    }

    /// Adds a label. When another label has this name after sanitising, both values stand in it, as the specification
    /// says. An empty value is no label.
    pub fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let name = label_name(name);
        match self.pairs.iter_mut().find(|(present, _)| *present == name) {
            Some((_, present)) => {
                present.push(';');
                present.push_str(value);
            }
            None => self.pairs.push((name, value.to_owned())),
        }
    }

    /// Adds a label of a foreign source: it cannot take the name of one of ours or of a constant one.
    pub fn add_foreign(&mut self, name: &str, value: &str, const_labels: &BTreeMap<String, String>) {
        let mut name = label_name(name);
        while self.ours.contains(&&*name) || const_labels.contains_key(&name) {
            name.insert_str(0, "exported_");
        }
        self.add(&name, value);
    }

    /// The labels as they stand between braces, sorted by name.
    pub fn finish(mut self) -> Box<str> {
        self.pairs.sort();
        let mut text = String::new();
        for (name, value) in &self.pairs {
            if !text.is_empty() {
                text.push(',');
            }
            write_label(name, value, &mut text);
        }
        text.into()
    }
}

/// Appends `name="value"`, escaped.
fn write_label(name: &str, value: &str, out: &mut String) {
    let _ = write!(out, "{name}=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
