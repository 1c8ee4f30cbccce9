//! The last value of each series, for metrics that pollers read. What does not fit is dropped and counted when it comes
//! in, so that a scrape can always show all that is here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::text::{Exposition, Number};

/// Series that are kept at once.
pub const SERIES_MAX: usize = 50_000;
/// Longest expiry, unless the setting asks for longer.
const EXPIRY_MAX: Duration = Duration::from_secs(24 * 3600);

/// What Prometheus makes of a family's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// May fall.
    Gauge,
    /// Falls only when it begins anew.
    Counter,
}

/// A value for a series.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Full name of the family.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it means.
    pub help: String,
    /// Its labels, as they stand between braces.
    pub labels: Box<str>,
    /// Identity of where it comes from, before names were sanitised.
    pub source: [u8; 16],
    /// The value.
    pub value: Number,
    /// When it was read, in µs since the epoch.
    pub observed_at: i64,
    /// Time between two values.
    pub interval: Option<Duration>,
    /// Partition that it came from.
    pub partition: u32,
}

/// Why samples were dropped.
#[derive(Debug, Clone)]
pub struct Dropped {
    /// Nothing of its name can be kept.
    pub invalid_name: IntCounter,
    /// It is a counter below 0, or no number.
    pub invalid_value: IntCounter,
    /// Another family has the name, with another kind.
    pub type_conflict: IntCounter,
    /// Another source has the very same labels.
    pub duplicate: IntCounter,
    /// There are [`SERIES_MAX`] series.
    pub series_limit: IntCounter,
}

/// The last value of each series.
#[derive(Debug)]
pub struct Store {
    families: BTreeMap<String, Family>,
    series: usize,
    metric_expiration: Duration,
    reserved: Vec<String>,
    dropped: Dropped,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: String,
    series: BTreeMap<Box<str>, Series>,
}

#[derive(Debug)]
struct Series {
    value: Number,
    source: [u8; 16],
    observed_at: i64,
    partition: u32,
    received_at: Instant,
    expiry: Duration,
}

impl Store {
    /// Keeps series for this long. `reserved` are names of families that are shown from elsewhere.
    pub fn new(metric_expiration: Duration, reserved: Vec<String>, dropped: Dropped) -> Self {
        Store { families: BTreeMap::new(), series: 0, metric_expiration, reserved, dropped }
    }

    /// Takes a sample; returns whether it is shown from now on. Older ones than what is there are passed over.
    pub fn insert(&mut self, sample: Sample, now: Instant) -> bool {
        if let Some(dropped) = self.refusal(&sample) {
            dropped.inc();
            return false;
        }
        let expiry = expiry(self.metric_expiration, sample.interval);
        let is_full = self.series >= SERIES_MAX;
        let family = self.families.entry(sample.name).or_insert_with(|| Family {
            kind: sample.kind,
            help: sample.help,
            series: BTreeMap::new(),
        });
        let fresh = Series {
            value: sample.value,
            source: sample.source,
            observed_at: sample.observed_at,
            partition: sample.partition,
            received_at: now,
            expiry,
        };
        match family.series.entry(sample.labels) {
            Entry::Occupied(mut entry) => entry.get_mut().replace(fresh, now, &self.dropped.duplicate),
            Entry::Vacant(_) if is_full => {
                self.dropped.series_limit.inc();
                false
            }
            Entry::Vacant(entry) => {
                entry.insert(fresh);
                self.series += 1;
                true
            }
        }
    }

    /// Why a sample cannot be shown, whatever its labels are.
    fn refusal(&self, sample: &Sample) -> Option<&IntCounter> {
        if sample.name.is_empty() {
            return Some(&self.dropped.invalid_name);
        }
        if sample.kind == Kind::Counter && !sample.value.is_count() {
            return Some(&self.dropped.invalid_value);
        }
        let has_conflict = match self.families.get(&sample.name) {
            Some(family) => family.kind != sample.kind,
            None => self.has_twin(&sample.name, sample.kind),
        };
        has_conflict.then_some(&self.dropped.type_conflict)
    }

    /// Whether a new family would have the name of another one. OpenMetrics calls the counter `a_total` just `a`.
    fn has_twin(&self, name: &str, kind: Kind) -> bool {
        let twin = match kind {
            Kind::Counter => name.strip_suffix("_total").unwrap_or(name).to_owned(),
            Kind::Gauge => format!("{name}_total"),
        };
        let is_other_kind = self.families.get(&twin).is_some_and(|family| family.kind != kind);
        is_other_kind || self.reserved.iter().any(|reserved| reserved == name || *reserved == twin)
    }

    /// Forgets series that have expired.
    pub fn expire(&mut self, now: Instant) {
        self.retain(|series| !series.has_expired(now));
    }

    /// Forgets series of other partitions than these.
    pub fn keep_partitions(&mut self, partitions: &[u32]) {
        self.retain(|series| partitions.contains(&series.partition));
    }

    fn retain(&mut self, keep: impl Fn(&Series) -> bool) {
        self.families.retain(|_, family| {
            family.series.retain(|_, series| keep(series));
            !family.series.is_empty()
        });
        self.series = self.families.values().map(|family| family.series.len()).sum();
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.series
    }

    /// Shows what has not expired.
    pub fn expose(&self, now: Instant, out: &mut Exposition) {
        for (name, family) in &self.families {
            out.family(name, family.kind, &family.help);
            for (labels, series) in family.series.iter().filter(|(_, series)| !series.has_expired(now)) {
                out.sample(labels, series.value);
            }
        }
    }
}

/// How long something is shown after it was seen last: as the setting says, or for three intervals if that is longer.
pub fn expiry(metric_expiration: Duration, interval: Option<Duration>) -> Duration {
    metric_expiration.max(interval.unwrap_or_default().saturating_mul(3).min(EXPIRY_MAX))
}

impl Series {
    fn has_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.received_at) > self.expiry
    }

    /// Takes the value of the same source, or of another one when this one has ended.
    fn replace(&mut self, mut fresh: Series, now: Instant, duplicate: &IntCounter) -> bool {
        if self.source != fresh.source && !self.has_expired(now) {
            duplicate.inc();
            return false;
        }
        if self.source == fresh.source && fresh.observed_at < self.observed_at {
            return false;
        }
        // A series that comes less often than its poll tells shows its true pace by the distance of its values.
        let distance = u64::try_from(fresh.observed_at.saturating_sub(self.observed_at)).unwrap_or(0);
        let paced = Duration::from_micros(distance).saturating_mul(3).min(EXPIRY_MAX);
        fresh.expiry = fresh.expiry.max(paced);
        *self = fresh;
        true
    }
}

#[cfg(test)]
mod tests;
