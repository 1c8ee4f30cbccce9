//! Prometheus: the last values, for a scraper to fetch.
//!
//! Reads: what its delivery hands over. Writes: nothing; `/metrics` shows what is in memory. State: the last value of
//! each series, bounded by [`store::SERIES_MAX`], statements bounded by `top_statements` for each target. Guarantee: what
//! is shown can be scraped: names and labels are sanitised, conflicts are dropped and counted when they come in. Failure:
//! memory is lost with the process, so that each life reads the last [`Config::metric_expiration`] of the log again; it
//! shows the same statements within seconds, and no counter of a statement goes back.
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

use crate::delivery::{self, Arrival, Outcome, Row, Sink, StartAt, Taken, Texts};
use names::{Labels, Shape, metric_name};
use sessions::Sessions;
use statements::Statements;
use store::{Dropped, Sample, Store};
use targets::Targets;
use text::{Exposition, Format, Number};

/// Time between two searches for what has expired.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(10);
/// Labels that are ours on each series of a metric.
const OURS: [&str; 1] = ["target"];

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
        let const_labels: Vec<(&str, &str)> =
            config.const_labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let shared = Shared {
            values: Mutex::new(Values { store, statements, sessions, targets }),
            const_labels: Labels::new(&const_labels).finish(),
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

    fn metrics(&self, row: &EnrichedMetrics<'_>, arrival: Arrival) {
        let mut values = self.shared.lock();
        for point in row.points.iter() {
            if let Some(sample) = self.sample(row, &point, arrival.partition)
                && values.store.insert(sample, arrival.now)
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
        let mut labels = Labels::new(&[("target", row.target)]);
        let mut source: Vec<&[u8]> = vec![row.target.as_bytes(), point.name.as_bytes(), point.unit.as_bytes()];
        for (name, value) in row.object.iter().chain(point.attributes.iter()) {
            labels.add_foreign(name, value, &self.taken());
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
            interval: row.interval_ns.and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos),
            partition,
        })
    }

    /// Names that foreign labels cannot have.
    fn taken(&self) -> Vec<&str> {
        OURS.into_iter().chain(self.config.const_labels.keys().map(String::as_str)).collect()
    }
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
        match row {
            Row::Metrics(row) => self.metrics(row, arrival),
            Row::Query(row) => {
                self.shared.lock().statements.update(row, arrival.partition, arrival.fresh, arrival.now);
            }
            Row::Session(row) => self.shared.lock().sessions.update(row, arrival.partition, arrival.now),
            Row::Event(_) => return Taken::Settled(Outcome::Skipped),
        }
        self.shared.lock().targets.update(row, arrival.partition, arrival.now);
        Taken::Settled(Outcome::Accepted)
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
