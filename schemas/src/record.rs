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
        assert_eq!((record.time_clamped, record.database, record.delta.calls), (false, None, None));
        assert!(record.labels.is_empty());
    }

    #[test]
    fn counters_are_reached_by_their_index() {
        let mut counters = QueryCounters::default();
        for index in 0..QueryCounters::FIELDS.len() {
            counters.set(index, i64::try_from(index).ok());
        }
        let rows = QueryCounters::FIELDS.iter().position(|name| *name == "rows").unwrap();
        assert_eq!(counters.rows, i64::try_from(rows).ok());
        for (index, value) in counters.values().into_iter().enumerate() {
            assert_eq!((counters.get(index), value), (value, i64::try_from(index).ok()));
        }
        counters.set(QueryCounters::FIELDS.len(), Some(0));
        assert_eq!(counters.get(QueryCounters::FIELDS.len()), None);
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
