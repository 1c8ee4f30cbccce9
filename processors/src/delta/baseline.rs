//! What `delta` remembers, and how it is stored.

use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{InstanceEpoch, QueryCounters, RawPoll};

use super::counters::{ALL, Bits, COUNT};
use crate::engine::state::numbers::{DifferenceWriter, read_numbers, undo_difference, write_numbers};
use crate::engine::state::{Fields, write_number, write_optional};
use crate::engine::{StateError, StateValue};

/// The last reading of one statement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Baseline {
    /// Life of the server that it was read in.
    pub epoch: Epoch,
    /// Owner and poll that read it.
    pub owner_epoch: i64,
    /// Sequence number of that poll.
    pub poll_seq: i64,
    /// When it was read, in µs.
    pub observed_at: i64,
    /// Start of the entry's counters, in µs, where the server tells it.
    pub entry_since_at: Option<i64>,
    /// Cumulative counters as read.
    pub counters: QueryCounters,
    /// Our running sum of the deltas.
    pub total: QueryCounters,
}

/// An instance epoch in a size that a baseline can afford.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    /// Hash of system identifier and timeline.
    pub server: u64,
    /// Start of the server process in µs; 0 when unknown.
    pub started_at: i64,
    /// Last reset of the statistics in µs; 0 when unknown.
    pub statistics_reset_at: i64,
}

/// The last good poll of a target's statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPoll {
    /// Life of the server.
    pub epoch: Epoch,
    /// Clock of the server at the poll in µs, where it is known.
    pub server_time: Option<i64>,
    /// Owner of the last complete snapshot.
    pub snapshot_owner_epoch: i64,
    /// Poll of the last complete snapshot; 0 when there was none.
    pub snapshot_poll_seq: i64,
}

impl Epoch {
    /// Of a record.
    pub fn of(instance: &InstanceEpoch<'_>) -> Self {
        let timeline = instance.timeline.unwrap_or(0).to_le_bytes();
        let hash = hash128(&[instance.system_identifier.as_bytes(), &timeline]);
        Self {
            server: u64::from_le_bytes(hash[..8].try_into().expect("8 of 16 bytes")),
            started_at: instance.started_at.unwrap_or(0),
            statistics_reset_at: instance.statistics_reset_at.unwrap_or(0),
        }
    }
}

impl LastPoll {
    /// After one more poll.
    pub fn after(last: Option<&LastPoll>, poll: &RawPoll<'_>) -> Self {
        let snapshot = if poll.snapshot_complete {
            (poll.owner_epoch, poll.poll_seq)
        } else {
            last.map_or((0, 0), |last| (last.snapshot_owner_epoch, last.snapshot_poll_seq))
        };
        Self {
            epoch: Epoch::of(&poll.instance),
            server_time: poll.server_time,
            snapshot_owner_epoch: snapshot.0,
            snapshot_poll_seq: snapshot.1,
        }
    }
}

const VERSION: u8 = 1;

/// Of the stored form of a baseline.
pub const BASELINE_VERSION: u8 = 2;

/// A baseline's numbers before its counters.
pub const HEAD: usize = 10;

/// Index of [`Baseline::observed_at`] among its numbers.
pub const OBSERVED_AT: usize = 5;

/// A baseline as numbers: the head, then for each counter itself and its total. A later release may add counters at the end.
pub const NUMBERS: usize = HEAD + 2 * COUNT;

/// A baseline that was not refreshed for this long is forgotten. Complete snapshots refresh what the server still has every
/// 10 minutes, so that only statements expire that are gone, or whose server was not read for a week.
pub const KEPT_US: i64 = 7 * 24 * 3600 * 1_000_000;

/// The stored form; in memory it is packed.
impl StateValue for Baseline {
    fn expires_at(&self) -> Option<i64> {
        Some(self.observed_at.saturating_add(KEPT_US))
    }

