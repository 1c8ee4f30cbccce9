//! Settings of all sinks, as users write them.

use std::time::Duration;

use dbintel_config::{Document, Environment};

use super::*;

/// The exporters of the predecessor's guide.
const GUIDE: &str = "
endpoint: ${env:OTLP_ENDPOINT}
headers:
  api-key: ${env:NEW_RELIC_LICENSE_KEY}
compression: gzip
timeout: 30s
retry_on_failure:
  enabled: true
  initial_interval: 5s
  randomization_factor: 0.5
  multiplier: 1.5
  max_interval: 30s
  max_elapsed_time: 300s
sending_queue:
  enabled: true
  num_consumers: 20
  queue_size: ${env:OTEL_QUEUE_SIZE}
";

fn read(sink_type: &str, yaml: &str) -> Result<SinkConfig, Vec<String>> {
    let environment = Environment::from_iter([
        ("OTLP_ENDPOINT", "otlp.nr-data.net:4317"),
        ("NEW_RELIC_LICENSE_KEY", "s3cret"),
        ("OTEL_QUEUE_SIZE", "5000"),
    ]);
    let document = Document::from_text("c.yaml", yaml, &environment);
    match document.and_then(|document| document.read(|section| read_config(sink_type, section).unwrap())) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn otlp(sink_type: &str, yaml: &str) -> otlp::Config {
    match read(sink_type, yaml) {
        Ok(SinkConfig::Otlp(config)) => *config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_guides_otlp_exporter_is_understood() {
    let config = otlp("otlp", GUIDE);
    assert_eq!(config.endpoint, "otlp.nr-data.net:4317");
    assert_eq!(config.headers["api-key"].expose(), "s3cret");
    assert_eq!(config.sending_queue, otlp::SendingQueue { num_consumers: 20, queue_size: 5000 });
    assert_eq!(config.retry_on_failure, otlp::RetryOnFailure::default());
    assert_eq!((config.protocol, config.compression), (otlp::Protocol::Grpc, otlp::Compression::Gzip));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn what_is_not_set_has_its_default() {
    let config = otlp("otlp_http", "endpoint: http://localhost:4318");
    let expected = otlp::Config {
        endpoint: "http://localhost:4318".to_owned(),
        protocol: otlp::Protocol::Http,
        ..otlp::Config::default()
    };
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    let prometheus = read("prometheus", "namespace: db_intelligence").unwrap();
    let expected = prometheus::Config { namespace: "db_intelligence".to_owned(), ..prometheus::Config::default() };
    assert!(matches!(prometheus, SinkConfig::Prometheus(config) if config == expected));
    let debug = read("debug", "verbosity: detailed").unwrap();
    let expected = debug::Config { verbosity: debug::Verbosity::Detailed, ..debug::Config::default() };
    assert!(matches!(debug, SinkConfig::Debug(config) if config == expected));
}

#[test]
fn the_guides_prometheus_and_debug_exporters_are_understood() {
    let yaml = "
endpoint: 0.0.0.0:8889
namespace: db_intelligence
const_labels:
  environment: production
send_timestamps: true
metric_expiration: 5m
";
    let Ok(SinkConfig::Prometheus(config)) = read("prometheus", yaml) else { panic!("refused") };
    assert_eq!(config.endpoint.to_string(), "0.0.0.0:8889");
    assert_eq!((config.metric_expiration, config.top_statements), (Duration::from_secs(300), 50));
    let yaml = "{verbosity: detailed, sampling_initial: 5, sampling_thereafter: 0}";
    let Ok(SinkConfig::Debug(config)) = read("debug", yaml) else { panic!("refused") };
    assert_eq!((config.sampling_initial, config.sampling_thereafter), (5, 0));
}

#[test]
fn types_have_their_protocol() {
    for sink_type in TYPES.iter().filter(|sink_type| sink_type.starts_with("otlp")) {
        let expected = if sink_type.contains("http") { otlp::Protocol::Http } else { otlp::Protocol::Grpc };
        assert_eq!(otlp(sink_type, "endpoint: a:1").protocol, expected, "{sink_type}");
    }
    assert!(read_config_of_unknown_type());
}

#[test]
fn users_choose_where_a_new_sink_begins() {
    let minutes = |minutes: u64| FirstStart::Ago(Duration::from_secs(60 * minutes));
    let cases = [
        ("", minutes(5)),
        ("start_at: now", FirstStart::Now),
        ("start_at: beginning", FirstStart::Beginning),
        ("start_at: 2h", minutes(120)),
    ];
    for (yaml, expected) in cases {
        assert_eq!(otlp("otlp", &format!("endpoint: a:1\n{yaml}")).start_at, expected, "{yaml}");
        let Ok(SinkConfig::Debug(config)) = read("debug", &format!("verbosity: basic\n{yaml}")) else {
            panic!("refused")
        };
        assert_eq!(config.start_at, expected, "{yaml}");
    }
}

fn read_config_of_unknown_type() -> bool {
    let document = Document::from_text("c.yaml", "{}", &Environment::from_iter::<[(&str, &str); 0]>([]));
    document.and_then(|document| document.read(|section| read_config("kafka", section).is_none())).unwrap().config
}

#[test]
fn mistakes_are_told_at_their_place() {
    let cases = [
        ("otlp", "compression: gzip", "c.yaml:1:1: endpoint:"),
        ("otlp", "endpoint: grpc://a:1", "c.yaml:1:11: endpoint: `grpc://a:1` is not an endpoint"),
        ("otlp", "endpoint: a:1\ncompression: zstd", "c.yaml:2:14: compression:"),
        ("otlp", "endpoint: a:1\nheaders: {\"a b\": c}", "c.yaml:2:10: headers: `a b` cannot be the name of a header"),
        ("otlp", "endpoint: a:1\ntls: {cert_file: /a}", "cert_file and key_file belong together"),
        ("otlp", "endpoint: a:1\nretry: {}", "unknown key `retry`, did you mean `retry_on_failure`"),
        ("otlp", "endpoint: a:1\nbatch: {send_batch_size: 0}", "c.yaml:2:26: batch.send_batch_size:"),
        ("prometheus", "endpoint: here", "c.yaml:1:11: endpoint: expected an address and a port"),
        ("prometheus", "namespace: 1st", "c.yaml:1:12: namespace:"),
        ("prometheus", "const_labels: {a.b: c}", "`a.b` cannot be the name of a label"),
        ("debug", "verbosity: loud", "c.yaml:1:12: verbosity:"),
        ("debug", "start_at: soon", "c.yaml:1:11: start_at: expected `now`, `beginning` or a duration such as `5m`"),
    ];
    for (sink_type, yaml, expected) in cases {
        let problems = read(sink_type, yaml).unwrap_err();
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{yaml}: {problems:?}");
    }
}
