//! Turns cumulative counters of statements into what happened in each interval.
//!
//! Reads: [`Row::RawQuery`], and [`Row::RawPoll`] as context. Writes: [`Row::Query`] with deltas and our own running
//! total. State: a baseline per target, database, user, statement and level; the last poll of each target. Guarantee: a
//! delta is never negative and never counted twice; when counters cannot be compared (a reset, an eviction, a restart, a
//! fail-over) the row says so and carries no values. Recovery: baselines are in the changelog, so a restart of dbintel
//! loses nothing; the deltas of a replay are the same.

mod baseline;
mod counters;
mod logic;
mod packed;

use std::collections::VecDeque;

use bumpalo::Bump;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{EnrichedQuery, RawPoll, RawQuery};

use self::baseline::{Baseline, LastPoll};
use self::logic::{Outcome, Reading};
use self::packed::Packed;
use crate::engine::{Context, Disposition, Processor, Row, StateError, StateTable, StateValue, Table, row};

/// The processor.
pub struct Delta {
    baselines: Table<Packed>,
    polls: Table<LastPoll>,
    /// Keys of the rows to come, each with the place of its row in memory: whatever a record says of itself, that is its own.
    ahead: VecDeque<(usize, Key)>,
}

/// Key of a statement's baseline: a hash, since names are longer than what most changes move.
type Key = [u8; 16];

/// What comes out for a row, or why nothing does.
type Enriched<'a> = Result<&'a mut EnrichedQuery<'a>, &'static str>;

impl Delta {
    /// A new instance without state.
    pub fn new() -> Self {
        Self { baselines: Table::new("baselines"), polls: Table::new("polls"), ahead: VecDeque::new() }
    }

    fn poll(&mut self, poll: &RawPoll<'_>) -> Result<(), StateError> {
        if poll.poll_class != "statements" || poll.outcome != "ok" {
            return Ok(());
        }
        let last = self.polls.get(poll.target.as_bytes())?.cloned();
        self.polls.insert(poll.target.as_bytes(), LastPoll::after(last.as_ref(), poll))
    }

    fn query<'a>(&mut self, raw: &RawQuery<'a>, offset: i64, arena: &'a Bump) -> Result<Enriched<'a>, StateError> {
        let key = self.key(raw);
        let poll = self.polls.get(raw.target.as_bytes())?;
        let reading = Reading::of(raw);
        let advanced = self.baselines.replace(&key, |packed, difference| {
            let before = packed.unpack();
            if before.expires_at().is_some_and(|at| at <= raw.observed_at) {
                return (None, None);
            }
            let mut after = before;
            let outcome = logic::advance(&mut after, &reading, poll);
            let is_difference = after.difference(&before, difference);
            let row = enriched(raw, offset, &after, &outcome, arena);
            (Some((Packed::from(&after), is_difference)), Some(row))
        })?;
        if let Some(row) = advanced.flatten() {
            return Ok(row);
        }
        let (baseline, outcome) = logic::begin(&reading, poll);
        let row = enriched(raw, offset, &baseline, &outcome, arena);
        self.baselines.insert(&key, Packed::from(&baseline))?;
        Ok(row)
    }

    /// Key of a row; of one that was seen ahead it is known.
    fn key(&mut self, raw: &RawQuery<'_>) -> Key {
        while let Some((place, key)) = self.ahead.pop_front() {
            if place == place_of(raw) {
                return key;
            }
        }
        statement_key(raw)
    }
}

impl Default for Delta {
    fn default() -> Self {
        Self::new()
    }
}

impl Processor for Delta {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.baselines, &mut self.polls]
    }

    fn prefetch(&mut self, rows: &[&Row<'_>]) -> Result<(), StateError> {
        self.ahead.clear();
        for row in rows {
            if let Row::RawQuery(raw) = row {
                self.ahead.push_back((place_of(raw), statement_key(raw)));
            }
        }
        self.baselines.warm(self.ahead.iter().map(|(_, key)| key.as_slice()));
        Ok(())
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        match row {
            Row::RawPoll(poll) => {
                self.poll(poll)?;
                Ok(Disposition::Forwarded)
            }
            Row::RawQuery(raw) => Ok(match self.query(raw, context.offset, context.arena())? {
                Ok(enriched) => {
                    *row = Row::Query(enriched);
                    row.enter(context.pipeline, context.time_clamped);
                    Disposition::Forwarded
                }
                Err(reason) => Disposition::Absorbed(reason),
            }),
            _ => Ok(Disposition::Forwarded),
        }
    }
}

/// Rows of a batch stand in its arena from when they are seen ahead until all are processed.
fn place_of(raw: &RawQuery<'_>) -> usize {
    std::ptr::from_ref(raw).addr()
}

fn statement_key(raw: &RawQuery<'_>) -> Key {
    let toplevel = match raw.toplevel {
        None => b"-",
        Some(true) => b"t",
        Some(false) => b"f",
    };
    hash128(&[
        raw.target.as_bytes(),
        raw.database_id.as_bytes(),
        raw.user_id.as_bytes(),
        raw.query_id.as_bytes(),
        toplevel,
    ])
}

fn enriched<'a>(
    raw: &RawQuery<'a>,
    offset: i64,
    baseline: &Baseline,
    outcome: &Outcome,
    arena: &'a Bump,
) -> Enriched<'a> {
    if let Outcome::Absorbed(reason) = *outcome {
        return Err(reason);
    }
    let query = arena.alloc_with(|| row::query(raw, offset));
    query.total = baseline.total;
    query.cumulative_mean_exec_time_ns = mean(raw.counters.total_exec_time_ns(), raw.counters.calls());
    match outcome {
        Outcome::Absorbed(_) => {}
        Outcome::NotComparable(reason) => query.delta_reason = Some(*reason),
        Outcome::Delta { delta, interval_ns, reason } => {
            query.delta_valid = true;
            query.delta_reason = *reason;
            query.delta = *delta;
            query.interval_ns = raw.interval_ns.or(*interval_ns);
            query.mean_exec_time_ns = mean(delta.total_exec_time_ns(), delta.calls());
        }
    }
    Ok(query)
}

fn mean(total: Option<i64>, count: Option<i64>) -> Option<i64> {
    total?.checked_div(count?)
}

#[cfg(test)]
mod tests;
