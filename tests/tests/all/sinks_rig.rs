//! What the tests of the sinks share: a log with enriched rows, a sink on it, and what it wrote to `exports`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics, registry};
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{
    EnrichedMetrics, EnrichedQuery, EnrichedSession, EnrichedText, Export, MetricPoint, QueryCounters,
};
use dbintel_schemas::wire::Schemas;
use dbintel_schemas::{List, TextMap, Topic};
use dbintel_sinks::{Context, FirstStart, Handle, Selection, SinkConfig, otlp};
use dbintel_tests::books::read_all;
use dbintel_tests::wait;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a test waits for what has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Time of the rows, in µs since the epoch: 2026-11-23 20:00:00 UTC.
pub(crate) const AT: i64 = 1_795_464_000_000_000;
/// The pipeline that the sinks under test take.
pub(crate) const PIPELINE: &str = "queries";

/// A log with all topics.
pub(crate) struct Rig {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) publisher: Publisher,
    pub(crate) registry: Registry,
    pub(crate) schema_registry: Option<Arc<registry::Registry>>,
    partitions: u32,
    runtime: Runtime,
    _directory: Option<TempDir>,
}

impl Rig {
    /// An embedded one of its own.
    pub(crate) fn new(partitions: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config { directory: directory.path().to_owned(), sync: false, ..Config::default() };
        let bus = Arc::new(Embedded::open(&config).unwrap());
        Rig { _directory: Some(directory), ..Rig::on(bus, partitions) }
    }

    pub(crate) fn on(bus: Arc<dyn Bus>, partitions: u32) -> Self {
        bus.create_topics(&planned_topics(partitions, &[])).unwrap();
        let publisher = Publisher::new(bus.producer().unwrap(), Framings::single_object(), partitions);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (registry, schema_registry) = (Registry::new(), None);
        Rig { bus, publisher, registry, schema_registry, partitions, runtime, _directory: None }
    }

    /// Starts a sink that takes the rows of [`PIPELINE`].
    pub(crate) fn start(&self, id: &str, slot: &str, config: SinkConfig) -> Handle {
        let context = Context {
            bus: Arc::clone(&self.bus),
            schema_registry: self.schema_registry.clone(),
            partitions: self.partitions,
            framings: Framings::single_object(),
            slot: slot.into(),
            metrics: self.registry.clone(),
            runtime: self.runtime.handle().clone(),
            output: Box::new(std::io::sink()),
        };
        dbintel_sinks::start(id, config, Selection::of_pipelines(vec![PIPELINE.to_owned()]), context).unwrap()
    }

    /// Serves a router on a free port, which it gives.
    pub(crate) fn serve(&self, router: axum::Router) -> u16 {
        let listener = self.runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        self.runtime.spawn(async move { axum::serve(listener, router).await });
        port
    }

