//! What an OTLP sink reports about itself, under the names that the Collector's exporters made known.

use prometheus::{IntCounter, IntGauge};

use super::request::Signal;
use crate::delivery;

/// Metrics of one sink. All exist at 0 from the start.
#[derive(Debug, Clone)]
pub struct Metrics {
    points: Signals,
    records: Signals,
    /// Requests that wait or run.
    pub queue_size: IntGauge,
    /// Requests that may wait or run.
    pub queue_capacity: IntGauge,
    /// Batches that were sent because their time had come.
    pub batch_timeouts: IntCounter,
    /// Batches that were sent because they were full.
    pub batch_sizes: IntCounter,
    /// Requests that were sent again.
    pub retries: IntCounter,
    /// Bytes of items that wait or run.
    pub held_bytes: IntGauge,
    /// Lanes that have been failing for longer than a cycle of retries, or that the receiver refuses.
    pub stuck: IntGauge,
}

/// Items of one signal.
#[derive(Debug, Clone)]
struct Signals {
    sent: IntCounter,
    failed: IntCounter,
}

impl Metrics {
    /// Registers the metrics of a sink.
    pub fn new(delivery: &delivery::Metrics, queue_capacity: usize) -> Self {
        let signals = |items: &str, what: &str| Signals {
            sent: delivery.counter(
                &format!("otelcol_exporter_sent_{items}"),
                &format!("Number of {what} successfully sent to destination"),
            ),
            failed: delivery.counter(
                &format!("otelcol_exporter_send_failed_{items}"),
                &format!("Number of {what} in failed attempts to send to destination"),
            ),
        };
        let metrics = Metrics {
            points: signals("metric_points", "metric points"),
            records: signals("log_records", "log records"),
            queue_size: delivery.gauge("otelcol_exporter_queue_size", "Requests that wait or run"),
            queue_capacity: delivery.gauge("otelcol_exporter_queue_capacity", "Requests that may wait or run"),
            batch_timeouts: delivery.counter(
                "otelcol_processor_batch_timeout_trigger_send",
                "Number of times the batch was sent due to a timeout trigger",
            ),
            batch_sizes: delivery.counter(
                "otelcol_processor_batch_batch_size_trigger_send",
                "Number of times the batch was sent due to a size trigger",
            ),
            retries: delivery.counter("sink_retries_total", "Requests that were sent again"),
            held_bytes: delivery.gauge("sink_held_bytes", "Bytes of items that wait or run"),
            stuck: delivery.gauge("sink_stuck", "Lanes that fail for longer than a cycle of retries, or are refused"),
        };
        metrics.queue_capacity.set(queue_capacity as i64);
        metrics
    }

    /// Items that the receiver took.
    pub fn sent(&self, signal: Signal, items: u64) {
        self.of(signal).sent.inc_by(items);
    }

    /// Items of an attempt that failed, or that were rejected. An outage without end counts its attempts, so that the
    /// usual alert on the share of failures fires while nothing is lost.
    pub fn failed(&self, signal: Signal, items: u64) {
        self.of(signal).failed.inc_by(items);
    }

    fn of(&self, signal: Signal) -> &Signals {
        match signal {
            Signal::Metrics => &self.points,
            Signal::Logs => &self.records,
        }
    }
}
