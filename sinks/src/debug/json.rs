//! Rows as JSON.

use dbintel_schemas::records::{
    EnrichedLog, EnrichedMetrics, EnrichedQuery, EnrichedSession, Event, MetricPoint, QueryCounters,
};
use dbintel_schemas::{List, TextMap, Topic};
use serde_json::{Map, Value, json};

use crate::delivery::{Row, Texts};

/// The topic that a row comes from.
pub fn topic(row: &Row<'_>) -> &'static str {
    match row {
        Row::Query(_) => Topic::EnrichedQueries.name(),
        Row::Session(_) => Topic::EnrichedSessions.name(),
        Row::Metrics(_) => Topic::EnrichedMetrics.name(),
        Row::Log(_) => Topic::EnrichedLogs.name(),
        Row::Event(_) => Topic::Events.name(),
    }
}

/// What a row is about.
pub fn brief(row: &Row<'_>) -> Value {
    let mut line = json!({ "topic": topic(row), "pipeline": row.pipeline(), "target": row.target() });
    let details = match row {
        Row::Query(row) => json!({
            "database": row.database, "query_id": row.query_id, "calls": row.delta.calls(),
            "total_exec_time_ns": row.delta.total_exec_time_ns(), "delta_valid": row.delta_valid,
        }),
        Row::Session(row) => json!({
            "database": row.database, "session_id": row.session_id, "state": row.state, "wait_event": row.wait_event,
        }),
        Row::Metrics(row) => json!({
            "object_type": row.object_type, "object": map(row.object), "points": row.points.len(),
        }),
        Row::Log(row) => json!({
            "query": row.query, "severity": row.severity, "body": row.body, "attributes": map(row.attributes),
        }),
        Row::Event(row) => json!({
            "event_type": row.event_type, "severity": row.severity, "message": row.message,
        }),
    };
    extend(&mut line, details);
    line
}

/// All that a row holds.
pub fn detailed(row: &Row<'_>, texts: &mut Texts) -> Value {
    let mut line = json!({ "topic": topic(row) });
    let details = match row {
        Row::Query(row) => query(row, texts.find(row.target, row.fingerprint)),
        Row::Session(row) => session(row, row.text.or_else(|| texts.find(row.target, row.fingerprint))),
        Row::Metrics(row) => metrics(row),
        Row::Log(row) => log(row),
        Row::Event(row) => event(row),
    };
    extend(&mut line, details);
    line
}

fn query(row: &EnrichedQuery<'_>, text: Option<&str>) -> Value {
    json!({
        "record_id": hex(&row.record_id), "pipeline": row.pipeline, "origin_offset": row.origin_offset,
        "poller": row.poller, "target": row.target, "labels": map(row.labels), "engine": row.engine,
        "engine_version": row.engine_version, "role": row.role, "observed_at": row.observed_at,
        "interval_ns": row.interval_ns, "time_clamped": row.time_clamped, "sampling_rule": row.sampling_rule,
        "sampling_probability": row.sampling_probability, "sampling_weight": row.sampling_weight,
        "database": row.database, "database_id": row.database_id, "user": row.user, "user_id": row.user_id,
        "query_id": row.query_id, "toplevel": row.toplevel, "fingerprint": row.fingerprint, "text": text,
        "fingerprint_version": row.fingerprint_version, "verb": row.verb, "tables": list(row.tables),
        "delta_valid": row.delta_valid, "delta_reason": row.delta_reason, "delta": counters(&row.delta),
        "total": counters(&row.total), "mean_exec_time_ns": row.mean_exec_time_ns,
        "cumulative_mean_exec_time_ns": row.cumulative_mean_exec_time_ns,
        "min_exec_time_ns": row.min_exec_time_ns, "max_exec_time_ns": row.max_exec_time_ns,
        "attributes": map(row.attributes),
    })
}

fn session(row: &EnrichedSession<'_>, text: Option<&str>) -> Value {
    json!({
        "record_id": hex(&row.record_id), "pipeline": row.pipeline, "origin_offset": row.origin_offset,
        "poller": row.poller, "target": row.target, "labels": map(row.labels), "engine": row.engine,
        "engine_version": row.engine_version, "role": row.role, "observed_at": row.observed_at,
        "sampling_rule": row.sampling_rule, "sampling_probability": row.sampling_probability,
        "sampling_weight": row.sampling_weight, "session_id": row.session_id,
        "session_started_at": row.session_started_at, "database": row.database, "user": row.user,
        "application": row.application, "client_address": row.client_address, "client_port": row.client_port,
        "backend_type": row.backend_type, "state": row.state, "state_changed_at": row.state_changed_at,
        "wait_event_type": row.wait_event_type, "wait_event": row.wait_event, "query_id": row.query_id,
        "query_started_at": row.query_started_at, "transaction_started_at": row.transaction_started_at,
        "blocking_session_ids": list(row.blocking_session_ids), "text": text, "text_truncated": row.text_truncated,
        "withheld": row.withheld, "fingerprint": row.fingerprint, "fingerprint_source": row.fingerprint_source,
        "fingerprint_version": row.fingerprint_version, "verb": row.verb, "tables": list(row.tables),
        "traceparent": row.traceparent, "tags": map(row.tags), "database_id": row.database_id,
        "attributes": map(row.attributes),
    })
}

fn list<'a>(texts: List<'a, &'a str>) -> Vec<&'a str> {
    texts.iter().collect()
}

fn metrics(row: &EnrichedMetrics<'_>) -> Value {
    json!({
        "record_id": hex(&row.record_id), "pipeline": row.pipeline, "origin_offset": row.origin_offset,
        "poller": row.poller, "target": row.target, "labels": map(row.labels), "engine": row.engine,
        "engine_version": row.engine_version, "role": row.role, "observed_at": row.observed_at,
        "interval_ns": row.interval_ns, "object_type": row.object_type, "object": map(row.object),
        "points": points(row.points),
    })
}

fn log(row: &EnrichedLog<'_>) -> Value {
    json!({
        "record_id": hex(&row.record_id), "pipeline": row.pipeline, "origin_offset": row.origin_offset,
        "poller": row.poller, "target": row.target, "labels": map(row.labels), "engine": row.engine,
        "engine_version": row.engine_version, "role": row.role, "observed_at": row.observed_at, "query": row.query,
        "occurred_at": row.occurred_at, "severity": row.severity, "severity_number": row.severity_number,
        "body": row.body, "body_truncated": row.body_truncated, "withheld": row.withheld,
        "attributes": map(row.attributes),
    })
}

fn points(points: List<'_, MetricPoint<'_>>) -> Value {
    let point = |point: MetricPoint<'_>| {
        json!({
            "name": point.name, "unit": point.unit, "kind": point.kind, "int_value": point.int_value,
            "double_value": point.double_value, "started_at": point.started_at, "attributes": map(point.attributes),
        })
    };
    points.iter().map(point).collect()
}

fn event(row: &Event<'_>) -> Value {
    json!({
        "event_id": hex(&row.event_id), "pipeline": row.pipeline, "origin_topic": row.origin_topic,
        "origin_partition": row.origin_partition, "origin_offset": row.origin_offset, "target": row.target,
        "labels": map(row.labels), "database": row.database, "event_type": row.event_type, "severity": row.severity,
        "message": row.message, "occurred_at": row.occurred_at, "attributes": map(row.attributes),
    })
}

/// Counters that the server tells.
fn counters(counters: &QueryCounters) -> Value {
    let told = |(index, name): (usize, &&str)| Some(((*name).to_owned(), Value::from(counters.get(index)?)));
    QueryCounters::FIELDS.iter().enumerate().filter_map(told).collect::<Map<_, _>>().into()
}

fn map(map: TextMap<'_>) -> Value {
    map.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn extend(line: &mut Value, details: Value) {
    if let (Value::Object(line), Value::Object(details)) = (line, details) {
        line.extend(details);
    }
}
