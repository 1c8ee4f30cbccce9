//! Settings of one `postgresql` poller: one server. Keys are those of the Collector's `postgresql` receiver where both
//! have the same thing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dbintel_config::{ComponentId, Secret, Section};

use crate::text::TextConfig;

/// Longest name of a target, in bytes: it is a key, a label and a part of table names.
pub const TARGET_BYTES_MAX: usize = 128;
/// Most databases that are read at once.
pub const CONNECTIONS_MAX: usize = 8;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// Role to connect as. It needs `pg_monitor` and nothing else.
    pub username: String,
    /// Password of the role; none if the server asks for none.
    pub password: Option<Secret>,
    /// Databases to read; empty for all that are no templates.
    pub databases: Vec<String>,
    /// Databases to leave out.
    pub exclude_databases: Vec<String>,
    /// Database for server-wide views; the extension `pg_stat_statements` has to be created here.
    pub connect_database: String,
    /// Name of the target, if it is not that of the component.
    pub target: Option<String>,
    /// Stamped on every record: team, environment, region …
    pub labels: BTreeMap<String, String>,
    /// What the server shows as our name.
    pub application_name: String,
    /// Encryption and verification.
    pub tls: TlsConfig,
    /// There is a pooler between us and the server, and that is accepted.
    pub via_pooler: bool,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Connections for per-database work, beside the one for server-wide views.
    pub connections_max: usize,
    /// Sessions and their waits.
    pub sessions: ClassConfig,
    /// Statement counters.
    pub statements: ClassConfig,
    /// Time between complete snapshots of the statement counters.
    pub snapshot_interval: Duration,
    /// Time limit for reading statement texts; the interval is the least time between two reads.
    pub texts: ClassConfig,
    /// What is published of a text.
    pub text: TextConfig,
    /// Server-wide and per-database metrics.
    pub metrics: ClassConfig,
    /// Metrics of tables and indexes.
    pub tables: ClassConfig,
    /// Sizes on disk of databases, tables and indexes.
    pub sizes: ClassConfig,
}

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

impl Config {
    /// Reads the section of a `postgresql` poller. Mistakes are collected in the section.
    pub fn read(section: &mut Section) -> Config {
        let interval = section.doc("Time between polls of a class that has no interval of its own.").duration_within(
            "collection_interval",
            "10s",
            "100ms"..="1h",
        );
        let mut statements = section.section("statements");
        let config = Config {
            endpoint: section
                .doc("Where the server listens: host:port, or /directory:port for a local socket.")
                .parsed("endpoint", "localhost:5432", "an endpoint such as db.example.com:5432"),
            username: section.doc("Role to connect as; it needs pg_monitor.").required_text("username"),
            password: section.doc("Password of the role.").secret("password"),
            databases: section.doc("Databases to read; empty for all but templates.").list_of_text("databases", &[]),
            exclude_databases: section.doc("Databases to leave out.").list_of_text("exclude_databases", &[]),
            connect_database: section
                .doc("Database for server-wide views; pg_stat_statements has to be created here.")
                .text("connect_database", "postgres"),
            target: section.doc("Name of the target, if it is not that of the component.").optional_text("target"),
            labels: section.doc("Stamped on every record: team, environment, region.").text_map("labels"),
            application_name: section.doc("What the server shows as our name.").text("application_name", "dbintel"),
            tls: TlsConfig::read(&mut section.section("tls")),
            via_pooler: section
                .doc("Accept a connection pooler between us and the server.")
                .boolean("via_pooler", false),
            connect_timeout: section.doc("Longest wait for a connection.").duration_within(
                "connect_timeout",
                "5s",
                "100ms"..="1m",
            ),
            connections_max: section
                .doc("Connections for per-database work, beside the one for server-wide views.")
                .integer("connections_max", 2, 1..=CONNECTIONS_MAX),
            sessions: ClassConfig::read(&mut section.section("sessions"), Duration::from_secs(1), "1s"),
            statements: ClassConfig::read(&mut statements, interval, "5s"),
            snapshot_interval: statements
                .doc("Time between complete snapshots; between them only what changed is published.")
                .duration_within("snapshot_interval", "10m", "1s"..="1d"),
            text: TextConfig::read(section),
            texts: ClassConfig::read(&mut section.section("texts"), Duration::from_secs(1), "10s"),
            metrics: ClassConfig::read(&mut section.section("metrics"), interval, "5s"),
            tables: ClassConfig::read(&mut section.section("tables"), interval, "5s"),
            sizes: ClassConfig::read(&mut section.section("sizes"), Duration::from_secs(300), "30s"),
        };
        config.check(section);
        config
    }

    /// The name of the target: `target:`, else the name in `postgresql/name`, else `host:port`.
    pub fn target_name(&self, component: &ComponentId) -> String {
        let named = self.target.clone().or_else(|| component.name.clone());
        named.unwrap_or_else(|| self.endpoint.to_string())
    }

    fn check(&self, section: &mut Section) {
        if self.target.as_deref().is_some_and(|target| !valid_target(target)) {
            let message = format!("a target is named by 1 to {TARGET_BYTES_MAX} bytes without control characters");
            section.problem("target", message);
        }
        if !valid_application_name(&self.application_name) {
            let message = "expected 1 to 63 letters, digits and spaces, or any of `_ - . : / @`";
            section.problem("application_name", message);
        }
        if self.tls.insecure == Some(true) && self.tls.is_anything_else_set() {
            section.problem("tls", "`insecure: true` means no encryption: remove it, or the other keys");
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            section.problem("tls", "`cert_file` and `key_file` belong together");
        }
    }
}

fn valid_target(target: &str) -> bool {
    (1..=TARGET_BYTES_MAX).contains(&target.len()) && !target.chars().any(char::is_control)
}

/// It becomes a part of SQL, and PostgreSQL cuts it after 63 bytes.
fn valid_application_name(name: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || " _-.:/@".contains(character);
    (1..=63).contains(&name.len()) && name.chars().all(allowed)
}

impl ClassConfig {
    fn read(section: &mut Section, interval: Duration, timeout: &str) -> ClassConfig {
        let interval = format!("{}ms", interval.as_millis());
        ClassConfig {
            interval: section.doc("Time between polls.").duration_within("interval", &interval, "100ms"..="1d"),
            timeout: section.doc("Longest time for a statement.").duration_within("timeout", timeout, "10ms"..="10m"),
        }
    }

    fn new(interval_s: u64, timeout_s: u64) -> ClassConfig {
        ClassConfig { interval: Duration::from_secs(interval_s), timeout: Duration::from_secs(timeout_s) }
    }
}

impl TlsConfig {
    fn read(section: &mut Section) -> TlsConfig {
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

impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: Endpoint { host: "localhost".to_owned(), port: 5432 },
            username: String::new(),
            password: None,
            databases: Vec::new(),
            exclude_databases: Vec::new(),
            connect_database: "postgres".to_owned(),
            target: None,
            labels: BTreeMap::new(),
            application_name: "dbintel".to_owned(),
            tls: TlsConfig::default(),
            via_pooler: false,
            connect_timeout: Duration::from_secs(5),
            connections_max: 2,
            sessions: ClassConfig::new(1, 1),
            statements: ClassConfig::new(10, 5),
            snapshot_interval: Duration::from_secs(600),
            text: TextConfig::default(),
            texts: ClassConfig::new(1, 10),
            metrics: ClassConfig::new(10, 5),
            tables: ClassConfig::new(10, 5),
            sizes: ClassConfig::new(300, 30),
        }
    }
}

#[cfg(test)]
mod tests;
