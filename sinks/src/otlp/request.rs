//! Puts items together to one export request. Both signals have the same shape: resources hold one scope, a scope holds
//! log records or metrics, and all points of one metric of a resource stand together.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::proto;
use crate::delivery::Ticket;

/// Field numbers of `Export{Metrics,Logs}ServiceRequest`, `Resource{Metrics,Logs}` and `Scope{Metrics,Logs}`.
const RESOURCES: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPES: u32 = 2;
const SCOPE: u32 = 1;
const RECORDS: u32 = 2;
/// Field numbers of `InstrumentationScope`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;
/// Field numbers of `Metric`, `Gauge` and `Sum`.
const NAME: u32 = 1;
const DESCRIPTION: u32 = 2;
const UNIT: u32 = 3;
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const POINTS: u32 = 1;
const TEMPORALITY: u32 = 2;
const MONOTONIC: u32 = 3;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// Bytes around an item that stands alone in a request, besides the texts of its resource and metric: 12 messages and
/// texts with a key and a length of at most 6 bytes, what the scope says, and the two fields of a sum.
const FRAME_BYTES_MAX: usize = 128;

/// Name of the instrumentation scope of everything that we send.
pub const SCOPE_OF_DBINTEL: &str = "dbintel";

/// Which of the two services an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Metric points.
    Metrics,
    /// Log records.
    Logs,
}

/// One log record or one metric point, encoded.
#[derive(Debug, Clone)]
pub struct Item {
    /// The row that it came from.
    pub ticket: Ticket,
    /// What it is about.
    pub resource: Arc<Resource>,
    /// The metric of a point; none for a log record.
    pub metric: Option<Arc<Metric>>,
    /// The encoded `NumberDataPoint` or `LogRecord`.
    pub bytes: Box<[u8]>,
    /// Time of the row, in µs since the epoch.
    pub at: i64,
}

impl Item {
    /// The most that it adds to a request: as if no other item shared its resource or its metric. Also more than it
    /// holds in memory by itself.
    pub fn size(&self) -> usize {
        let metric = |metric: &Arc<Metric>| metric.name.len() + metric.unit.len() + metric.description.len();
        let shared = self.resource.bytes.len() + self.metric.as_ref().map_or(0, metric);
        self.bytes.len() + shared + FRAME_BYTES_MAX
    }
}

/// An encoded `opentelemetry.proto.resource.v1.Resource`.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The bytes.
    pub bytes: Box<[u8]>,
}

/// What the points of a metric have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Name.
    pub name: Box<str>,
    /// UCUM unit.
    pub unit: Box<str>,
    /// What it is, for people; may be empty.
    pub description: &'static str,
    /// How its points relate.
    pub kind: Kind,
}

/// How the points of a metric relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A value at a moment.
    Gauge,
    /// A cumulative sum that may fall.
    Sum,
    /// A cumulative sum that never falls.
    Counter,
}

/// Encodes an `ExportMetricsServiceRequest` or `ExportLogsServiceRequest`.
pub fn encode(items: &[Item]) -> Bytes {
    let mut out = Vec::with_capacity(items.iter().map(Item::size).sum());
    for group in grouped(items, |item| Arc::as_ptr(&item.resource)) {
        proto::message(RESOURCES, &mut out, |out| {
            proto::bytes(RESOURCE, &group[0].resource.bytes, out);
            proto::message(SCOPES, out, |out| scope(&group, out));
        });
    }
    Bytes::from(out)
}

fn scope(items: &[&Item], out: &mut Vec<u8>) {
    proto::message(SCOPE, out, |out| {
        proto::bytes(SCOPE_NAME, SCOPE_OF_DBINTEL.as_bytes(), out);
        proto::bytes(SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes(), out);
    });
    let metric_of = |item: &&Item| item.metric.as_ref().map(Arc::as_ptr);
    for group in grouped(items, metric_of) {
        match &group[0].metric {
            Some(metric) => proto::message(RECORDS, out, |out| metric_with_points(metric, &group, out)),
            None => group.iter().for_each(|item| proto::bytes(RECORDS, &item.bytes, out)),
        }
    }
}

fn metric_with_points(metric: &Metric, points: &[&&Item], out: &mut Vec<u8>) {
    proto::bytes(NAME, metric.name.as_bytes(), out);
    if !metric.description.is_empty() {
        proto::bytes(DESCRIPTION, metric.description.as_bytes(), out);
    }
    proto::bytes(UNIT, metric.unit.as_bytes(), out);
    let data = if metric.kind == Kind::Gauge { GAUGE } else { SUM };
    proto::message(data, out, |out| {
        for point in points {
            proto::bytes(POINTS, &point.bytes, out);
        }
        if metric.kind != Kind::Gauge {
            proto::integer(TEMPORALITY, CUMULATIVE, out);
        }
        if metric.kind == Kind::Counter {
            proto::integer(MONOTONIC, 1, out);
        }
    });
}

/// Items with equal keys together, in the order in which the keys first appear.
fn grouped<T, K: std::hash::Hash + Eq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for item in items {
        let place = *places.entry(key(item)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
