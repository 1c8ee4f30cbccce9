//! What an OTLP receiver printed: the debug exporter of the Collector with verbosity `detailed`,
//! which rotel imitates.
//!
//! Both print an attribute as `     -> key: Str(value)` under a heading, and a field as
//! `Name: value`. Values of several lines are cut at their first.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wait;

/// All that was printed since a receiver was started, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Received {
    /// One per data point.
    pub points: Vec<Point>,
    /// One per log record.
    pub logs: Vec<LogRecord>,
}

/// A data point of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// The metric's name.
    pub metric: String,
    /// `Unit`, `DataType`, `IsMonotonic` and `AggregationTemporality` of the metric.
    pub descriptor: BTreeMap<String, String>,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// Attributes of the point.
    pub attributes: BTreeMap<String, String>,
    /// `Value`, `Timestamp`, `StartTimestamp`, `Count` and so on, as printed.
    pub fields: BTreeMap<String, String>,
}

impl Point {
    /// The value of a sum or gauge.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        self.fields.get("Value")?.parse().ok()
    }
}

/// A log record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    /// Attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// Attributes of the record.
    pub attributes: BTreeMap<String, String>,
    /// `SeverityText`, `Timestamp` and so on, as printed.
    pub fields: BTreeMap<String, String>,
}

impl LogRecord {
    /// The body, if it is text.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.fields.get("Body").map(|printed| unwrapped(printed))
    }
}

/// Waits until the receiver has printed a point of that metric, and gives the first.
pub(super) async fn metric(limit: Duration, name: &str, received: impl Fn() -> Received) -> Point {
    let printed = async || received().points.into_iter().find(|point| point.metric == name);
    wait::eventually(limit, &format!("the arrival of metric {name}"), printed).await
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Section {
    #[default]
    Other,
    Resource,
    Descriptor,
    Point,
    PointAttributes,
    Log,
    LogAttributes,
}

#[derive(Default)]
struct Parser {
    section: Section,
    resource: BTreeMap<String, String>,
    descriptor: BTreeMap<String, String>,
    received: Received,
}

impl Received {
    /// Reads what was printed, skipping lines that are no part of it.
    #[must_use]
    pub fn parse(printed: &str) -> Received {
        let mut parser = Parser::default();
        for line in printed.lines() {
            if !parser.heading(line) {
                parser.content(line.trim());
            }
        }
        parser.received
    }
}

impl Parser {
    /// The Collector puts the first heading behind its own log line's beginning.
    fn heading(&mut self, line: &str) -> bool {
        let line = line.rsplit('\t').next().unwrap_or(line).trim_end();
        let numbered = line.split_once(" #").map(|(heading, _)| heading);
        self.section = match (numbered, line) {
            (Some("ResourceMetrics" | "ResourceLog"), _) => {
                self.resource.clear();
                Section::Other
            }
            (_, "Resource attributes:") => Section::Resource,
            (Some("ScopeMetrics" | "ScopeLogs"), _) => Section::Other,
            (Some("Metric"), _) => {
                self.descriptor.clear();
                Section::Descriptor
            }
            (Some(heading), _) if heading.ends_with("DataPoints") => {
                self.begin_point();
                Section::Point
            }
            (_, "Data point attributes:") => Section::PointAttributes,
            (Some("LogRecord"), _) => {
                let resource = self.resource.clone();
                self.received.logs.push(LogRecord { resource, ..LogRecord::default() });
                Section::Log
            }
            (_, "Attributes:") if self.section == Section::Log => Section::LogAttributes,
            _ => return false,
        };
        true
    }

    fn begin_point(&mut self) {
        let mut descriptor = self.descriptor.clone();
        self.received.points.push(Point {
            metric: descriptor.remove("Name").unwrap_or_default(),
            descriptor,
            resource: self.resource.clone(),
            ..Point::default()
        });
    }

    fn content(&mut self, line: &str) {
        let (attribute, pair) = match line.strip_prefix("-> ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let Some((name, value)) = pair.split_once(':') else {
            return;
        };
        let (name, value) = (name.trim().to_owned(), value.trim());
        let point = self.received.points.last_mut();
        let log = self.received.logs.last_mut();
        let (target, value) = match (self.section, attribute) {
            (Section::Resource, true) => (Some(&mut self.resource), unwrapped(value)),
            (Section::Descriptor, true) => (Some(&mut self.descriptor), value),
            (Section::PointAttributes, true) => (point.map(|point| &mut point.attributes), unwrapped(value)),
            (Section::LogAttributes, true) => (log.map(|log| &mut log.attributes), unwrapped(value)),
            (Section::Point | Section::PointAttributes, false) => (point.map(|point| &mut point.fields), value),
            (Section::Log | Section::LogAttributes, false) => (log.map(|log| &mut log.fields), value),
            _ => return,
        };
        if let Some(target) = target {
            target.insert(name, value.to_owned());
        }
    }
}

/// `Str(a)` and `Int(7)` without their type.
fn unwrapped(printed: &str) -> &str {
    printed.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(printed)
}

#[cfg(test)]
#[path = "received/tests.rs"]
mod tests;
