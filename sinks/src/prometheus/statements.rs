//! Counters of statements: series of their own for the statements of each target that take the most time, and one series
//! `other` for the rest.
//!
//! What the series promise, so that their increases add up to all that happened:
//! - The series of a statement gathers the increases of its running total while it has a place; `other` gathers those of
//!   statements without one. So each increase is counted once, and what `other` has counted stays there.
//! - Both begin at 0 when the process starts, as counters of a process do, and never fall; a statement goes on where it
//!   was when it comes back after a time without a place.
//! - A statement gets a place when one is free, or when it takes [`ADVANTAGE`] times the time of the least one that has
//!   a place, so that places change hands seldom.
//!
//! After a restart, and when partitions move, rows that an earlier life has shown fill the places again, but are not
//! counted a second time.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use dbintel_schemas::records::EnrichedQuery;

use super::names::Labels;
use super::store::{Kind, expiry};
use super::text::{Exposition, Number};
use super::{TARGETS_MAX, interval};
use crate::delivery::{StatementKey, statement_key};

/// Statements without a place whose totals are remembered, over all targets. Past it those that were not seen for longest
/// are forgotten; a forgotten one begins anew with the delta of its next row.
const REST_MAX: usize = 100_000;
/// How much more time than the least statement with a series a statement must take to get its place.
const ADVANTAGE: f64 = 1.25;
/// Time in which past work loses half of its weight for the choice, in µs.
const HALF_LIFE_US: f64 = 300e6;
/// Half-lives after which the scores of a target are scaled, so that they stay numbers.
const HALF_LIVES_MAX: f64 = 60.0;
/// Time without a row after which a statement loses its series and is forgotten.
const FORGET: Duration = Duration::from_secs(3600);

/// A counter that is shown.
struct Shown {
    /// Name after the namespace.
    name: &'static str,
    help: &'static str,
    /// Index in `QueryCounters`.
    index: usize,
    /// Nanoseconds, shown in seconds.
    seconds: bool,
}

const fn shown(name: &'static str, index: usize, help: &'static str) -> Shown {
    Shown { name, help, index, seconds: false }
}

const fn shown_seconds(name: &'static str, index: usize, help: &'static str) -> Shown {
    Shown { name, help, index, seconds: true }
}

/// Index of the execution time in [`SHOWN`].
const EXEC_TIME: usize = 2;

#[rustfmt::skip]
const SHOWN: [Shown; 15] = [
    shown("query_calls_total", 0, "Executions of the statement."),
    shown("query_rows_total", 1, "Rows that the statement returned or affected."),
    shown_seconds("query_exec_seconds_total", 2, "Time spent executing the statement."),
    shown_seconds("query_plan_seconds_total", 4, "Time spent planning the statement."),
    shown("query_shared_blocks_hit_total", 5, "Shared blocks found in the cache."),
    shown("query_shared_blocks_read_total", 6, "Shared blocks read."),
    shown("query_shared_blocks_dirtied_total", 7, "Shared blocks dirtied."),
    shown("query_shared_blocks_written_total", 8, "Shared blocks written."),
    shown("query_temp_blocks_read_total", 13, "Temporary blocks read."),
    shown("query_temp_blocks_written_total", 14, "Temporary blocks written."),
    shown_seconds("query_block_read_seconds_total", 15, "Time reading blocks."),
    shown_seconds("query_block_write_seconds_total", 16, "Time writing blocks."),
    shown("query_wal_bytes_total", 23, "Write-ahead log that the statement wrote."),
    shown_seconds("query_cpu_seconds_total", 25, "CPU time of the statement."),
    shown("query_errors_total", 26, "Executions that failed."),
];

type Totals = [Option<i64>; SHOWN.len()];

/// The statements of all targets.
#[derive(Debug)]
pub struct Statements {
    targets: HashMap<Box<str>, Target>,
    /// Statements without a place.
    rest: usize,
    top: usize,
    metric_expiration: Duration,
    namespace: String,
}

#[derive(Debug)]
struct Target {
    partition: u32,
    statements: HashMap<StatementKey, Statement>,
    members: Vec<StatementKey>,
    other: Totals,
    /// Time in event time from which scores grow, in µs.
    landmark: i64,
    seen_at: Instant,
    expiry: Duration,
}

#[derive(Debug)]
struct Statement {
    labels: Box<str>,
    /// The running totals of its last row.
    totals: Totals,
    /// By how much they rose while it had a place.
    own: [i64; SHOWN.len()],
    /// Recent time, weighted by how recent.
    score: f64,
    is_member: bool,
    observed_at: i64,
    seen_at: Instant,
}

