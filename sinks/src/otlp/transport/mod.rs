//! Requests over the network: one attempt each, and what came back.

mod connect;
mod endpoint;
mod grpc;
mod http_client;
mod tls;

use std::error::Error;

use bytes::Bytes;
use dbintel_config::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::ServerName;

use super::config::{Config, Protocol, Tls};
use super::request::Signal;
use super::retry::Answer;
use connect::{Connector, Secured};
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
    #[error("`{0}` cannot be the name of a header")]
    HeaderName(String),
    /// The value of a header, which is not repeated.
    #[error("the value of header `{0}` cannot be sent: it holds a control character, or one that is not ASCII")]
    HeaderValue(String),
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

    /// Host and port of the receiver of a signal.
    pub fn authority(&self, signal: Signal) -> &str {
        match self {
            Transport::Grpc(grpc) => grpc.authority(),
            Transport::Http(http) => http.authority(signal),
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

/// What is wrong with the settings of secured connections, each under its key. Reads the files that they name.
pub fn tls_mistakes(tls: &Tls) -> Vec<(&'static str, TransportError)> {
    let files = tls::mistakes(tls).into_iter().map(|(key, error)| (key, error.into()));
    let name = tls.server_name_override.as_deref().and_then(|name| server_name(name).err());
    files.chain(name.map(|error| ("server_name_override", error))).collect()
}

/// A header that the user wants. Its value is not printed.
pub fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), TransportError> {
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| TransportError::HeaderName(name.to_owned()))?;
    let value = HeaderValue::from_str(value.expose()).map_err(|_| TransportError::HeaderValue(name.to_owned()));
    let mut value = value?;
    value.set_sensitive(true);
    Ok((key, value))
}

fn headers(config: &Config) -> Result<HeaderMap, TransportError> {
    config.headers.iter().map(|(name, value)| header(name, value)).collect()
}

/// Opens connections to an endpoint that speak `protocol` (ALPN).
fn connector(endpoint: &Endpoint, tls: &Tls, protocol: &'static [u8]) -> Result<Connector, TransportError> {
    if !endpoint.secure {
        return Ok(Connector::new(endpoint, None));
    }
    tls::client_config(tls, protocol)?;
    let server_name = server_name(tls.server_name_override.as_ref().unwrap_or(&endpoint.host))?;
    Ok(Connector::new(endpoint, Some(Secured { tls: tls.clone(), protocol, server_name })))
}

fn server_name(name: &str) -> Result<ServerName<'static>, TransportError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TransportError::ServerName(name.to_owned()))
}

/// A failure with all that caused it, once each.
fn text(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
