//! A baseline in the form in which the table keeps it: a quarter of the size, since most of what could be counted is not, and
//! what is are small integers. Reading and writing it costs less than the memory that it saves.
//!
//! The head of [`Baseline`] as it is; for each counter that the server or our total has, by index, a byte with two lengths;
//! then as many bytes of the counter and of what the total is ahead of it, zigzag, the little end first; and room to read
//! eight bytes wherever one of them begins.

use smallvec::SmallVec;

use super::baseline::{BASELINE_VERSION, Baseline, HEAD, KEPT_US, NUMBERS, OBSERVED_AT};
use super::counters::{Bits, COUNT};
use crate::engine::state::{write_number, write_unsigned, zigzag};
use crate::engine::{StateError, StateValue};

/// Bytes without memory of its own: enough for most statements.
const INLINE: usize = 224;
/// Bytes of an integer.
const WORD: usize = size_of::<u64>();
/// Bytes of the head.
const HEAD_BYTES: usize = HEAD * WORD;
/// Bytes of the largest baseline: each counter has a byte and two integers.
const SIZE_MAX: usize = HEAD_BYTES + COUNT * (1 + 2 * WORD) + WORD;

/// A packed baseline.
#[derive(Debug, PartialEq)]
pub struct Packed(SmallVec<[u8; INLINE]>);

impl Clone for Packed {
    fn clone(&self) -> Self {
        Self(SmallVec::from_slice(&self.0))
    }
}

impl From<&Baseline> for Packed {
    fn from(baseline: &Baseline) -> Self {
        let kept = baseline.kept();
        let mut bytes = [0; SIZE_MAX];
        for (place, number) in bytes.chunks_exact_mut(WORD).zip(baseline.head()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let (mut lengths, mut end) = (HEAD_BYTES, HEAD_BYTES + kept.count_ones() as usize);
        for index in Bits(kept) {
            let (counter, ahead) = baseline.pair(index);
            let first = put(&mut bytes, end, counter);
            let second = put(&mut bytes, end + first, ahead);
            bytes[lengths] = (first | second << 4) as u8;
            (lengths, end) = (lengths + 1, end + first + second);
        }
        Self(SmallVec::from_slice(&bytes[..end + WORD]))
    }
}

/// Writes an integer, and 0 after it as far as eight bytes go. Returns its length.
#[inline(always)]
fn put(bytes: &mut [u8; SIZE_MAX], at: usize, number: i64) -> usize {
    let number = ((number << 1) ^ (number >> 63)).cast_unsigned();
    bytes[at..at + WORD].copy_from_slice(&number.to_le_bytes());
    WORD - number.leading_zeros() as usize / 8
}

impl Packed {
    /// The baseline.
    pub fn unpack(&self) -> Baseline {
        let mut baseline = Baseline::of_head(&self.head());
        for (index, counter, ahead) in self.pairs(baseline.kept()) {
            baseline.counters.values[index] = counter;
            baseline.total.values[index] = counter.wrapping_add(ahead);
        }
        baseline
    }

    fn head(&self) -> [i64; HEAD] {
        std::array::from_fn(|place| word(&self.0, place * WORD).cast_signed())
    }

    /// Index, counter, and what the total is ahead of it, of all that are kept.
    #[inline(always)]
    fn pairs(&self, kept: u64) -> impl Iterator<Item = (usize, i64, i64)> {
        let mut at = HEAD_BYTES + kept.count_ones() as usize;
        Bits(kept).zip(&self.0[HEAD_BYTES..]).map(move |(index, lengths)| {
            let (first, second) = (usize::from(lengths & 15), usize::from(lengths >> 4));
            let pair = (index, get(&self.0, at, first), get(&self.0, at + first, second));
            at += first + second;
            pair
        })
    }
}

/// An integer of so many bytes.
#[inline(always)]
fn get(bytes: &[u8], at: usize, length: usize) -> i64 {
    let mask = u64::MAX.checked_shr(8 * (WORD - length) as u32).unwrap_or(0);
    zigzag(word(bytes, at) & mask)
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + WORD].try_into().expect("eight bytes"))
}

