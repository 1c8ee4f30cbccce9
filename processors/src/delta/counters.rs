//! Counters of a statement in a form that state can afford: half the size of the record's, and without branches to add and
//! subtract.

use dbintel_schemas::records::QueryCounters;

/// How many there are.
pub const COUNT: usize = QueryCounters::FIELDS.len();

/// A bit for each of them.
pub const ALL: u64 = (1 << COUNT) - 1;

/// Index of `cpu_time_ns`: on PostgreSQL another extension counts it, which begins anew and evicts at times of its own.
const APART: usize = 25;

/// Counters, by the index of their field. An absent one is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// A bit for each that is there.
    pub present: u64,
    /// By index; 0 where absent.
    pub values: [i64; COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self { present: 0, values: [0; COUNT] }
    }
}

impl From<&QueryCounters> for Counters {
    fn from(record: &QueryCounters) -> Self {
        let mut counters = Self::default();
        for (index, value) in record.values().into_iter().enumerate() {
            counters.present |= u64::from(value.is_some()) << index;
            counters.values[index] = value.unwrap_or(0);
        }
        counters
    }
}

impl From<&Counters> for QueryCounters {
    fn from(counters: &Counters) -> Self {
        let value = |index: usize| (counters.present >> index & 1 == 1).then_some(counters.values[index]);
        QueryCounters::of_values(std::array::from_fn(value))
    }
}

impl Counters {
    /// The increase of each counter that both have; none when one fell. What is counted apart falls alone, and is absent then.
    pub fn since(&self, before: &Counters) -> Option<Counters> {
        let present = self.present & before.present;
        let mut increase = Counters { present, ..Counters::default() };
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

    /// Without what is counted apart: it may be older than the entry.
    pub fn without_apart(mut self) -> Counters {
        self.present &= !(1 << APART);
        self.values[APART] = 0;
        self
    }

    /// Adds an increase.
    pub fn add(&mut self, increase: &Counters) {
        self.present |= increase.present;
        for (value, increase) in self.values.iter_mut().zip(increase.values) {
            *value = value.saturating_add(increase);
        }
    }

    /// Nothing moved.
    pub fn is_zero(&self) -> bool {
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

    fn counters(calls: Option<i64>, rows: Option<i64>) -> Counters {
        Counters::from(&QueryCounters { calls, rows, ..QueryCounters::default() })
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
        let of = |calls, cpu| {
            Counters::from(&QueryCounters { calls: Some(calls), cpu_time_ns: Some(cpu), ..QueryCounters::default() })
        };
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

    #[test]
    fn records_read_back() {
        let all = QueryCounters::of_values(std::array::from_fn(|index| (index % 3 > 0).then_some(index as i64 - 5)));
        let counters = Counters::from(&all);
        assert_eq!(QueryCounters::from(&counters), all);
    }
}
