//! The model of a broker keeps the contract: what is found with it holds for the others.

use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::model::{Config, Model};
use dbintel_tests::conformance::{self, BusUnderTest};

struct UnderTest(Model);

impl BusUnderTest for UnderTest {
    fn bus(&self) -> &dyn Bus {
        &self.0
    }

    fn kafka(&self) -> bool {
        false
    }

    #[expect(clippy::disallowed_methods, reason = "the case publishes records of the time of day")]
    fn maintain(&self, topic: &str) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        self.0.expire(topic, now.as_millis() as i64).unwrap();
    }
}

#[test]
fn conforms() {
    let config = Config { rebalance_timeout: Duration::from_secs(2), ..Config::default() };
    conformance::suite(&UnderTest(Model::new(config)));
}