impl StateValue for Packed {
    fn expires_at(&self) -> Option<i64> {
        Some(self.head()[OBSERVED_AT].saturating_add(KEPT_US))
    }

    fn stored_expires_at(bytes: &[u8]) -> Result<Option<i64>, StateError> {
        Baseline::stored_expires_at(bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let head = self.head();
        out.push(BASELINE_VERSION);
        write_unsigned(out, NUMBERS as u64);
        head.into_iter().for_each(|number| write_number(out, number));
        let mut next = 0;
        for (index, counter, ahead) in self.pairs((head[HEAD - 2] | head[HEAD - 1]).cast_unsigned()) {
            out.resize(out.len() + 2 * (index - next), 0);
            write_number(out, counter);
            write_number(out, ahead);
            next = index + 1;
        }
        out.resize(out.len() + 2 * (COUNT - next), 0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Baseline::decode(bytes).map(|baseline| Self::from(&baseline))
    }

    fn difference(&self, before: &Self, out: &mut Vec<u8>) -> bool {
        self.unpack().difference(&before.unpack(), out)
    }

    fn undo(&mut self, difference: &[u8]) {
        let mut baseline = self.unpack();
        baseline.undo(difference);
        *self = Self::from(&baseline);
    }
}

#[cfg(test)]
mod tests {
    use dbintel_schemas::records::QueryCounters;

    use super::*;
    use crate::delta::baseline::Epoch;
    use crate::engine::state::numbers::apply_difference;

    fn counters(value: impl Fn(usize) -> Option<i64>) -> QueryCounters {
        QueryCounters::of_values(std::array::from_fn(value))
    }

    /// Baselines of all kinds: nothing counted, everything, the largest, and what only one of the two has.
    fn baselines() -> Vec<Baseline> {
        let epoch = Epoch { server: u64::MAX - 3, started_at: 1, statistics_reset_at: 0 };
        let of = |counters, total| Baseline {
            epoch,
            owner_epoch: 3,
            poll_seq: i64::MAX,
            observed_at: 1_700_000_000_000_000,
            entry_since_at: Some(-1),
            counters,
            total,
        };
        let none = counters(|_| None);
        let extreme = |index| Some(if index % 2 == 0 { i64::MIN } else { i64::MAX });
        vec![
            Baseline { entry_since_at: None, ..of(none, none) },
            of(counters(|index| (index % 3 == 0).then_some(index as i64 * 1000)), none),
            of(counters(|index| (index % 3 == 0).then_some(7)), counters(|index| (index % 2 == 0).then_some(9))),
            of(counters(|index| Some(index as i64)), counters(|index| Some(-(index as i64)))),
            of(counters(extreme), counters(|index| extreme(index + 1))),
        ]
    }

    fn encoded(value: &impl StateValue) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn a_packed_baseline_is_the_baseline() {
        for baseline in baselines() {
            let packed = Packed::from(&baseline);
            assert_eq!(packed.unpack(), baseline);
            assert_eq!(packed.expires_at(), baseline.expires_at());
            assert_eq!(encoded(&packed), encoded(&baseline));
            assert_eq!(Packed::decode(&encoded(&baseline)).unwrap(), packed);
        }
    }

    #[test]
    fn differences_are_those_of_baselines_and_lead_back() {
        let pairs =
            baselines().into_iter().flat_map(|before| baselines().into_iter().map(move |after| (before, after)));
        for (before, after) in pairs {
            let (mut packed, mut difference) = (Packed::from(&after), Vec::new());
            assert!(packed.difference(&Packed::from(&before), &mut difference));
            assert_eq!(apply_difference(&encoded(&before), &difference), Some(encoded(&after)));
            packed.undo(&difference);
            assert_eq!(packed.unpack(), before);
        }
    }
}
