//! What is known about each target: its labels, its engine and its role, on one series, so that the others stay small.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::names::Labels;
use super::store::{Kind, expiry};
use super::text::{Exposition, Number};
use super::{TARGETS_MAX, interval};
use crate::delivery::Row;

/// Name after the namespace.
const NAME: &str = "target_info";
const HELP: &str = "Labels, engine and role of a monitored server; always 1.";

/// The targets.
#[derive(Debug)]
pub struct Targets {
    targets: BTreeMap<Box<str>, Target>,
    name: String,
    metric_expiration: Duration,
}

#[derive(Debug)]
struct Target {
    labels: Box<str>,
    partition: u32,
    shown_until: Instant,
}

impl Targets {
    /// Shows a target for this long after its last row, or for three intervals of its slowest rows.
    pub fn new(namespace: &str, metric_expiration: Duration) -> Self {
        let name = if namespace.is_empty() { NAME.to_owned() } else { format!("{namespace}_{NAME}") };
        Targets { targets: BTreeMap::new(), name, metric_expiration }
    }

    /// Full name of the family.
    pub fn family_name(&self) -> String {
        self.name.clone()
    }

    /// Takes a row; returns false if there are too many targets already. What a target has of its own is shown beside
    /// our labels and the constant ones, never in their place.
    pub fn update(&mut self, row: &Row<'_>, partition: u32, now: Instant, constant: &BTreeMap<String, String>) -> bool {
        let (engine, version, role, foreign, interval_ns) = match row {
            Row::Query(row) => (row.engine, row.engine_version, row.role, row.labels, row.interval_ns),
            Row::Session(row) => (row.engine, row.engine_version, row.role, row.labels, row.interval_ns),
            Row::Metrics(row) => (row.engine, row.engine_version, row.role, row.labels, row.interval_ns),
            Row::Log(_) | Row::Event(_) => return true,
        };
        let known = self.targets.get(row.target());
        if known.is_none() && self.targets.len() >= TARGETS_MAX {
            return false;
        }
        let ours = [("target", row.target()), ("engine", engine), ("engine_version", version), ("role", role)];
        let mut labels = Labels::ours(&ours);
        for (name, value) in foreign.iter() {
            labels.add_foreign(name, value, constant);
        }
        let until = now + expiry(self.metric_expiration, interval(interval_ns));
        let shown_until = known.map_or(until, |known| known.shown_until.max(until));
        self.targets.insert(row.target().into(), Target { labels: labels.finish(), partition, shown_until });
        true
    }

    /// Forgets targets without rows.
    pub fn expire(&mut self, now: Instant) {
        self.targets.retain(|_, target| now <= target.shown_until);
    }

    /// Forgets targets of other partitions than these.
    pub fn keep_partitions(&mut self, partitions: &[u32]) {
        self.targets.retain(|_, target| partitions.contains(&target.partition));
    }

    /// Shows the targets that are alive.
    pub fn expose(&self, now: Instant, out: &mut Exposition) {
        out.family(&self.name, Kind::Gauge, HELP);
        for target in self.targets.values().filter(|target| now <= target.shown_until) {
            out.sample(&target.labels, Number::Int(1));
        }
    }
}
