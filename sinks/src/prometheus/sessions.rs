//! Active sessions by what they wait for, as of the last sample of each target.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use dbintel_schemas::records::EnrichedSession;

use super::names::Labels;
use super::store::{Kind, expiry};
use super::text::{Exposition, Number};
use super::{TARGETS_MAX, interval};

/// Name after the namespace.
const NAME: &str = "active_sessions";
const HELP: &str =
    "Sessions that are not idle, by state and wait, as of the last sample. Sampled rows count by their weight.";
/// A sample is complete when no row of it came for this long.
const SETTLE: Duration = Duration::from_millis(300);
/// Without a row for three samples, and for this long, nobody is active: a sample without sessions leaves none.
const FRESH_MIN: Duration = Duration::from_secs(5);
/// Combinations of labels of one target that are kept; sessions of further ones are counted together.
const COMBINATIONS_MAX: usize = 1000;
/// Each label of what is counted together.
const OTHER: &str = "other";
/// What sessions without a wait are waiting for.
const RUNNING: &str = "CPU";

/// The sessions of all targets.
#[derive(Debug)]
pub struct Sessions {
    targets: HashMap<Box<str>, Target>,
    name: String,
    metric_expiration: Duration,
}

#[derive(Debug)]
struct Target {
    partition: u32,
    /// Time between two samples; 0 until it is known.
    pace: Duration,
    /// Time of the sample that is coming in, in µs since the epoch.
    current_at: i64,
    current: BTreeMap<Box<str>, f64>,
    /// The sample before; nobody if there were samples without sessions since.
    complete: BTreeMap<Box<str>, f64>,
    /// Combinations that were there once, and when they were there last: they go to 0 before they go.
    known: BTreeMap<Box<str>, Instant>,
    seen_at: Instant,
}

impl Sessions {
    /// Shows combinations for this long after their last session, or for three samples if that is longer.
    pub fn new(namespace: &str, metric_expiration: Duration) -> Self {
        let name = if namespace.is_empty() { NAME.to_owned() } else { format!("{namespace}_{NAME}") };
        Sessions { targets: HashMap::new(), name, metric_expiration }
    }

    /// Full name of the family.
    pub fn family_name(&self) -> String {
        self.name.clone()
    }

    /// Takes a row; returns false if there are too many targets already.
    pub fn update(&mut self, row: &EnrichedSession<'_>, partition: u32, now: Instant) -> bool {
        let is_full = self.targets.len() >= TARGETS_MAX;
        let target = match self.targets.get_mut(row.target) {
            Some(target) => target,
            None if is_full => return false,
            None => self.targets.entry(row.target.into()).or_insert_with(|| Target::new(now)),
        };
        target.partition = partition;
        target.add(row, now);
        true
    }

    /// Forgets what was not there for long.
    pub fn expire(&mut self, now: Instant) {
        let metric_expiration = self.metric_expiration;
        self.targets.retain(|_, target| {
            let expiry = expiry(metric_expiration, Some(target.pace));
            target.known.retain(|_, seen_at| now.saturating_duration_since(*seen_at) <= expiry);
            !target.known.is_empty()
        });
    }

    /// Forgets targets of other partitions than these.
    pub fn keep_partitions(&mut self, partitions: &[u32]) {
        self.targets.retain(|_, target| partitions.contains(&target.partition));
    }

    /// Shows the last complete sample of each target.
    pub fn expose(&self, now: Instant, out: &mut Exposition) {
        out.family(&self.name, Kind::Gauge, HELP);
        let mut targets: Vec<(&Box<str>, &Target)> = self.targets.iter().collect();
        targets.sort_by_key(|(name, _)| *name);
        for (_, target) in targets {
            let sample = target.shown(now);
            let expiry = expiry(self.metric_expiration, Some(target.pace));
            let is_alive = |seen_at: &Instant| now.saturating_duration_since(*seen_at) <= expiry;
            for (labels, _) in target.known.iter().filter(|(_, seen_at)| is_alive(seen_at)) {
                let count = sample.and_then(|sample| sample.get(labels)).copied().unwrap_or(0.0);
                out.sample(labels, Number::Double(count));
            }
        }
    }
}

impl Target {
    fn new(now: Instant) -> Self {
        Target {
            partition: 0,
            pace: Duration::ZERO,
            current_at: i64::MIN,
            current: BTreeMap::new(),
            complete: BTreeMap::new(),
            known: BTreeMap::new(),
            seen_at: now,
        }
    }

    fn add(&mut self, row: &EnrichedSession<'_>, now: Instant) {
        if row.observed_at < self.current_at {
            return;
        }
        if row.observed_at > self.current_at {
            let last = std::mem::take(&mut self.current);
            self.complete = if self.is_fresh(now) { last } else { BTreeMap::new() };
            self.current_at = row.observed_at;
        }
        (self.seen_at, self.pace) = (now, interval(row.interval_ns).unwrap_or(self.pace));
        let mut labels = labels(row);
        if self.known.len() >= COMBINATIONS_MAX && !self.known.contains_key(&labels) {
            labels = other_labels(row.target);
        }
        self.known.insert(labels.clone(), now);
        *self.current.entry(labels).or_default() += row.sampling_weight;
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen_at) <= FRESH_MIN.max(self.pace.saturating_mul(3))
    }

    /// The sample to show; none when the last one is too old to be true.
    fn shown(&self, now: Instant) -> Option<&BTreeMap<Box<str>, f64>> {
        let is_settled = now.saturating_duration_since(self.seen_at) >= SETTLE || self.complete.is_empty();
        self.is_fresh(now).then_some(if is_settled { &self.current } else { &self.complete })
    }
}

