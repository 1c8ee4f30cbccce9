use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric, number_data_point};
use prost::Message;

use super::super::proto::Value;
use super::*;

fn resource(name: &str) -> Arc<Resource> {
    let mut bytes = Vec::new();
    proto::attribute(1, "service.instance.id", Value::Text(name), &mut bytes);
    Arc::new(Resource { bytes: bytes.into() })
}

fn metric(name: &str, kind: Kind) -> Arc<Metric> {
    Arc::new(Metric { name: name.into(), unit: "By".into(), description: "a description", kind })
}

fn point(resource: &Arc<Resource>, metric: &Arc<Metric>, value: i64) -> Item {
    let point = NumberDataPoint { value: Some(number_data_point::Value::AsInt(value)), ..Default::default() };
    let (resource, metric) = (Arc::clone(resource), Some(Arc::clone(metric)));
    Item { ticket: Ticket::SETTLED_BEFORE, resource, metric, bytes: point.encode_to_vec().into(), at: 0 }
}

#[test]
fn points_of_a_metric_stand_together_under_their_resource() {
    let (a, b) = (resource("a"), resource("b"));
    let (size, commits, backends) =
        (metric("size", Kind::Gauge), metric("commits", Kind::Counter), metric("backends", Kind::Sum));
    let items = [
        point(&a, &size, 1),
        point(&b, &size, 2),
        point(&a, &commits, 3),
        point(&a, &size, 4),
        point(&b, &backends, 5),
    ];
    let request = ExportMetricsServiceRequest::decode(encode(&items)).unwrap();
    let mut found = Vec::new();
    for resource in &request.resource_metrics {
        let name = &resource.resource.as_ref().unwrap().attributes[0].value;
        let scope = &resource.scope_metrics[0];
        assert_eq!(scope.scope.as_ref().unwrap().name, SCOPE_OF_DBINTEL);
        for metric in &scope.metrics {
            assert_eq!((metric.unit.as_str(), metric.description.as_str()), ("By", "a description"));
            let (kind, points) = match metric.data.as_ref().unwrap() {
                metric::Data::Gauge(gauge) => ("gauge", &gauge.data_points),
                metric::Data::Sum(sum) => {
                    assert_eq!(sum.aggregation_temporality, 2);
                    (if sum.is_monotonic { "counter" } else { "sum" }, &sum.data_points)
                }
                other => panic!("{other:?}"),
            };
            let values: Vec<i64> = points.iter().map(value_of).collect();
            found.push((format!("{name:?}").contains("\"a\""), metric.name.clone(), kind, values));
        }
    }
    let expected = [
        (true, "size".to_owned(), "gauge", vec![1, 4]),
        (true, "commits".to_owned(), "counter", vec![3]),
        (false, "size".to_owned(), "gauge", vec![2]),
        (false, "backends".to_owned(), "sum", vec![5]),
    ];
    assert_eq!(found, expected);
}

fn value_of(point: &NumberDataPoint) -> i64 {
    match point.value {
        Some(number_data_point::Value::AsInt(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn log_records_keep_their_order() {
    let a = resource("a");
    let items: Vec<Item> = (0..300)
        .map(|index| {
            let record = LogRecord { severity_text: format!("{index}"), ..Default::default() };
            let bytes = record.encode_to_vec().into();
            Item { ticket: Ticket::SETTLED_BEFORE, resource: Arc::clone(&a), metric: None, bytes, at: 0 }
        })
        .collect();
    let request = ExportLogsServiceRequest::decode(encode(&items)).unwrap();
    let records = &request.resource_logs[0].scope_logs[0].log_records;
    let texts: Vec<usize> = records.iter().map(|record| record.severity_text.parse().unwrap()).collect();
    assert_eq!(texts, (0..300).collect::<Vec<_>>());
}

#[test]
fn attributes_are_what_opentelemetry_proto_reads() {
    let long = "é".repeat(200);
    let cases = [
        (Value::Text(&long), any_value::Value::StringValue(long.clone())),
        (Value::Text(""), any_value::Value::StringValue(String::new())),
        (Value::Int(-7), any_value::Value::IntValue(-7)),
        (Value::Int(i64::MAX), any_value::Value::IntValue(i64::MAX)),
        (Value::Double(0.25), any_value::Value::DoubleValue(0.25)),
        (Value::Bool(false), any_value::Value::BoolValue(false)),
    ];
    for (value, expected) in cases {
        let mut bytes = Vec::new();
        proto::attribute(6, "name", value, &mut bytes);
        let record = LogRecord::decode(bytes.as_slice()).unwrap();
        let expected =
            KeyValue { key: "name".to_owned(), value: Some(AnyValue { value: Some(expected) }), ..Default::default() };
        assert_eq!(record.attributes, [expected]);
    }
}

#[test]
fn times_are_nanoseconds_and_those_before_the_epoch_are_left_out() {
    for (us, expected) in [(Some(1_700_000_000_000_001), 1_700_000_000_000_001_000), (Some(-1), 0), (None, 0)] {
        let mut bytes = Vec::new();
        proto::time(1, us, &mut bytes);
        assert_eq!(LogRecord::decode(bytes.as_slice()).unwrap().time_unix_nano, expected);
    }
}

#[test]
fn the_size_of_items_is_a_bound_of_their_request() {
    let texts = ["", "a", &"b".repeat(200), &"c".repeat(20_000)];
    let mut items = Vec::new();
    for text in texts {
        let (resource, metric) =
            (resource(text), Metric { name: text.into(), unit: text.into(), ..(*metric("", Kind::Sum)).clone() });
        for metric in [None, Some(Arc::new(metric.clone())), Some(Arc::new(Metric { kind: Kind::Counter, ..metric }))] {
            for length in [0, 1, 127, 128, 20_000, 3_000_000] {
                let (resource, metric) = (Arc::clone(&resource), metric.clone());
                let bytes = vec![0; length].into();
                items.push(Item { ticket: Ticket::SETTLED_BEFORE, resource, metric, bytes, at: 0 });
            }
        }
    }
    for item in &items {
        let encoded = encode(std::slice::from_ref(item)).len();
        assert!(encoded <= item.size() && item.size() <= encoded + FRAME_BYTES_MAX, "{encoded} {}", item.size());
    }
    let (logs, points): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.metric.is_none());
    for items in [logs, points] {
        assert!(encode(&items).len() <= items.iter().map(Item::size).sum());
    }
}
