use std::collections::BTreeMap;

use dbintel_schemas::records::{EnrichedMetrics, EnrichedQuery, EnrichedSession, Event, MetricPoint, QueryCounters};
use dbintel_schemas::{List, TextMap};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{metric, number_data_point};
use prost::Message;

use super::super::request::encode;
use super::*;

const AT: i64 = 1_795_464_000_000_001;

fn shown(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let value = |attribute: &KeyValue| match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => format!("{text:?}"),
        Some(any_value::Value::IntValue(value)) => format!("{value}"),
        Some(any_value::Value::DoubleValue(value)) => format!("{value:?}f"),
        Some(any_value::Value::BoolValue(value)) => format!("{value}"),
        other => panic!("{other:?}"),
    };
    let pairs: BTreeMap<String, String> =
        attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect();
    assert_eq!(pairs.len(), attributes.len(), "an attribute is there twice: {attributes:?}");
    pairs
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn map(row: Row<'_>, texts: &mut Texts) -> Mapped {
    let mut mapped = Mapped::default();
    Mapper::default().map(&row, Ticket::SETTLED_BEFORE, texts, &mut mapped);
    mapped
}

fn logs(mapped: &Mapped) -> (BTreeMap<String, String>, LogRecord) {
    let mut request = ExportLogsServiceRequest::decode(encode(&mapped.logs)).unwrap();
    assert_eq!(mapped.logs.len(), 1);
    let mut resource = request.resource_logs.remove(0);
    let attributes = shown(&resource.resource.unwrap().attributes);
    (attributes, resource.scope_logs.remove(0).log_records.remove(0))
}

/// Each point as name, unit, kind, value, start, attributes.
type Shown = (String, String, &'static str, String, u64, BTreeMap<String, String>);

fn points(mapped: &Mapped) -> (BTreeMap<String, String>, Vec<Shown>) {
    let mut request = ExportMetricsServiceRequest::decode(encode(&mapped.metrics)).unwrap();
    let mut resource = request.resource_metrics.remove(0);
    let mut found = Vec::new();
    for metric in resource.scope_metrics.remove(0).metrics {
        let (kind, points) = match metric.data.unwrap() {
            metric::Data::Gauge(gauge) => ("gauge", gauge.data_points),
            metric::Data::Sum(sum) if sum.is_monotonic => ("counter", sum.data_points),
            metric::Data::Sum(sum) => ("sum", sum.data_points),
            other => panic!("{other:?}"),
        };
        for point in points {
            assert_eq!(point.time_unix_nano, AT as u64 * 1000);
            let value = match point.value.unwrap() {
                number_data_point::Value::AsInt(value) => format!("{value}"),
                number_data_point::Value::AsDouble(value) => format!("{value:?}f"),
            };
            let (name, unit) = (metric.name.clone(), metric.unit.clone());
            found.push((name, unit, kind, value, point.start_time_unix_nano, shown(&point.attributes)));
        }
    }
    (shown(&resource.resource.unwrap().attributes), found)
}

fn query() -> EnrichedQuery<'static> {
    EnrichedQuery {
        record_id: [0xab; 16],
        pipeline: "queries",
        target: "db1:5432",
        labels: TextMap::from_slice(&[("team", "payments"), ("server.address", "forged")]),
        engine: "postgresql",
        engine_version: "18.4",
        role: "primary",
        observed_at: AT,
        interval_ns: Some(10_000_000_000),
        sampling_probability: 1.0,
        sampling_weight: 1.0,
        database: Some("shop"),
        database_id: "5",
        user: Some("app"),
        user_id: "10",
        query_id: "-42",
        fingerprint: Some("f1"),
        verb: Some("SELECT"),
        tables: List::from_slice(&["shop.orders", "people"]),
        toplevel: Some(true),
        delta_valid: true,
        delta: QueryCounters::default()
            .with_calls(7)
            .with_rows(0)
            .with_total_exec_time_ns(1_500_000_000)
            .with_temp_blks_read(3)
            .with_wal_bytes(11),
        total: QueryCounters::default()
            .with_calls(100)
            .with_rows(0)
            .with_total_exec_time_ns(2_500_000_000)
            .with_shared_blks_hit(0)
            .with_wal_bytes(4096),
        mean_exec_time_ns: Some(214_285_714),
        ..EnrichedQuery::default()
    }
}

const RESOURCE: [(&str, &str); 6] = [
    ("team", "\"payments\""),
    ("service.instance.id", "\"db1:5432\""),
    ("db.system.name", "\"postgresql\""),
    ("db.system.version", "\"18.4\""),
    ("server.address", "\"db1\""),
    ("server.port", "5432"),
];

