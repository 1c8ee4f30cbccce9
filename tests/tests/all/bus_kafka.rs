//! The Kafka bus on a genuine broker: the contract, and how it connects.

mod security;

use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_tests::conformance::{self, BusUnderTest};
use dbintel_tests::servers::kafka::Kafka;

struct UnderTest(KafkaBus);

impl BusUnderTest for UnderTest {
    fn bus(&self) -> &dyn Bus {
        &self.0
    }

    fn kafka(&self) -> bool {
        true
    }
}

#[test]
fn conforms() {
    let kafka = Kafka::start();
    let config = Config {
        bootstrap_servers: vec![kafka.bootstrap.clone()],
        session_timeout: Duration::from_secs(6),
        poll_interval_max: Duration::from_secs(15),
        // On a busy machine a case may be slow: a producer whose transaction is too old would be fenced for that.
        transaction_timeout: Duration::from_secs(50),
        ..Config::default()
    };
    conformance::suite(&UnderTest(KafkaBus::open(&config).unwrap()));
}
