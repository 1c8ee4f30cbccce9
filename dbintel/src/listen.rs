//! Listening: a taken port names its flag, port 0 takes a free one; what listens can be closed.

use std::fmt::{self, Display};
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for requests that are being answered when the pages are closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to listen: an address or a name, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

/// A text says not where to listen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Only a port.
    #[error("write 127.0.0.1:{0} for this machine, or 0.0.0.0:{0} for all")]
    PortOnly(u16),
    /// Something else.
    #[error("write an address and a port with a colon between them, such as 127.0.0.1:8888 or [::1]:8888")]
    Malformed,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Ok(port) = text.trim_start_matches(':').parse() {
            return Err(AddressError::PortOnly(port));
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Malformed)?;
        let is_port = port.parse::<u16>().is_ok();
        let is_name = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        let is_address = text.parse::<SocketAddr>().is_ok() || is_name(host);
        if is_port && is_address { Ok(Address(text.to_owned())) } else { Err(AddressError::Malformed) }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(address.to_string())
    }
}

impl Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What listens, and how to make it listen elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct Purpose {
    /// What answers there.
    pub name: &'static str,
    /// Flag with the address.
    pub flag: &'static str,
    /// Environment variable with the address.
    pub variable: &'static str,
}

/// Health.
pub const HEALTH: Purpose = Purpose { name: "health", flag: "--health-address", variable: "DBINTEL_HEALTH_ADDRESS" };
/// Own metrics.
pub const METRICS: Purpose =
    Purpose { name: "own metrics", flag: "--metrics-address", variable: "DBINTEL_METRICS_ADDRESS" };
/// The `prometheus` sink.
pub const EXPORT: Purpose =
    Purpose { name: "the prometheus sink", flag: "--export-address", variable: "DBINTEL_EXPORT_ADDRESS" };

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "could not listen on {address} for {}: {source}; give another address with {} or {}, port 0 takes a free one",
    purpose.name, purpose.flag, purpose.variable
)]
pub struct ListenError {
    purpose: Purpose,
    address: Address,
    source: io::Error,
}

/// The pages of a process, until they are closed.
pub struct Pages {
    close: watch::Sender<bool>,
    servers: JoinSet<()>,
}

impl Pages {
    /// None.
    pub fn new() -> Pages {
        Pages { close: watch::Sender::new(false), servers: JoinSet::new() }
    }

    /// Listens, and answers from then on. Returns where.
    pub async fn open(
        &mut self,
        purpose: Purpose,
        address: &Address,
        router: Router,
    ) -> Result<SocketAddr, ListenError> {
        let (listener, bound) = bind(purpose, address).await?;
        self.answer(purpose, listener, router);
        Ok(bound)
    }

    /// Answers on what listens already.
    pub fn answer(&mut self, purpose: Purpose, listener: TcpListener, router: Router) {
        let mut closed = self.close.subscribe();
        let closed = async move {
            // An error means that whoever could close it is gone.
            let _ = closed.wait_for(|close| *close).await;
        };
        self.servers.spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(closed).await {
                tracing::error!(%error, purpose = purpose.name, "no longer answers");
            }
        });
    }

    /// Closes all: their ports are free afterwards, and connections that were kept open end.
    pub async fn close(mut self) {
        self.close.send_replace(true);
        let closed = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            self.servers.shutdown().await;
        }
    }
}

/// Listens.
pub async fn bind(purpose: Purpose, address: &Address) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = async {
        let listener = TcpListener::bind(&address.0).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound.await.map_err(|source| ListenError { purpose, address: address.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> Address {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["127.0.0.1:8888", "0.0.0.0:0", "[::1]:8888", "localhost:13133", "my-host.example:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for (text, port) in [("13133", 13133), (":13133", 13133)] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::PortOnly(port)), "{text}");
        }
        for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:70000", "::1:8888", "http://localhost:8888", "a b:1"] {
            assert_eq!(text.parse::<Address>(), Err(AddressError::Malformed), "{text}");
        }
    }

    #[tokio::test]
    async fn a_page_that_was_closed_leaves_its_port_and_no_connection() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut pages = Pages::new();
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let at = pages.open(HEALTH, &free(), router).await.unwrap();
        let mut kept_open = tokio::net::TcpStream::connect(at).await.unwrap();
        kept_open.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = [0; 1000];
        assert!(kept_open.read(&mut answer).await.unwrap() > 0);
        pages.close().await;
        assert_eq!(kept_open.read(&mut answer).await.unwrap(), 0, "the connection has ended");
        bind(METRICS, &at.to_string().parse().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_names_the_address_the_flag_and_the_variable() {
        let (_kept, address) = bind(HEALTH, &free()).await.unwrap();
        let taken = bind(METRICS, &address.to_string().parse().unwrap()).await.unwrap_err();
        assert_eq!(
            taken.to_string(),
            format!(
                "could not listen on {address} for own metrics: Address already in use (os error 98); give another \
                 address with --metrics-address or DBINTEL_METRICS_ADDRESS, port 0 takes a free one"
            )
        );
    }
}
