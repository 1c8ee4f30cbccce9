//! The OTLP sink against receivers that others wrote: what arrives equals what was published.

use std::collections::BTreeMap;

use dbintel_schemas::List;
use dbintel_schemas::records::{EnrichedSession, MetricPoint};
use dbintel_sinks::SinkConfig;
use dbintel_sinks::otlp::{Compression, Config, Protocol};
use dbintel_tests::servers::collector::Collector;
use dbintel_tests::servers::received::Received;
use dbintel_tests::servers::rotel::Rotel;
use dbintel_tests::wait;

use crate::sinks_rig::{AT, LIMIT, PIPELINE, Rig, otlp, query, stop};

/// How the receivers print [`AT`].
const PRINTED_AT: [&str; 2] = ["2026-11-23 20:00:00 +0000 UTC", "1795464000000000000"];

#[test]
fn the_collector_receives_what_was_published() {
    let collector = Collector::start();
    check(&collector.grpc, &collector.http, || collector.received());
}

#[test]
fn rotel_receives_what_was_published() {
    let rotel = Rotel::start();
    check(&rotel.grpc, &rotel.http, || rotel.received());
}

/// Sends the same rows over each protocol with each compression, as targets of different names.
fn check(grpc: &str, http: &str, received: impl Fn() -> Received) {
    let ways = [
        ("grpc-none", grpc, Protocol::Grpc, Compression::None),
        ("grpc-gzip", grpc, Protocol::Grpc, Compression::Gzip),
        ("http-none", http, Protocol::Http, Compression::None),
        ("http-gzip", http, Protocol::Http, Compression::Gzip),
    ];
    for (target, endpoint, protocol, compression) in ways {
        let rig = Rig::new(1);
        publish(&rig, target);
        let config = Config { compression, ..otlp(endpoint, protocol) };
        let sink = rig.start("otlp", "0", SinkConfig::Otlp(Box::new(config)));
        let exported = rig.exported("otlp", 3);
        assert_eq!((exported.accepted, exported.rejected, exported.skipped), (3, 0, 0), "{target}");
        assert_eq!(rig.metric("otelcol_exporter_sent_metric_points", "otlp"), 5.0, "{target}");
        assert_eq!(rig.metric("otelcol_exporter_sent_log_records", "otlp"), 2.0, "{target}");
        stop(sink);
        let arrived = || {
            let mut all = received();
            all.points.retain(|point| point.resource.get("service.instance.id").is_some_and(|id| id == target));
            all.logs.retain(|log| log.resource.get("service.instance.id").is_some_and(|id| id == target));
            Some(all).filter(|all| (all.points.len(), all.logs.len()) == (5, 2))
        };
        compare(target, &wait::blocking(LIMIT, &format!("the arrival of {target}"), arrived));
    }
}

fn publish(rig: &Rig, target: &str) {
    let row = query(target, "-42", 7, 2500);
    rig.publish_text(&row, "select * from orders where id = $1");
    rig.publish_query(&row);
    let point = |name, unit, kind, int_value, double_value| MetricPoint {
        name,
        unit,
        kind,
        int_value,
        double_value,
        started_at: Some(AT - 60_000_000),
        ..MetricPoint::default()
    };
    let points = [
        point("postgresql.commits", "1", "counter", Some(9_007_199_254_740_993), None),
        point("postgresql.wal.age", "s", "gauge", None, Some(0.125)),
    ];
    rig.publish_metrics(target, &points, AT);
    rig.publish_session(&EnrichedSession {
        pipeline: PIPELINE,
        target,
        engine: "postgresql",
        observed_at: AT,
        session_id: "4711",
        database: Some("shop"),
        state: Some("active"),
        wait_event_type: Some("Lock"),
        wait_event: Some("transactionid"),
        blocking_session_ids: List::from_slice(&["12", "13"]),
        sampling_probability: 1.0,
        sampling_weight: 1.0,
        ..EnrichedSession::default()
    });
    rig.publisher.flush(LIMIT).unwrap();
}

fn compare(target: &str, received: &Received) {
    let point = |name: &str| received.points.iter().find(|point| point.metric == name).unwrap();
    let commits = point("postgresql.commits");
    assert_eq!(commits.fields["Value"], "9007199254740993", "{target}");
    assert_eq!(commits.resource["postgresql.database.name"], "shop");
    assert_eq!(commits.resource["team"], "payments");
    assert_eq!(commits.descriptor["IsMonotonic"], "true");
    assert_eq!(point("postgresql.wal.age").value(), Some(0.125));
    for (name, value) in [("dbintel.query.calls", 2500.0), ("dbintel.query.rows", 5000.0), ("dbintel.query.time", 2.5)]
    {
        let point = point(name);
        assert_eq!(point.value(), Some(value), "{target} {name}");
        assert_eq!(point.attributes["postgresql.queryid"], "-42");
        assert!(PRINTED_AT.iter().any(|at| point.fields["Timestamp"].contains(at)), "{:?}", point.fields);
    }
    let logs: BTreeMap<&str, _> = received
        .logs
        .iter()
        .map(|log| (log.attributes.get("postgresql.pid").map_or("query", |_| "session"), log))
        .collect();
    let top_query = &logs["query"].attributes;
    assert_eq!(top_query["db.query.text"], "select * from orders where id = $1", "{target}");
    assert_eq!((top_query["postgresql.calls"].as_str(), top_query["postgresql.rolname"].as_str()), ("7", "app"));
    let sample = &logs["session"].attributes;
    assert_eq!((sample["postgresql.pid"].as_str(), sample["postgresql.blocking.pids"].as_str()), ("4711", "12,13"));
    assert_eq!(sample["postgresql.wait_event"], "transactionid");
}
