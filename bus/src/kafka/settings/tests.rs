use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Config, Kafka, Mechanism, Protocol, Security, Token};
use super::*;

fn with_properties(properties: &[(&str, &str)]) -> Config {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config { properties: properties.iter().map(owned).collect::<BTreeMap<_, _>>(), ..Config::default() }
}

fn spec() -> GroupSpec {
    GroupSpec {
        group: "group".to_owned(),
        topics: vec!["topic".to_owned()],
        changelog: None,
        slot: "0".into(),
        fetch_bytes_max: 8 << 20,
    }
}

#[test]
fn a_property_that_librdkafka_does_not_take_is_named_and_its_value_is_not() {
    let cases = [("no.such.property", "hidden"), ("linger.ms", "hidden"), ("compression.type", "hidden")];
    for (name, value) in cases {
        let error = Kafka::open(&with_properties(&[(name, value)])).err().expect("librdkafka does not take it");
        assert!(matches!(error, BusError::Fatal { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}

#[test]
fn properties_replace_defaults_but_not_what_has_to_hold() {
    let tuned = [("linger.ms", "20"), ("fetch.wait.max.ms", "7")];
    let dangerous = [
        ("enable.auto.commit", "true"),
        ("isolation.level", "read_uncommitted"),
        ("auto.offset.reset", "latest"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("enable.idempotence", "false"),
        ("bootstrap.servers", "elsewhere:1"),
        ("max.in.flight", "5"),
        ("message.timeout.ms", "1"),
        ("delivery.timeout.ms", "1"),
        ("auto.commit.enable", "true"),
        ("metadata.broker.list", "elsewhere:1"),
        ("log.connection.close", "false"),
    ];
    let settings = Settings::new(with_properties(&[tuned.as_slice(), &dangerous].concat())).expect("settings");
    assert_eq!(settings.transactions("id").get("linger.ms"), Some("20"));
    let member = settings.member(&spec());
    assert_eq!(member.get("fetch.wait.max.ms"), Some("7"));
    assert_eq!(member.get("enable.auto.commit"), Some("false"));
    assert_eq!(member.get("isolation.level"), Some("read_committed"));
    assert_eq!(member.get("auto.offset.reset"), Some("error"));
    assert_eq!(member.get("partition.assignment.strategy"), Some("range"));
    assert_eq!(member.get("bootstrap.servers"), Some("127.0.0.1:9092"));
    for properties in [settings.transactions("id"), settings.producer(), settings.member(&spec())] {
        for other_name in ["delivery.timeout.ms", "auto.commit.enable", "metadata.broker.list"] {
            assert_eq!(properties.get(other_name), None, "librdkafka would take one of two by chance");
        }
    }
    assert_eq!(settings.transactions("id").get("log.connection.close"), Some("true"));
    assert_eq!(settings.producer().get("enable.idempotence"), Some("true"));
    assert_eq!(settings.producer().get("max.in.flight.requests.per.connection"), Some("1"));
    assert_eq!(settings.producer().get("message.timeout.ms"), Some("0"));
}

#[test]
fn a_stalled_end_of_a_transaction_times_out_before_it_is_sent_again() {
    let config = Config { transaction_timeout: Duration::from_secs(30), ..Config::default() };
    let properties = Settings::new(config).expect("settings").transactions("id");
    let value = |name: &str| properties.get(name).and_then(|value| value.parse::<u64>().ok()).expect("a number");
    assert!(value("socket.timeout.ms") > value("transaction.timeout.ms"));
    assert!(value("message.timeout.ms") < value("transaction.timeout.ms"));
}

#[test]
fn security_becomes_properties_and_stays_out_of_sight() {
    let security = Security {
        protocol: Protocol::SaslSsl,
        mechanism: Mechanism::ScramSha512,
        username: "reader".to_owned(),
        password: "hidden".to_owned(),
        ca_file: Some("/etc/ca.pem".into()),
        key_password: "hidden".to_owned(),
        token: Token::Endpoint {
            url: "http://host/?hidden".to_owned(),
            client_id: "client".to_owned(),
            client_secret: "hidden".to_owned(),
            scope: String::new(),
        },
        ..Security::default()
    };
    let properties = BTreeMap::from([("ssl.keystore.password".to_owned(), "hidden".to_owned())]);
    let config = Config { security, properties, ..Config::default() };
    assert!(!format!("{config:?}").contains("hidden"), "{config:?}");
    let settings = Settings::new(config).expect("settings");
    assert!(!format!("{settings:?}").contains("hidden"), "{settings:?}");
    let admin = settings.admin();
    assert_eq!(admin.get("security.protocol"), Some("sasl_ssl"));
    assert_eq!(admin.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));
    assert_eq!(admin.get("sasl.password"), Some("hidden"));
    assert_eq!(admin.get("ssl.ca.location"), Some("/etc/ca.pem"));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let security =
        Security { protocol: Protocol::Ssl, ca_file: Some("/nonexistent/ca.pem".into()), ..Security::default() };
    let kafka = Kafka::open(&Config { security, ..Config::default() }).expect("librdkafka reads files later");
    let error = crate::Bus::health(&kafka).expect_err("there is no such file");
    assert!(matches!(&error, BusError::Fatal { message, .. } if message.contains("ssl.ca.location")), "{error:?}");
}
