//! What the poller says about itself. Every series exists from the start, at 0.

use prometheus::{Error, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::poll::{Class, Outcome};
use crate::text::withheld_reasons;

/// Bounds of the durations of polls, in s.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Topics that this role writes.
const TOPICS: [&str; 7] =
    ["raw.queries", "raw.texts", "raw.sessions", "raw.metrics", "raw.logs", "raw.polls", "raw.verbatim"];

/// Metrics of all pollers of the process.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Polls that ended, by class and outcome.
    pub polls: IntCounterVec,
    /// How long polls took, by class, in s.
    pub poll_duration: HistogramVec,
    /// Polls that were skipped because an earlier one took too long, by class.
    pub polls_skipped: IntCounterVec,
    /// Rows that the bus took, by topic.
    pub rows_published: IntCounterVec,
    /// Rows that were dropped because the bus took no more, by topic.
    pub rows_dropped: IntCounterVec,
    /// Times that the bus took no more, by what it said.
    pub bus_refusals: IntCounterVec,
    /// Rows that wait for the bus.
    pub rows_waiting: IntGauge,
    /// Targets that this process polls.
    pub targets_polled: IntGauge,
    /// Targets that this process has taken over.
    pub targets_taken: IntCounter,
    /// Texts that were not published, by reason.
    pub texts_withheld: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics. Fails if the registry has them already.
    pub fn register(registry: &Registry) -> Result<Metrics, Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let duration = HistogramOpts::new("poller_poll_duration_seconds", "Time that a poll took")
            .buckets(DURATION_BUCKETS.to_vec());
        let metrics = Metrics {
            polls: counter("poller_polls_total", "Polls that ended", &["class", "outcome"])?,
            poll_duration: HistogramVec::new(duration, &["class"])?,
            polls_skipped: counter(
                "poller_polls_skipped_total",
                "Polls skipped because an earlier one took too long",
                &["class"],
            )?,
            rows_published: counter("poller_rows_published_total", "Rows that the bus took", &["topic"])?,
            rows_dropped: counter(
                "poller_rows_dropped_total",
                "Rows dropped because the bus took no more",
                &["topic"],
            )?,
            bus_refusals: counter("poller_bus_refusals_total", "Times that the bus took no more", &["reason"])?,
            rows_waiting: IntGauge::new("poller_rows_waiting", "Rows that wait for the bus")?,
            targets_polled: IntGauge::new("poller_targets", "Targets that this process polls")?,
            targets_taken: IntCounter::new(
                "poller_targets_taken_total",
                "Times that this process became the owner of a target",
            )?,
            texts_withheld: counter(
                "poller_texts_withheld_total",
                "Texts of statements that were hidden, or hidden in part",
                &["reason"],
            )?,
        };
        metrics.begin_at_zero();
        metrics.register_all(registry)?;
        Ok(metrics)
    }

    fn begin_at_zero(&self) {
        for class in Class::ALL {
            for outcome in Outcome::ALL {
                self.polls.with_label_values(&[class.name(), outcome.name()]);
            }
            self.poll_duration.with_label_values(&[class.name()]);
            self.polls_skipped.with_label_values(&[class.name()]);
        }
        for topic in TOPICS {
            self.rows_published.with_label_values(&[topic]);
            self.rows_dropped.with_label_values(&[topic]);
        }
        for reason in ["full", "unavailable", "too_large"] {
            self.bus_refusals.with_label_values(&[reason]);
        }
        for reason in withheld_reasons() {
            self.texts_withheld.with_label_values(&[reason]);
        }
    }

    fn register_all(&self, registry: &Registry) -> Result<(), Error> {
        registry.register(Box::new(self.polls.clone()))?;
        registry.register(Box::new(self.poll_duration.clone()))?;
        registry.register(Box::new(self.polls_skipped.clone()))?;
        registry.register(Box::new(self.rows_published.clone()))?;
        registry.register(Box::new(self.rows_dropped.clone()))?;
        registry.register(Box::new(self.bus_refusals.clone()))?;
        registry.register(Box::new(self.rows_waiting.clone()))?;
        registry.register(Box::new(self.targets_polled.clone()))?;
        registry.register(Box::new(self.targets_taken.clone()))?;
        registry.register(Box::new(self.texts_withheld.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_exists_from_the_start() {
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        let families = registry.gather();
        let series: usize = families.iter().map(|family| family.get_metric().len()).sum();
        assert_eq!((families.len(), series), (10, 9 * 5 + 9 + 9 + 7 + 7 + 3 + 3 + 14));
        assert!(Metrics::register(&registry).is_err());
    }
}
