//! The section `bus`: which log, and how its records are framed.
//!
//! `bus: embedded` and `bus: kafka` take the defaults; `bus: {kafka: {bootstrap_servers: […]}}` sets some.

mod properties;

use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_bus::registry;
use dbintel_bus::{Kind, embedded, kafka};
use dbintel_config::Section;

/// Partitions of co-partitioned topics on Kafka, unless configured.
const KAFKA_PARTITIONS: u32 = 12;
/// Most partitions of a topic.
const PARTITIONS_MAX: u32 = 1024;

/// Settings of the log.
#[derive(Debug, Clone)]
pub struct Bus {
    /// Which log.
    pub kind: Kind,
    /// Partitions of the co-partitioned topics.
    pub partitions: u32,
    /// Registry of schemas, if there is one.
    pub registry: Option<registry::Config>,
}

impl Bus {
    /// Reads the section. `state_directory` is where the embedded log is kept unless it says so itself.
    pub fn read(section: &mut Section, state_directory: &Path) -> Bus {
        let kafka = section.optional_section("kafka");
        let embedded = section.optional_section("embedded");
        if kafka.is_some() && embedded.is_some() {
            section.problem("kafka", "there is one log: leave out either `embedded` or `kafka`");
        }
        let registry = section.optional_section("schema_registry").map(|mut section| read_registry(&mut section));
        match (kafka, embedded) {
            (Some(mut kafka), _) => {
                let partitions = kafka
                    .doc("Partitions of each topic, fixed when `topics create` makes it; the most processors at work.")
                    .integer("partitions", KAFKA_PARTITIONS, 1..=PARTITIONS_MAX);
                Bus { kind: Kind::Kafka(Box::new(read_kafka(&mut kafka))), partitions, registry }
            }
            (None, Some(mut embedded)) => {
                Bus { kind: Kind::Embedded(read_embedded(&mut embedded, state_directory)), partitions: 1, registry }
            }
            (None, None) => {
                let defaults = embedded::Config { directory: log_directory(state_directory), ..Default::default() };
                Bus { kind: Kind::Embedded(defaults), partitions: 1, registry }
            }
        }
    }

    /// Whether the log is part of this process.
    pub fn is_embedded(&self) -> bool {
        matches!(self.kind, Kind::Embedded(_))
    }

    /// How long a process may be silent before its share goes to others; none where there are no others.
    pub fn session_timeout(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Embedded(_) => None,
            Kind::Kafka(config) => Some(config.session_timeout),
        }
    }

    /// Where the log is, for people.
    pub fn place(&self) -> String {
        match &self.kind {
            Kind::Embedded(config) => format!("embedded log in {}", config.directory.display()),
            Kind::Kafka(config) => format!("Kafka at {}", config.bootstrap_servers.join(", ")),
        }
    }
}

fn log_directory(state_directory: &Path) -> PathBuf {
    state_directory.join("log")
}

fn read_embedded(section: &mut Section, state_directory: &Path) -> embedded::Config {
    let directory = section
        .doc("Folder of the log; `log` in the state directory if not set.")
        .optional_text("directory")
        .map_or_else(|| log_directory(state_directory), PathBuf::from);
    let sync = section.doc("Every commit is on the disk before it counts (fsync).").boolean("sync", true);
    embedded::Config { directory, sync, ..Default::default() }
}

fn read_kafka(section: &mut Section) -> kafka::Config {
    let defaults = kafka::Config::default();
    let bootstrap_servers = section
        .doc("Brokers to start from: host and port.")
        .list_of_text("bootstrap_servers", &["127.0.0.1:9092"])
        .iter()
        .flat_map(|servers| servers.split(','))
        .map(|server| server.trim().to_owned())
        .filter(|server| !server.is_empty())
        .collect::<Vec<_>>();
    if bootstrap_servers.is_empty() {
        section.problem("bootstrap_servers", "name at least one broker, such as kafka:9092");
    }
    let config =
        kafka::Config {
            bootstrap_servers,
            client_id: section
                .doc("Name under which the brokers know this process.")
                .text("client_id", &defaults.client_id),
            security: read_security(section),
            replication_factor: section
                .doc("Copies of each topic that `topics create` makes; the brokers' default if not set.")
                .optional_integer("replication_factor", 1..=100),
            transaction_timeout: section
                .doc("The broker aborts a transaction that is open for longer.")
                .duration_within("transaction_timeout", "15s", "1s"..="1m"),
            session_timeout: section.doc("A process that is silent for longer loses its partitions.").duration_within(
                "session_timeout",
                "10s",
                "1s"..="5m",
            ),
            properties: properties::read(section),
            ..defaults
        };
    if let Err(error) = kafka::check(&config) {
        section.problem_here(error.to_string());
    }
    config
}

