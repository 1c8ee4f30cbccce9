//! Rows to OTLP items: pure, one file per kind of row.
//!
//! Names follow the Collector's contrib receivers (`postgresql`, `mysql`) as of v0.162, so that dashboards made for them
//! work; what those do not have stands under `dbintel.`. The semantic conventions do not know these names yet, so the
//! table is versioned: [`MAPPING_VERSION`] rises when a name or a unit changes.
//!
//! | row | becomes |
//! |---|---|
//! | `enriched.queries` | a log record `db.server.top_query` with the interval's deltas, and points of `dbintel.query.*` with our own running totals |
//! | `enriched.sessions` | a log record `db.server.query_sample` |
//! | `enriched.metrics` | points with the names that the poller gave them |
//! | `enriched.logs` | a log record `dbintel.query.row` with the attributes that the configuration names |
//! | `events` | a log record `dbintel.event.<type>` |

mod attributes;
mod events;
mod logs;
mod metrics;
mod queries;
mod resource;
mod sessions;
mod trace;

use std::collections::HashMap;
use std::sync::Arc;

use dbintel_schemas::record_id::hash128;

use super::proto;
use super::request::{Item, Kind, Metric, Resource};
use crate::delivery::{Row, Texts, Ticket};

/// Version of the names and units below.
pub const MAPPING_VERSION: u64 = 1;

/// Resources that are remembered; past it they are encoded anew.
const RESOURCES_MAX: usize = 10_000;
/// Metrics that are remembered; past it their points stand apart.
const METRICS_MAX: usize = 10_000;

/// Field numbers of `LogRecord`.
mod log_record {
    pub const TIME: u32 = 1;
    pub const SEVERITY_NUMBER: u32 = 2;
    pub const SEVERITY_TEXT: u32 = 3;
    pub const BODY: u32 = 5;
    pub const ATTRIBUTES: u32 = 6;
    pub const FLAGS: u32 = 8;
    pub const TRACE_ID: u32 = 9;
    pub const SPAN_ID: u32 = 10;
    pub const OBSERVED_TIME: u32 = 11;
    pub const EVENT_NAME: u32 = 12;
}

/// Field numbers of `NumberDataPoint`.
mod data_point {
    pub const START_TIME: u32 = 2;
    pub const TIME: u32 = 3;
    pub const AS_DOUBLE: u32 = 4;
    pub const AS_INT: u32 = 6;
    pub const ATTRIBUTES: u32 = 7;
}

/// What one row became.
#[derive(Debug, Default)]
pub struct Mapped {
    /// Metric points.
    pub metrics: Vec<Item>,
    /// Log records.
    pub logs: Vec<Item>,
}

/// Maps rows, and remembers what many of them share.
#[derive(Debug, Default)]
pub struct Mapper {
    resources: HashMap<Box<[u8]>, Arc<Resource>>,
    metrics: HashMap<[u8; 16], Arc<Metric>>,
    scratch: Vec<u8>,
}

/// A value of a metric point.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Int(i64),
    Double(f64),
}

impl Mapper {
    /// Appends what a row becomes.
    pub fn map(&mut self, row: &Row<'_>, ticket: Ticket, texts: &mut Texts, out: &mut Mapped) {
        match row {
            Row::Query(row) => {
                let text = texts.find(row.target, row.fingerprint);
                self.query(row, text, ticket, out);
            }
            Row::Session(row) => {
                let text = row.text.or_else(|| texts.find(row.target, row.fingerprint));
                self.session(row, text, ticket, out);
            }
            Row::Metrics(row) => self.metrics(row, ticket, out),
            Row::Log(row) => self.log(row, ticket, out),
            Row::Event(row) => self.event(row, ticket, out),
        }
    }

    /// The resource with these encoded attributes, shared with earlier rows.
    fn resource(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Resource> {
        self.scratch.clear();
        write(&mut self.scratch);
        if let Some(resource) = self.resources.get(self.scratch.as_slice()) {
            return Arc::clone(resource);
        }
        if self.resources.len() >= RESOURCES_MAX {
            self.resources.clear();
        }
        let bytes: Box<[u8]> = self.scratch.as_slice().into();
        let resource = Arc::new(Resource { bytes: bytes.clone() });
        self.resources.insert(bytes, Arc::clone(&resource));
        resource
    }

    /// The metric with this name, shared with earlier points.
    fn metric(&mut self, name: &str, unit: &str, description: &'static str, kind: Kind) -> Arc<Metric> {
        let key = hash128(&[name.as_bytes(), unit.as_bytes(), &[kind as u8]]);
        if let Some(metric) = self.metrics.get(&key) {
            return Arc::clone(metric);
        }
        let metric = Arc::new(Metric { name: name.into(), unit: unit.into(), description, kind });
        if self.metrics.len() < METRICS_MAX {
            self.metrics.insert(key, Arc::clone(&metric));
        }
        metric
    }
}

/// Encodes a `NumberDataPoint`. Times in µs since the epoch.
fn point(value: Number, started_at: Option<i64>, at: i64, attributes: &[u8]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(32 + attributes.len());
    out.extend_from_slice(attributes);
    proto::time(data_point::START_TIME, started_at, &mut out);
    proto::time(data_point::TIME, Some(at), &mut out);
    match value {
        Number::Int(value) => proto::fixed64(data_point::AS_INT, value.to_le_bytes(), &mut out),
        Number::Double(value) => proto::fixed64(data_point::AS_DOUBLE, value.to_le_bytes(), &mut out),
    }
    out.into()
}

/// Begins a `LogRecord` of the event `name`, at a time in µs since the epoch.
fn log_record(name: &str, at: i64) -> Vec<u8> {
    log_record_at(name, at, at)
}

/// A `LogRecord` of something that was seen later than it happened.
fn log_record_at(name: &str, occurred_at: i64, observed_at: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    proto::time(log_record::TIME, Some(occurred_at), &mut out);
    proto::time(log_record::OBSERVED_TIME, Some(observed_at), &mut out);
    proto::bytes(log_record::EVENT_NAME, name.as_bytes(), &mut out);
    out
}

/// Nanoseconds as seconds.
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
