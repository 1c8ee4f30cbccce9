//! OTLP/HTTP with binary protobuf: one HTTP/1.1 connection per lane, kept open between requests.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message;

use super::connect::Connector;
use super::endpoint::Endpoint;
use super::grpc::accepted;
use super::{TransportError, connector};
use crate::clock;
use crate::otlp::config::{Compression, Config};
use crate::otlp::request::Signal;
use crate::otlp::retry::{Answer, retry_after};

/// Port of OTLP/HTTP.
const PORT: u16 = 4318;
/// Largest answer that is read, in bytes.
const RESPONSE_BYTES_MAX: usize = 4 << 20;
/// Part of a message that is kept, in characters.
const MESSAGE_CHARACTERS_MAX: usize = 300;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// A receiver that speaks HTTP.
pub struct Http {
    metrics: Place,
    logs: Place,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
}

/// Where one signal goes.
struct Place {
    connector: Connector,
    authority: String,
    path: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Clone for Http {
    fn clone(&self) -> Self {
        Http {
            metrics: self.metrics.clone(),
            logs: self.logs.clone(),
            headers: self.headers.clone(),
            compression: self.compression,
            timeout: self.timeout,
        }
    }
}

impl Clone for Place {
    /// The same place with a connection of its own.
    fn clone(&self) -> Self {
        let (connector, authority, path) = (self.connector.clone(), self.authority.clone(), self.path.clone());
        Place { connector, authority, path, connection: None }
    }
}

impl Http {
    /// Prepares the headers and the places; connects when the first request is sent.
    pub fn new(config: &Config) -> Result<Http, TransportError> {
        Ok(Http {
            metrics: place(config, config.metrics_endpoint.as_deref(), "/v1/metrics")?,
            logs: place(config, config.logs_endpoint.as_deref(), "/v1/logs")?,
            headers: headers(config)?,
            compression: config.compression,
            timeout: config.timeout,
        })
    }

    /// Compresses a body if that is wanted.
    pub fn compress(&self, body: Bytes) -> Bytes {
        if self.compression == Compression::None {
            return body;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Level::fast());
        let written = encoder.write_all(&body).and_then(|()| encoder.finish());
        Bytes::from(written.expect("writing to memory does not fail"))
    }

    /// Sends a request once.
    pub async fn send(&mut self, signal: Signal, body: Bytes) -> Answer {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.post(signal, body)).await {
            Ok(answer) => answer.unwrap_or_else(Answer::Unreachable),
            Err(_) => Answer::TimedOut,
        }
    }

    /// Host and port of the receiver of a signal.
    pub fn authority(&self, signal: Signal) -> &str {
        match signal {
            Signal::Metrics => &self.metrics.authority,
            Signal::Logs => &self.logs.authority,
        }
    }

    async fn post(&mut self, signal: Signal, body: Bytes) -> Result<Answer, String> {
        let place = match signal {
            Signal::Metrics => &mut self.metrics,
            Signal::Logs => &mut self.logs,
        };
        let request = |place: &Place| {
            let mut request = Request::post(place.path.as_str()).body(Full::new(body.clone()))?;
            *request.headers_mut() = self.headers.clone();
            request.headers_mut().insert(HOST, HeaderValue::from_str(&place.authority)?);
            Ok::<_, http::Error>(request)
        };
        let kept = place.connection.take().filter(SendRequest::is_ready);
        if let Some(mut connection) = kept
            && let Ok(response) = connection.send_request(request(place).map_err(text)?).await
        {
            return place.read(signal, connection, response).await;
        }
        // There was no connection, or the receiver had closed the one that was kept.
        let mut connection = place.connect().await?;
        let response = connection.send_request(request(place).map_err(text)?).await.map_err(text)?;
        place.read(signal, connection, response).await
    }
}

impl Place {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = self.connector.connect().await.map_err(text)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a receiver broke");
            }
        });
        Ok(sender)
    }

    async fn read(
        &mut self,
        signal: Signal,
        connection: SendRequest<Full<Bytes>>,
        response: Response<Incoming>,
    ) -> Result<Answer, String> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).map_err(text)?;
        self.connection = Some(connection);
        let is_protobuf = head.headers.get(CONTENT_TYPE).is_some_and(|value| value == PROTOBUF);
        if head.status.is_success() {
            return Ok(accepted(signal, if is_protobuf { &body } else { &[] }));
        }
        let asked = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Ok(Answer::Http {
            status: head.status.as_u16(),
            retry_after: asked.and_then(|value| retry_after(value, clock::wall_us())),
            message: message(is_protobuf, &body),
        })
    }
}

fn place(config: &Config, own: Option<&str>, path: &str) -> Result<Place, TransportError> {
    let endpoint = Endpoint::parse(own.unwrap_or(&config.endpoint), !config.tls.insecure, PORT)?;
    let path = match own {
        Some(_) if endpoint.path.is_empty() => "/".to_owned(),
        Some(_) => endpoint.path.clone(),
        None => format!("{}{path}", endpoint.path),
    };
    let connector = connector(&endpoint, &config.tls, b"http/1.1")?;
    Ok(Place { connector, authority: endpoint.authority(), path, connection: None })
}

fn headers(config: &Config) -> Result<HeaderMap, TransportError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("dbintel/", env!("CARGO_PKG_VERSION"))));
    if config.compression == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.extend(super::headers(config)?);
    Ok(headers)
}

/// What a receiver says about a failure: the message of a `google.rpc.Status`, or the beginning of a text.
fn message(is_protobuf: bool, body: &[u8]) -> String {
    let message = match tonic_types::pb::Status::decode(body) {
        Ok(status) if is_protobuf => status.message,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    message.chars().filter(|character| !character.is_control()).take(MESSAGE_CHARACTERS_MAX).collect()
}

fn text(error: impl Into<Box<dyn Error + Send + Sync>>) -> String {
    super::text(error.into().as_ref())
}
