//! Prometheus: the last values, for a scraper to fetch.
//!
//! Reads: what its delivery hands over. Writes: nothing; `/metrics` shows what is in memory. State: the last value of
//! each series, bounded by [`store::SERIES_MAX`], statements bounded by `top_statements` for each target, and at most
//! [`TARGETS_MAX`] targets; rows of further ones are rejected. Guarantee: what is shown can be scraped: names and labels
//! are sanitised, conflicts are dropped and counted when they come in. Failure: memory is lost with the process, so that
//! each life reads the last [`Config::metric_expiration`] of the log again; it shows the same statements within seconds,
//! and their counters begin at 0 with what no earlier life has shown.
//!
//! Series without a timestamp of their own end with their last scrape, so `send_timestamps` is accepted and not used.
//!
//! From the outside in: [`http`] answers, [`text`] writes the formats, [`store`], [`statements`], [`sessions`] and
//! [`targets`] hold the values, [`names`] makes them valid.

mod config;
mod http;
mod names;
mod sessions;
mod statements;
mod store;
mod targets;
mod text;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{EnrichedMetrics, MetricPoint};
use prometheus::{IntCounter, IntGauge};

pub use config::Config;
pub use names::{Shape, metric_name};

use crate::delivery::{self, Arrival, Outcome, Row, Sink, StartAt, Taken, Texts};
use names::Labels;
use sessions::Sessions;
use statements::Statements;
use store::{Dropped, Sample, Store};
use targets::Targets;
use text::{Exposition, Format, Number};

/// Time between two searches for what has expired.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(10);
/// Targets that are kept.
const TARGETS_MAX: usize = 10_000;
/// What becomes of the rows of further targets.
const TOO_MANY_TARGETS: Outcome = Outcome::Rejected("target_limit");

/// A Prometheus sink.
pub struct Prometheus {
    config: Config,
    shared: Arc<Shared>,
    metrics: Metrics,
    expired_at: Option<Instant>,
}

/// What the sink writes and scrapes read.
pub struct Shared {
    values: Mutex<Values>,
    const_labels: Box<str>,
}

struct Values {
    store: Store,
    statements: Statements,
    sessions: Sessions,
    targets: Targets,
}

struct Metrics {
    points: IntCounter,
    series: IntGauge,
}

impl Prometheus {
    /// With nothing to show yet.
    pub fn new(config: Config, metrics: &delivery::Metrics) -> Self {
        let dropped = |reason: &str| {
            let help = "Samples that would have broken a scrape";
            metrics.labelled_counter("sink_dropped_samples_total", help, ("reason", reason))
        };
        let dropped = Dropped {
            invalid_name: dropped("invalid_name"),
            invalid_value: dropped("invalid_value"),
            type_conflict: dropped("type_conflict"),
            duplicate: dropped("duplicate"),
            series_limit: dropped("series_limit"),
        };
        let expiration = config.metric_expiration;
        let statements = Statements::new(&config.namespace, config.top_statements, expiration);
        let sessions = Sessions::new(&config.namespace, expiration);
        let targets = Targets::new(&config.namespace, expiration);
        let mut reserved = statements.family_names();
        reserved.extend([sessions.family_name(), targets.family_name()]);
        let store = Store::new(expiration, reserved, dropped);
        let mut const_labels = Labels::default();
        for (name, value) in &config.const_labels {
            const_labels.add(name, value);
        }
        let shared = Shared {
            values: Mutex::new(Values { store, statements, sessions, targets }),
            const_labels: const_labels.finish(),
        };
        let metrics = Metrics {
            points: metrics.counter(
                "otelcol_exporter_sent_metric_points",
                "Number of metric points successfully sent to destination",
            ),
            series: metrics.gauge("sink_series", "Series of metrics that are kept"),
        };
        Prometheus { config, shared: Arc::new(shared), metrics, expired_at: None }
    }

