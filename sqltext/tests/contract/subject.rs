//! The crate under test, as these tests use it.

use dbintel_sqltext::{Dialect, Normalizer, Options, SqlMode, Withheld};

use crate::checker::Reading;

/// A server, without its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    PostgreSql,
    MySql,
}

impl Server {
    /// The mode that most servers of the kind have.
    pub fn usual(self) -> Mode {
        match self {
            Server::PostgreSql => Mode(Dialect::PostgreSql),
            Server::MySql => mysql(Some(false), Some(false)),
        }
    }
}

/// A dialect with all that is known of its settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub Dialect);

impl std::fmt::Debug for Mode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Dialect::PostgreSql => write!(formatter, "PostgreSQL"),
            Dialect::MySql(SqlMode { ansi_quotes, no_backslash_escapes }) => {
                write!(formatter, "MySQL, ansi_quotes {ansi_quotes:?}, no_backslash_escapes {no_backslash_escapes:?}")
            }
        }
    }
}

impl Mode {
    pub fn is_mysql(self) -> bool {
        self.0 != Dialect::PostgreSql
    }

    /// Every way in which a server with these settings may read a text.
    pub fn readings(self) -> Vec<Reading> {
        match self.0 {
            Dialect::PostgreSql => vec![Reading::STANDARD, Reading::OLD_STRINGS],
            Dialect::MySql(mode) => {
                let possible = |known: Option<bool>| known.map_or(vec![false, true], |known| vec![known]);
                let mut readings = Vec::new();
                for ansi_quotes in possible(mode.ansi_quotes) {
                    for no_backslash_escapes in possible(mode.no_backslash_escapes) {
                        readings.extend(Reading::mysql(ansi_quotes, no_backslash_escapes));
                    }
                }
                readings
            }
        }
    }
}

pub fn mysql(ansi_quotes: Option<bool>, no_backslash_escapes: Option<bool>) -> Mode {
    Mode(Dialect::MySql(SqlMode { ansi_quotes, no_backslash_escapes }))
}

/// Every mode there is: PostgreSQL, and MySQL with each of its settings on, off and unknown.
pub fn modes() -> Vec<Mode> {
    let known = [Some(false), Some(true), None];
    let mysql = known.iter().flat_map(|&ansi| known.iter().map(move |&escapes| mysql(ansi, escapes)));
    std::iter::once(Mode(Dialect::PostgreSql)).chain(mysql).collect()
}

/// What became of a text, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub text: String,
    pub hash: u128,
    pub verb: &'static str,
    pub tables: Vec<String>,
    pub tables_certain: bool,
    pub tags: Vec<(&'static str, String)>,
    pub traceparent: Option<dbintel_sqltext::Traceparent>,
    pub cut: bool,
    pub withheld: Option<Withheld>,
    pub canonical: Vec<u8>,
}

impl Outcome {
    fn of(statement: &dbintel_sqltext::Statement<'_>) -> Self {
        Self {
            text: statement.text.to_owned(),
            hash: statement.fingerprint.hash,
            verb: statement.verb,
            tables: statement.tables().map(str::to_owned).collect(),
            tables_certain: statement.tables_certain,
            tags: statement.tags().map(|tag| (tag.key, tag.value.to_owned())).collect(),
            traceparent: statement.traceparent,
            cut: statement.cut,
            withheld: statement.withheld,
            canonical: statement.canonical.to_owned(),
        }
    }
}

pub fn normalise(sql: impl AsRef<[u8]>, mode: Mode) -> Outcome {
    Outcome::of(&Normalizer::new(mode.0, Options::default()).normalize(sql.as_ref()))
}

pub fn normalise_cut(sql: impl AsRef<[u8]>, mode: Mode) -> Outcome {
    Outcome::of(&Normalizer::new(mode.0, Options::default()).normalize_cut(sql.as_ref()))
}

pub fn fingerprint(sql: impl AsRef<[u8]>, mode: Mode) -> u128 {
    normalise(sql, mode).hash
}
