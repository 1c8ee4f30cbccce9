//! The scripted OTLP peer answers as it is told, over both protocols, and keeps what it got.

use std::time::Duration;

use dbintel_tests::http::{self, Response};
use dbintel_tests::otlp_peer::{Answer, Export, OtlpPeer, Protocol};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const LIMIT: Duration = Duration::from_secs(10);

/// A request with one point, of database "orders".
pub fn gauge(name: &str, value: f64) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        attributes: vec![attribute("db", "orders")],
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
    let metric = Metric { name: name.to_owned(), data, ..Metric::default() };
    let resource = Resource { attributes: vec![attribute("service.name", "dbintel")], ..Resource::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// Sends a request compressed with gzip; the Collector compresses its answer likewise.
pub async fn export_over_grpc(
    address: &str,
    request: ExportMetricsServiceRequest,
) -> Result<ExportMetricsServiceResponse, Status> {
    let client = MetricsServiceClient::connect(address.to_owned()).await;
    let client = client.map_err(|error| Status::unavailable(error.to_string()))?;
    let client = client.send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let response = { client }.export(request).await?;
    Ok(response.into_inner())
}

/// Sends a request as it is.
pub fn export_over_http(address: &str, request: &ExportMetricsServiceRequest) -> Response {
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let headers = [("Content-Type", "application/x-protobuf")];
    http::post(port, "/v1/metrics", &headers, &request.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn grpc_requests_are_answered_by_the_script() {
    let peer = OtlpPeer::start();
    let pause = Duration::from_secs(3);
    peer.answer_next([
        Answer::Ok,
        Answer::Grpc { code: Code::Unavailable, retry_after: Some(pause) },
        Answer::Grpc { code: Code::InvalidArgument, retry_after: None },
        Answer::PartialSuccess { rejected: 1, message: "too old".to_owned() },
    ]);
    let mut answers = Vec::new();
    for value in [1.0, 2.0, 3.0, 4.0, 5.0] {
        answers.push(export_over_grpc(&peer.grpc, gauge("sent", value)).await);
    }
    assert_eq!(answers[0].as_ref().unwrap().partial_success, None);
    let unavailable = answers[1].as_ref().unwrap_err();
    assert_eq!(unavailable.code(), Code::Unavailable);
    assert_eq!(unavailable.get_details_retry_info().unwrap().retry_delay, Some(pause));
    let invalid = answers[2].as_ref().unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument);
    assert!(invalid.get_details_retry_info().is_none());
    let lost = answers[3].as_ref().unwrap().partial_success.as_ref().unwrap();
    assert_eq!((lost.rejected_data_points, lost.error_message.as_str()), (1, "too old"));
    assert_eq!(answers[4].as_ref().unwrap().partial_success, None);

    let requests = peer.requests_after(5, LIMIT).await;
    assert_eq!(requests[2].export, Export::Metrics(gauge("sent", 3.0)));
    assert_eq!((requests[2].protocol, requests[2].headers["grpc-encoding"].as_str()), (Protocol::Grpc, "gzip"));
    assert_eq!(peer.accepted(), [1.0, 4.0, 5.0].map(|value| Export::Metrics(gauge("sent", value))));
}

#[tokio::test]
async fn http_requests_are_answered_by_the_script() {
    let peer = OtlpPeer::start();
    peer.answer_next([
        Answer::Http { status: 429, retry_after: Some("7".to_owned()) },
        Answer::Http { status: 503, retry_after: None },
        Answer::PartialSuccess { rejected: 2, message: "no".to_owned() },
    ]);
    let answers = [1.0, 2.0, 3.0, 4.0].map(|value| export_over_http(&peer.http, &gauge("sent", value)));
    assert_eq!(answers.each_ref().map(|answer| answer.status), [429, 503, 200, 200]);
    assert_eq!(answers.each_ref().map(|answer| answer.header("retry-after")), [Some("7"), None, None, None]);
    let partial = ExportMetricsServiceResponse::decode(answers[2].body.as_slice()).unwrap().partial_success.unwrap();
    assert_eq!((partial.rejected_data_points, partial.error_message.as_str()), (2, "no"));
    assert_eq!(peer.accepted(), [3.0, 4.0].map(|value| Export::Metrics(gauge("sent", value))));
    assert!(peer.requests().iter().all(|request| request.protocol == Protocol::Http));
}

#[test]
fn http_requests_that_are_no_otlp_are_refused_and_not_kept() {
    let peer = OtlpPeer::start();
    let port = peer.http.rsplit(':').next().unwrap().parse().unwrap();
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);
    let cases: [Case; 3] = [
        (&[("Content-Type", "text/plain")], b""),
        (&[("Content-Type", "application/x-protobuf")], b"\xff\xff"),
        (&[("Content-Type", "application/x-protobuf"), ("Content-Encoding", "br")], b""),
    ];
    for (headers, body) in cases {
        assert_eq!(http::post(port, "/v1/logs", headers, body).unwrap().status, 400, "{headers:?}");
    }
    assert!(peer.requests().is_empty());
}

#[tokio::test]
async fn a_peer_hangs_goes_away_and_comes_back() {
    let mut peer = OtlpPeer::start();
    peer.answer_always(Answer::Hang);
    let hanging = tokio::spawn({
        let address = peer.grpc.clone();
        async move { export_over_grpc(&address, gauge("sent", 1.0)).await }
    });
    peer.requests_after(1, LIMIT).await;
    assert!(!hanging.is_finished());

    peer.stop();
    let cut = tokio::time::timeout(LIMIT, hanging).await.expect("stopping cuts connections").unwrap();
    assert!(cut.is_err());
    assert_eq!(export_over_grpc(&peer.grpc, gauge("sent", 1.0)).await.unwrap_err().code(), Code::Unavailable);

    peer.start_again();
    peer.answer_always(Answer::Ok);
    export_over_grpc(&peer.grpc, gauge("sent", 2.0)).await.unwrap();
    assert_eq!(export_over_http(&peer.http, &gauge("sent", 3.0)).status, 200);
    assert_eq!(peer.requests().len(), 3);
    assert_eq!(peer.accepted(), [2.0, 3.0].map(|value| Export::Metrics(gauge("sent", value))));
}