    /// Publishes queries with these numbers, each of a target of its own, at [`AT`].
    pub(crate) fn publish(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let (target, query_id) = (format!("t{}", number % 8), number.to_string());
            let row = query(&target, &query_id, 1, 10);
            self.publish_query(&row);
        }
        self.publisher.flush(LIMIT).unwrap();
    }

    pub(crate) fn publish_query(&self, row: &EnrichedQuery<'_>) {
        self.publisher.publish(row, row.target, row.observed_at / 1000).unwrap();
    }

    pub(crate) fn publish_session(&self, row: &EnrichedSession<'_>) {
        self.publisher.publish(row, row.target, row.observed_at / 1000).unwrap();
    }

    pub(crate) fn publish_metrics(&self, target: &str, points: &[MetricPoint<'_>], at: i64) {
        let row = EnrichedMetrics {
            pipeline: PIPELINE,
            target,
            engine: "postgresql",
            engine_version: "18.4",
            role: "primary",
            labels: TextMap::from_slice(&[("team", "payments")]),
            observed_at: at,
            object_type: "database",
            object: TextMap::from_slice(&[("database", "shop")]),
            points: List::from_slice(points),
            ..EnrichedMetrics::default()
        };
        self.publisher.publish(&row, target, at / 1000).unwrap();
    }

    pub(crate) fn publish_text(&self, row: &EnrichedQuery<'_>, text: &str) {
        let record = EnrichedText {
            target: row.target,
            database_id: row.database_id,
            user_id: row.user_id,
            query_id: row.query_id,
            toplevel: row.toplevel,
            fingerprint: row.fingerprint,
            text: Some(text),
            observed_at: row.observed_at,
            ..EnrichedText::default()
        };
        self.publisher
            .publish_keyed(&record, row.target, row.fingerprint.unwrap_or_default(), row.observed_at / 1000)
            .unwrap();
    }

    /// Waits until the sink has committed so many rows, and gives what it recorded about them.
    pub(crate) fn exported(&self, sink: &str, rows: i64) -> Exported {
        let probe = || Some(self.exports(sink)).filter(|exported| exported.rows() >= rows);
        wait::blocking(LIMIT, &format!("the delivery of {rows} rows"), probe)
    }

    /// What the sink recorded until now. Its records must cover the positions without gap or overlap.
    pub(crate) fn exports(&self, sink: &str) -> Exported {
        let (schemas, mut exported) = (Schemas::new(), Exported::default());
        for partition in 0..self.partitions {
            let mut next: BTreeMap<String, i64> = BTreeMap::new();
            for record in read_all(&*self.bus, Topic::Exports, partition) {
                let mut scratch = Vec::new();
                let export: Export<'_> = schemas.read(&record.value, &mut scratch).unwrap();
                if export.sink != sink {
                    continue;
                }
                let before = next.insert(export.topic.to_owned(), export.next_offset);
                assert!(before.is_none_or(|before| before == export.first_offset), "{before:?}: {export:?}");
                exported.accepted += export.accepted;
                exported.rejected += export.rejected;
                exported.skipped += export.skipped;
                exported.attempts += export.attempts;
                exported.error_classes.extend(export.error_class.map(str::to_owned));
            }
        }
        exported
    }

    /// Value of a metric of a sink.
    pub(crate) fn metric(&self, name: &str, sink: &str) -> f64 {
        let families = self.registry.gather();
        let of_sink = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().any(|label| label.name() == "exporter" && label.value() == sink)
        };
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.into_iter().flat_map(|family| family.get_metric()).filter(of_sink);
        metrics.map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value()).sum()
    }
}

/// The sum of a sink's `exports`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Exported {
    pub(crate) accepted: i64,
    pub(crate) rejected: i64,
    pub(crate) skipped: i64,
    pub(crate) attempts: i64,
    pub(crate) error_classes: Vec<String>,
}

impl Exported {
    pub(crate) fn rows(&self) -> i64 {
        self.accepted + self.rejected + self.skipped
    }
}

/// A row of a statement that ran `calls` times in an interval, for 1 ms each, and `total` times in all.
pub(crate) fn query<'a>(target: &'a str, query_id: &'a str, calls: i64, total: i64) -> EnrichedQuery<'a> {
    let counters = |calls: i64| {
        QueryCounters::default().with_calls(calls).with_rows(calls * 2).with_total_exec_time_ns(calls * 1_000_000)
    };
    EnrichedQuery {
        record_id: hash128(&[target.as_bytes(), query_id.as_bytes(), &total.to_le_bytes()]),
        pipeline: PIPELINE,
        target,
        labels: TextMap::from_slice(&[("team", "payments")]),
        engine: "postgresql",
        engine_version: "18.4",
        role: "primary",
        observed_at: AT,
        interval_ns: Some(10_000_000_000),
        database: Some("shop"),
        database_id: "5",
        user: Some("app"),
        user_id: "10",
        query_id,
        fingerprint: Some(query_id),
        toplevel: Some(true),
        delta_valid: true,
        delta: counters(calls),
        total: counters(total),
        sampling_probability: 1.0,
        sampling_weight: 1.0,
        ..EnrichedQuery::default()
    }
}

/// An OTLP sink for this endpoint that neither compresses nor waits for long.
pub(crate) fn otlp(endpoint: &str, protocol: otlp::Protocol) -> otlp::Config {
    let millis = Duration::from_millis;
    otlp::Config {
        endpoint: endpoint.to_owned(),
        protocol,
        compression: otlp::Compression::None,
        timeout: Duration::from_secs(5),
        retry_on_failure: otlp::RetryOnFailure {
            initial_interval: millis(20),
            max_interval: millis(200),
            ..otlp::RetryOnFailure::default()
        },
        batch: otlp::Batch { timeout: millis(50), ..otlp::Batch::default() },
        start_at: FirstStart::Beginning,
        ..otlp::Config::default()
    }
}

pub(crate) fn stop(sink: Handle) {
    sink.stop();
    sink.join().unwrap();
}
