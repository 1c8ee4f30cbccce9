//! The properties of each kind of librdkafka client: measured defaults, then what the user sets, then what has to hold.

use std::path::Path;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::config::{Config, Mechanism};
use super::oauth;
use crate::{BusError, GroupSpec, Isolation};

/// librdkafka waits this long for an answer beyond the transaction's own time-out (it allows no more): what stalls then ends
/// in a time-out here and is not sent a second time, which could end the next transaction.
const ANSWER_SLACK: Duration = Duration::from_millis(100);
/// After this long without an answer a producer outside of transactions sends again, to the leader of that time: by then a broker
/// that hangs has lost its partitions. librdkafka's own minute would be how long pollers stall.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// A member learns with its heartbeat that the group changes: when another one leaves, this long until the partitions move.
const HEARTBEAT_MAX: Duration = Duration::from_millis(500);
/// Bytes that a reader may fetch ahead.
const READER_BYTES_MAX: usize = 16 << 20;
/// Name of no group that anybody joins, under the prefix that rights are given for.
const READER_GROUP: &str = "dbintel.reader";
/// Bytes that one fetch may bring.
const FETCH_BYTES_MAX: usize = 16 << 20;

/// Makes the properties.
#[derive(Debug, Clone)]
pub struct Settings {
    config: Config,
}

impl Settings {
    /// Checks that librdkafka knows every property and accepts every value.
    pub fn new(config: Config) -> Result<Settings, BusError> {
        let settings = Settings { config };
        settings.check()?;
        Ok(settings)
    }

    /// The configuration behind it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where bearer tokens come from.
    pub fn tokens(&self) -> Option<oauth::Source> {
        oauth::Source::new(&self.config.security.token)
    }

    /// A record takes at most this long to be acknowledged inside a transaction.
    pub fn message_timeout(&self) -> Duration {
        self.config.transaction_timeout * 2 / 3
    }

    /// A member's consumer.
    pub fn member(&self, spec: &GroupSpec) -> ClientConfig {
        let mut properties = self.with_defaults(&FETCHING);
        set(&mut properties, "queued.max.messages.kbytes", kibibytes(spec.fetch_bytes_max));
        set(&mut properties, "fetch.max.bytes", spec.fetch_bytes_max.clamp(1 << 20, FETCH_BYTES_MAX));
        self.finish(&mut properties);
        set(&mut properties, "group.id", &spec.group);
        // Brokers make the member's id of it, and the assignor sorts by that: whoever holds a slot gets the same partitions
        // again, and finds its state.
        set(&mut properties, "client.id", format!("{}.{}", self.config.client_id, spec.slot.name));
        if spec.slot.kept {
            set(&mut properties, "group.instance.id", &spec.slot.name);
        }
        set(&mut properties, "session.timeout.ms", self.config.session_timeout.as_millis());
        set(&mut properties, "heartbeat.interval.ms", (self.config.session_timeout / 4).min(HEARTBEAT_MAX).as_millis());
        set(&mut properties, "max.poll.interval.ms", self.config.poll_interval_max.as_millis());
        set_all(&mut properties, &MEMBERSHIP);
        set_all(&mut properties, &EXACT_READING);
        set(&mut properties, "isolation.level", isolation(Isolation::Committed));
        properties
    }

    /// A member's producer.
    pub fn transactions(&self, transactional_id: &str) -> ClientConfig {
        let mut properties = self.with_defaults(&SENDING);
        self.finish(&mut properties);
        let transaction_timeout = self.config.transaction_timeout;
        set(&mut properties, "transactional.id", transactional_id);
        set(&mut properties, "transaction.timeout.ms", transaction_timeout.as_millis());
        set(&mut properties, "message.timeout.ms", self.message_timeout().as_millis());
        set(&mut properties, "socket.timeout.ms", (transaction_timeout + ANSWER_SLACK).as_millis());
        // Trouble with the transaction coordinator is known from the log.
        set(&mut properties, "log.connection.close", "true");
        self.bound_sending(&mut properties);
        properties
    }

    /// A producer outside of transactions: it keeps trying for as long as the process lives.
    pub fn producer(&self) -> ClientConfig {
        let mut properties = self.with_defaults(&SENDING);
        set(&mut properties, "socket.timeout.ms", SILENCE_MAX.as_millis());
        self.finish(&mut properties);
        set(&mut properties, "enable.idempotence", "true");
        // A broker that knows nothing of a producer takes its second request though the first one failed, and librdkafka then
        // counts the first one as delivered. It knows nothing of one that is new to a partition, or has not written for a day.
        set(&mut properties, "max.in.flight.requests.per.connection", "1");
        set(&mut properties, "message.timeout.ms", "0");
        self.bound_sending(&mut properties);
        properties
    }

    /// A consumer outside of groups. librdkafka wants a group name all the same; nothing is ever committed to it.
    pub fn reader(&self, isolation_level: Isolation) -> ClientConfig {
        let mut properties = self.with_defaults(&FETCHING);
        set(&mut properties, "queued.max.messages.kbytes", kibibytes(READER_BYTES_MAX));
        self.finish(&mut properties);
        set(&mut properties, "group.id", READER_GROUP);
        set_all(&mut properties, &EXACT_READING);
        set(&mut properties, "isolation.level", isolation(isolation_level));
        properties
    }

