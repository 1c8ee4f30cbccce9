//! What the engine says of itself. Counted per commit, so that the numbers agree with the ledger.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Metrics of one group.
#[derive(Clone)]
pub struct Metrics {
    /// Committed rows by pipeline, disposition and reason.
    pub rows: IntCounterVec,
    /// Commits.
    pub commits: IntCounter,
    /// Transactions that were aborted.
    pub aborts: IntCounter,
    /// Time that a commit took, in seconds.
    pub commit_seconds: Histogram,
    /// Time from an assignment until all its state is there, in seconds.
    pub restore_seconds: Histogram,
    /// Times that a worker had to join its group again after trouble.
    pub rejoins: IntCounter,
    /// Partitions that this process owns.
    pub partitions: IntGauge,
    /// Bytes fetched that wait to be processed.
    pub waiting_bytes: IntGauge,
    /// Records that retention deleted before the group had read them.
    pub lost_records: IntCounter,
}

impl Metrics {
    /// Registers the metrics of a group.
    pub fn register(registry: &Registry, group: &str) -> Result<Self, prometheus::Error> {
        let name =
            |name: &str, help: &str| Opts::new(format!("dbintel_processor_{name}"), help).const_label("group", group);
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
        let seconds = name("commit_seconds", "Time that a commit of a worker took.");
        let restores = name("restore_seconds", "Time from an assignment until the state of its partitions was there.");
        let restore_buckets = vec![0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
        let metrics = Self {
            rows: IntCounterVec::new(
                name("rows_total", "Committed rows by what became of them."),
                &["pipeline", "disposition", "reason"],
            )?,
            commits: IntCounter::with_opts(name("commits_total", "Transactions committed."))?,
            aborts: IntCounter::with_opts(name(
                "aborts_total",
                "Transactions aborted; their rows were processed again.",
            ))?,
            commit_seconds: Histogram::with_opts(HistogramOpts { common_opts: seconds, buckets })?,
            restore_seconds: Histogram::with_opts(HistogramOpts { common_opts: restores, buckets: restore_buckets })?,
            rejoins: IntCounter::with_opts(name(
                "rejoins_total",
                "Times that a worker joined its group again after trouble.",
            ))?,
            partitions: IntGauge::with_opts(name("partitions", "Partitions that this process owns."))?,
            waiting_bytes: IntGauge::with_opts(name("waiting_bytes", "Bytes fetched and not yet processed."))?,
            lost_records: IntCounter::with_opts(name(
                "lost_records_total",
                "Offsets that retention deleted before they were read.",
            ))?,
        };
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.commits.clone()))?;
        registry.register(Box::new(metrics.aborts.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.restore_seconds.clone()))?;
        registry.register(Box::new(metrics.rejoins.clone()))?;
        registry.register(Box::new(metrics.partitions.clone()))?;
        registry.register(Box::new(metrics.waiting_bytes.clone()))?;
        registry.register(Box::new(metrics.lost_records.clone()))?;
        Ok(metrics)
    }
}
