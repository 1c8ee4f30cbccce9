//! Encryption and authentication, each against a listener that refuses whoever cannot do it.

use std::fs;
use std::time::Duration;

use dbintel_bus::kafka::{Config, Kafka as KafkaBus, Mechanism, Protocol, Security, Token};
use dbintel_bus::{Bus, BusError};
use dbintel_tests::certificates::certificate;
use dbintel_tests::conformance;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::{Kafka, Setup};

use super::UnderTest;

const USER: &str = "dbintel";
const PASSWORD: &str = "not-for-logs";

const LISTENERS: [(&str, &str); 3] = [("TLS", "SSL"), ("PASSWORD", "SASL_SSL"), ("TOKEN", "SASL_PLAINTEXT")];

/// A broker with certificates for itself and for one client.
struct Secured {
    kafka: Kafka,
    broker_certificate: String,
    other_certificate: String,
    client_certificate: String,
    client_key: String,
    scratch: Scratch,
}

impl Secured {
    fn start() -> Secured {
        let scratch = Scratch::new("secured");
        let (broker_certificate, broker_key) = certificate(&scratch, "broker", "IP:127.0.0.1,DNS:localhost");
        let (client_certificate, client_key) = certificate(&scratch, "client", "DNS:client");
        let (other_certificate, _) = certificate(&scratch, "other", "IP:127.0.0.1");
        let pair = [&broker_key, &broker_certificate].map(|file| fs::read_to_string(file).unwrap()).concat();
        let keystore = scratch.write("broker.pem", &pair);
        let users =
            format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";");
        let properties = [
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", keystore.to_str().unwrap()),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", &client_certificate),
            ("listener.name.tls.ssl.client.auth", "required"),
            ("listener.name.password.sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
            ("listener.name.password.plain.sasl.jaas.config", &users),
            ("listener.name.password.scram-sha-256.sasl.jaas.config", SCRAM),
            ("listener.name.password.scram-sha-512.sasl.jaas.config", SCRAM),
            ("listener.name.token.sasl.enabled.mechanisms", "OAUTHBEARER"),
            ("listener.name.token.oauthbearer.sasl.jaas.config", BEARER),
        ];
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|name| format!("{name}=[name={USER},password={PASSWORD}]"));
        let scram: Vec<&str> = scram.iter().map(String::as_str).collect();
        let kafka =
            Kafka::set_up(&Setup { properties: &properties, listeners: &LISTENERS, scram: &scram, ..Setup::default() });
        Secured { kafka, broker_certificate, other_certificate, client_certificate, client_key, scratch }
    }

    fn open(&self, listener: &str, security: Security) -> KafkaBus {
        let config = Config {
            bootstrap_servers: vec![self.kafka.listeners[listener].clone()],
            security,
            request_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        KafkaBus::open(&config).unwrap()
    }

    fn tls(&self) -> Security {
        Security {
            protocol: Protocol::Ssl,
            ca_file: Some(self.broker_certificate.clone().into()),
            certificate_file: Some(self.client_certificate.clone().into()),
            key_file: Some(self.client_key.clone().into()),
            ..Security::default()
        }
    }

    fn password(&self, mechanism: Mechanism, password: &str) -> Security {
        Security {
            protocol: Protocol::SaslSsl,
            mechanism,
            username: USER.to_owned(),
            password: password.to_owned(),
            ca_file: Some(self.broker_certificate.clone().into()),
            ..Security::default()
        }
    }

    fn token(&self, token: &str) -> Security {
        Security {
            protocol: Protocol::SaslPlaintext,
            mechanism: Mechanism::OauthBearer,
            token: Token::File(self.scratch.write("token", token)),
            ..Security::default()
        }
    }

    #[track_caller]
    fn works(&self, listener: &str, security: Security) {
        conformance::one_transaction(&UnderTest::new(self.open(listener, security), &self.kafka));
    }

    /// What is said, which names the cause and no password.
    #[track_caller]
    fn refused(&self, listener: &str, security: Security) -> String {
        let error = self.open(listener, security).describe_topics("").expect_err("the broker lets nobody in");
        let said = error.to_string();
        assert!(!said.contains(PASSWORD) && !said.contains("wrong-secret"), "{said}");
        assert!(matches!(error, BusError::Fatal { .. }), "waiting does not mend it: {error:?}");
        said
    }
}

/// The users are in the broker's own metadata.
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";

/// The broker takes tokens without a signature, if they are whole and not too old.
const BEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"broker\";";

/// Header `{"alg":"none"}`, claims `{"sub":"dbintel","iat":1700000000,"exp":…}`, and no signature. The first ends in the
/// year 2100, the second in 2023.
const VALID_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkYmludGVsIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjQxMDI0NDQ4MDB9.";
const EXPIRED_TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJkYmludGVsIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDAwMDF9.";

#[test]
fn clients_prove_who_they_are_and_so_does_the_broker() {
    let secured = Secured::start();
    secured.works("TLS", secured.tls());
    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        secured.works("PASSWORD", secured.password(mechanism, PASSWORD));
    }
    secured.works("TOKEN", secured.token(VALID_TOKEN));

    for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let said = secured.refused("PASSWORD", secured.password(mechanism, "wrong-secret"));
        assert!(said.contains("check the user name, password or token"), "{said}");
    }
    let said = secured.refused("TOKEN", secured.token(EXPIRED_TOKEN));
    assert!(said.contains("token"), "{said}");
    let other = Some(secured.other_certificate.clone().into());
    let said = secured.refused("TLS", Security { ca_file: other, ..secured.tls() });
    assert!(said.contains("certificate"), "{said}");
    let said = secured.refused("TLS", Security { certificate_file: None, key_file: None, ..secured.tls() });
    assert!(said.contains("certificate"), "{said}");
}
