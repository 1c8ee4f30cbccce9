//! Active sessions by what they wait for, as of the last sample of each target.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use dbintel_schemas::records::EnrichedSession;

use super::names::Labels;
use super::store::Kind;
use super::text::{Exposition, Number};

/// Name after the namespace.
const NAME: &str = "active_sessions";
const HELP: &str =
    "Sessions that are not idle, by state and wait, as of the last sample. Sampled rows count by their weight.";
/// A sample is complete when no row of it came for this long.
const SETTLE: Duration = Duration::from_millis(300);
/// Without a row for this long nobody is active: a sample without sessions leaves none.
const FRESH: Duration = Duration::from_secs(15);
/// Combinations of labels of one target that are kept.
const COMBINATIONS_MAX: usize = 1000;
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
    /// Time of the sample that is coming in, in µs since the epoch.
    current_at: i64,
    current: BTreeMap<Box<str>, f64>,
    /// The sample before.
    complete: BTreeMap<Box<str>, f64>,
    /// Combinations that were there once, and when they were there last: they go to 0 before they go.
    known: BTreeMap<Box<str>, Instant>,
    seen_at: Instant,
}

impl Sessions {
    /// Shows combinations for this long after their last session.
    pub fn new(namespace: &str, metric_expiration: Duration) -> Self {
        let name = if namespace.is_empty() { NAME.to_owned() } else { format!("{namespace}_{NAME}") };
        Sessions { targets: HashMap::new(), name, metric_expiration }
    }

    /// Full name of the family.
    pub fn family_name(&self) -> String {
        self.name.clone()
    }

    /// Takes a row.
    pub fn update(&mut self, row: &EnrichedSession<'_>, partition: u32, now: Instant) {
        let target = match self.targets.get_mut(row.target) {
            Some(target) => target,
            None => self.targets.entry(row.target.into()).or_insert_with(|| Target::new(now)),
        };
        (target.partition, target.seen_at) = (partition, now);
        target.add(row, now);
    }

    /// Forgets what was not there for long.
    pub fn expire(&mut self, now: Instant) {
        let expiry = self.metric_expiration;
        self.targets.retain(|_, target| {
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
            let is_alive = |seen_at: &Instant| now.saturating_duration_since(*seen_at) <= self.metric_expiration;
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
            self.complete = std::mem::take(&mut self.current);
            self.current_at = row.observed_at;
        }
        let labels = labels(row);
        if self.known.len() < COMBINATIONS_MAX || self.known.contains_key(&labels) {
            self.known.insert(labels.clone(), now);
            *self.current.entry(labels).or_default() += row.sampling_weight;
        }
    }

    /// The sample to show; none when the last one is too old to be true.
    fn shown(&self, now: Instant) -> Option<&BTreeMap<Box<str>, f64>> {
        match now.saturating_duration_since(self.seen_at) {
            age if age > FRESH => None,
            age if age >= SETTLE || self.complete.is_empty() => Some(&self.current),
            _ => Some(&self.complete),
        }
    }
}

fn labels(row: &EnrichedSession<'_>) -> Box<str> {
    let (wait_type, wait) = match row.wait_event_type {
        Some(wait_type) => (wait_type, row.wait_event.unwrap_or_default()),
        None => (RUNNING, RUNNING),
    };
    let pairs = [
        ("target", row.target),
        ("database", row.database.unwrap_or_default()),
        ("state", row.state.unwrap_or_default()),
        ("wait_event_type", wait_type),
        ("wait_event", wait),
    ];
    Labels::new(&pairs).finish()
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
        assert_eq!(shown(&sessions, now + Duration::from_secs(1)), pairs(&[("CPU", "4")]));
        assert_eq!(shown(&sessions, now + Duration::from_secs(16)), pairs(&[("CPU", "0")]));
        assert_eq!(shown(&sessions, now + Duration::from_secs(301)), []);
        sessions.expire(now + Duration::from_secs(301));
        assert!(sessions.targets.is_empty());
    }
}
