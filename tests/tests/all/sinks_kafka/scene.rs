//! One broker for all scenes, which take turns: each has sinks of its own, that begin at the end of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_bus::topic_name;
use dbintel_schemas::Topic;
use dbintel_schemas::records::EnrichedQuery;
use dbintel_schemas::wire::Schemas;
use dbintel_sinks::{FirstStart, Handle, SinkConfig, otlp};
use dbintel_tests::books::read_all;
use dbintel_tests::otlp_peer::{Answer, Export, OtlpPeer};
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::wait;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::sinks_rig::{LIMIT, Rig};

/// Partitions of the topics.
pub const PARTITIONS: u32 = 4;
/// What the names of the groups of sinks begin with.
const GROUP_PREFIX: &str = "dbintel.sink.";

static BROKER: LazyLock<Mutex<Kafka>> = LazyLock::new(|| Mutex::new(Kafka::start()));

/// A log on the broker, a receiver, and the id of the sink between them.
pub struct Scene {
    pub rig: Rig,
    pub peer: OtlpPeer,
    pub id: &'static str,
    pub kafka: MutexGuard<'static, Kafka>,
    begun: Vec<i64>,
}

impl Scene {
    pub fn new(id: &'static str) -> Scene {
        let kafka = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
        let config = Config {
            bootstrap_servers: vec![kafka.bootstrap.clone()],
            // A commit that the broker does not answer is given up after this time.
            transaction_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        let rig = Rig::on(Arc::new(KafkaBus::open(&config).unwrap()), PARTITIONS);
        let mut scene = Scene { rig, peer: OtlpPeer::start(), id, kafka, begun: Vec::new() };
        scene.begun = scene.ends();
        scene
    }

    /// A sink that waits for answers for as long as a scene takes.
    pub fn config(&self) -> otlp::Config {
        otlp::Config {
            timeout: Duration::from_secs(60),
            start_at: FirstStart::Now,
            ..crate::sinks_rig::otlp(&self.peer.grpc, otlp::Protocol::Grpc)
        }
    }

    /// Starts a member and waits until it owns partitions.
    pub fn start(&self, slot: &str) -> Handle {
        self.start_with(slot, self.config())
    }

    pub fn start_with(&self, slot: &str, config: otlp::Config) -> Handle {
        let sink = self.rig.start(self.id, slot, SinkConfig::Otlp(Box::new(config)));
        wait_until_ready(&sink);
        sink
    }

    /// Waits until the sink has recorded so many rows of this scene, and that none was rejected.
    pub fn delivered(&self, rows: i64) {
        let exported = self.rig.exported(self.id, rows);
        assert_eq!((exported.rows(), exported.rejected), (rows, 0), "{exported:?}");
    }

    /// Waits for requests, whatever they are answered.
    pub fn requested(&self, count: usize) {
        wait::blocking(LIMIT, "requests", || (self.peer.requests().len() >= count).then_some(()));
    }

    /// Numbers of the queries in the order accepted; sorted and without repetition they are all of the scene.
    pub fn accepted(&self) -> Vec<usize> {
        let mut numbers = Vec::new();
        for export in self.peer.accepted() {
            let Export::Logs(request) = export else { continue };
            let records = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
            for record in records.flat_map(|scope| &scope.log_records) {
                let id = record.attributes.iter().find(|attribute| attribute.key == "postgresql.queryid");
                let Some(Value::StringValue(id)) = id.and_then(|id| id.value.as_ref()?.value.as_ref()) else {
                    panic!("{record:?}");
                };
                numbers.push(id.parse().unwrap());
            }
        }
        numbers
    }

    /// Checks that each of the rows was accepted, and nothing else.
    pub fn assert_all_accepted(&self, rows: usize) {
        let accepted: BTreeSet<usize> = self.accepted().into_iter().collect();
        assert_eq!(accepted, (0..rows).collect());
    }

    /// Ends of the partitions of the queries.
    pub fn ends(&self) -> Vec<i64> {
        let end = |partition| self.rig.bus.offsets(&queries(), partition).unwrap().stable_end;
        (0..PARTITIONS).map(end).collect()
    }

    /// Positions of the sink in the queries.
    pub fn positions(&self) -> BTreeMap<u32, i64> {
        let group = format!("{GROUP_PREFIX}{}", self.id);
        let committed = self.rig.bus.committed(&group, &[queries()]).unwrap();
        committed.into_iter().map(|position| (position.partition, position.next_offset)).collect()
    }

    /// Numbers of the rows that the positions are past.
    pub fn passed(&self) -> BTreeSet<usize> {
        let (schemas, positions, mut numbers) = (Schemas::new(), self.positions(), BTreeSet::new());
        for partition in 0..PARTITIONS {
            let until = positions.get(&partition).copied().unwrap_or(0);
            let range = self.begun[partition as usize]..until;
            for record in read_all(&*self.rig.bus, Topic::EnrichedQueries, partition) {
                if range.contains(&record.offset) {
                    let mut scratch = Vec::new();
                    let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
                    numbers.insert(row.query_id.parse().unwrap());
                }
            }
        }
        numbers
    }

    /// No position is past a row that was not accepted.
    pub fn assert_nothing_passed_unaccepted(&self) {
        let accepted: BTreeSet<usize> = self.accepted().into_iter().collect();
        let passed = self.passed();
        assert!(passed.is_subset(&accepted), "{:?}", passed.difference(&accepted).collect::<Vec<_>>());
    }
}

pub fn wait_until_ready(sink: &Handle) {
    wait::blocking(LIMIT, "readiness", || sink.ready().then_some(()));
}

pub fn queries() -> String {
    topic_name(Topic::EnrichedQueries)
}

/// An answer to try again later.
pub fn later() -> Answer {
    Answer::Grpc { code: tonic::Code::Unavailable, retry_after: None }
}
