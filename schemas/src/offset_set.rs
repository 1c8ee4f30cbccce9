//! Sets of offsets, as the ledger holds them.
//!
//! An encoded set is relative to a first offset that is kept beside it. One tag byte, then:
//! - `0`: nothing. The set is empty.
//! - `1`: runs, up to the end of the bytes. Each is two varints: the gap after the run before (for the first run: after the
//!   first offset), and the number of offsets in the run less one.
//! - `2`: a bitmap. A varint with the gap between the first offset and the first bit, then bytes, lowest bit first.
//!
//! Varints are unsigned LEB128. Of runs and bitmap, the smaller one is written; runs when they are alike.

use std::ops::Range;

mod encoding;

/// Most offsets in a set: more than a commit has inputs, and few enough to go through.
pub const OFFSETS_MAX: u64 = 1 << 24;

/// Offsets in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetSet {
    /// Not empty, ascending, and with a gap between any two.
    runs: Vec<Range<i64>>,
    length: u64,
}

/// An offset that cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Offsets are added in ascending order.
    #[error("offset {offset} does not come after {last}")]
    NotAscending {
        /// The offset.
        offset: i64,
        /// Largest offset of the set.
        last: i64,
    },
    /// No log has such an offset.
    #[error("offset {max} is larger than any on a log", max = i64::MAX)]
    TooLarge,
    /// The set is full.
    #[error("the set holds {OFFSETS_MAX} offsets already")]
    Full,
}

/// Bytes that are not a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OffsetSetError {
    /// The tag is unknown, or missing.
    #[error("an offset set begins with an unknown tag")]
    UnknownTag,
    /// The bytes end within a number, or a number has more than 64 bits.
    #[error("an offset set has a broken number")]
    BrokenNumber,
    /// An offset is larger than any on a log.
    #[error("an offset set reaches beyond the largest offset")]
    OffsetTooLarge,
    /// Two runs touch, the set is empty but its tag says otherwise, or bytes are left.
    #[error("an offset set is not in the form that is written")]
    NotAsWritten,
    /// The set has too many offsets.
    #[error("an offset set holds more than {OFFSETS_MAX} offsets")]
    TooManyOffsets,
}

impl OffsetSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an offset that is larger than all others.
    pub fn push(&mut self, offset: i64) -> Result<(), PushError> {
        if self.length >= OFFSETS_MAX {
            return Err(PushError::Full);
        }
        let end = offset.checked_add(1).ok_or(PushError::TooLarge)?;
        match self.runs.last_mut() {
            Some(run) if offset == run.end => run.end = end,
            Some(run) if offset < run.end => return Err(PushError::NotAscending { offset, last: run.end - 1 }),
            _ => self.runs.push(offset..end),
        }
        self.length += 1;
        Ok(())
    }

    /// Removes all offsets and keeps the memory.
    pub fn clear(&mut self) {
        self.runs.clear();
        self.length = 0;
    }

    /// Number of offsets.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there is no offset.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Runs of consecutive offsets, ascending.
    #[must_use]
    pub fn runs(&self) -> &[Range<i64>] {
        &self.runs
    }

    /// All offsets, ascending.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.runs.iter().cloned().flatten()
    }

    /// Whether the offset is in the set.
    #[must_use]
    pub fn contains(&self, offset: i64) -> bool {
        self.run_from(offset).is_some_and(|run| run.start <= offset)
    }

    /// Whether every offset of `other` is in the set.
    #[must_use]
    pub fn contains_all(&self, other: &Self) -> bool {
        other.runs.iter().all(|inner| {
            self.run_from(inner.start).is_some_and(|outer| outer.start <= inner.start && inner.end <= outer.end)
        })
    }

    /// Appends the encoded set. `first_offset` must not be larger than any offset of the set, and is needed to decode it.
    pub fn encode(&self, first_offset: i64, out: &mut Vec<u8>) {
        encoding::encode(&self.runs, first_offset, out);
    }

    /// Decodes a set that was encoded with the same `first_offset`. Total: any bytes give a set or an error.
    pub fn decode(first_offset: i64, bytes: &[u8]) -> Result<Self, OffsetSetError> {
        encoding::decode(first_offset, bytes)
    }

    /// The run that ends after `offset`, wherever it starts.
    fn run_from(&self, offset: i64) -> Option<&Range<i64>> {
        self.runs.get(self.runs.partition_point(|run| run.end <= offset))
    }
}

#[cfg(test)]
mod tests;
