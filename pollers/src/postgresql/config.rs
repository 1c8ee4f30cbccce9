//! Settings of one `postgresql` poller: one server. Keys are those of the Collector's `postgresql` receiver where both
//! have the same thing.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_config::{ComponentId, Section};

use crate::credentials::Credentials;
use crate::hosts::Hosts;

pub use crate::settings::{ClassConfig, Endpoint, TlsConfig};
use crate::settings::{check_target, check_tls, target_name};
use crate::text::TextConfig;

/// Most databases that are read at once.
pub const CONNECTIONS_MAX: usize = 8;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// Where else it may be, and what it has to be.
    pub hosts: Hosts,
    /// Role to connect as. It needs `pg_monitor` and nothing else.
    pub username: String,
    /// Where the password of the role comes from.
    pub password: Credentials,
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
    /// Replication, locks, and what is under way.
    pub replication: ClassConfig,
    /// Settings and other things that change seldom.
    pub settings: ClassConfig,
    /// Metrics of tables and indexes.
    pub tables: ClassConfig,
    /// Sizes on disk of databases, tables and indexes.
    pub sizes: ClassConfig,
    /// Statements of a `sqlquery` poller.
    pub queries: ClassConfig,
}

impl Config {
    /// Reads the section of a `postgresql` poller. Mistakes are collected in the section.
    pub fn read(section: &mut Section) -> Config {
        let interval = section.doc("Time between polls of a class that has no interval of its own.").duration_within(
            "collection_interval",
            "10s",
            "100ms"..="1h",
        );
        let (endpoint, hosts) = Hosts::read(
            section,
            "Where the server listens: host:port, or /directory:port for a local socket; several with commas.",
            "localhost:5432",
            "an endpoint such as db.example.com:5432",
        );
        let mut statements = section.section("statements");
        let config = Config {
            endpoint,
            hosts,
            username: section.doc("Role to connect as; it needs pg_monitor.").required_text("username"),
            password: Credentials::read(section),
            databases: section
                .doc("Databases to read, with `*` and `?` as wildcards; empty for all but templates.")
                .list_of_text("databases", &[]),
            exclude_databases: section
                .doc("Databases to leave out, with wildcards.")
                .list_of_text("exclude_databases", &[]),
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
            replication: ClassConfig::read(&mut section.section("replication"), interval, "5s"),
            settings: ClassConfig::read(&mut section.section("settings"), Duration::from_secs(300), "5s"),
            tables: ClassConfig::read(&mut section.section("tables"), Duration::from_secs(60), "10s"),
            sizes: ClassConfig::read(&mut section.section("sizes"), Duration::from_secs(300), "30s"),
            queries: ClassConfig::new(10, 5),
        };
        config.check(section);
        config
    }

    /// The name of the target: `target:`, else the name in `postgresql/name`, else `host:port`.
    pub fn target_name(&self, component: &ComponentId) -> String {
        target_name(self.target.as_ref(), component, &self.endpoint)
    }

    fn check(&self, section: &mut Section) {
        check_target(section, self.target.as_deref());
        check_tls(section, &self.tls);
        if !valid_application_name(&self.application_name) {
            let message = "expected 1 to 63 letters, digits and spaces, or any of `_ - . : / @`";
            section.problem("application_name", message);
        }
    }
}

/// It becomes a part of SQL, and PostgreSQL cuts it after 63 bytes.
fn valid_application_name(name: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || " _-.:/@".contains(character);
    (1..=63).contains(&name.len()) && name.chars().all(allowed)
}

impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: Endpoint { host: "localhost".to_owned(), port: 5432 },
            hosts: Hosts::default(),
            username: String::new(),
            password: Credentials::None,
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
            replication: ClassConfig::new(10, 5),
            settings: ClassConfig::new(300, 5),
            tables: ClassConfig::new(60, 10),
            sizes: ClassConfig::new(300, 30),
            queries: ClassConfig::new(10, 5),
        }
    }
}

#[cfg(test)]
mod tests;
