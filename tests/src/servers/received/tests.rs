use super::*;

const COLLECTOR: &str = "\
2026-11-23T21:28:07.226Z\tinfo\tMetrics\t{\"otelcol.signal\": \"metrics\", \"data points\": 3}
2026-11-23T21:28:07.226Z\tinfo\tResourceMetrics #0
Resource SchemaURL:
Resource attributes:
     -> service.name: Str(dbintel)
ScopeMetrics #0
InstrumentationScope s
Metric #0
Descriptor:
     -> Name: m.sum
     -> Unit: 1
     -> DataType: Sum
     -> AggregationTemporality: Cumulative
NumberDataPoints #0
Data point attributes:
     -> db: Str(a \"q\" (b): c)
     -> n: Int(7)
StartTimestamp: 1970-01-01 00:00:00.000000001 +0000 UTC
Timestamp: 2023-11-14 22:13:20 +0000 UTC
Value: 42
NumberDataPoints #1
Value: 1.500000
Metric #1
Descriptor:
     -> Name: g
     -> Unit:
     -> DataType: Gauge
NumberDataPoints #0
Value: 3.000000
\t{\"resource\": {\"service.name\": \"collector\"}}
2026-11-23T21:28:07.238Z\tinfo\tResourceLog #0
Resource attributes:
     -> service.name: Str(other)
ScopeLogs #0
LogRecord #0
SeverityText: INFO
Body: Str(hello there)
Attributes:
     -> k: Str(v)
Trace ID:
Flags: 0
";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn points_and_logs_are_read() {
    let received = Received::parse(COLLECTOR);
    assert_eq!(received.points.len(), 3);
    let first = &received.points[0];
    assert_eq!((first.metric.as_str(), first.value()), ("m.sum", Some(42.0)));
    assert_eq!(first.resource, map(&[("service.name", "dbintel")]));
    assert_eq!(first.attributes, map(&[("db", "a \"q\" (b): c"), ("n", "7")]));
    assert_eq!(first.descriptor, map(&[("Unit", "1"), ("DataType", "Sum"), ("AggregationTemporality", "Cumulative")]));
    assert_eq!(first.fields["Timestamp"], "2023-11-14 22:13:20 +0000 UTC");

    let others: Vec<_> = received.points[1..].iter().map(|point| (point.metric.as_str(), point.value())).collect();
    assert_eq!(others, [("m.sum", Some(1.5)), ("g", Some(3.0))]);
    assert!(received.points[1].attributes.is_empty());

    assert_eq!(received.logs.len(), 1);
    let log = &received.logs[0];
    assert_eq!(log.resource, map(&[("service.name", "other")]));
    assert_eq!((log.body(), &log.attributes), (Some("hello there"), &map(&[("k", "v")])));
    assert_eq!(log.fields["SeverityText"], "INFO");
}

#[test]
fn lines_of_another_kind_are_skipped() {
    assert_eq!(Received::parse("INFO Starting Rotel. grpc_endpoint=x\nValue: 3\n-> a: Str(b)\n"), Received::default());
}