#[test]
fn a_query_becomes_the_event_of_the_contrib_receiver() {
    let row = query();
    let mut texts = Texts::default();
    texts.insert(row.target, "f1", Some("select $1"));
    let (resource, record) = logs(&map(Row::Query(row), &mut texts));
    assert_eq!(resource, expected(&RESOURCE));
    assert_eq!((record.event_name.as_str(), record.time_unix_nano), ("db.server.top_query", AT as u64 * 1000));
    let attributes = [
        ("db.system.name", "\"postgresql\""),
        ("db.namespace", "\"shop\""),
        ("db.query.text", "\"select $1\""),
        ("db.operation.name", "\"SELECT\""),
        ("dbintel.tables", "\"shop.orders,people\""),
        ("dbintel.fingerprint", "\"f1\""),
        ("postgresql.queryid", "\"-42\""),
        ("postgresql.rolname", "\"app\""),
        ("postgresql.calls", "7"),
        ("postgresql.rows", "0"),
        ("postgresql.total_exec_time", "1.5f"),
        ("postgresql.temp_blks_read", "3"),
        ("dbintel.wal_bytes", "11"),
        ("dbintel.mean_exec_time", "0.214285714f"),
        ("dbintel.interval", "10.0f"),
        ("dbintel.toplevel", "true"),
        ("dbintel.record_id", "\"abababababababababababababababab\""),
        ("dbintel.pipeline", "\"queries\""),
        ("dbintel.role", "\"primary\""),
        ("dbintel.delta_valid", "true"),
    ];
    assert_eq!(shown(&record.attributes), expected(&attributes));
}

#[test]
fn deltas_that_are_not_valid_carry_the_reason_and_no_values() {
    let row = EnrichedQuery { delta_valid: false, delta_reason: Some("server_restart"), ..query() };
    let (_, record) = logs(&map(Row::Query(row), &mut Texts::default()));
    let attributes = [
        ("db.system.name", "\"postgresql\""),
        ("db.namespace", "\"shop\""),
        ("postgresql.queryid", "\"-42\""),
        ("postgresql.rolname", "\"app\""),
        ("dbintel.toplevel", "true"),
        ("dbintel.record_id", "\"abababababababababababababababab\""),
        ("dbintel.pipeline", "\"queries\""),
        ("dbintel.role", "\"primary\""),
        ("db.operation.name", "\"SELECT\""),
        ("dbintel.tables", "\"shop.orders,people\""),
        ("dbintel.fingerprint", "\"f1\""),
        ("dbintel.delta_valid", "false"),
        ("dbintel.delta_reason", "\"server_restart\""),
    ];
    assert_eq!(shown(&record.attributes), expected(&attributes));
}

#[test]
fn running_totals_become_counters_without_the_text() {
    let row = query();
    let mut texts = Texts::default();
    texts.insert(row.target, "f1", Some("select $1"));
    let (resource, points) = points(&map(Row::Query(row), &mut texts));
    assert_eq!(resource, expected(&RESOURCE));
    let attributes = expected(&[
        ("db.namespace", "\"shop\""),
        ("postgresql.queryid", "\"-42\""),
        ("postgresql.rolname", "\"app\""),
        ("dbintel.toplevel", "true"),
    ]);
    let point = |name: &str, unit: &str, value: &str| {
        (name.to_owned(), unit.to_owned(), "counter", value.to_owned(), 0, attributes.clone())
    };
    let expected = [
        point("dbintel.query.calls", "{call}", "100"),
        point("dbintel.query.rows", "{row}", "0"),
        point("dbintel.query.time", "s", "2.5f"),
        point("dbintel.query.wal", "By", "4096"),
    ];
    assert_eq!(points, expected);
}

#[test]
fn how_a_row_was_sampled_is_told() {
    let row =
        EnrichedQuery { sampling_rule: Some("slow"), sampling_probability: 0.25, sampling_weight: 4.0, ..query() };
    let (_, record) = logs(&map(Row::Query(row), &mut Texts::default()));
    let found = shown(&record.attributes);
    let of = |name: &str| found.get(name).map(String::as_str);
    assert_eq!(of("dbintel.sampling.rule"), Some("\"slow\""));
    assert_eq!(of("dbintel.sampling.probability"), Some("0.25f"));
    assert_eq!(of("dbintel.sampling.weight"), Some("4.0f"));
}

