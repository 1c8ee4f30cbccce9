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
