//! OTLP/gRPC through tonic. Requests are encoded already, so that a retry costs no encoding; answers are decoded by
//! `opentelemetry-proto`.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;

use super::endpoint::Endpoint;
use super::{TransportError, connector, headers, text};
use crate::otlp::config::{Compression, Config};
use crate::otlp::request::Signal;
use crate::otlp::retry::Answer;

/// Port of OTLP/gRPC.
const PORT: u16 = 4317;
/// How often a connection with requests under way is probed.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Longest wait for the answer to a probe.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// A receiver that speaks gRPC.
#[derive(Clone)]
pub struct Grpc {
    channel: Channel,
    authority: String,
    headers: MetadataMap,
    compression: Compression,
    timeout: Duration,
}

impl Grpc {
    /// Prepares a channel that connects when it is used.
    pub fn new(config: &Config) -> Result<Grpc, TransportError> {
        let endpoint = Endpoint::parse(&config.endpoint, !config.tls.insecure, PORT)?;
        let connector = connector(&endpoint, &config.tls, b"h2")?;
        let scheme = if endpoint.secure { "https" } else { "http" };
        let uri = |scheme: &str| {
            let text = format!("{scheme}://{}", endpoint.authority());
            text.parse::<http::Uri>().map_err(|_| super::EndpointError::new(&config.endpoint))
        };
        // The connector secures the connection, so that tonic must not: it is told `http`, and requests say the truth.
        let channel = Channel::builder(uri("http")?)
            .origin(uri(scheme)?)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .connect_with_connector_lazy(connector);
        let headers = MetadataMap::from_headers(headers(config)?);
        let (compression, timeout) = (config.compression, config.timeout);
        Ok(Grpc { channel, authority: endpoint.authority(), headers, compression, timeout })
    }

    /// Host and port of the receiver.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request once. The receiver is told no deadline: what we give up is cancelled, and only one clock decides.
    pub async fn send(&mut self, signal: Signal, body: Bytes) -> Answer {
        match tokio::time::timeout(self.timeout, self.call(signal, body)).await {
            Ok(Ok(response)) => accepted(signal, &response),
            Ok(Err(status)) => refused(&status),
            Err(_) => Answer::TimedOut,
        }
    }

    async fn call(&self, signal: Signal, body: Bytes) -> Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone()).accept_compressed(CompressionEncoding::Gzip);
        if self.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        let path = match signal {
            Signal::Metrics => PathAndQuery::from_static(METRICS),
            Signal::Logs => PathAndQuery::from_static(LOGS),
        };
        Ok(client.unary(request, path, Encoded).await?.into_inner())
    }
}

/// What a receiver says that took a request. An answer that cannot be read still means that it did.
pub(super) fn accepted(signal: Signal, response: &[u8]) -> Answer {
    let partial = match signal {
        Signal::Metrics => ExportMetricsServiceResponse::decode(response)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(response)
            .ok()
            .and_then(|response| response.partial_success)
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
    };
    let (rejected, message) = partial.unwrap_or_default();
    Answer::Accepted { rejected: u64::try_from(rejected).unwrap_or(0), message }
}

/// A status with a source was made on this side: the connection broke, whatever its code.
fn refused(status: &Status) -> Answer {
    if let Some(source) = status.source() {
        return Answer::Unreachable(text(source));
    }
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    Answer::Grpc { code: status.code(), retry_after, message: status.message().to_owned() }
}

/// Passes bytes through in both directions.
#[derive(Debug, Clone, Copy, Default)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Encoded;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Encoded {
        Encoded
    }

    fn decoder(&mut self) -> Encoded {
        Encoded
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
