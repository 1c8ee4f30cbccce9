//! A small blocking HTTP client for what stands beside the log: a schema registry, a token endpoint.
//!
//! Every call is bounded in time and size. Errors name the address without user, password and query.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::ring;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider};

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// Something did not work out before there was an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address}: {message}")]
pub struct HttpError {
    /// Whom we asked.
    pub address: String,
    /// What went wrong.
    pub message: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// A client for one server.
#[derive(Debug)]
pub struct HttpClient {
    agent: ureq::Agent,
    base: String,
    authorization: Option<String>,
}

impl HttpClient {
    /// For addresses that start with `base`. No user name means no authentication; no `ca_file` trusts the system's authorities.
    pub fn new(
        base: &str,
        username: &str,
        password: &str,
        ca_file: Option<&PathBuf>,
        timeout: Duration,
    ) -> Result<HttpClient, HttpError> {
        let fail = |message: String| HttpError { address: redacted(base), message };
        let (base, in_address) = split_credentials(base);
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(fail("the address has to begin with http:// or https://".to_owned()));
        }
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None);
        if base.starts_with("https://") {
            config = config.tls_config(tls(ca_file.map(PathBuf::as_path)).map_err(fail)?);
        }
        let credentials = if username.is_empty() { in_address } else { Some(format!("{username}:{password}")) };
        let authorization = credentials.map(|credentials| format!("Basic {}", STANDARD.encode(credentials)));
        let base = base.trim_end_matches('/').to_owned();
        Ok(HttpClient { agent: config.build().new_agent(), base, authorization })
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Answer, HttpError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.call())
    }

    /// POST.
    pub fn post(&self, path: &str, content_type: &str, body: &str) -> Result<Answer, HttpError> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).header("content-type", content_type);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        self.read(request.send(body))
    }

    fn read(&self, result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, HttpError> {
        let fail = |error: ureq::Error| HttpError { address: redacted(&self.base), message: reason(&error) };
        let mut response = result.map_err(fail)?;
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(fail)?;
        Ok(Answer { status: response.status().as_u16(), body })
    }
}

/// What went wrong, without addresses: they may hold secrets.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "the address is not usable".to_owned(),
        ureq::Error::ConnectProxyFailed(_) => "the proxy refused".to_owned(),
        error => error.to_string(),
    }
}

fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let certificates = match ca_file {
        Some(file) => authorities_in(file)?,
        None => system_authorities(),
    };
    if certificates.is_empty() {
        return Err("no certificate authorities found: install them or name a file".to_owned());
    }
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(RootCerts::new_with_certs(&certificates))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build())
}

fn authorities_in(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("could not read {}: {error}", file.display()))?;
    let items = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(items.collect())
}

fn system_authorities() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

/// The address without credentials, and the credentials.
fn split_credentials(address: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = address.split_once("://") else {
        return (address.to_owned(), None);
    };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..host_end].rsplit_once('@') {
        Some((credentials, host)) => (format!("{scheme}://{host}{}", &rest[host_end..]), Some(credentials.to_owned())),
        None => (address.to_owned(), None),
    }
}

/// The address without user, password, query and fragment.
pub fn redacted(address: &str) -> String {
    let (address, _) = split_credentials(address);
    address.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// For a path or a form.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(percent_encoded("dbintel.raw-value"), "dbintel.raw-value");
        assert_eq!(percent_encoded("a/b c"), "a%2Fb%20c");
    }

    #[test]
    fn addresses_lose_their_secrets() {
        let cases = [
            ("http://host:8081/apis", "http://host:8081/apis"),
            ("https://user:pass@host/apis", "https://host/apis"),
            ("https://user:p@ss@host:1/a?token=t#f", "https://host:1/a"),
            ("https://host/a@b?x=y", "https://host/a@b"),
            ("no address", "no address"),
        ];
        for (address, expected) in cases {
            assert_eq!(redacted(address), expected);
        }
    }

    #[test]
    fn credentials_in_the_address_authenticate() {
        let client = HttpClient::new("http://user:pass@127.0.0.1:1/", "", "", None, Duration::from_secs(1));
        let client = client.expect("a client");
        assert_eq!(client.authorization.as_deref(), Some("Basic dXNlcjpwYXNz"));
        assert_eq!(client.base, "http://127.0.0.1:1");
        let error = client.get("/x").expect_err("nobody listens on port 1");
        assert_eq!(error.address, "http://127.0.0.1:1");
    }

    #[test]
    fn an_address_without_a_scheme_is_refused() {
        let refused = HttpClient::new("user:secret@host", "", "", None, Duration::from_secs(1)).expect_err("no scheme");
        assert!(refused.message.contains("http://"), "{refused}");
    }

    #[test]
    fn the_systems_authorities_and_a_missing_file() {
        assert!(HttpClient::new("https://host", "", "", None, Duration::from_secs(1)).is_ok());
        let missing = PathBuf::from("/nonexistent/ca.pem");
        let refused = HttpClient::new("https://host", "", "", Some(&missing), Duration::from_secs(1));
        assert!(refused.expect_err("no such file").message.contains("/nonexistent/ca.pem"));
    }
}