fn labels(row: &EnrichedSession<'_>) -> Box<str> {
    let (wait_type, wait) = match row.wait_event_type {
        Some(wait_type) => (wait_type, row.wait_event.unwrap_or_default()),
        None => (RUNNING, RUNNING),
    };
    combination(row.target, [row.database.unwrap_or_default(), row.state.unwrap_or_default(), wait_type, wait])
}

fn other_labels(target: &str) -> Box<str> {
    combination(target, [OTHER; 4])
}

fn combination(target: &str, [database, state, wait_type, wait]: [&str; 4]) -> Box<str> {
    Labels::ours(&[
        ("target", target),
        ("database", database),
        ("state", state),
        ("wait_event_type", wait_type),
        ("wait_event", wait),
    ])
    .finish()
}

#[cfg(test)]
mod tests {
    use super::super::text::Format;
    use super::*;
    use crate::clock;

    fn row(at: i64, wait: Option<&'static str>) -> EnrichedSession<'static> {
        EnrichedSession {
            target: "a",
            state: Some("active"),
            observed_at: at,
            wait_event_type: wait,
            wait_event: wait.map(|_| "x"),
            interval_ns: Some(1_000_000_000),
            sampling_weight: 1.0,
            ..EnrichedSession::default()
        }
    }

    fn shown(sessions: &Sessions, now: Instant) -> Vec<(String, String)> {
        let mut out = Exposition::new(Format::Text, "");
        sessions.expose(now, &mut out);
        let text = out.finish();
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples
            .map(|(labels, value)| {
                let wait = labels.split("wait_event_type=\"").nth(1).and_then(|rest| rest.split('"').next());
                (wait.unwrap_or_default().to_owned(), value.to_owned())
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(wait, count)| ((*wait).to_owned(), (*count).to_owned())).collect()
    }

    #[test]
    fn the_last_complete_sample_is_shown() {
        let (mut sessions, now) = (Sessions::new("", Duration::from_secs(300)), clock::now());
        for wait in [Some("Lock"), Some("Lock"), None] {
            sessions.update(&row(100, wait), 0, now);
        }
        assert_eq!(shown(&sessions, now + SETTLE), pairs(&[("CPU", "1"), ("Lock", "2")]));
        let later = now + Duration::from_secs(1);
        sessions.update(&row(200, Some("IO")), 0, later);
        assert_eq!(shown(&sessions, later), pairs(&[("CPU", "1"), ("IO", "0"), ("Lock", "2")]));
        assert_eq!(shown(&sessions, later + SETTLE), pairs(&[("CPU", "0"), ("IO", "1"), ("Lock", "0")]));
    }

    #[test]
    fn when_no_row_comes_any_more_nobody_is_active_and_then_nothing_is_known() {
        let (mut sessions, now) = (Sessions::new("", Duration::from_secs(300)), clock::now());
        sessions.update(&EnrichedSession { sampling_weight: 4.0, ..row(100, None) }, 0, now);
        assert_eq!(shown(&sessions, now + Duration::from_secs(5)), pairs(&[("CPU", "4")]));
        assert_eq!(shown(&sessions, now + Duration::from_secs(6)), pairs(&[("CPU", "0")]));
        assert_eq!(shown(&sessions, now + Duration::from_secs(301)), []);
        sessions.expire(now + Duration::from_secs(301));
        assert!(sessions.targets.is_empty());
    }

    #[test]
    fn sessions_that_are_read_seldom_are_shown_until_three_samples_are_missing() {
        let (mut sessions, now) = (Sessions::new("", Duration::from_secs(300)), clock::now());
        let slow = EnrichedSession { interval_ns: Some(600_000_000_000), ..row(100, None) };
        sessions.update(&slow, 0, now);
        let first = EnrichedSession { interval_ns: None, ..slow };
        sessions.update(&first, 0, now);
        assert_eq!(shown(&sessions, now + Duration::from_secs(1800)), pairs(&[("CPU", "2")]));
        assert_eq!(shown(&sessions, now + Duration::from_secs(1801)), []);
    }

    #[test]
    fn a_sample_from_before_a_time_without_sessions_does_not_come_back() {
        let (mut sessions, now) = (Sessions::new("", Duration::from_secs(300)), clock::now());
        sessions.update(&row(100, Some("Lock")), 0, now);
        let later = now + Duration::from_secs(60);
        sessions.update(&row(200, Some("IO")), 0, later);
        assert_eq!(shown(&sessions, later), pairs(&[("IO", "1"), ("Lock", "0")]));
    }

    #[test]
    fn sessions_of_too_many_combinations_are_counted_together() {
        let (mut sessions, now) = (Sessions::new("", Duration::from_secs(300)), clock::now());
        let databases: Vec<String> = (0..COMBINATIONS_MAX + 7).map(|number| number.to_string()).collect();
        for database in databases.iter().chain(&databases) {
            sessions.update(&EnrichedSession { database: Some(database), ..row(100, None) }, 0, now);
        }
        let shown = shown(&sessions, now + SETTLE);
        assert_eq!(shown.len(), COMBINATIONS_MAX + 1);
        assert!(shown.contains(&("other".to_owned(), "14".to_owned())), "{:?}", shown.last());
    }
}