#[test]
fn a_session_becomes_the_event_of_the_contrib_receiver() {
    let row = EnrichedSession {
        record_id: [1; 16],
        pipeline: "sessions",
        target: "primary",
        engine: "postgresql",
        role: "primary",
        observed_at: AT,
        sampling_probability: 1.0,
        sampling_weight: 1.0,
        session_id: "4711",
        database: Some("shop"),
        user: Some("app"),
        application: Some("web"),
        client_address: Some("10.0.0.7"),
        client_port: Some(50_000),
        state: Some("active"),
        wait_event_type: Some("Lock"),
        wait_event: Some("transactionid"),
        query_id: Some("-42"),
        query_started_at: Some(AT - 2_500_000),
        blocking_session_ids: List::from_slice(&["12", "13"]),
        text: Some("update t set a = ?"),
        fingerprint: Some("f2"),
        fingerprint_source: Some("query_id"),
        verb: Some("UPDATE"),
        tables: List::from_slice(&["t"]),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
        tags: TextMap::from_slice(&[("controller", "shop")]),
        ..EnrichedSession::default()
    };
    let (_, record) = logs(&map(Row::Session(row), &mut Texts::default()));
    assert_eq!((record.event_name.as_str(), record.time_unix_nano), ("db.server.query_sample", AT as u64 * 1000));
    assert_eq!((record.trace_id[0], record.span_id[7], record.flags), (0x0a, 0xb7, 1), "it links to its trace");
    let attributes = [
        ("db.system.name", "\"postgresql\""),
        ("db.namespace", "\"shop\""),
        ("db.query.text", "\"update t set a = ?\""),
        ("db.operation.name", "\"UPDATE\""),
        ("db.collection.name", "\"t\""),
        ("dbintel.tables", "\"t\""),
        ("dbintel.fingerprint", "\"f2\""),
        ("dbintel.fingerprint_source", "\"query_id\""),
        ("dbintel.tag.controller", "\"shop\""),
        ("user.name", "\"app\""),
        ("network.peer.address", "\"10.0.0.7\""),
        ("network.peer.port", "50000"),
        ("postgresql.pid", "4711"),
        ("postgresql.state", "\"active\""),
        ("postgresql.wait_event_type", "\"Lock\""),
        ("postgresql.wait_event", "\"transactionid\""),
        ("postgresql.query_id", "\"-42\""),
        ("postgresql.application_name", "\"web\""),
        ("postgresql.query_start", "\"2026-11-23T19:59:57.500001Z\""),
        ("postgresql.total_exec_time", "2500.0f"),
        ("postgresql.blocking.pids", "\"12,13\""),
        ("dbintel.record_id", "\"01010101010101010101010101010101\""),
        ("dbintel.pipeline", "\"sessions\""),
        ("dbintel.role", "\"primary\""),
    ];
    assert_eq!(shown(&record.attributes), expected(&attributes));
}

#[test]
fn metrics_keep_name_unit_kind_value_and_times() {
    let source = [("source", "heap_hit")];
    let point = |name, unit, kind, int_value, double_value, started_at| MetricPoint {
        name,
        unit,
        kind,
        int_value,
        double_value,
        started_at,
        attributes: TextMap::from_slice(&source),
    };
    let list = [
        point("postgresql.blocks_read", "1", "counter", Some(9), None, Some(5)),
        point("postgresql.table.size", "By", "sum", Some(8192), None, Some(5)),
        point("postgresql.wal.age", "s", "gauge", None, Some(0.5), Some(5)),
        point("postgresql.rows", "1", "gauge", None, None, None),
    ];
    let row = EnrichedMetrics {
        target: "primary",
        engine: "postgresql",
        observed_at: AT,
        object_type: "table",
        object: TextMap::from_slice(&[("database", "shop"), ("schema", "public"), ("table", "orders"), ("slot", "s1")]),
        points: List::from_slice(&list),
        ..EnrichedMetrics::default()
    };
    let (resource, points) = points(&map(Row::Metrics(row), &mut Texts::default()));
    let attributes = [
        ("service.instance.id", "\"primary\""),
        ("db.system.name", "\"postgresql\""),
        ("postgresql.database.name", "\"shop\""),
        ("postgresql.schema.name", "\"public\""),
        ("postgresql.table.name", "\"public.orders\""),
    ];
    assert_eq!(resource, expected(&attributes));
    let attributes = expected(&[("source", "\"heap_hit\""), ("slot", "\"s1\"")]);
    let shown = |name: &str, unit: &str, kind, value: &str, start| {
        (name.to_owned(), unit.to_owned(), kind, value.to_owned(), start, attributes.clone())
    };
    let expected = [
        shown("postgresql.blocks_read", "1", "counter", "9", 5000),
        shown("postgresql.table.size", "By", "sum", "8192", 5000),
        shown("postgresql.wal.age", "s", "gauge", "0.5f", 0),
    ];
    assert_eq!(points, expected);
}

#[test]
fn an_event_becomes_a_log_record_with_severity_and_message() {
    for (severity, number, text) in [("info", 9, "INFO"), ("warning", 13, "WARN"), ("error", 17, "ERROR")] {
        let row = Event {
            event_id: [2; 16],
            target: "primary",
            database: Some("shop"),
            event_type: "plan_change",
            severity,
            message: "the plan changed",
            occurred_at: AT,
            attributes: TextMap::from_slice(&[("before_ms", "3")]),
            ..Event::default()
        };
        let (_, record) = logs(&map(Row::Event(row), &mut Texts::default()));
        assert_eq!((record.severity_number, record.severity_text.as_str()), (number, text));
        assert_eq!(record.event_name, "dbintel.event.plan_change");
        let body = record.body.and_then(|body| body.value);
        assert_eq!(body, Some(any_value::Value::StringValue("the plan changed".to_owned())));
        let found = shown(&record.attributes);
        assert_eq!(found["dbintel.before_ms"], "\"3\"");
        assert_eq!(found["dbintel.event.type"], "\"plan_change\"");
    }
}
