//! The Kafka bus on a genuine broker: the contract, and how it connects.

mod security;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_bus::{Bus, Retention};
use dbintel_tests::conformance::{self, BusUnderTest};
use dbintel_tests::servers::kafka::{Kafka, Setup};
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

struct UnderTest<'k> {
    bus: KafkaBus,
    kafka: &'k Kafka,
    /// Topics whose segments end soon.
    hurried: Mutex<BTreeSet<String>>,
}

impl UnderTest<'_> {
    fn new(bus: KafkaBus, kafka: &Kafka) -> UnderTest<'_> {
        UnderTest { bus, kafka, hurried: Mutex::default() }
    }
}

impl BusUnderTest for UnderTest<'_> {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }

    fn kafka(&self) -> bool {
        true
    }

    /// Segments of a compacted topic end soon, so that there is something to compact.
    fn maintain(&self, topic: &str) {
        let described = self.bus.describe_topics(topic).unwrap();
        if described[0].retention == Retention::Compacted && self.hurried.lock().unwrap().insert(topic.to_owned()) {
            let config = AlterConfig::new(ResourceSpecifier::Topic(topic))
                .set("cleanup.policy", "compact")
                .set("segment.ms", "100")
                .set("min.cleanable.dirty.ratio", "0");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let options = AdminOptions::new();
            let altered = runtime.block_on(self.kafka.admin().alter_configs([&config], &options)).unwrap();
            assert!(altered.iter().all(Result::is_ok), "{altered:?}");
        }
    }
}

#[test]
fn conforms() {
    let kafka = Kafka::set_up(&Setup {
        properties: &[
            ("log.retention.check.interval.ms", "500"),
            ("log.initial.task.delay.ms", "100"),
            ("log.cleaner.backoff.ms", "200"),
        ],
        ..Setup::default()
    });
    let config = Config {
        bootstrap_servers: vec![kafka.bootstrap.clone()],
        session_timeout: Duration::from_secs(6),
        poll_interval_max: Duration::from_secs(15),
        // On a busy machine a case may be slow: a producer whose transaction is too old would be fenced for that.
        transaction_timeout: Duration::from_secs(50),
        ..Config::default()
    };
    conformance::suite(&UnderTest::new(KafkaBus::open(&config).unwrap(), &kafka));
}