fn read_security(section: &mut Section) -> kafka::Security {
    let tls = section.optional_section("tls");
    let sasl = section.optional_section("sasl");
    let protocol = match (tls.is_some(), sasl.is_some()) {
        (false, false) => kafka::Protocol::Plaintext,
        (true, false) => kafka::Protocol::Ssl,
        (false, true) => kafka::Protocol::SaslPlaintext,
        (true, true) => kafka::Protocol::SaslSsl,
    };
    let mut security = kafka::Security { protocol, ..Default::default() };
    if let Some(mut tls) = tls {
        read_tls(&mut tls, &mut security);
    }
    if let Some(mut sasl) = sasl {
        read_sasl(&mut sasl, &mut security);
    }
    if security.protocol == kafka::Protocol::SaslPlaintext && security.mechanism == kafka::Mechanism::Plain {
        section.warning("sasl", "PLAIN sends the password as it is, and nothing is encrypted: add `tls: {}`");
    }
    security
}

fn read_tls(section: &mut Section, security: &mut kafka::Security) {
    let mut file = |key, doc| section.doc(doc).optional_text(key).map(PathBuf::from);
    security.ca_file = file("ca_file", "PEM file of the authorities to trust; the system's if not set.");
    security.certificate_file = file("cert_file", "PEM file of our certificate.");
    security.key_file = file("key_file", "PEM file of the key of cert_file.");
    if security.certificate_file.is_some() != security.key_file.is_some() {
        section.problem_here("cert_file and key_file belong together: give both or none");
    }
    security.key_password = secret(section, "key_password", "Password of the key file.");
}

fn read_sasl(section: &mut Section, security: &mut kafka::Security) {
    let mechanisms = [
        ("PLAIN", kafka::Mechanism::Plain),
        ("SCRAM-SHA-256", kafka::Mechanism::ScramSha256),
        ("SCRAM-SHA-512", kafka::Mechanism::ScramSha512),
        ("OAUTHBEARER", kafka::Mechanism::OauthBearer),
    ];
    security.mechanism = section.doc("How to prove who we are.").variant("mechanism", &mechanisms, "PLAIN");
    security.username = section.doc("User name, for PLAIN and SCRAM.").text("username", "");
    security.password = secret(section, "password", "Password, for PLAIN and SCRAM.");
    let token_file = section.doc("File with a bearer token that somebody keeps fresh.").optional_text("token_file");
    let endpoint = section.optional_section("token_endpoint");
    let bearer = security.mechanism == kafka::Mechanism::OauthBearer;
    if bearer != (token_file.is_some() || endpoint.is_some()) || (token_file.is_some() && endpoint.is_some()) {
        section
            .problem("mechanism", "OAUTHBEARER needs one of `token_file` and `token_endpoint`, the others need none");
    }
    security.token = match (token_file, endpoint) {
        (Some(path), _) => kafka::Token::File(path.into()),
        (None, Some(mut endpoint)) => read_token_endpoint(&mut endpoint),
        (None, None) => kafka::Token::None,
    };
}

fn read_token_endpoint(section: &mut Section) -> kafka::Token {
    kafka::Token::Endpoint {
        url: section.doc("Token endpoint of the OpenID Connect provider.").required_text("url"),
        client_id: section.required_text("client_id"),
        client_secret: secret(section, "client_secret", "Secret of the client."),
        scope: section.doc("Scope to ask for.").text("scope", ""),
    }
}

fn secret(section: &mut Section, key: &str, doc: &'static str) -> String {
    section.doc(doc).secret(key).map_or_else(String::new, |secret| secret.expose().to_owned())
}

fn read_registry(section: &mut Section) -> registry::Config {
    registry::Config {
        url: section.doc("Base address of the registry's Confluent API.").required_text("url"),
        username: section.doc("User name for basic authentication.").text("username", ""),
        password: secret(section, "password", "Password for basic authentication."),
        ca_file: section.doc("PEM file of the authorities to trust.").optional_text("ca_file").map(PathBuf::from),
        timeout: section.doc("Longest wait for an answer.").duration_within("timeout", "5s", "100ms"..="1m"),
    }
}
