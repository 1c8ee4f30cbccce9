//! The scripted peer's endpoints of OTLP over HTTP, with bodies in protobuf.

use std::io::Read;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use prost::Message;
use tokio::net::TcpListener;
use tonic_types::pb;

use super::{Answer, Export, Protocol, Record};

const PROTOBUF: &str = "application/x-protobuf";

/// As the Collector's.
const BODY_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, record: Arc<Record>) {
    let router = Router::new()
        .route("/v1/metrics", post(metrics))
        .route("/v1/logs", post(logs))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(record);
    axum::serve(listener, router).await.expect("a listening socket can be served");
}

async fn metrics(State(record): State<Arc<Record>>, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let lost = answer(&record, &headers, &body, Export::Metrics).await?;
    let partial_success = lost.map(|(rejected_data_points, error_message)| ExportMetricsPartialSuccess {
        rejected_data_points,
        error_message,
    });
    Ok(protobuf(&ExportMetricsServiceResponse { partial_success }))
}

async fn logs(State(record): State<Arc<Record>>, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let lost = answer(&record, &headers, &body, Export::Logs).await?;
    let partial_success = lost
        .map(|(rejected_log_records, error_message)| ExportLogsPartialSuccess { rejected_log_records, error_message });
    Ok(protobuf(&ExportLogsServiceResponse { partial_success }))
}

/// Gives what was lost of an accepted request, and why; or the answer of one that is refused.
async fn answer<T: Message + Default>(
    record: &Record,
    headers: &HeaderMap,
    body: &[u8],
    export: fn(T) -> Export,
) -> Result<Option<(i64, String)>, Response> {
    let message = decode(headers, body).map_err(|reason| refusal(StatusCode::BAD_REQUEST, None, &reason))?;
    match record.answer(Protocol::Http, headers, export(message)).await {
        Answer::Ok => Ok(None),
        Answer::PartialSuccess { rejected, message } => Ok(Some((rejected, message))),
        Answer::Http { status, retry_after } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(refusal(status, retry_after, "as the script says"))
        }
        mistaken => {
            let reason = format!("the script has {mistaken:?} for a request over HTTP");
            Err(refusal(StatusCode::INTERNAL_SERVER_ERROR, None, &reason))
        }
    }
}

fn decode<T: Message + Default>(headers: &HeaderMap, body: &[u8]) -> Result<T, String> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    if value(header::CONTENT_TYPE) != Some(PROTOBUF.as_bytes()) {
        return Err(format!("the content type is not {PROTOBUF}"));
    }
    let mut plain = Vec::new();
    let body = match value(header::CONTENT_ENCODING) {
        None | Some(b"identity") => body,
        Some(b"gzip") => {
            GzDecoder::new(body).read_to_end(&mut plain).map_err(|error| error.to_string())?;
            &plain
        }
        Some(_) => return Err("the content encoding is neither gzip nor identity".to_owned()),
    };
    T::decode(body).map_err(|error| error.to_string())
}

fn protobuf(message: &impl Message) -> Response {
    ([(header::CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

fn refusal(status: StatusCode, retry_after: Option<String>, reason: &str) -> Response {
    let body = protobuf(&pb::Status { message: reason.to_owned(), ..pb::Status::default() });
    match retry_after {
        Some(value) => (status, [(header::RETRY_AFTER, value)], body).into_response(),
        None => (status, body).into_response(),
    }
}
