//! Listening: a taken port names its flag, port 0 takes a free one.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

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
    address: String,
    source: io::Error,
}

/// Listens.
pub async fn bind(purpose: Purpose, address: &str) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound.await.map_err(|source| ListenError { purpose, address: address.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_names_the_address_the_flag_and_the_variable() {
        let (_kept, address) = bind(HEALTH, "127.0.0.1:0").await.unwrap();
        let taken = bind(METRICS, &address.to_string()).await.unwrap_err();
        assert_eq!(
            taken.to_string(),
            format!(
                "could not listen on {address} for own metrics: Address already in use (os error 98); give another \
                 address with --metrics-address or DBINTEL_METRICS_ADDRESS, port 0 takes a free one"
            )
        );
    }
}