impl Statements {
    /// Shows this many statements of each target.
    pub fn new(namespace: &str, top: usize, metric_expiration: Duration) -> Self {
        let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}_") };
        Statements { targets: HashMap::new(), rest: 0, top, metric_expiration, namespace }
    }

    /// Full names of the families.
    pub fn family_names(&self) -> Vec<String> {
        SHOWN.iter().map(|shown| format!("{}{}", self.namespace, shown.name)).collect()
    }

    /// Takes a row; returns false if there are too many targets already. A row that is not `fresh` was shown by an earlier
    /// life.
    pub fn update(&mut self, row: &EnrichedQuery<'_>, partition: u32, fresh: bool, now: Instant) -> bool {
        let expiry = expiry(self.metric_expiration, interval(row.interval_ns));
        if self.rest >= REST_MAX {
            self.forget_half();
        }
        let is_full = self.targets.len() >= TARGETS_MAX;
        let target = match self.targets.get_mut(row.target) {
            Some(target) => target,
            None if is_full => return false,
            None => self.targets.entry(row.target.into()).or_insert_with(|| Target::new(row.observed_at, now)),
        };
        (target.partition, target.seen_at, target.expiry) = (partition, now, expiry);
        self.rest -= target.rest();
        target.update(row, fresh, now, self.top);
        self.rest += target.rest();
        true
    }

    /// Forgets statements and targets of which nothing was heard for long.
    pub fn expire(&mut self, now: Instant) {
        let is_old = |seen_at: Instant| now.saturating_duration_since(seen_at) > FORGET;
        self.targets.retain(|_, target| {
            target.forget(|statement| is_old(statement.seen_at));
            !is_old(target.seen_at) || !target.members.is_empty()
        });
        self.count();
    }

    /// Forgets targets of other partitions than these.
    pub fn keep_partitions(&mut self, partitions: &[u32]) {
        self.targets.retain(|_, target| partitions.contains(&target.partition));
        self.count();
    }

    /// Shows the targets that are alive.
    pub fn expose(&self, now: Instant, out: &mut Exposition) {
        let mut targets: Vec<(&Box<str>, &Target)> =
            self.targets.iter().filter(|(_, target)| !target.has_expired(now)).collect();
        targets.sort_by_key(|(name, _)| *name);
        let others: Vec<Box<str>> = targets.iter().map(|(name, _)| other_labels(name)).collect();
        let series = targets.iter().zip(&others).map(|((_, target), other)| target.series(other));
        let series: Vec<Vec<(&str, Totals)>> = series.collect();
        for (index, shown) in SHOWN.iter().enumerate() {
            out.family(&format!("{}{}", self.namespace, shown.name), Kind::Counter, shown.help);
            for (place, (_, target)) in targets.iter().enumerate() {
                let own = series[place].iter().map(|(labels, totals)| (*labels, totals[index]));
                let other = std::iter::once((&*others[place], target.other[index]));
                for (labels, value) in own.chain(other) {
                    if let Some(value) = value {
                        out.sample(labels, number(value, shown.seconds));
                    }
                }
            }
        }
    }

    fn count(&mut self) {
        self.rest = self.targets.values().map(Target::rest).sum();
    }

    /// Forgets the statements without a place that were seen before the half of them.
    fn forget_half(&mut self) {
        let rest = |target: &Target| {
            target.statements.values().filter(|one| !one.is_member).map(|one| one.seen_at).collect::<Vec<_>>()
        };
        let mut seen: Vec<Instant> = self.targets.values().flat_map(rest).collect();
        let middle = seen.len() / 2;
        if seen.is_empty() {
            return;
        }
        let (_, bound, _) = seen.select_nth_unstable(middle);
        let bound = *bound;
        for target in self.targets.values_mut() {
            target.forget(|statement| !statement.is_member && statement.seen_at <= bound);
        }
        self.count();
    }
}

impl Target {
    fn new(landmark: i64, now: Instant) -> Self {
        Target {
            partition: 0,
            statements: HashMap::new(),
            members: Vec::new(),
            other: [None; SHOWN.len()],
            landmark,
            seen_at: now,
            expiry: Duration::ZERO,
        }
    }

    fn update(&mut self, row: &EnrichedQuery<'_>, fresh: bool, now: Instant, top: usize) {
        let key = statement_key(row);
        let growth = self.growth(row.observed_at);
        let statement = self.statements.entry(key).or_insert_with(|| Statement::new(row, now));
        if row.observed_at < statement.observed_at {
            return;
        }
        let increase = statement.advance(row, now);
        statement.score += increase[EXEC_TIME] as f64 * growth;
        let (score, was_member) = (statement.score, statement.is_member);
        let is_member = was_member || self.promote(key, score, top, now);
        let Some(statement) = self.statements.get_mut(&key) else { return };
        for (index, _) in statement.totals.iter().enumerate().filter(|(_, total)| total.is_some()) {
            let other = self.other[index].get_or_insert(0);
            let counter = if is_member { &mut statement.own[index] } else { other };
            if fresh {
                *counter = counter.saturating_add(increase[index]);
            }
        }
    }

