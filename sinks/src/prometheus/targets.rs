//! What is known about each target: its labels, its engine and its role, on one series, so that the others stay small.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dbintel_schemas::TextMap;

use super::names::Labels;
use super::store::Kind;
use super::text::{Exposition, Number};
use crate::delivery::Row;

/// Name after the namespace.
const NAME: &str = "target_info";
const HELP: &str = "Labels, engine and role of a monitored server; always 1.";
/// Labels that are ours: a target's own label of this name is shown as `exported_…`.
const OURS: [&str; 4] = ["target", "engine", "engine_version", "role"];
/// Targets that are kept.
const TARGETS_MAX: usize = 10_000;

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
    seen_at: Instant,
}

impl Targets {
    /// Shows a target for this long after its last row.
    pub fn new(namespace: &str, metric_expiration: Duration) -> Self {
        let name = if namespace.is_empty() { NAME.to_owned() } else { format!("{namespace}_{NAME}") };
        Targets { targets: BTreeMap::new(), name, metric_expiration }
    }

    /// Full name of the family.
    pub fn family_name(&self) -> String {
        self.name.clone()
    }

    /// Takes a row.
    pub fn update(&mut self, row: &Row<'_>, partition: u32, now: Instant) {
        let (engine, version, role, labels) = match row {
            Row::Query(row) => (row.engine, row.engine_version, row.role, row.labels),
            Row::Session(row) => (row.engine, row.engine_version, row.role, row.labels),
            Row::Metrics(row) => (row.engine, row.engine_version, row.role, row.labels),
            Row::Event(_) => return,
        };
        let is_known = self.targets.contains_key(row.target());
        if is_known || self.targets.len() < TARGETS_MAX {
            let labels = info([row.target(), engine, version, role], labels);
            self.targets.insert(row.target().into(), Target { labels, partition, seen_at: now });
        }
    }

    /// Forgets targets without rows.
    pub fn expire(&mut self, now: Instant) {
        let expiry = self.metric_expiration;
        self.targets.retain(|_, target| now.saturating_duration_since(target.seen_at) <= expiry);
    }

    /// Forgets targets of other partitions than these.
    pub fn keep_partitions(&mut self, partitions: &[u32]) {
        self.targets.retain(|_, target| partitions.contains(&target.partition));
    }

    /// Shows the targets that are alive.
    pub fn expose(&self, now: Instant, out: &mut Exposition) {
        out.family(&self.name, Kind::Gauge, HELP);
        for target in self.targets.values() {
            if now.saturating_duration_since(target.seen_at) <= self.metric_expiration {
                out.sample(&target.labels, Number::Int(1));
            }
        }
    }
}

fn info(ours: [&str; 4], foreign: TextMap<'_>) -> Box<str> {
    let mut labels = Labels::default();
    for (name, value) in OURS.into_iter().zip(ours) {
        labels.add(name, value);
    }
    for (name, value) in foreign.iter() {
        labels.add_foreign(name, value, &OURS);
    }
    labels.finish()
}
