//! What `delta` remembers, and how it is stored.

use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{InstanceEpoch, RawPoll};

use super::counters::{COUNT, Counters};
use crate::engine::state::numbers::{read_numbers, undo_difference, write_difference, write_numbers};
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
    pub counters: Counters,
    /// Our running sum of the deltas.
    pub total: Counters,
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

const BASELINE_VERSION: u8 = 2;

/// A baseline's numbers before its counters.
const HEAD: usize = 10;

/// Index of [`Baseline::observed_at`] among its numbers.
const OBSERVED_AT: usize = 5;

/// A baseline as numbers: the head, then for each counter itself and its total. A later release may add counters at the end.
const NUMBERS: usize = HEAD + 2 * COUNT;

/// A baseline that was not refreshed for this long is forgotten. Complete snapshots refresh what the server still has every
/// 10 minutes, so that only statements expire that are gone, or whose server was not read for a week.
const KEPT_US: i64 = 7 * 24 * 3600 * 1_000_000;

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
        write_difference(&before.numbers(), &self.numbers(), out);
        true
    }

    fn undo(&mut self, difference: &[u8]) {
        let mut numbers = self.numbers();
        undo_difference(&mut numbers, difference);
        *self = Self::of_numbers(&numbers);
    }
}

impl Baseline {
    /// The running total as what it is ahead of the counters: both move by the same, so that this moves seldom.
    fn numbers(&self) -> [i64; NUMBERS] {
        let mut numbers = [0; NUMBERS];
        let (head, pairs) = numbers.split_at_mut(HEAD);
        head.copy_from_slice(&[
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
        ]);
        for (pair, (counter, total)) in
            pairs.chunks_exact_mut(2).zip(self.counters.values.iter().zip(self.total.values))
        {
            pair[0] = *counter;
            pair[1] = total.wrapping_sub(*counter);
        }
        numbers
    }

    fn of_numbers(numbers: &[i64; NUMBERS]) -> Self {
        let mut counters = Counters { present: numbers[8].cast_unsigned(), ..Counters::default() };
        let mut total = Counters { present: numbers[9].cast_unsigned(), ..Counters::default() };
        for (index, pair) in numbers[HEAD..].chunks_exact(2).enumerate() {
            counters.values[index] = pair[0];
            total.values[index] = pair[0].wrapping_add(pair[1]);
        }
        let epoch =
            Epoch { server: numbers[0].cast_unsigned(), started_at: numbers[1], statistics_reset_at: numbers[2] };
        Self {
            epoch,
            owner_epoch: numbers[3],
            poll_seq: numbers[4],
            observed_at: numbers[OBSERVED_AT],
            entry_since_at: (numbers[6] != 0).then_some(numbers[7]),
            counters,
            total,
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
