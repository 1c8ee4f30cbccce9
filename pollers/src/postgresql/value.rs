//! Values as the server sends them in binary: read without assuming that text is valid UTF-8.

use std::error::Error;

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::failure::Failure;

/// µs between the epoch of Unix and that of PostgreSQL, 2000-01-01.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

type Refused = Box<dyn Error + Sync + Send>;

/// Bytes of a text in whatever encoding the database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> FromSql<'a> for Bytes<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Bytes<'a>, Refused> {
        Ok(Bytes(raw))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::BYTEA | Type::UNKNOWN)
    }
}

/// A name or another short text; what is no UTF-8 is replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl<'a> FromSql<'a> for Text {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Text, Refused> {
        Ok(Text(String::from_utf8_lossy(raw).into_owned()))
    }

    fn accepts(kind: &Type) -> bool {
        <Bytes<'_> as FromSql>::accepts(kind)
    }
}

/// A timestamp in µs since 1970; none for infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Micros(pub Option<i64>);

impl<'a> FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Micros, Refused> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        let infinite = since_2000 == i64::MAX || since_2000 == i64::MIN;
        Ok(Micros(if infinite { None } else { since_2000.checked_add(POSTGRES_EPOCH_US) }))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TIMESTAMPTZ | Type::TIMESTAMP)
    }
}

/// A row whose columns are read by name. A column that is not there, or has another type, is a failure.
#[derive(Debug)]
pub struct Columns<'a>(pub &'a Row);

impl<'a> Columns<'a> {
    /// A value, or none if it is null.
    pub fn optional<T: FromSql<'a>>(&self, column: &str) -> Result<Option<T>, Failure> {
        self.0.try_get(column).map_err(|error| Failure::protocol(format!("column {column}: {error}")))
    }

    /// A value that is never null.
    pub fn required<T: FromSql<'a>>(&self, column: &str) -> Result<T, Failure> {
        self.optional(column)?.ok_or_else(|| Failure::protocol(format!("column {column} is null")))
    }

    /// A text, or none if it is null.
    pub fn text(&self, column: &str) -> Result<Option<String>, Failure> {
        Ok(self.optional::<Text>(column)?.map(|text| text.0))
    }

    /// A timestamp in µs since 1970, or none if it is null or infinite.
    pub fn micros(&self, column: &str) -> Result<Option<i64>, Failure> {
        Ok(self.optional::<Micros>(column)?.and_then(|micros| micros.0))
    }
}

/// Cumulative ms with a fraction to whole ns, rounded once. None for what is no number.
pub fn milliseconds_to_ns(milliseconds: f64) -> Option<i64> {
    let nanoseconds = (milliseconds * 1e6).round();
    (nanoseconds.is_finite() && nanoseconds.abs() < 9.2e18).then_some(nanoseconds as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_count_from_1970() {
        let cases = [
            (0_i64, Some(946_684_800_000_000)),
            (-946_684_800_000_000, Some(0)),
            (848_620_800_123_456, Some(1_795_305_600_123_456)),
            (i64::MAX, None),
            (i64::MIN, None),
            (i64::MAX - 1, None),
        ];
        for (raw, expected) in cases {
            let value = Micros::from_sql(&Type::TIMESTAMPTZ, &raw.to_be_bytes()).unwrap();
            assert_eq!(value.0, expected, "{raw}");
        }
        assert!(Micros::from_sql(&Type::TIMESTAMPTZ, &[0; 4]).is_err());
    }

    #[test]
    fn text_that_is_no_utf8_is_replaced() {
        let cases: [(&[u8], &str); 3] = [(b"orders", "orders"), (b"caf\xe9", "caf\u{fffd}"), (b"", "")];
        for (raw, expected) in cases {
            assert_eq!(Text::from_sql(&Type::NAME, raw).unwrap().0, expected);
        }
    }

    #[test]
    fn milliseconds_are_rounded_once() {
        let cases = [
            (0.0, Some(0)),
            (0.000_000_4, Some(0)),
            (0.000_000_6, Some(1)),
            (1.5, Some(1_500_000)),
            (123_456_789.012_345, Some(123_456_789_012_345)),
            (-0.25, Some(-250_000)),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (1e300, None),
        ];
        for (milliseconds, expected) in cases {
            assert_eq!(milliseconds_to_ns(milliseconds), expected, "{milliseconds}");
        }
    }
}
