//! Who is measured.

use std::hint::black_box;

use dbintel_sqltext::{Dialect, Normalizer, Options, SqlMode};
use libdd_trace_obfuscation::obfuscation_config::{DbmsKind, SqlConfig, SqlObfuscationMode};
use libdd_trace_obfuscation::sql::obfuscate_sql;

use crate::workloads::Of;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Dbintel,
    /// Datadog's obfuscator: a tokenizer, normalises and hides; has no fingerprint.
    Datadog,
    /// The grammar of PostgreSQL: what it takes to normalise and to fingerprint.
    PgQuery,
}

/// Reads one text; false says that it was refused.
pub type Reader = Box<dyn FnMut(&[u8]) -> bool>;

impl Subject {
    pub const ALL: [Self; 3] = [Self::Dbintel, Self::Datadog, Self::PgQuery];

    pub fn name(self) -> &'static str {
        match self {
            Self::Dbintel => "dbintel",
            Self::Datadog => "libdd-obfuscation",
            Self::PgQuery => "pg_query",
        }
    }

    pub fn reader(self, dialect: Of) -> Reader {
        match self {
            Self::Dbintel => {
                let known = SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) };
                let dialect = match dialect {
                    Of::PostgreSql => Dialect::PostgreSql,
                    Of::MySql => Dialect::MySql(known),
                };
                let mut normalizer = Normalizer::new(dialect, Options::default());
                Box::new(move |text| {
                    black_box(normalizer.normalize(text).fingerprint);
                    true
                })
            }
            Self::Datadog => {
                let dbms = match dialect {
                    Of::PostgreSql => DbmsKind::Postgresql,
                    Of::MySql => DbmsKind::Mysql,
                };
                let config =
                    SqlConfig { obfuscation_mode: SqlObfuscationMode::ObfuscateAndNormalize, ..SqlConfig::default() };
                Box::new(move |text| {
                    std::str::from_utf8(text).is_ok_and(|sql| obfuscate_sql(sql, &config, dbms).is_ok())
                })
            }
            Self::PgQuery => Box::new(|text| {
                std::str::from_utf8(text)
                    .is_ok_and(|sql| pg_query::normalize(sql).is_ok() && pg_query::fingerprint(sql, 0, 0).is_ok())
            }),
        }
    }
}
