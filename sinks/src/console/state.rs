//! What is going on: pure, with the time as an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use dbintel_schemas::records::{EnrichedQuery, EnrichedSession};

use crate::delivery::{StatementKey, cut, statement_key};

/// Statements that are kept; past it the ones with the least time go.
const STATEMENTS_MAX: usize = 1000;
/// Statements that are shown.
const TOP: usize = 10;
/// Waits that are shown.
const WAITS: usize = 8;
/// Targets whose sessions are kept.
const TARGETS_MAX: usize = 1000;
/// A statement that did not come again after two and a half intervals, and after this long, has come to rest.
const STATEMENT_REST_MIN: Duration = Duration::from_secs(25);
/// A sample of sessions that is older than three intervals, and than this, says nothing about now.
const SAMPLE_FRESH_MIN: Duration = Duration::from_secs(5);
/// Longest interval that is waited for.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Part of a text that is kept, in bytes.
const TEXT_BYTES_MAX: usize = 400;
/// What sessions without a wait are waiting for.
const RUNNING: &str = "CPU";

/// What a console knows.
#[derive(Debug, Default)]
pub struct State {
    statements: HashMap<StatementKey, Statement>,
    samples: HashMap<Box<str>, Sample>,
}

#[derive(Debug, Clone)]
struct Statement {
    work: Work,
    moving_until: Instant,
}

/// What a statement did in its last interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// Where.
    pub target: Box<str>,
    /// In which database.
    pub database: Box<str>,
    /// Its text, or its identifier when there is no text.
    pub text: Box<str>,
    /// Time per second of the interval, in seconds: 1 keeps one session busy.
    pub load: f64,
    /// Calls per second.
    pub calls: f64,
    /// Rows per second.
    pub rows: f64,
    /// Mean time of a call, in seconds.
    pub mean: f64,
}

#[derive(Debug)]
struct Sample {
    observed_at: i64,
    waits: BTreeMap<Box<str>, f64>,
    fresh_until: Instant,
}

/// What is shown.
#[derive(Debug, PartialEq)]
pub struct View {
    /// The statements that take the most time, the busiest first.
    pub statements: Vec<Work>,
    /// Active sessions by wait, the most first.
    pub sessions: Vec<(Box<str>, f64)>,
    /// All active sessions.
    pub active: f64,
}

impl State {
    /// Takes a row about a statement.
    pub fn query(&mut self, row: &EnrichedQuery<'_>, text: Option<&str>, now: Instant) {
        let Some(work) = work(row, text) else { return };
        let moving_until = now + STATEMENT_REST_MIN.max(interval(row.interval_ns) * 5 / 2);
        self.statements.insert(statement_key(row), Statement { work, moving_until });
        if self.statements.len() > STATEMENTS_MAX {
            self.forget_statements(now);
        }
    }

    /// Takes a row about a session.
    pub fn session(&mut self, row: &EnrichedSession<'_>, now: Instant) {
        let is_known = self.samples.contains_key(row.target);
        if !is_known && self.samples.len() >= TARGETS_MAX {
            self.samples.retain(|_, sample| now <= sample.fresh_until);
            if self.samples.len() >= TARGETS_MAX {
                return;
            }
        }
        let sample = self.samples.entry(row.target.into()).or_insert_with(|| Sample::new(now));
        if row.observed_at > sample.observed_at {
            sample.observed_at = row.observed_at;
            sample.waits.clear();
        }
        if row.observed_at == sample.observed_at {
            sample.fresh_until = now + SAMPLE_FRESH_MIN.max(interval(row.interval_ns) * 3);
            *sample.waits.entry(wait(row)).or_default() += row.sampling_weight;
        }
    }

    /// What is shown now.
    pub fn view(&self, now: Instant) -> View {
        let moving = self.statements.values().filter(|statement| now <= statement.moving_until);
        let mut statements: Vec<Work> = moving.map(|statement| statement.work.clone()).collect();
        statements.sort_by(|left, right| right.load.total_cmp(&left.load).then_with(|| left.text.cmp(&right.text)));
        statements.truncate(TOP);
        let mut waits: BTreeMap<&Box<str>, f64> = BTreeMap::new();
        for sample in self.samples.values() {
            if now <= sample.fresh_until {
                for (wait, count) in &sample.waits {
                    *waits.entry(wait).or_default() += count;
                }
            }
        }
        let active = waits.values().sum();
        let mut sessions: Vec<(Box<str>, f64)> = waits.into_iter().map(|(wait, count)| (wait.clone(), count)).collect();
        sessions.sort_by(|left, right| right.1.total_cmp(&left.1));
        sessions.truncate(WAITS);
        View { statements, sessions, active }
    }

    fn forget_statements(&mut self, now: Instant) {
        self.statements.retain(|_, one| now <= one.moving_until);
        let mut loads: Vec<f64> = self.statements.values().map(|one| one.work.load).collect();
        let keep = STATEMENTS_MAX / 2;
        if loads.len() > keep {
            let (_, least, _) = loads.select_nth_unstable_by(keep, |left, right| right.total_cmp(left));
            let least = *least;
            self.statements.retain(|_, one| one.work.load > least);
        }
    }
}

impl Sample {
    fn new(now: Instant) -> Self {
        Sample { observed_at: i64::MIN, waits: BTreeMap::new(), fresh_until: now }
    }
}

/// Rates of the last interval; none when the deltas say nothing.
fn work(row: &EnrichedQuery<'_>, text: Option<&str>) -> Option<Work> {
    let interval = row.interval_ns.filter(|interval| row.delta_valid && *interval > 0)? as f64 / 1e9;
    let calls = row.delta.calls()? as f64;
    let time = row.delta.total_exec_time_ns().unwrap_or(0) as f64 / 1e9;
    let text = match text {
        Some(text) => one_line(cut(text, TEXT_BYTES_MAX)),
        None => one_line(&format!("query {}", row.query_id)),
    };
    Some(Work {
        target: row.target.into(),
        database: one_line(row.database.unwrap_or(row.database_id)),
        text,
        load: time / interval,
        calls: calls / interval,
        rows: row.delta.rows().unwrap_or(0) as f64 / interval,
        mean: if calls > 0.0 { time / calls } else { 0.0 },
    })
}

/// Time between two rows, as far as the table waits for the next one.
fn interval(interval_ns: Option<i64>) -> Duration {
    let interval = Duration::from_nanos(interval_ns.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0));
    interval.min(INTERVAL_MAX)
}

/// The text with its white space, and whatever a terminal might obey, as single spaces.
fn one_line(text: &str) -> Box<str> {
    let is_space = |character: char| character.is_whitespace() || character.is_control();
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").into()
}

fn wait(row: &EnrichedSession<'_>) -> Box<str> {
    let wait = match (row.wait_event_type, row.wait_event) {
        (Some(class), Some(event)) => format!("{class}: {event}"),
        (Some(class), None) => class.to_owned(),
        (None, _) => RUNNING.to_owned(),
    };
    match row.state {
        Some("active") | None => one_line(&wait),
        Some(state) => one_line(&format!("{wait} ({state})")),
    }
}
