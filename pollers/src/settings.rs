//! Settings that pollers of all kinds of servers have.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dbintel_config::{ComponentId, Section};

/// Longest name of a target, in bytes: it is a key, a label and a part of table names.
pub const TARGET_BYTES_MAX: usize = 128;

/// How often a class of polls runs, and for how long at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassConfig {
    /// Time between polls.
    pub interval: Duration,
    /// Longest time for a statement; the poll as a whole ends one second later at the latest.
    pub timeout: Duration,
}

/// Encryption and verification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// No encryption. Unless set: unencrypted for local sockets and loopback addresses only.
    pub insecure: Option<bool>,
    /// Encrypted, but whoever answers is believed to be the server.
    pub insecure_skip_verify: bool,
    /// PEM file with the certificates of the authorities; those of the system if not set.
    pub ca_file: Option<String>,
    /// PEM file with our certificate, for servers that ask for one.
    pub cert_file: Option<String>,
    /// PEM file with the key of `cert_file`.
    pub key_file: Option<String>,
}

/// Where a server listens: `host:port`, or `/directory:port` for a local socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name, address, or folder of the local socket.
    pub host: String,
    /// Port; for a local socket it is a part of the file name.
    pub port: u16,
}

/// A text is no endpoint.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port, such as db.example.com:5432, or /directory:5432 for a local socket")]
pub struct EndpointError;

/// The name of a target: its own, else the name in `kind/name`, else `host:port`.
pub fn target_name(target: Option<&String>, component: &ComponentId, endpoint: &Endpoint) -> String {
    let named = target.cloned().or_else(|| component.name.clone());
    named.unwrap_or_else(|| endpoint.to_string())
}

/// Notes what is wrong with the name of a target.
pub fn check_target(section: &mut Section, target: Option<&str>) {
    if target.is_some_and(|target| !valid_target(target)) {
        let message = format!("a target is named by 1 to {TARGET_BYTES_MAX} bytes without control characters");
        section.problem("target", message);
    }
}

/// Notes what is wrong with settings of TLS.
pub fn check_tls(section: &mut Section, tls: &TlsConfig) {
    if tls.insecure == Some(true) && tls.is_anything_else_set() {
        section.problem("tls", "`insecure: true` means no encryption: remove it, or the other keys");
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        section.problem("tls", "`cert_file` and `key_file` belong together");
    }
}

/// Whether a text can name a target.
pub fn valid_target(target: &str) -> bool {
    (1..=TARGET_BYTES_MAX).contains(&target.len()) && !target.chars().any(char::is_control)
}

impl ClassConfig {
    /// Reads a class with these defaults.
    pub fn read(section: &mut Section, interval: Duration, timeout: &str) -> ClassConfig {
        let interval = format!("{}ms", interval.as_millis());
        ClassConfig {
            interval: section.doc("Time between polls.").duration_within("interval", &interval, "100ms"..="1d"),
            timeout: section.doc("Longest time for a statement.").duration_within("timeout", timeout, "10ms"..="10m"),
        }
    }

    /// A class with these, in seconds.
    pub fn new(interval_s: u64, timeout_s: u64) -> ClassConfig {
        ClassConfig { interval: Duration::from_secs(interval_s), timeout: Duration::from_secs(timeout_s) }
    }
}

impl TlsConfig {
    /// Reads the keys of the section `tls`.
    pub fn read(section: &mut Section) -> TlsConfig {
        let insecure = section.is_set("insecure");
        let value = section
            .doc("No encryption. Unless set: unencrypted for local sockets and loopback addresses only.")
            .boolean("insecure", false);
        TlsConfig {
            insecure: insecure.then_some(value),
            insecure_skip_verify: section
                .doc("Believe whoever answers to be the server.")
                .boolean("insecure_skip_verify", false),
            ca_file: section.doc("PEM file of the authorities; the system's if not set.").optional_text("ca_file"),
            cert_file: section.doc("PEM file of our certificate.").optional_text("cert_file"),
            key_file: section.doc("PEM file of the key of cert_file.").optional_text("key_file"),
        }
    }

    fn is_anything_else_set(&self) -> bool {
        self.insecure_skip_verify || self.ca_file.is_some() || self.cert_file.is_some() || self.key_file.is_some()
    }

    /// Whether the connection to `endpoint` is encrypted: always, except when `insecure` says so, or when the endpoint is
    /// on this machine and no key says anything about TLS.
    pub fn is_on(&self, endpoint: &Endpoint) -> bool {
        match self.insecure {
            Some(insecure) => !insecure,
            None => !endpoint.is_local() || self.is_anything_else_set(),
        }
    }
}

impl Endpoint {
    /// Whether it is a local socket.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether it cannot leave this machine: a local socket, `localhost` or a loopback address.
    pub fn is_local(&self) -> bool {
        let loopback = self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        self.is_socket() || loopback || self.host.eq_ignore_ascii_case("localhost")
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError)?;
        let port = port.parse().map_err(|_| EndpointError)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let colon_without_brackets = bare.is_none() && host.contains(':') && !host.starts_with('/');
        let host = bare.unwrap_or(host);
        if host.is_empty() || port == 0 || colon_without_brackets || host.contains(char::is_whitespace) {
            return Err(EndpointError);
        }
        Ok(Endpoint { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}
