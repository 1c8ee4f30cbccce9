//! What the record of each topic has in common.

use crate::codec::{Cursor, Datum, DecodeError, Output};
use crate::topics::Topic;

/// The type of a topic's values.
pub trait Record<'a>: Datum<'a> {
    /// Full name of the Avro record, such as `dbintel.RawQuery`.
    const NAME: &'static str;
    /// The Avro schema, as JSON.
    const SCHEMA: &'static str;
    /// CRC-64-AVRO of the schema's parsing canonical form.
    const FINGERPRINT: u64;
    /// The topic.
    const TOPIC: Topic;

    /// Reads a whole datum, written with this very schema and without a frame. Bytes left over are an error.
    #[inline]
    fn decode(datum: &'a [u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(datum);
        let record = Self::read(&mut cursor);
        match cursor.finish() {
            Ok(()) => Ok(record),
            Err(failure) => Err(DecodeError::new(Self::NAME, datum, failure)),
        }
    }

    /// Appends the datum, without a frame.
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        Output::append(out, Self::SIZE_BOUND + self.content_size(), |output| self.write(output));
    }
}

/// What is known about a topic's values without their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// See [`Record::NAME`].
    pub name: &'static str,
    /// See [`Record::SCHEMA`].
    pub schema: &'static str,
    /// See [`Record::FINGERPRINT`].
    pub fingerprint: u64,
    /// See [`Record::TOPIC`].
    pub topic: Topic,
}

impl Definition {
    /// Definition of a record type.
    #[must_use]
    pub const fn of<'a, R: Record<'a>>() -> Self {
        Self { name: R::NAME, schema: R::SCHEMA, fingerprint: R::FINGERPRINT, topic: R::TOPIC }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{EnrichedQuery, QueryCounters, RawQuery};

    #[test]
    fn defaults_are_those_of_the_schema() {
        let record = EnrichedQuery::default();
        assert_eq!((record.sampling_probability, record.sampling_weight), (1.0, 1.0));
        assert_eq!((record.time_clamped, record.database, record.delta.calls()), (false, None, None));
        assert!(record.labels.is_empty());
    }

    #[test]
    fn counters_are_reached_by_their_index() {
        let mut counters = QueryCounters::default();
        for index in 0..QueryCounters::FIELDS.len() {
            counters.set(index, i64::try_from(index).ok());
        }
        let rows = QueryCounters::FIELDS.iter().position(|name| *name == "rows").unwrap();
        assert_eq!(counters.rows(), i64::try_from(rows).ok());
        for index in 0..QueryCounters::FIELDS.len() {
            assert_eq!(counters.get(index), i64::try_from(index).ok());
        }
        counters.set(QueryCounters::FIELDS.len(), Some(0));
        assert_eq!(counters.get(QueryCounters::FIELDS.len()), None);
    }

    #[test]
    fn counters_without_a_number_are_null_and_equal() {
        let counters = QueryCounters::default().with_calls(7).with_rows(0).with_sort_merge_passes(Some(-1));
        assert_eq!((counters.calls(), counters.rows(), counters.plans()), (Some(7), Some(0), None));
        assert_eq!(format!("{counters:?}"), "QueryCounters { calls: 7, rows: 0, sort_merge_passes: -1 }");
        let none = counters.with_calls(None).with_rows(None).with_sort_merge_passes(None);
        assert_eq!(none, QueryCounters::default());
        assert_ne!(none, none.with_rows(0));
    }

    #[test]
    fn counters_of_every_pattern_survive() {
        let patterns = [0, 1, 1 << 42, (1 << 43) - 1, 0x2_aaaa_5555_0f0f, 0x5_5555_aaaa_f0f0_u64];
        for pattern in patterns {
            let value = |index: usize| (pattern >> index & 1 == 1).then_some((index as i64 - 20) << index);
            let counters = QueryCounters::of_values(std::array::from_fn(value));
            let record = EnrichedQuery { delta: counters, total: counters, ..EnrichedQuery::default() };
            let mut datum = Vec::new();
            record.encode(&mut datum);
            assert_eq!(EnrichedQuery::decode(&datum), Ok(record), "{pattern:#x}");
            assert!((0..QueryCounters::FIELDS.len()).all(|index| record.delta.get(index) == value(index)));
        }
    }

    #[test]
    fn numbers_of_every_size_survive() {
        let sizes = (0..64).flat_map(|shift| [i64::MAX >> shift, i64::MIN >> shift]);
        for number in sizes.chain(-70..70) {
            let record = RawQuery { poll_seq: number, interval_ns: Some(number), ..RawQuery::default() };
            let mut datum = Vec::new();
            record.encode(&mut datum);
            assert_eq!(RawQuery::decode(&datum), Ok(record), "{number}");
        }
    }
}
