//! Requests over the network: one attempt each, and what came back.

mod connect;
mod endpoint;
mod grpc;
mod http_client;
mod tls;

use bytes::Bytes;
use rustls::pki_types::ServerName;

use super::config::{Config, Protocol, Tls};
use super::request::Signal;
use super::retry::Answer;
use connect::Connector;
pub use endpoint::Endpoint;
use endpoint::EndpointError;
use tls::TlsError;

/// A receiver cannot be spoken to with these settings.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The name that the certificate should have.
    #[error("`{0}` cannot be the name in a certificate")]
    ServerName(String),
    /// A header.
    #[error("`{0}` cannot be a header, or its value cannot")]
    Header(String),
}

/// The way to a receiver, for one lane.
#[derive(Clone)]
pub enum Transport {
    /// OTLP/gRPC; clones share a connection.
    Grpc(grpc::Grpc),
    /// OTLP/HTTP; each clone has a connection of its own.
    Http(http_client::Http),
}

impl Transport {
    /// Prepares the way. Connects when the first request is sent. Must be called within a tokio runtime.
    pub fn new(config: &Config) -> Result<Transport, TransportError> {
        match config.protocol {
            Protocol::Grpc => grpc::Grpc::new(config).map(Transport::Grpc),
            Protocol::Http => http_client::Http::new(config).map(Transport::Http),
        }
    }

    /// Makes an encoded request ready to be sent, perhaps several times.
    pub fn prepare(&self, body: Bytes) -> Bytes {
        match self {
            Transport::Grpc(_) => body,
            Transport::Http(http) => http.compress(body),
        }
    }

    /// Sends a prepared request once.
    pub async fn send(&mut self, signal: Signal, body: Bytes) -> Answer {
        match self {
            Transport::Grpc(grpc) => grpc.send(signal, body).await,
            Transport::Http(http) => http.send(signal, body).await,
        }
    }
}

/// Opens connections to an endpoint that speak `protocol` (ALPN).
fn connector(endpoint: &Endpoint, tls: &Tls, protocol: &[u8]) -> Result<Connector, TransportError> {
    if !endpoint.secure {
        return Ok(Connector::new(endpoint, None));
    }
    let name = tls.server_name_override.as_ref().unwrap_or(&endpoint.host);
    let server_name = ServerName::try_from(name.clone()).map_err(|_| TransportError::ServerName(name.clone()))?;
    Ok(Connector::new(endpoint, Some((tls::client_config(tls, protocol)?, server_name))))
}