    /// A client that asks questions about partitions, and about a group if one is named.
    pub fn inquirer(&self, isolation_level: Isolation, group: Option<&str>) -> ClientConfig {
        let mut properties = self.reader(isolation_level);
        match group {
            Some(group) => set(&mut properties, "group.id", group),
            None => {
                properties.remove("group.id");
            }
        }
        properties
    }

    /// A client that creates topics and the like.
    pub fn admin(&self) -> ClientConfig {
        let mut properties = self.with_defaults(&[]);
        self.finish(&mut properties);
        properties
    }

    fn with_defaults(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        let mut properties = ClientConfig::new();
        properties.set_log_level(RDKafkaLogLevel::Info);
        set_all(&mut properties, &CONNECTING);
        set_all(&mut properties, defaults);
        properties
    }

    /// What the user sets, and over it the typed settings.
    fn finish(&self, properties: &mut ClientConfig) {
        for (name, value) in &self.config.properties {
            set(properties, canonical(name), value);
        }
        if self.config.properties.contains_key("debug") {
            properties.set_log_level(RDKafkaLogLevel::Debug);
        }
        set(properties, "bootstrap.servers", self.config.bootstrap_servers.join(","));
        set(properties, "client.id", &self.config.client_id);
        self.secure(properties);
    }

    fn secure(&self, properties: &mut ClientConfig) {
        let security = &self.config.security;
        set(properties, "security.protocol", security.protocol.name());
        let files = [
            ("ssl.ca.location", &security.ca_file),
            ("ssl.certificate.location", &security.certificate_file),
            ("ssl.key.location", &security.key_file),
        ];
        for (name, file) in files {
            if let Some(file) = file {
                set(properties, name, path(file));
            }
        }
        if !security.key_password.is_empty() {
            set(properties, "ssl.key.password", &security.key_password);
        }
        if security.protocol.sasl() {
            set(properties, "sasl.mechanisms", security.mechanism.name());
            if security.mechanism != Mechanism::OauthBearer {
                set(properties, "sasl.username", &security.username);
                set(properties, "sasl.password", &security.password);
            }
        }
    }

    fn bound_sending(&self, properties: &mut ClientConfig) {
        set(properties, "queue.buffering.max.messages", self.config.send_records_max);
        set(properties, "queue.buffering.max.kbytes", kibibytes(self.config.send_bytes_max));
        set(properties, "message.max.bytes", self.config.message_bytes_max);
    }

    fn check(&self) -> Result<(), BusError> {
        let spec = GroupSpec {
            group: "check".to_owned(),
            topics: Vec::new(),
            changelog: None,
            slot: "check".into(),
            fetch_bytes_max: FETCH_BYTES_MAX,
        };
        for properties in [self.member(&spec), self.transactions("check"), self.producer()] {
            properties.create_native_config().map_err(|error| unusable(&error))?;
        }
        Ok(())
    }
}

/// To every client: reconnect fast, notice dead connections.
const CONNECTING: [(&str, &str); 5] = [
    ("socket.keepalive.enable", "true"),
    ("socket.nagle.disable", "true"),
    ("reconnect.backoff.max.ms", "1000"),
    ("topic.metadata.refresh.fast.interval.ms", "50"),
    ("allow.auto.create.topics", "false"),
];

/// Fetch ahead, and go on fetching soon: the default back-off of 1 s starves a fast consumer.
const FETCHING: [(&str, &str); 6] = [
    ("queued.min.messages", "100000"),
    ("fetch.queue.backoff.ms", "2"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.wait.max.ms", "50"),
    ("fetch.message.max.bytes", "1048576"),
    ("check.crcs", "true"),
];

/// Full batches, soon; the default retry back-off of 100 ms makes the first request of each transaction slow.
const SENDING: [(&str, &str); 5] = [
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    ("batch.num.messages", "10000"),
    ("compression.type", "lz4"),
    ("retry.backoff.ms", "2"),
];

/// The same numbers to the same members each time; all partitions given back before the group moves on.
const MEMBERSHIP: [(&str, &str); 1] = [("partition.assignment.strategy", "range")];

/// Positions are ours, never librdkafka's.
const EXACT_READING: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

/// The name under which this file knows a property that librdkafka has two names for.
fn canonical(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, canonical)| canonical)
}

/// Second names, and those that this file uses. With both set, chance would decide which one counts.
const ALIASES: [(&str, &str); 8] = [
    ("metadata.broker.list", "bootstrap.servers"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("auto.commit.enable", "enable.auto.commit"),
];

fn isolation(level: Isolation) -> &'static str {
    match level {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    }
}

fn kibibytes(bytes: usize) -> usize {
    (bytes >> 10).max(1)
}

fn path(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

fn set(properties: &mut ClientConfig, name: &str, value: impl ToString) {
    properties.set(name, value.to_string());
}

fn set_all(properties: &mut ClientConfig, values: &[(&str, &str)]) {
    for (name, value) in values {
        set(properties, name, value);
    }
}

/// Names the property and not its value, which may be a password.
fn unusable(error: &KafkaError) -> BusError {
    let message = match error {
        KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _) => {
            format!("librdkafka knows no property {name}: correct or remove it")
        }
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("the value of {name} is not one that librdkafka takes: correct it")
        }
        error => error.to_string(),
    };
    BusError::Fatal { operation: "set up the kafka bus".to_owned(), message }
}

#[cfg(test)]
mod tests;
