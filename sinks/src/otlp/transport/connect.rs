//! Opens connections, plain or secured, for both protocols.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::Service;

use super::endpoint::Endpoint;
use super::tls::client_config;
use crate::otlp::config::Tls;

/// Longest wait for a connection, the handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection was not made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP or the handshake failed.
    #[error("could not connect to {authority}: {source}")]
    Io {
        /// Host and port.
        authority: String,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("could not connect to {authority} within {CONNECT_TIMEOUT:?}")]
    TimedOut {
        /// Host and port.
        authority: String,
    },
}

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens connections to one endpoint.
#[derive(Clone)]
pub struct Connector {
    endpoint: Arc<Endpoint>,
    secured: Option<Arc<Secured>>,
}

/// How connections are secured. The files are read for each connection, so that those that were renewed are used.
pub struct Secured {
    /// The settings.
    pub tls: Tls,
    /// What is spoken (ALPN).
    pub protocol: &'static [u8],
    /// Name to expect in the certificate.
    pub server_name: ServerName<'static>,
}

impl Connector {
    /// To this endpoint.
    pub fn new(endpoint: &Endpoint, secured: Option<Secured>) -> Self {
        Connector { endpoint: Arc::new(endpoint.clone()), secured: secured.map(Arc::new) }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, ConnectError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(ConnectError::Io { authority: self.endpoint.authority(), source }),
            Err(_) => Err(ConnectError::TimedOut { authority: self.endpoint.authority() }),
        }
    }

    async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((self.endpoint.host.as_str(), self.endpoint.port)).await?;
        stream.set_nodelay(true)?;
        let Some(secured) = self.secured.clone() else { return Ok(Box::new(stream)) };
        let server_name = secured.server_name.clone();
        let reading = tokio::task::spawn_blocking(move || client_config(&secured.tls, secured.protocol));
        let config = reading.await?.map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config).connect(server_name, stream).await?))
    }
}

/// How tonic asks for a connection. It always asks for the same one.
impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}
