//! `bus: kafka: properties`: what is passed through to librdkafka, and what is not because something else decides it.

use std::collections::BTreeMap;

use dbintel_bus::{BusError, kafka};
use dbintel_config::Section;

/// Properties that other settings give, and those settings.
const TYPED: [(&str, &str); 10] = [
    ("bootstrap.servers", "bootstrap_servers"),
    ("metadata.broker.list", "bootstrap_servers"),
    ("client.id", "client_id"),
    ("security.protocol", "tls` and `sasl"),
    ("ssl.ca.location", "tls: ca_file"),
    ("ssl.certificate.location", "tls: cert_file"),
    ("ssl.key.location", "tls: key_file"),
    ("ssl.key.password", "tls: key_password"),
    ("session.timeout.ms", "session_timeout"),
    ("transaction.timeout.ms", "transaction_timeout"),
];

/// Properties that are what they are so that each row has its effect exactly once, and everything stays bounded.
const FIXED: [&str; 19] = [
    "auto.commit.enable",
    "auto.offset.reset",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "partition.assignment.strategy",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "transactional.id",
];

/// Reads the properties. One that has no effect is a mistake, and so is one that librdkafka does not take.
pub fn read(section: &mut Section) -> BTreeMap<String, String> {
    let secrets = section.doc("Any further property of librdkafka.").secret_map("properties");
    let mut properties = BTreeMap::new();
    for (name, value) in secrets {
        match refusal(&name, value.expose()) {
            Some(message) => section.problem_in("properties", &name, message),
            None => drop(properties.insert(name, value.expose().to_owned())),
        }
    }
    properties
}

/// Why a property is refused. The value may be a password and is not told.
fn refusal(name: &str, value: &str) -> Option<String> {
    if let Some((_, setting)) = TYPED.iter().find(|(property, _)| *property == name) {
        return Some(format!("has no effect here: set `{setting}` of `kafka`"));
    }
    if name.starts_with("sasl.") {
        return Some("has no effect here: set `sasl` of `kafka`".to_owned());
    }
    if FIXED.contains(&name) {
        return Some("cannot be set: the guarantees and limits of the log depend on it; remove it".to_owned());
    }
    let alone = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    match kafka::check(&kafka::Config { properties: alone, ..kafka::Config::default() }) {
        Err(BusError::Fatal { message, .. }) => Some(message),
        Err(error) => Some(error.to_string()),
        Ok(()) => None,
    }
}

#[cfg(test)]
mod tests {
    use dbintel_config::{Document, Environment};

    use super::*;

    #[test]
    fn what_has_no_effect_or_is_not_taken_is_refused_at_its_place() {
        let cases = [
            ("security.protocol: ssl", "set `tls` and `sasl` of `kafka`"),
            ("ssl.ca.location: /x", "set `tls: ca_file` of `kafka`"),
            ("sasl.password: swordfish", "set `sasl` of `kafka`"),
            ("bootstrap.servers: a:1", "set `bootstrap_servers` of `kafka`"),
            ("group.id: swordfish", "cannot be set"),
            ("isolation.level: read_uncommitted", "cannot be set"),
            ("no.such.property: swordfish", "librdkafka knows no property no.such.property"),
            ("linger.ms: swordfish", "the value of linger.ms is not one that librdkafka takes"),
        ];
        for (line, expected) in cases {
            let document = Document::from_text("c.yaml", &format!("properties:\n  {line}\n"), &Environment::empty());
            let problems = document.unwrap().read(read).unwrap_err().to_string();
            let place = format!("c.yaml:2:{}: properties[\"", line.find(": ").unwrap() + 5);
            assert!(problems.starts_with(&place) && problems.contains(expected), "{problems}");
            assert!(!problems.contains("swordfish"), "{problems}");
        }
    }

    #[test]
    fn what_librdkafka_takes_is_passed_through() {
        let yaml = "properties: {socket.keepalive.enable: true, ssl.keystore.password: mellon, linger.ms: 50}\n";
        let document = Document::from_text("c.yaml", yaml, &Environment::empty()).unwrap();
        let properties = document.read(read).unwrap().config;
        let expected = [("linger.ms", "50"), ("socket.keepalive.enable", "true"), ("ssl.keystore.password", "mellon")];
        assert_eq!(properties, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }
}
