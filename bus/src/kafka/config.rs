//! Settings of the Kafka bus.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach a Kafka cluster and how much to hold in memory for it.
#[derive(Clone)]
pub struct Config {
    /// `host:port` of one or more brokers to start from.
    pub bootstrap_servers: Vec<String>,
    /// Name under which the brokers log, count and limit this process.
    pub client_id: String,
    /// Encryption and authentication.
    pub security: Security,
    /// librdkafka properties, passed through to every client. Fields of this struct and what exactly-once needs win over them.
    pub properties: BTreeMap<String, String>,
    /// Copies of each topic that [`create_topics`](crate::Bus::create_topics) makes; none leaves it to the brokers.
    pub replication_factor: Option<u16>,
    /// The broker aborts a transaction that is open for longer. Readers wait behind the open transaction of a dead member
    /// for at most this time and 10 s.
    pub transaction_timeout: Duration,
    /// A member that is silent for longer loses its partitions.
    pub session_timeout: Duration,
    /// A member that does not poll for longer loses its partitions; restoring state counts.
    pub poll_interval_max: Duration,
    /// How long a single question to the brokers may take.
    pub request_timeout: Duration,
    /// Largest record to send, in bytes. Topics have their own limit besides.
    pub message_bytes_max: usize,
    /// Bytes of records that a producer may hold until they are acknowledged.
    pub send_bytes_max: usize,
    /// Records that a producer may hold until they are acknowledged.
    pub send_records_max: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bootstrap_servers: vec!["127.0.0.1:9092".to_owned()],
            client_id: "dbintel".to_owned(),
            security: Security::default(),
            properties: BTreeMap::new(),
            replication_factor: None,
            transaction_timeout: Duration::from_secs(15),
            session_timeout: Duration::from_secs(10),
            poll_interval_max: Duration::from_secs(300),
            request_timeout: Duration::from_secs(10),
            message_bytes_max: 16 << 20,
            send_bytes_max: 64 << 20,
            send_records_max: 200_000,
        }
    }
}

impl fmt::Debug for Config {
    /// Shows the names of the properties only: a value may be a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("security", &self.security)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Encryption and authentication.
#[derive(Clone, Default)]
pub struct Security {
    /// Protocol of the brokers' listener.
    pub protocol: Protocol,
    /// SASL mechanism, for the two SASL protocols.
    pub mechanism: Mechanism,
    /// SASL user name.
    pub username: String,
    /// SASL password.
    pub password: String,
    /// PEM file with the authorities to trust; none trusts those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file with this client's certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the certificate.
    pub key_file: Option<PathBuf>,
    /// Password of the key file; empty if it has none.
    pub key_password: String,
    /// Where bearer tokens come from, for [`Mechanism::OauthBearer`].
    pub token: Token,
}

impl fmt::Debug for Security {
    /// Leaves out the passwords.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Security")
            .field("protocol", &self.protocol)
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// Protocol of the brokers' listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without encryption.
    SaslPlaintext,
    /// SASL inside TLS.
    SaslSsl,
}

impl Protocol {
    /// Its name in librdkafka.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Plaintext => "plaintext",
            Protocol::Ssl => "ssl",
            Protocol::SaslPlaintext => "sasl_plaintext",
            Protocol::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether clients authenticate by SASL.
    pub fn sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }
}

/// SASL mechanism.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mechanism {
    /// User name and password as they are.
    #[default]
    Plain,
    /// Challenge and response with SHA-256.
    ScramSha256,
    /// Challenge and response with SHA-512.
    ScramSha512,
    /// A bearer token.
    OauthBearer,
}

impl Mechanism {
    /// Its name in SASL.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer => "OAUTHBEARER",
        }
    }
}

/// Where bearer tokens come from. They are JSON web tokens; `sub` is the principal and `exp` the end of their life.
#[derive(Clone, Default)]
pub enum Token {
    /// Nowhere.
    #[default]
    None,
    /// From a file that somebody keeps fresh, such as a Kubernetes service account token. It is read for each refresh.
    File(PathBuf),
    /// From an OpenID Connect provider, by the client credentials grant.
    Endpoint {
        /// Token endpoint, `https://…`.
        url: String,
        /// Client id.
        client_id: String,
        /// Client secret.
        client_secret: String,
        /// Scope to ask for; empty for the provider's default.
        scope: String,
    },
}

impl fmt::Debug for Token {
    /// Leaves out the secret, and the endpoint's address because it may hold one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::None => formatter.write_str("None"),
            Token::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Token::Endpoint { client_id, scope, .. } => formatter
                .debug_struct("Endpoint")
                .field("client_id", client_id)
                .field("scope", scope)
                .finish_non_exhaustive(),
        }
    }
}
