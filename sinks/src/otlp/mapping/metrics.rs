//! `enriched.metrics`: points with the names, units, kinds and times that the poller gave them.

use dbintel_schemas::records::{EnrichedMetrics, MetricPoint};

use super::super::request::{Item, Kind};
use super::attributes::Attributes;
use super::resource::{Server, is_resource_key};
use super::{Mapped, Mapper, Number, data_point, point};
use crate::delivery::Ticket;

impl Mapper {
    pub(super) fn metrics(&mut self, row: &EnrichedMetrics<'_>, ticket: Ticket, out: &mut Mapped) {
        let server = Server { target: row.target, engine: row.engine, version: row.engine_version, labels: row.labels };
        let resource = self.resource(|out| server.write_object(row.object, out));
        for metric_point in row.points.iter() {
            let Some(value) = value(&metric_point) else { continue };
            let kind = kind(metric_point.kind);
            let metric = self.metric(metric_point.name, metric_point.unit, "", kind);
            let started_at = if kind == Kind::Gauge { None } else { metric_point.started_at };
            let bytes = point(value, started_at, row.observed_at, &attributes(row, &metric_point));
            out.metrics.push(Item {
                ticket,
                resource: resource.clone(),
                metric: Some(metric),
                bytes,
                at: row.observed_at,
            });
        }
    }
}

/// A point without a value is not sent: absent is not 0.
fn value(point: &MetricPoint<'_>) -> Option<Number> {
    point.int_value.map(Number::Int).or(point.double_value.map(Number::Double))
}

fn kind(kind: &str) -> Kind {
    match kind {
        "counter" => Kind::Counter,
        "sum" => Kind::Sum,
        _ => Kind::Gauge,
    }
}

/// The point's own attributes, and those keys of the object that are not in the resource.
fn attributes(row: &EnrichedMetrics<'_>, point: &MetricPoint<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut attributes = Attributes::new(data_point::ATTRIBUTES, &mut out);
    for (name, value) in point.attributes.iter() {
        attributes.text(name, value);
    }
    for (name, value) in row.object.iter() {
        if !is_resource_key(row.engine, name) && point.attributes.get(name).is_none() {
            attributes.text(name, value);
        }
    }
    out
}
