//! A receiver that is away, asks for patience and takes only a part: memory stays bounded, and nothing is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_bus::embedded::{Config, Embedded};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{EnrichedQuery, Export};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::otlp_peer::{self, Answer, OtlpPeer};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::cli_rig::{FREE_OWN_PORTS, LIMIT, Running, text};
use crate::pollers_statements::{connect_as, open_shop};

/// What the receiver sees of normal work first.
const CALM: Duration = Duration::from_secs(8);
/// How long it is away.
const OUTAGE: Duration = Duration::from_secs(60);
/// How long it is watched after that, while there is still load.
const RECOVERY: Duration = Duration::from_secs(8);
/// Time between two looks at the process.
const LOOK: Duration = Duration::from_secs(1);
/// Memory that the outage may take in addition: the buffers of `service.memory`, and as much for the log's own. To keep
/// all rows of the outage would take several times as much.
const BUDGET_MIB: f64 = 32.0;
/// Statements that move between two polls, of which there are two in a second.
const STATEMENTS: usize = 800;
/// Items that the receiver rejects of a request, for some requests.
const REJECTED: i64 = 3;
/// Requests that are taken in part.
const PARTIAL: usize = 4;

/// What was seen of the process, look by look, and what the last look showed of the sink.
#[derive(Debug, Default)]
struct Watched {
    memory_mib: Vec<f64>,
    paused: bool,
    stuck: bool,
}

impl Watched {
    async fn watch(&mut self, up: &mut Running, time: Duration) {
        let (started, mut looks) = (Instant::now(), interval(LOOK));
        while started.elapsed() < time {
            looks.tick().await;
            let mut value = |name: &str| up.sample("metrics", name).unwrap();
            self.memory_mib.push(value("otelcol_process_memory_rss{") / f64::from(1 << 20));
            self.paused = value("sink_paused{") > 0.0;
            self.stuck = value("sink_stuck{") > 0.0;
        }
    }

    fn most(&self) -> f64 {
        self.memory_mib.iter().copied().fold(0.0, f64::max)
    }
}

fn start(postgres: &Postgres, peer: &OtlpPeer, scratch: &Scratch) -> Running {
    let configuration = format!(
        "pollers:
  postgresql/shop:
    endpoint: 127.0.0.1:{}
    username: watcher
    collection_interval: 10s
    statements: {{interval: 500ms}}
sinks:
  otlp:
    endpoint: {}
    tls: {{insecure: true}}
    retry_on_failure: {{initial_interval: 100ms, max_interval: 1s, max_elapsed_time: 5s}}
    sending_queue: {{num_consumers: 2, queue_size: 20}}
    batch: {{send_batch_size: 200}}
pipelines: {{main: {{pollers: [postgresql/shop], sinks: [otlp]}}}}
service: {{memory: 16MiB}}
",
        postgres.port, peer.grpc
    );
    let file = scratch.write("dbintel.yaml", &configuration);
    let arguments: Vec<&str> =
        ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_OWN_PORTS.into_iter().take(4)).collect();
    Running::start(&arguments, &[])
}

/// Work of the shop without a pause, until it is told to stop.
async fn work(postgres: &Postgres) -> (watch::Sender<bool>, JoinHandle<()>) {
    let shop = connect_as(postgres, "shop").await;
    let (stop, stopped) = watch::channel(false);
    let batches: Vec<String> = (0..STATEMENTS).step_by(100).map(batch).collect();
    let working = tokio::spawn(async move {
        let mut rounds = interval(Duration::from_millis(400));
        while !*stopped.borrow() {
            rounds.tick().await;
            for batch in &batches {
                shop.simple_query(batch).await.unwrap();
            }
        }
    });
    (stop, working)
}