    /// Serves `/metrics`. Where it listens is the caller's choice.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.shared))
    }

    fn metrics(&self, row: &EnrichedMetrics<'_>, arrival: Arrival, store: &mut Store) {
        for point in row.points.iter() {
            if let Some(sample) = self.sample(row, &point, arrival.partition)
                && store.insert(sample, arrival.now)
            {
                self.metrics.points.inc();
            }
        }
    }

    /// The sample of a point; none for a point without a value.
    fn sample(&self, row: &EnrichedMetrics<'_>, point: &MetricPoint<'_>, partition: u32) -> Option<Sample> {
        let value = point.int_value.map(Number::Int).or(point.double_value.map(Number::Double))?;
        let shape = match point.kind {
            "counter" => Shape::Counter,
            "sum" => Shape::Sum,
            _ => Shape::Gauge,
        };
        let mut labels = Labels::ours(&[("target", row.target)]);
        let mut source: Vec<&[u8]> = vec![row.target.as_bytes(), point.name.as_bytes(), point.unit.as_bytes()];
        for (name, value) in row.object.iter().chain(point.attributes.iter()) {
            labels.add_foreign(name, value, &self.config.const_labels);
            source.extend([name.as_bytes(), value.as_bytes()]);
        }
        Some(Sample {
            name: metric_name(&self.config.namespace, point.name, point.unit, shape),
            kind: shape.kind(),
            help: format!("OpenTelemetry metric {}, unit {}.", point.name, point.unit),
            labels: labels.finish(),
            source: hash128(&source),
            value,
            observed_at: row.observed_at,
            interval: interval(row.interval_ns),
            partition,
        })
    }
}

/// Time between two values of what a row is about, if it tells.
fn interval(interval_ns: Option<i64>) -> Option<Duration> {
    interval_ns.and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos)
}

impl Shared {
    /// What is there now.
    pub fn expose(&self, format: Format, now: Instant) -> String {
        let mut out = Exposition::new(format, &self.const_labels);
        let values = self.lock();
        values.targets.expose(now, &mut out);
        values.store.expose(now, &mut out);
        values.statements.expose(now, &mut out);
        values.sessions.expose(now, &mut out);
        out.finish()
    }

    /// A panic elsewhere leaves values that can still be shown.
    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Prometheus {
    fn start_at(&self) -> StartAt {
        StartAt::Ago(self.config.metric_expiration)
    }

    fn assigned(&mut self, partitions: &[u32], _generation: u64) {
        // Without partitions what is there stays until it is known what comes back, or until it expires.
        if !partitions.is_empty() {
            let mut values = self.shared.lock();
            values.store.keep_partitions(partitions);
            values.statements.keep_partitions(partitions);
            values.sessions.keep_partitions(partitions);
            values.targets.keep_partitions(partitions);
        }
    }

    fn take(&mut self, row: &Row<'_>, arrival: Arrival, _texts: &mut Texts) -> Taken {
        let (partition, now) = (arrival.partition, arrival.now);
        let mut values = self.shared.lock();
        if !values.targets.update(row, partition, now, &self.config.const_labels) {
            return Taken::Settled(TOO_MANY_TARGETS);
        }
        let is_kept = match row {
            Row::Metrics(row) => {
                self.metrics(row, arrival, &mut values.store);
                true
            }
            Row::Query(row) => values.statements.update(row, partition, arrival.fresh, now),
            Row::Session(row) => values.sessions.update(row, partition, now),
            Row::Log(_) | Row::Event(_) => return Taken::Settled(Outcome::Skipped),
        };
        Taken::Settled(if is_kept { Outcome::Accepted } else { TOO_MANY_TARGETS })
    }

    fn tick(&mut self, now: Instant) {
        let is_due = self.expired_at.is_none_or(|at| now.saturating_duration_since(at) >= EXPIRE_INTERVAL);
        if is_due {
            self.expired_at = Some(now);
            let mut values = self.shared.lock();
            values.store.expire(now);
            values.statements.expire(now);
            values.sessions.expire(now);
            values.targets.expire(now);
            self.metrics.series.set(values.store.len() as i64);
        }
    }
}

#[cfg(test)]
mod tests;