    fn stored_expires_at(bytes: &[u8]) -> Result<Option<i64>, StateError> {
        let mut input = Fields::of("baselines", BASELINE_VERSION, bytes)?;
        input.count()?;
        for _ in 0..OBSERVED_AT {
            input.number()?;
        }
        Ok(Some(input.number()?.saturating_add(KEPT_US)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        write_numbers(BASELINE_VERSION, &self.numbers(), out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut numbers = [0; NUMBERS];
        read_numbers("baselines", BASELINE_VERSION, bytes, &mut numbers)?;
        Ok(Self::of_numbers(&numbers))
    }

    fn difference(&self, before: &Self, out: &mut Vec<u8>) -> bool {
        let mut difference = DifferenceWriter::new(out);
        before.head().iter().zip(self.head()).for_each(|(before, after)| difference.number(*before, after));
        let mut next = 0;
        for index in Bits(before.kept() | self.kept()) {
            difference.skip(2 * (index - next));
            let (before, after) = (before.pair(index), self.pair(index));
            difference.number(before.0, after.0);
            difference.number(before.1, after.1);
            next = index + 1;
        }
        true
    }

    fn undo(&mut self, difference: &[u8]) {
        let mut numbers = self.numbers();
        undo_difference(&mut numbers, difference);
        *self = Self::of_numbers(&numbers);
    }
}

impl Baseline {
    /// Counters that the server or our total has; all others are 0.
    pub fn kept(&self) -> u64 {
        self.counters.present | self.total.present
    }

    /// A counter, and what the running total is ahead of it: both move by the same, so that this moves seldom.
    #[inline(always)]
    pub fn pair(&self, index: usize) -> (i64, i64) {
        let counter = self.counters.values[index];
        (counter, self.total.values[index].wrapping_sub(counter))
    }

    fn numbers(&self) -> [i64; NUMBERS] {
        let mut numbers = [0; NUMBERS];
        let (head, pairs) = numbers.split_at_mut(HEAD);
        head.copy_from_slice(&self.head());
        for (index, pair) in pairs.chunks_exact_mut(2).enumerate() {
            (pair[0], pair[1]) = self.pair(index);
        }
        numbers
    }

    fn of_numbers(numbers: &[i64; NUMBERS]) -> Self {
        let (head, pairs) = numbers.split_first_chunk().expect("longer than its head");
        let mut baseline = Self::of_head(head);
        for (index, pair) in pairs.chunks_exact(2).enumerate() {
            baseline.counters.values[index] = pair[0];
            baseline.total.values[index] = pair[0].wrapping_add(pair[1]);
        }
        baseline
    }

    /// All but the values of the counters.
    pub fn head(&self) -> [i64; HEAD] {
        [
            self.epoch.server.cast_signed(),
            self.epoch.started_at,
            self.epoch.statistics_reset_at,
            self.owner_epoch,
            self.poll_seq,
            self.observed_at,
            i64::from(self.entry_since_at.is_some()),
            self.entry_since_at.unwrap_or(0),
            self.counters.present.cast_signed(),
            self.total.present.cast_signed(),
        ]
    }

    /// A baseline whose counters are all 0.
    pub fn of_head(head: &[i64; HEAD]) -> Self {
        let counters =
            |present: i64| QueryCounters { present: present.cast_unsigned() & ALL, ..QueryCounters::default() };
        Self {
            epoch: Epoch { server: head[0].cast_unsigned(), started_at: head[1], statistics_reset_at: head[2] },
            owner_epoch: head[3],
            poll_seq: head[4],
            observed_at: head[OBSERVED_AT],
            entry_since_at: (head[6] != 0).then_some(head[7]),
            counters: counters(head[8]),
            total: counters(head[9]),
        }
    }
}

impl StateValue for LastPoll {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        self.epoch.write(out);
        write_optional(out, self.server_time);
        write_number(out, self.snapshot_owner_epoch);
        write_number(out, self.snapshot_poll_seq);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut input = Fields::of("polls", VERSION, bytes)?;
        Ok(Self {
            epoch: Epoch::read(&mut input)?,
            server_time: input.optional()?,
            snapshot_owner_epoch: input.number()?,
            snapshot_poll_seq: input.number()?,
        })
    }
}

impl Epoch {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.server.to_le_bytes());
        write_number(out, self.started_at);
        write_number(out, self.statistics_reset_at);
    }

    fn read(input: &mut Fields<'_>) -> Result<Self, StateError> {
        Ok(Self { server: input.fixed()?, started_at: input.number()?, statistics_reset_at: input.number()? })
    }
}
