//! The Prometheus sink, scraped by Prometheus and checked by promtool.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use dbintel_config::{Component, Document, Environment, Topology};
use dbintel_schemas::TextMap;
use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, MetricPoint};
use dbintel_sinks::prometheus::Config;
use dbintel_sinks::{SinkConfig, read_config};
use dbintel_tests::http;
use dbintel_tests::servers::prometheus::{Prometheus, Sample, promtool_check_metrics};
use dbintel_tests::wait;

use crate::sinks_rig::{LIMIT, PIPELINE, Rig, query, stop};

/// The configurations that are shipped.
const SHIPPED: [&str; 2] =
    [include_str!("../../../config/files/embedded.yaml"), include_str!("../../../config/files/kafka.yaml")];

fn now_us() -> i64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970");
    now.as_micros() as i64
}

fn config(top_statements: usize) -> SinkConfig {
    SinkConfig::Prometheus(Config {
        namespace: "db_intelligence".to_owned(),
        const_labels: [("environment".to_owned(), "test".to_owned())].into(),
        top_statements,
        ..Config::default()
    })
}

fn point(name: &'static str, unit: &'static str, kind: &'static str, value: i64) -> MetricPoint<'static> {
    MetricPoint { name, unit, kind, int_value: Some(value), ..MetricPoint::default() }
}

/// Publishes what a statement has done, now.
fn run(rig: &Rig, query_id: &str, calls: i64, total: i64) {
    let mut row = query("primary", query_id, calls, total);
    row.observed_at = now_us();
    rig.publish_query(&row);
    rig.publisher.flush(LIMIT).unwrap();
}

fn scrape(port: u16) -> String {
    let response = http::get(port, "/metrics").unwrap();
    assert_eq!(response.status, 200);
    response.text()
}

/// Waits until a scrape has the line.
fn wait_for(port: u16, line: &str) -> String {
    let probe = || Some(scrape(port)).filter(|text| text.lines().any(|shown| shown == line));
    wait::blocking(LIMIT, line, probe)
}

fn calls_line(query_id: &str, calls: i64) -> String {
    format!(
        "db_intelligence_query_calls_total{{environment=\"test\",database=\"shop\",query_id=\"{query_id}\",\
         target=\"primary\",user=\"app\"}} {calls}"
    )
}

fn other_line(calls: i64) -> String {
    format!("db_intelligence_query_calls_total{{environment=\"test\",query_id=\"other\",target=\"primary\"}} {calls}")
}

#[test]
fn prometheus_returns_what_was_published() {
    let rig = Rig::new(1);
    let sink = rig.start("prometheus", "0", config(50));
    let port = rig.serve(sink.router().unwrap());
    let points = [point("postgresql.db_size", "By", "sum", 8192), point("postgresql.commits", "1", "counter", 77)];
    rig.publish_metrics("primary", &points, now_us());
    run(&rig, "-42", 2500, 2500);
    rig.publish_session(&EnrichedSession {
        pipeline: PIPELINE,
        target: "primary",
        labels: TextMap::from_slice(&[("team", "payments")]),
        observed_at: now_us(),
        state: Some("active"),
        wait_event_type: Some("Lock"),
        wait_event: Some("transactionid"),
        sampling_weight: 1.0,
        ..EnrichedSession::default()
    });
    rig.publisher.flush(LIMIT).unwrap();
    wait_for(port, &calls_line("-42", 2500));
    let address = format!("127.0.0.1:{port}");
    let prometheus = Prometheus::start(&[("dbintel", &address)], &[]);
    let value = |expression: &str| {
        let probe = || prometheus.query(expression).first().cloned();
        wait::blocking(LIMIT, expression, probe)
    };
    let labels = |sample: &Sample, names: &[&str]| -> BTreeMap<String, String> {
        names.iter().map(|name| ((*name).to_owned(), sample.labels[*name].clone())).collect()
    };
    let calls = value("db_intelligence_query_calls_total{query_id=\"-42\"}");
    assert_eq!(calls.value, 2500.0);
    let expected = [("environment", "test"), ("database", "shop"), ("user", "app"), ("target", "primary")];
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(labels(&calls, &["environment", "database", "user", "target"]), expected);
    assert_eq!(value("db_intelligence_query_exec_seconds_total{query_id=\"-42\"}").value, 2.5);
    assert_eq!(value("db_intelligence_postgresql_db_size_bytes{database=\"shop\"}").value, 8192.0);
    assert_eq!(value("db_intelligence_postgresql_commits_total").value, 77.0);
    assert_eq!(value("db_intelligence_active_sessions{wait_event_type=\"Lock\"}").labels["state"], "active");
    assert_eq!(value("db_intelligence_target_info").labels["team"], "payments");
    assert_eq!(value("up{job=\"dbintel\"}").value, 1.0);
    stop(sink);
}

#[test]
fn the_page_is_clean_in_the_eyes_of_promtool() {
    let rig = Rig::new(1);
    let sink = rig.start("prometheus", "0", config(1));
    let port = rig.serve(sink.router().unwrap());
    run(&rig, "1", 100, 100);
    run(&rig, "2", 1, 1);
    let points = [point("postgresql.db_size", "By", "sum", 1), point("postgresql.commits", "1", "counter", 2)];
    rig.publish_metrics("quo\"ted\\tar\nget", &points, now_us());
    rig.publisher.flush(LIMIT).unwrap();
    wait_for(port, &other_line(1));
    let probe = || Some(scrape(port)).filter(|text| text.contains(r#"target="quo\"ted\\tar\nget""#));
    let text = wait::blocking(LIMIT, "the odd target", probe);
    let verdict = promtool_check_metrics(&text);
    assert!(verdict.is_ok(), "{verdict:?}\n{text}");
    stop(sink);
}

#[test]
fn conflicting_series_are_dropped_and_the_scrape_goes_on() {
    let rig = Rig::new(1);
    let sink = rig.start("prometheus", "0", config(50));
    let port = rig.serve(sink.router().unwrap());
    let points = [
        point("a.b", "", "gauge", 1),
        point("a_b", "", "gauge", 2),
        point("a.b.total", "", "counter", 3),
        point("a.b.total", "", "gauge", 4),
        point("query.calls", "", "counter", 5),
        point("7 odd-näme", "", "gauge", 6),
    ];
    rig.publish_metrics("primary", &points, now_us());
    rig.publisher.flush(LIMIT).unwrap();
    rig.exported("prometheus", 1);
    let text = scrape(port);
    assert!(
        text.contains("db_intelligence_a_b{environment=\"test\",database=\"shop\",target=\"primary\"} 1"),
        "{text}"
    );
    assert_eq!(rig.metric("sink_dropped_samples_total", "prometheus"), 3.0);
    let address = format!("127.0.0.1:{port}");
    let prometheus = Prometheus::start(&[("dbintel", &address)], &[]);
    let is_up = || prometheus.query("up{job=\"dbintel\"}").first().map(|sample| sample.value);
    assert_eq!(wait::blocking(LIMIT, "a scrape", is_up), 1.0);
    let seen = || prometheus.query("db_intelligence_a_b").first().map(|sample| sample.value);
    assert_eq!(wait::blocking(LIMIT, "the series", seen), 1.0);
    stop(sink);
}

#[test]
fn after_a_restart_the_page_shows_the_same_statements_and_counts_what_nobody_has_shown() {
    let rig = Rig::new(1);
    let first = rig.start("prometheus", "0", config(2));
    let port = rig.serve(first.router().unwrap());
    for (query_id, calls, total) in [("1", 100, 100), ("2", 80, 80), ("3", 5, 5), ("1", 10, 110)] {
        run(&rig, query_id, calls, total);
    }
    let before = wait_for(port, &calls_line("1", 110));
    assert!(before.contains(&calls_line("2", 80)) && before.contains(&other_line(5)), "{before}");
    stop(first);
    run(&rig, "3", 4, 9);
    let second = rig.start("prometheus", "0", config(2));
    let port = rig.serve(second.router().unwrap());
    let after = wait_for(port, &other_line(4));
    assert!(after.contains(&calls_line("1", 0)) && after.contains(&calls_line("2", 0)), "{after}");
    run(&rig, "1", 7, 117);
    wait_for(port, &calls_line("1", 7));
    stop(second);
}

#[test]
fn a_scraper_gets_the_format_that_it_accepts() {
    let rig = Rig::new(1);
    let sink = rig.start("prometheus", "0", config(50));
    let port = rig.serve(sink.router().unwrap());
    run(&rig, "1", 1, 1);
    wait_for(port, &calls_line("1", 1));
    let text = scrape_open_metrics(port);
    assert!(text.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0"), "{text}");
    assert!(text.contains("# TYPE db_intelligence_query_calls counter") && text.ends_with("# EOF\n"), "{text}");
    let plain = http::get(port, "/metrics").unwrap();
    assert!(plain.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    stop(sink);
}

/// The whole answer to a scraper that wants OpenMetrics.
fn scrape_open_metrics(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let accept = "application/openmetrics-text; version=1.0.0";
    write!(stream, "GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What a file that is shipped says of its Prometheus sink and of the labels of its targets.
fn shipped(file: &str) -> (Config, BTreeMap<String, String>) {
    let environment = [("ENVIRONMENT", "staging"), ("KAFKA_BROKERS", "127.0.0.1:1")];
    let document = Document::from_text("shipped.yaml", file, &Environment::from_iter(environment)).unwrap();
    let (mut config, mut labels) = (None, None);
    let loaded = document.read(|root| {
        let Topology { pollers, processors, sinks, bus, service, .. } = Topology::read(root);
        for mut poller in pollers {
            labels = Some(poller.section.text_map("labels"));
            poller.section.skip();
        }
        for Component { id, mut section, .. } in sinks {
            if let Some(SinkConfig::Prometheus(sink)) = read_config(&id.kind, &mut section) {
                config = Some(sink);
            }
        }
        processors.into_iter().map(|processor| processor.section).chain([bus, service]).for_each(|rest| rest.skip());
    });
    loaded.unwrap();
    (config.expect("it has a sink"), labels.expect("it has a poller"))
}

#[test]
fn pages_with_the_labels_of_the_shipped_files_are_scraped() {
    for file in SHIPPED {
        let (config, labels) = shipped(file);
        let rig = Rig::new(1);
        let sink = rig.start("prometheus", "0", SinkConfig::Prometheus(config));
        let port = rig.serve(sink.router().unwrap());
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        // Labels of other files may be odder still.
        let labels = [&labels[..], &[("role", "a\0b"), ("exported_environment", "c")]].concat();
        let row = EnrichedQuery { labels: TextMap::from_slice(&labels), ..query("primary", "-42", 3, 3) };
        rig.publish_query(&EnrichedQuery { observed_at: now_us(), ..row });
        rig.publisher.flush(LIMIT).unwrap();
        let probe = || Some(scrape(port)).filter(|page| page.contains("target_info{"));
        let page = wait::blocking(LIMIT, "the target", probe);
        let verdict = promtool_check_metrics(&page);
        assert!(verdict.is_ok(), "{verdict:?}\n{page}");
        let address = format!("127.0.0.1:{port}");
        let prometheus = Prometheus::start(&[("dbintel", &address)], &[]);
        let is_up = || prometheus.query("up{job=\"dbintel\"}").first().map(|sample| sample.value);
        assert_eq!(wait::blocking(LIMIT, "a scrape", is_up), 1.0, "{page}");
        let info = wait::blocking(LIMIT, "a series", || prometheus.query("{__name__=~\".*target_info\"}").pop()).labels;
        let expected = [
            ("environment", "staging"),
            ("exported_environment", "staging;c"),
            ("role", "primary"),
            ("exported_role", "a\0b"),
        ];
        assert!(expected.iter().all(|(name, value)| info[*name] == *value), "{info:?}");
        stop(sink);
    }
}
