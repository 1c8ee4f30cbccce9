//! Settings of one `mysql` poller: one server. Keys are those of the Collector's `mysql` receiver where both have the same
//! thing.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_config::{ComponentId, Section};

use crate::credentials::Credentials;
use crate::hosts::Hosts;
use crate::settings::{ClassConfig, Endpoint, TlsConfig, check_target, check_tls, target_name};
use crate::text::TextConfig;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the server listens.
    pub endpoint: Endpoint,
    /// Where else it may be, and what it has to be.
    pub hosts: Hosts,
    /// Account to connect as. It needs `SELECT` on `performance_schema` and `PROCESS`, and nothing else.
    pub username: String,
    /// Where the password of the account comes from.
    pub password: Credentials,
    /// Name of the target, if it is not that of the component.
    pub target: Option<String>,
    /// Stamped on every record: team, environment, region …
    pub labels: BTreeMap<String, String>,
    /// Encryption and verification.
    pub tls: TlsConfig,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
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
    /// Status of the server.
    pub metrics: ClassConfig,
    /// Replication, locks, and what is under way.
    pub replication: ClassConfig,
    /// Settings and other things that change seldom.
    pub settings: ClassConfig,
    /// Metrics of tables and indexes.
    pub tables: ClassConfig,
    /// Sizes of tables.
    pub sizes: ClassConfig,
    /// Statements of a `sqlquery` poller.
    pub queries: ClassConfig,
    /// The database of a session; empty for none.
    pub database: String,
}

impl Config {
    /// Reads the section of a `mysql` poller. Mistakes are collected in the section.
    pub fn read(section: &mut Section) -> Config {
        let interval = section.doc("Time between polls of a class that has no interval of its own.").duration_within(
            "collection_interval",
            "10s",
            "100ms"..="1h",
        );
        let (endpoint, hosts) = Hosts::read(
            section,
            "Where the server listens: host:port, or /path/of/the.sock:3306 for a local socket; several with commas.",
            "localhost:3306",
            "an endpoint such as db.example.com:3306",
        );
        let mut statements = section.section("statements");
        let config = Config {
            endpoint,
            hosts,
            username: section
                .doc("Account to connect as; it needs SELECT on performance_schema.* and PROCESS.")
                .required_text("username"),
            password: Credentials::read(section),
            target: section.doc("Name of the target, if it is not that of the component.").optional_text("target"),
            labels: section.doc("Stamped on every record: team, environment, region.").text_map("labels"),
            tls: TlsConfig::read(&mut section.section("tls")),
            connect_timeout: section.doc("Longest wait for a connection.").duration_within(
                "connect_timeout",
                "5s",
                "100ms"..="1m",
            ),
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
            database: String::new(),
        };
        check_target(section, config.target.as_deref());
        check_tls(section, &config.tls);
        config
    }

    /// The name of the target: `target:`, else the name in `mysql/name`, else `host:port`.
    pub fn target_name(&self, component: &ComponentId) -> String {
        target_name(self.target.as_ref(), component, &self.endpoint)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            endpoint: Endpoint { host: "localhost".to_owned(), port: 3306 },
            hosts: Hosts::default(),
            username: String::new(),
            password: Credentials::None,
            target: None,
            labels: BTreeMap::new(),
            tls: TlsConfig::default(),
            connect_timeout: Duration::from_secs(5),
            sessions: ClassConfig::new(1, 1),
            statements: ClassConfig::new(10, 5),
            snapshot_interval: Duration::from_secs(600),
            texts: ClassConfig::new(1, 10),
            text: TextConfig::default(),
            metrics: ClassConfig::new(10, 5),
            replication: ClassConfig::new(10, 5),
            settings: ClassConfig::new(300, 5),
            tables: ClassConfig::new(60, 10),
            sizes: ClassConfig::new(300, 30),
            queries: ClassConfig::new(10, 5),
            database: String::new(),
        }
    }
}