/// A hundred statements that the server tells apart: by which columns are selected.
fn batch(first: usize) -> String {
    let column = |number: usize, bit: usize| if number >> bit & 1 == 0 { "id" } else { "price" };
    let columns = |number| (0..10).map(|bit| column(number, bit)).collect::<Vec<_>>().join(", ");
    (first..first + 100).map(|number| format!("SELECT {} FROM goods;", columns(number))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_may_be_away_and_nothing_is_lost_and_memory_is_bounded() {
    let (postgres, mut peer, scratch) = (Postgres::start(Major::V18), OtlpPeer::start(), Scratch::new("outage"));
    let _admin = open_shop(&postgres).await;
    let mut up = start(&postgres, &peer, &scratch);
    let (stop, working) = work(&postgres).await;
    let (mut calm, mut troubled) = (Watched::default(), Watched::default());
    up.process.wait_until(|_| !peer.requests().is_empty());
    calm.watch(&mut up, CALM).await;
    assert!(!calm.stuck, "{calm:?}");

    peer.stop();
    troubled.watch(&mut up, OUTAGE).await;
    assert!(troubled.paused && troubled.stuck, "{troubled:?}");
    let wait_a_second =
        Answer::Grpc { code: tonic::Code::ResourceExhausted, retry_after: Some(Duration::from_secs(1)) };
    let a_part = Answer::PartialSuccess { rejected: REJECTED, message: "too old".to_owned() };
    peer.answer_next([vec![wait_a_second; 4], vec![a_part; PARTIAL]].concat());
    peer.start_again();
    troubled.watch(&mut up, RECOVERY).await;
    stop.send_replace(true);
    working.await.unwrap();
    assert!(troubled.most() <= calm.most() + BUDGET_MIB, "{calm:?}, then {troubled:?}");
    every_row_is_settled(&up, &peer);
}

/// Each row was accepted, or is among those that `exports` has as rejected.
fn every_row_is_settled(up: &Running, peer: &OtlpPeer) {
    let config = Config { directory: up.scratch.path().join("log"), ..Config::default() };
    let log = Embedded::open_reader(&config).unwrap();
    let end = log.offsets("dbintel.enriched.queries", 0).unwrap().stable_end;
    let exported = wait::blocking(LIMIT, "the delivery of all rows", || {
        Some(exports(&log)).filter(|exported| exported.next_offset >= end)
    });
    assert_eq!(exported.accepted + exported.rejected + exported.skipped, exported.next_offset, "{exported:?}");
    assert!((1..=REJECTED * PARTIAL as i64).contains(&exported.rejected), "{exported:?}");
    assert_eq!(exported.skipped, 0, "{exported:?}");
    assert!(exported.partial_success, "{exported:?}");

    let accepted = accepted(peer);
    let schemas = Schemas::new();
    let (mut rows, mut lost) = (0, 0);
    for record in read_all(&log, Topic::EnrichedQueries, 0).iter().filter(|record| record.offset < end) {
        let mut scratch = Vec::new();
        let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        let id: String = row.record_id.iter().map(|byte| format!("{byte:02x}")).collect();
        (rows, lost) = (rows + 1, lost + usize::from(!accepted.contains(&id)));
    }
    assert!(rows > STATEMENTS * 40 && lost == 0, "{lost} of {rows} rows were lost");
}

/// What the sink recorded about `enriched.queries`: without gap or overlap.
#[derive(Debug, Default)]
struct Exported {
    next_offset: i64,
    accepted: i64,
    rejected: i64,
    skipped: i64,
    partial_success: bool,
}

fn exports(log: &dyn Bus) -> Exported {
    let (schemas, mut exported) = (Schemas::new(), Exported::default());
    for record in read_all(log, Topic::Exports, 0) {
        let mut scratch = Vec::new();
        let export: Export<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        if export.topic != Topic::EnrichedQueries.name() {
            continue;
        }
        assert_eq!(export.first_offset, exported.next_offset, "{export:?}");
        exported.next_offset = export.next_offset;
        exported.accepted += export.accepted;
        exported.rejected += export.rejected;
        exported.skipped += export.skipped;
        exported.partial_success |= export.error_class == Some("partial_success");
    }
    exported
}

/// Identifiers of the log records in requests that were taken.
pub fn accepted(peer: &OtlpPeer) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for export in peer.accepted() {
        let otlp_peer::Export::Logs(request) = export else { continue };
        let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
        let attributes = scopes.flat_map(|scope| &scope.log_records).flat_map(|record| &record.attributes);
        for attribute in attributes.filter(|attribute| attribute.key == "dbintel.record_id") {
            match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
                Some(Value::StringValue(id)) => ids.insert(id.clone()),
                other => panic!("{other:?}"),
            };
        }
    }
    ids
}
