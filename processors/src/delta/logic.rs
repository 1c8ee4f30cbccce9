//! When two readings of a statement may be compared, and what their difference is.
//!
//! Counters of a statement begin again when statistics are reset, when the server loses them in a crash, when another
//! server takes over the name, and when the entry is evicted and comes back. Comparing across such a break gives a wrong
//! number that looks right, so each break is recognised by what the server tells (system identifier, timeline, start,
//! reset, per-entry start), by a counter that fell, or by the absence from a complete snapshot.

use dbintel_schemas::records::{QueryCounters, RawQuery};

use super::baseline::{Baseline, Epoch, LastPoll};
use super::counters::Arithmetic;

/// A reading of one statement.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'r> {
    /// Life of the server.
    pub epoch: Epoch,
    /// Owner that read it.
    pub owner_epoch: i64,
    /// Poll that read it.
    pub poll_seq: i64,
    /// When, in µs.
    pub observed_at: i64,
    /// Start of the entry's counters in µs, where the server tells it.
    pub entry_since_at: Option<i64>,
    /// Cumulative counters.
    pub counters: &'r QueryCounters,
}

/// What a reading means.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack, once per row")]
pub enum Outcome {
    /// Nothing comes out: `baseline`, `unchanged` or `late`.
    Absorbed(&'static str),
    /// The reading cannot be compared with the baseline, for this reason; it is the new baseline.
    NotComparable(&'static str),
    /// What happened since the baseline.
    Delta {
        /// Increase of each counter.
        delta: QueryCounters,
        /// Time between the readings by the poller's clock, in ns.
        interval_ns: Option<i64>,
        /// Something worth knowing: `new_entry`.
        reason: Option<&'static str>,
    },
}

impl<'r> Reading<'r> {
    /// Of a record.
    pub fn of(raw: &'r RawQuery<'_>) -> Self {
        Self {
            epoch: Epoch::of(&raw.instance),
            owner_epoch: raw.owner_epoch,
            poll_seq: raw.poll_seq,
            observed_at: raw.observed_at,
            entry_since_at: raw.entry_since_at,
            counters: &raw.counters,
        }
    }

    fn baseline(&self, total: QueryCounters) -> Baseline {
        Baseline {
            epoch: self.epoch,
            owner_epoch: self.owner_epoch,
            poll_seq: self.poll_seq,
            observed_at: self.observed_at,
            entry_since_at: self.entry_since_at,
            counters: *self.counters,
            total,
        }
    }

    /// Makes this reading the last one; the total stays.
    fn renew(&self, baseline: &mut Baseline) {
        baseline.epoch = self.epoch;
        baseline.owner_epoch = self.owner_epoch;
        baseline.poll_seq = self.poll_seq;
        baseline.observed_at = self.observed_at;
        baseline.entry_since_at = self.entry_since_at;
        baseline.counters = *self.counters;
    }
}

/// The first sight of a statement: a baseline, unless the server proves that the entry began after our last poll.
pub fn begin(reading: &Reading<'_>, poll: Option<&LastPoll>) -> (Baseline, Outcome) {
    let zero = QueryCounters::default();
    let began_in_sight = poll.is_some_and(|poll| {
        poll.epoch == reading.epoch
            && poll.server_time.zip(reading.entry_since_at).is_some_and(|(poll, since)| since > poll)
    });
    if !began_in_sight {
        return (reading.baseline(zero), Outcome::Absorbed("baseline"));
    }
    let since_then = reading.counters.without_apart();
    let delta = Outcome::Delta { delta: since_then, interval_ns: None, reason: Some("new_entry") };
    (reading.baseline(since_then), delta)
}

/// A further sight: brings the baseline up to the reading.
pub fn advance(baseline: &mut Baseline, reading: &Reading<'_>, poll: Option<&LastPoll>) -> Outcome {
    let late = (reading.owner_epoch, reading.poll_seq) <= (baseline.owner_epoch, baseline.poll_seq);
    if late {
        return Outcome::Absorbed("late");
    }
    if let Some(reason) = broken(baseline, reading, poll) {
        reading.renew(baseline);
        return Outcome::NotComparable(reason);
    }
    let Some(delta) = reading.counters.since(&baseline.counters) else {
        reading.renew(baseline);
        return Outcome::NotComparable("eviction");
    };
    if delta.is_zero() {
        reading.renew(baseline);
        return Outcome::Absorbed("unchanged");
    }
    let elapsed = reading.observed_at.saturating_sub(baseline.observed_at);
    let interval_ns = (elapsed > 0).then(|| elapsed.saturating_mul(1000));
    baseline.total.add(&delta);
    reading.renew(baseline);
    Outcome::Delta { delta, interval_ns, reason: None }
}

/// Why the readings belong to different lives of the entry, if they do.
fn broken(baseline: &Baseline, reading: &Reading<'_>, poll: Option<&LastPoll>) -> Option<&'static str> {
    let (before, after) = (&baseline.epoch, &reading.epoch);
    if before.server != after.server {
        return Some("fail_over");
    }
    if before.statistics_reset_at != after.statistics_reset_at {
        return Some("statistics_reset");
    }
    let same_entry = baseline.entry_since_at.zip(reading.entry_since_at).map(|(before, after)| before == after);
    if same_entry == Some(true) {
        return None;
    }
    if before.started_at != after.started_at {
        return Some("server_restart");
    }
    if same_entry == Some(false) {
        return Some("eviction");
    }
    let absent_from_snapshot = poll.is_some_and(|poll| {
        // The outcome of a poll may be seen before its rows.
        let before_reading =
            (poll.snapshot_owner_epoch, poll.snapshot_poll_seq) < (reading.owner_epoch, reading.poll_seq);
        let after_baseline =
            poll.snapshot_owner_epoch == baseline.owner_epoch && poll.snapshot_poll_seq > baseline.poll_seq;
        before_reading && after_baseline
    });
    absent_from_snapshot.then_some("eviction")
}
