use std::time::Duration;

use dbintel_schemas::records::{EnrichedMetrics, EnrichedQuery, EnrichedSession, MetricPoint, QueryCounters};
use dbintel_schemas::{List, TextMap};
use prometheus::Registry;

use super::*;
use crate::clock;
use crate::delivery::Ticket;

fn sink(registry: &Registry) -> Prometheus {
    let const_labels = [("environment".to_owned(), "test".to_owned())].into();
    let config = Config { namespace: "db".to_owned(), const_labels, ..Config::default() };
    Prometheus::new(config, &delivery::Metrics::new(registry, "prometheus"))
}

fn take(sink: &mut Prometheus, row: Row<'_>) {
    let arrival = Arrival { ticket: Ticket::SETTLED_BEFORE, partition: 0, fresh: true, now: clock::now() };
    let taken = sink.take(&row, arrival, &mut Texts::default());
    assert_eq!(taken, Taken::Settled(Outcome::Accepted));
}

fn metrics<'a>(points: &'a [MetricPoint<'a>]) -> EnrichedMetrics<'a> {
    EnrichedMetrics {
        target: "a",
        engine: "postgresql",
        engine_version: "18.4",
        role: "primary",
        labels: TextMap::from_slice(&[("team", "payments"), ("role", "forged")]),
        object: TextMap::from_slice(&[("database", "shop"), ("environment", "forged")]),
        points: List::from_slice(points),
        ..EnrichedMetrics::default()
    }
}

fn point(name: &'static str, kind: &'static str, value: i64) -> MetricPoint<'static> {
    MetricPoint { name, unit: "By", kind, int_value: Some(value), ..MetricPoint::default() }
}

#[test]
fn rows_of_all_kinds_are_shown_with_constant_labels() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    take(&mut sink, Row::Metrics(metrics(&[point("postgresql.db_size", "sum", 8192)])));
    let total = QueryCounters { calls: Some(7), total_exec_time_ns: Some(1_500_000_000), ..QueryCounters::default() };
    take(
        &mut sink,
        Row::Query(EnrichedQuery {
            target: "a",
            database: Some("shop"),
            user: Some("app"),
            query_id: "-42",
            total,
            ..EnrichedQuery::default()
        }),
    );
    let session = EnrichedSession { target: "a", state: Some("active"), sampling_weight: 1.0, ..Default::default() };
    take(&mut sink, Row::Session(session));
    let text = sink.shared.expose(Format::Text, clock::now() + Duration::from_secs(1));
    let lines = [
        r#"db_postgresql_db_size_bytes{environment="test",database="shop",exported_environment="forged",target="a"} 8192"#,
        r#"db_query_calls_total{environment="test",database="shop",query_id="-42",target="a",user="app"} 7"#,
        r#"db_query_exec_seconds_total{environment="test",database="shop",query_id="-42",target="a",user="app"} 1.5"#,
        r#"db_query_calls_total{environment="test",query_id="other",target="a"} 0"#,
        r#"db_active_sessions{environment="test",state="active",target="a",wait_event="CPU",wait_event_type="CPU"} 1"#,
        r#"db_target_info{environment="test",target="a"} 1"#,
    ];
    for line in lines {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_known_about_a_target_stands_on_one_series() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    take(&mut sink, Row::Metrics(metrics(&[])));
    let text = sink.shared.expose(Format::Text, clock::now());
    let expected = concat!(
        r#"db_target_info{environment="test",engine="postgresql",engine_version="18.4",exported_role="forged","#,
        r#"role="primary",target="a",team="payments"} 1"#
    );
    assert!(text.contains(expected), "{text}");
}

#[test]
fn conflicts_are_counted_and_the_scrape_goes_on() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    let first = [point("a.b", "gauge", 1), point("a_b", "gauge", 2), point("a.b.total", "gauge", 3)];
    take(&mut sink, Row::Metrics(metrics(&first)));
    take(&mut sink, Row::Metrics(metrics(&[point("a.b", "counter", 4), point("query.calls.total", "gauge", 5)])));
    let text = sink.shared.expose(Format::Text, clock::now());
    let values = |name: &str| -> Vec<&str> {
        let is_it = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with('{');
        text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()).collect()
    };
    assert_eq!(values("db_a_b_bytes"), ["1"]);
    let dropped: f64 = registry
        .gather()
        .iter()
        .filter(|family| family.name() == "sink_dropped_samples_total")
        .flat_map(|family| family.get_metric())
        .map(|metric| metric.get_counter().get_value())
        .sum();
    assert!(dropped >= 1.0, "nothing was counted");
}
