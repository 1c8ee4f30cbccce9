//! What is remembered of statements and their targets.

use crate::engine::state::{Fields, write_number, write_optional, write_text};
use crate::engine::{StateError, StateValue};

/// Time for which a statement is remembered after its text was last told, in µs: 7 days. Pollers tell each text once a day.
pub const LIFETIME: i64 = 7 * DAY;
/// In µs.
pub const DAY: i64 = 24 * 3_600_000_000;

const VERSION: u8 = 1;

/// Which statement a server means by an identifier of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The fingerprint.
    pub fingerprint: Box<str>,
    /// Its algorithm.
    pub fingerprint_version: Option<i64>,
    /// Main verb; empty when it is not known.
    pub verb: Box<str>,
    /// Main tables.
    pub tables: Vec<Box<str>>,
    /// Event time in µs at which the text was told.
    pub told_at: i64,
}

/// A statement whose text the dictionary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Event time in µs at which the dictionary was told last.
    pub told_at: i64,
}

/// How many new statements a target has, and how many of them were announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// Event time in µs of its first statement.
    pub since: i64,
    /// The day of event time that `new_today` is of.
    pub day: i64,
    /// New statements of that day.
    pub new_today: i64,
    /// The minute of event time that `announced` is of.
    pub minute: i64,
    /// Statements announced in that minute.
    pub announced: i64,
    /// Statements that were not announced since one was.
    pub unannounced: i64,
}

impl StateValue for Identity {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        write_number(out, self.told_at);
        write_text(out, &self.fingerprint);
        write_optional(out, self.fingerprint_version);
        write_text(out, &self.verb);
        self.tables.iter().for_each(|table| write_text(out, table));
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut fields = Fields::of("statements", VERSION, bytes)?;
        let mut identity = Identity {
            told_at: fields.number()?,
            fingerprint: fields.text()?.into(),
            fingerprint_version: fields.optional()?,
            verb: fields.text()?.into(),
            tables: Vec::new(),
        };
        while !fields.is_empty() {
            identity.tables.push(fields.text()?.into());
        }
        Ok(identity)
    }

    fn expires_at(&self) -> Option<i64> {
        Some(self.told_at.saturating_add(LIFETIME))
    }
}

impl StateValue for Known {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        write_number(out, self.told_at);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Known { told_at: Fields::of("known", VERSION, bytes)?.number()? })
    }

    fn expires_at(&self) -> Option<i64> {
        Some(self.told_at.saturating_add(LIFETIME))
    }
}

impl StateValue for News {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        for number in [self.since, self.day, self.new_today, self.minute, self.announced, self.unannounced] {
            write_number(out, number);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut fields = Fields::of("news", VERSION, bytes)?;
        Ok(News {
            since: fields.number()?,
            day: fields.number()?,
            new_today: fields.number()?,
            minute: fields.number()?,
            announced: fields.number()?,
            unannounced: fields.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored<V: StateValue>(value: &V) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        bytes
    }

    #[test]
    fn values_read_back_and_cut_ones_are_refused() {
        let identity = Identity {
            fingerprint: "00ff".into(),
            fingerprint_version: Some(1),
            verb: "SELECT".into(),
            tables: vec!["orders".into(), "Straße".into()],
            told_at: 7,
        };
        let plain = Identity { told_at: -1, ..Identity::default() };
        for value in [identity, plain] {
            let bytes = stored(&value);
            assert_eq!(Identity::decode(&bytes).unwrap(), value);
            assert!((0..4).all(|length| Identity::decode(&bytes[..length]).is_err()));
        }
        let known = Known { told_at: 9 };
        assert_eq!(Known::decode(&stored(&known)).unwrap(), known);
        let news = News { since: 1, day: 2, new_today: 3, minute: 4, announced: 5, unannounced: 6 };
        assert_eq!(News::decode(&stored(&news)).unwrap(), news);
        assert!(News::decode(&stored(&known)).is_err());
    }
}
