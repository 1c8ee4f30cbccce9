//! What every delivery reports about itself.

use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry};

/// Outcomes, lag and pauses of one sink. All exist at 0 from the start.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    sink: String,
    /// Rows that the receiver accepted.
    pub accepted: IntCounter,
    /// Rows that were rejected for good.
    pub rejected: IntCounter,
    /// Rows of pipelines that do not name the sink, or with nothing in them for it.
    pub skipped: IntCounter,
    /// Rows that could not be decoded; they count as rejected too.
    pub undecodable: IntCounter,
    /// Rows that retention deleted before they were delivered.
    pub expired: IntCounter,
    /// Rows that lay before the place where the sink began.
    pub passed_over: IntCounter,
    /// Transactions that moved the positions.
    pub commits: IntCounter,
    /// Rows taken and not yet settled.
    pub open: IntGauge,
    /// Age of the oldest row that is not settled, or of the newest one read while there are more, in seconds; 0 at the
    /// end of the log.
    pub lag: Gauge,
    /// 1 while the partitions are paused because the sink is full.
    pub paused: IntGauge,
}

impl Metrics {
    /// Registers the metrics of a sink. A second sink of the same name shares none of them and is not shown.
    pub fn new(registry: &Registry, sink: &str) -> Self {
        let records = |outcome: &str| {
            let opts = Opts::new("sink_records_total", "Rows settled, by outcome").const_label("outcome", outcome);
            counter(registry, sink, opts)
        };
        Metrics {
            accepted: records("accepted"),
            rejected: records("rejected"),
            skipped: records("skipped"),
            undecodable: counter(registry, sink, Opts::new("sink_undecodable_total", "Rows that could not be decoded")),
            expired: counter(
                registry,
                sink,
                Opts::new("sink_expired_records_total", "Rows deleted by retention before they were delivered"),
            ),
            passed_over: counter(
                registry,
                sink,
                Opts::new("sink_passed_over_records_total", "Rows before the place where the sink began"),
            ),
            commits: counter(registry, sink, Opts::new("sink_commits_total", "Transactions that moved the positions")),
            open: int_gauge(registry, sink, Opts::new("sink_open_records", "Rows taken and not yet settled")),
            lag: gauge(
                registry,
                sink,
                Opts::new("sink_lag_seconds", "Age of the oldest row that is not settled, 0 at the end"),
            ),
            paused: int_gauge(registry, sink, Opts::new("sink_paused", "1 while the sink is full and reads nothing")),
            registry: registry.clone(),
            sink: sink.to_owned(),
        }
    }

    /// A further counter of the same sink.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        counter(&self.registry, &self.sink, Opts::new(name, help))
    }

    /// A further counter of the same sink, one of several with the same name.
    pub fn labelled_counter(&self, name: &str, help: &str, label: (&str, &str)) -> IntCounter {
        counter(&self.registry, &self.sink, Opts::new(name, help).const_label(label.0, label.1))
    }

    /// A further gauge of the same sink.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        int_gauge(&self.registry, &self.sink, Opts::new(name, help))
    }
}

fn counter(registry: &Registry, sink: &str, opts: Opts) -> IntCounter {
    let counter = IntCounter::with_opts(opts.const_label("exporter", sink)).expect("the name is valid");
    register(registry, counter.clone());
    counter
}

fn int_gauge(registry: &Registry, sink: &str, opts: Opts) -> IntGauge {
    let gauge = IntGauge::with_opts(opts.const_label("exporter", sink)).expect("the name is valid");
    register(registry, gauge.clone());
    gauge
}

fn gauge(registry: &Registry, sink: &str, opts: Opts) -> Gauge {
    let gauge = Gauge::with_opts(opts.const_label("exporter", sink)).expect("the name is valid");
    register(registry, gauge.clone());
    gauge
}

fn register(registry: &Registry, metric: impl prometheus::core::Collector + 'static) {
    if let Err(error) = registry.register(Box::new(metric)) {
        tracing::warn!(%error, "a metric is not shown");
    }
}
