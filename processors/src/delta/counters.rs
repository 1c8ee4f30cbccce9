//! How counters of a statement are added and subtracted.

use dbintel_schemas::records::QueryCounters;

/// How many there are.
pub const COUNT: usize = QueryCounters::FIELDS.len();

/// A bit for each of them.
pub const ALL: u64 = (1 << COUNT) - 1;

/// Index of `cpu_time_ns`: on PostgreSQL another extension counts it, which begins anew and evicts at times of its own.
const APART: usize = 25;

/// Sums and differences, without a branch for each counter.
pub trait Arithmetic: Sized {
    /// The increase of each counter that both have; none when one fell. What is counted apart falls alone, and is absent then.
    fn since(&self, before: &Self) -> Option<Self>;

    /// Without what is counted apart: it may be older than the entry.
    fn without_apart(self) -> Self;

    /// Adds an increase.
    fn add(&mut self, increase: &Self);

    /// Nothing moved.
    fn is_zero(&self) -> bool;
}

impl Arithmetic for QueryCounters {
    fn since(&self, before: &Self) -> Option<Self> {
        let present = self.present & before.present;
        let mut increase = Self { present, ..Self::default() };
        let mut fell = false;
        for index in 0..COUNT {
            let is_there = present >> index & 1 == 1;
            let (difference, is_too_large) = self.values[index].overflowing_sub(before.values[index]);
            fell |= is_there & (is_too_large | (difference < 0)) & (index != APART);
            increase.values[index] = if is_there { difference } else { 0 };
        }
        if increase.values[APART] < 0 {
            increase = increase.without_apart();
        }
        (!fell).then_some(increase)
    }

    fn without_apart(mut self) -> Self {
        self.present &= !(1 << APART);
        self.values[APART] = 0;
        self
    }

    fn add(&mut self, increase: &Self) {
        self.present |= increase.present;
        for (value, increase) in self.values.iter_mut().zip(increase.values) {
            *value = value.saturating_add(increase);
        }
    }

    fn is_zero(&self) -> bool {
        self.values.iter().all(|value| *value == 0)
    }
}

/// Indexes of the bits that are set, the lowest first.
pub struct Bits(pub u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(lowest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(calls: Option<i64>, rows: Option<i64>) -> QueryCounters {
        QueryCounters::default().with_calls(calls).with_rows(rows)
    }

    #[test]
    fn an_increase_is_of_what_both_have_and_never_negative() {
        let cases = [
            ((Some(3), Some(1)), (Some(5), Some(1)), Some((Some(2), Some(0)))),
            ((Some(3), None), (Some(5), Some(7)), Some((Some(2), None))),
            ((Some(3), Some(7)), (Some(5), None), Some((Some(2), None))),
            ((Some(3), Some(7)), (Some(5), Some(6)), None),
            ((Some(i64::MIN), None), (Some(i64::MAX), None), None),
            ((None, None), (None, None), Some((None, None))),
        ];
        for (before, after, expected) in cases {
            let increase = counters(after.0, after.1).since(&counters(before.0, before.1));
            assert_eq!(increase, expected.map(|(calls, rows)| counters(calls, rows)), "{before:?} to {after:?}");
        }
    }

    #[test]
    fn what_is_counted_apart_falls_alone() {
        assert_eq!(QueryCounters::FIELDS[APART], "cpu_time_ns");
        let of = |calls: i64, cpu: i64| QueryCounters::default().with_calls(calls).with_cpu_time_ns(cpu);
        assert_eq!(of(5, 90).since(&of(3, 70)), Some(of(2, 20)));
        assert_eq!(of(5, 10).since(&of(3, 70)), Some(counters(Some(2), None)));
        assert_eq!(of(1, 90).since(&of(3, 70)), None);
    }

    #[test]
    fn a_sum_has_what_either_has_and_stays_at_the_largest_number() {
        let mut sum = counters(Some(i64::MAX - 1), None);
        sum.add(&counters(Some(5), Some(2)));
        assert_eq!(sum, counters(Some(i64::MAX), Some(2)));
    }
}