    /// Number of statements without a place.
    fn rest(&self) -> usize {
        self.statements.len() - self.members.len()
    }

    /// Weight of work at this time: it doubles every half-life, so that scores need no decay. Scales the scores before
    /// they grow too large.
    fn growth(&mut self, at: i64) -> f64 {
        let half_lives = at.saturating_sub(self.landmark) as f64 / HALF_LIFE_US;
        if half_lives <= HALF_LIVES_MAX {
            return half_lives.exp2();
        }
        let scale = (-half_lives).exp2();
        self.statements.values_mut().for_each(|statement| statement.score *= scale);
        self.landmark = at;
        1.0
    }

    /// Gives the statement a place if one is free, or if it deserves the place of another one.
    fn promote(&mut self, key: StatementKey, score: f64, top: usize, now: Instant) -> bool {
        if self.members.len() < top {
            self.members.push(key);
        } else {
            let score_of = |key: &StatementKey| self.statements.get(key).map_or(0.0, |statement| statement.score);
            let scores = self.members.iter().map(score_of).enumerate();
            let Some((place, least)) = scores.min_by(|left, right| left.1.total_cmp(&right.1)) else { return false };
            if score <= least * ADVANTAGE {
                return false;
            }
            let loser = std::mem::replace(&mut self.members[place], key);
            if let Some(statement) = self.statements.get_mut(&loser) {
                statement.is_member = false;
                statement.seen_at = now;
            }
        }
        if let Some(statement) = self.statements.get_mut(&key) {
            statement.is_member = true;
        }
        true
    }

    fn forget(&mut self, forget: impl Fn(&Statement) -> bool) {
        self.statements.retain(|_, statement| !forget(statement));
        self.members.retain(|key| self.statements.contains_key(key));
    }

    fn has_expired(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen_at) > self.expiry
    }

    /// The series of statements, by their labels. When a database or role was made anew under its old name, the one that
    /// was seen last has the labels. Those of `other` are taken.
    fn series(&self, other: &str) -> Vec<(&str, Totals)> {
        let mut members: Vec<&Statement> = self.members.iter().filter_map(|key| self.statements.get(key)).collect();
        members.sort_by_key(|statement| std::cmp::Reverse(statement.observed_at));
        let mut taken = HashSet::from([other]);
        members.retain(|statement| taken.insert(&*statement.labels));
        members.sort_by_key(|statement| &statement.labels);
        members.into_iter().map(|statement| (&*statement.labels, statement.own())).collect()
    }
}

impl Statement {
    fn new(row: &EnrichedQuery<'_>, now: Instant) -> Self {
        // The first row of a statement moves it by its delta: what it did before was counted by an earlier life, or by
        // nobody.
        let before = |shown: &Shown| {
            let total = row.total.get(shown.index)?;
            let delta = if row.delta_valid { row.delta.get(shown.index).unwrap_or(0) } else { 0 };
            Some(total - delta.clamp(0, total.max(0)))
        };
        let mut totals = [None; SHOWN.len()];
        for (total, shown) in totals.iter_mut().zip(&SHOWN) {
            *total = before(shown);
        }
        Statement {
            labels: labels(row),
            totals,
            own: [0; SHOWN.len()],
            score: 0.0,
            is_member: false,
            observed_at: i64::MIN,
            seen_at: now,
        }
    }

    /// Takes the totals of a row; returns by how much they rose. A total that was not there, or was larger, has begun at 0
    /// since.
    fn advance(&mut self, row: &EnrichedQuery<'_>, now: Instant) -> [i64; SHOWN.len()] {
        let mut increase = [0; SHOWN.len()];
        for (index, shown) in SHOWN.iter().enumerate() {
            let Some(total) = row.total.get(shown.index) else { continue };
            let before = self.totals[index].filter(|before| *before <= total).unwrap_or(0);
            increase[index] = total.saturating_sub(before).max(0);
            self.totals[index] = Some(total);
        }
        (self.observed_at, self.seen_at) = (row.observed_at, now);
        increase
    }

    fn own(&self) -> Totals {
        std::array::from_fn(|index| self.totals[index].map(|_| self.own[index]))
    }
}

fn labels(row: &EnrichedQuery<'_>) -> Box<str> {
    Labels::ours(&[
        ("target", row.target),
        ("database", row.database.unwrap_or(row.database_id)),
        ("user", row.user.unwrap_or(row.user_id)),
        ("query_id", row.query_id),
        ("toplevel", if row.toplevel == Some(false) { "false" } else { "" }),
    ])
    .finish()
}

fn other_labels(target: &str) -> Box<str> {
    Labels::ours(&[("target", target), ("query_id", "other")]).finish()
}

fn number(value: i64, seconds: bool) -> Number {
    if seconds { Number::Double(value as f64 / 1e9) } else { Number::Int(value) }
}

#[cfg(test)]
mod tests;
