//! Texts of statements, each read once: when its statement is seen for the first time.
//!
//! Reading any text makes the server load all of them (measured: 0.6 s and 197 MB of temporary blocks for 4,000
//! statements, whatever LIMIT or WHERE say). So the misses of a poll are read together, and after a read that took long
//! there is none for fifty times as long, however it ended; after a few failures in a row it is tried only rarely.

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::poll::Capability;
use crate::postgresql::names::Names;
use crate::postgresql::transaction::Transaction;
use crate::postgresql::value::{Bytes, Columns};
use crate::rows::TextRow;
use crate::text::{StatementText, TEXT_BYTES_MAX, TextReader, UNAVAILABLE};

use super::{Extension, Key};

/// Most statements whose texts are read together.
const STATEMENTS_PER_READ_MAX: usize = 5_000;
/// Most bytes of texts that are read together; the rest comes with the next read.
const BYTES_PER_READ_MAX: i64 = 8 * 1024 * 1024;
/// Reading texts may take one part in this many of the server's time.
const DUTY_PARTS: u32 = 50;
/// Failures in a row after which texts are given up for [`GIVEN_UP_WAIT`].
const FAILURES_MAX: u32 = 3;
/// Time between reads after that.
const GIVEN_UP_WAIT: Duration = Duration::from_secs(3600);
/// Each text is read again after this time, so that whoever has lost it gets it back.
const REFRESH_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Which texts are known. Holds what the last reading of counters held.
#[derive(Debug, Default)]
pub struct Texts {
    known: HashSet<Key>,
    missing: Vec<Key>,
    next_read_at: Duration,
    refreshed_at: Duration,
    /// Reads that failed since the last one that did not.
    failures: u32,
    unavailable: Option<Capability>,
}

/// A text as the server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Of which statement.
    pub key: Key,
    /// Bytes of it, of a very long one the first; none if the server does not give it.
    pub bytes: Option<Vec<u8>>,
    /// Its length in bytes; none if the server does not give it.
    pub length: Option<i64>,
}

impl Texts {
    /// Takes note of the statements that there are. Whether texts are missing.
    pub fn note(&mut self, keys: impl Iterator<Item = Key> + Clone) -> bool {
        if !self.known.is_empty() {
            let present: HashSet<Key> = keys.clone().collect();
            self.known.retain(|key| present.contains(key));
        }
        self.missing = keys.filter(|key| !self.known.contains(key)).take(STATEMENTS_PER_READ_MAX).collect();
        !self.missing.is_empty()
    }

    /// Reads all texts again.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Reads all texts again if that was long ago. True if so.
    pub fn refresh(&mut self, now: Duration) -> bool {
        let due = now >= self.refreshed_at + REFRESH_INTERVAL;
        if due {
            self.refreshed_at = now;
            self.forget();
        }
        due
    }

    /// The earliest time for the next read.
    pub fn next_read_at(&self) -> Duration {
        self.next_read_at
    }

    /// The statements whose texts are to be read.
    pub fn missing(&self) -> &[Key] {
        &self.missing
    }

    /// What is missing as long as reads fail.
    pub fn unavailable(&self) -> Option<&Capability> {
        self.unavailable.as_ref()
    }

    /// Takes note of a read that ended at `now`, well or not, and took so long.
    pub fn spent(&mut self, now: Duration, took: Duration, interval: Duration) {
        self.next_read_at = now + interval.max(took * (DUTY_PARTS - 1));
    }

    /// Takes note of the texts that a read brought.
    pub fn read(&mut self, texts: &[Text]) {
        self.known.extend(texts.iter().map(|text| text.key));
        self.missing.clear();
        (self.failures, self.unavailable) = (0, None);
    }

    /// Takes note of a read that failed, whose time is noted already.
    pub fn fail(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        if failure.is_of_encoding() {
            self.unavailable = Some(other_encoding());
        } else if self.failures >= FAILURES_MAX {
            self.unavailable = Some(given_up(failure));
        }
        if self.failures >= FAILURES_MAX {
            self.next_read_at += GIVEN_UP_WAIT;
        }
    }
}

fn other_encoding() -> Capability {
    Capability {
        name: "pg_stat_statements.query".to_owned(),
        consequence: "no text of a statement is read: one has bytes that the encoding of our database does not have"
            .to_owned(),
        remedy:
            "create pg_stat_statements in a database with the encoding SQL_ASCII, and name it as `connect_database`"
                .to_owned(),
    }
}

fn given_up(failure: &Failure) -> Capability {
    let hours = GIVEN_UP_WAIT.as_secs() / 3600;
    Capability {
        name: "pg_stat_statements.query".to_owned(),
        consequence: format!(
            "texts of statements are tried only every {hours} h, since reading them failed: {failure}"
        ),
        remedy: "a longer `timeout` of `texts`, or a smaller pg_stat_statements.max".to_owned(),
    }
}

/// What the server shows instead of the text of another role's statement.
pub const INSUFFICIENT_PRIVILEGE: &[u8] = b"<insufficient privilege>";

/// Reads the texts of some statements, each once. Not all of them need come: some may be gone, some may not fit into one read.
pub async fn read(transaction: &Transaction<'_>, extension: &Extension, keys: &[Key]) -> Result<Vec<Text>, Failure> {
    let mut wanted: HashSet<Key> = keys.iter().copied().collect();
    let mut queries: Vec<i64> = keys.iter().map(|key| key.query).collect();
    queries.sort_unstable();
    queries.dedup();
    let rows = transaction.query_once(&sql(extension), &[(&queries, Type::INT8_ARRAY)]).await?;
    let texts: Result<Vec<Text>, Failure> = rows.iter().map(text).collect();
    Ok(texts?.into_iter().filter(|text| wanted.remove(&text.key)).collect())
}

/// `convert_to` its own encoding keeps the bytes as they are: a text that is no valid text is no error.
fn sql(extension: &Extension) -> String {
    let schema = &extension.schema;
    let toplevel = if extension.layout.has_toplevel { "toplevel" } else { "NULL::bool AS toplevel" };
    format!(
        "SELECT userid, dbid, queryid, toplevel, length,
                substring(convert_to(query, getdatabaseencoding()::name) FROM 1 FOR {TEXT_BYTES_MAX}) AS bytes
         FROM (
             SELECT userid, dbid, queryid, {toplevel}, query, octet_length(query)::int8 AS length,
                    sum(least(octet_length(query), {TEXT_BYTES_MAX})) OVER (ROWS UNBOUNDED PRECEDING) AS read
             FROM {schema}.pg_stat_statements(true) WHERE queryid = ANY($1)
         ) AS texts
         WHERE read IS NULL OR read <= {BYTES_PER_READ_MAX}"
    )
}

fn text(row: &Row) -> Result<Text, Failure> {
    let row = Columns(row);
    let key = Key {
        user: row.required("userid")?,
        database: row.required("dbid")?,
        query: row.required("queryid")?,
        toplevel: row.optional("toplevel")?,
    };
    let bytes = row.optional::<Bytes<'_>>("bytes")?.map(|bytes| bytes.0.to_vec());
    Ok(Text { key, bytes, length: row.optional("length")? })
}

impl Text {
    /// The row to publish: with what may be told of the text, and why if that is not all.
    pub fn into_row(self, reader: &mut TextReader, names: &Names) -> TextRow {
        let given = self.bytes.as_deref().filter(|bytes| *bytes != INSUFFICIENT_PRIVILEGE);
        let length = self.length.unwrap_or(0);
        let is_cut = |bytes: &[u8]| i64::try_from(bytes.len()).is_ok_and(|read| read < length);
        let read = given.map(|bytes| reader.statement(bytes, is_cut(bytes)));
        let mut statement = read.unwrap_or_else(|| StatementText::withheld(UNAVAILABLE));
        statement.length = length;
        TextRow { id: self.key.named(names), statement }
    }
}

#[cfg(test)]
mod tests {
    use dbintel_sqltext::{Dialect, Options};

    use super::*;

    fn key(query: i64) -> Key {
        Key { database: 1, user: 1, query, toplevel: None }
    }

    fn given(query: i64, bytes: &[u8]) -> Text {
        Text { key: key(query), bytes: Some(bytes.to_vec()), length: Some(bytes.len() as i64) }
    }

    #[test]
    fn each_text_is_read_once() {
        let mut texts = Texts::default();
        assert!(texts.note([key(1), key(2)].into_iter()));
        assert_eq!(texts.missing(), [key(1), key(2)]);
        texts.read(&[given(1, b""), given(2, b"")]);
        assert!(!texts.note([key(1), key(2)].into_iter()));
        assert!(texts.note([key(1), key(3)].into_iter()));
        assert_eq!(texts.missing(), [key(3)]);
    }

    #[test]
    fn what_did_not_come_is_asked_for_again_and_what_was_evicted_is_forgotten() {
        let mut texts = Texts::default();
        texts.note([key(1), key(2)].into_iter());
        texts.read(&[given(1, b"")]);
        texts.note([key(1), key(2)].into_iter());
        assert_eq!(texts.missing(), [key(2)]);
        assert!(!texts.note([].into_iter()));
        texts.note([key(1)].into_iter());
        assert_eq!(texts.missing(), [key(1)]);
    }

    #[test]
    fn after_a_loss_all_texts_are_read_again() {
        let mut texts = Texts::default();
        texts.note([key(1)].into_iter());
        texts.read(&[given(1, b"")]);
        texts.forget();
        assert!(texts.note([key(1)].into_iter()));
    }

    #[test]
    fn reads_take_a_fiftieth_of_the_time_at_most() {
        let seconds = Duration::from_secs;
        let cases = [(0, 1, 101), (1, 1, 149), (10, 1, 590), (0, 60, 160)];
        for (took, interval, next) in cases {
            let mut texts = Texts::default();
            texts.spent(seconds(100), seconds(took), seconds(interval));
            assert_eq!(texts.next_read_at(), seconds(next), "took {took} s, interval {interval} s");
            texts.fail(&Failure::deadline());
            assert_eq!(texts.next_read_at(), seconds(next), "a failure takes nothing back");
        }
    }

    #[test]
    fn reads_that_go_on_failing_are_given_up_until_one_goes_well() {
        let mut texts = Texts::default();
        for failures in 1..=FAILURES_MAX {
            assert_eq!(texts.unavailable(), None);
            texts.spent(Duration::ZERO, Duration::ZERO, Duration::ZERO);
            texts.fail(&Failure::deadline());
            assert_eq!(texts.next_read_at() >= GIVEN_UP_WAIT, failures == FAILURES_MAX);
        }
        assert!(texts.unavailable().is_some_and(|it| it.consequence.contains("every 1 h")));
        texts.read(&[]);
        assert_eq!((texts.unavailable(), texts.failures), (None, 0));
        texts.fail(&Failure::refused("22021", ""));
        assert!(texts.unavailable().is_some_and(|it| it.remedy.contains("SQL_ASCII")));
    }

    #[test]
    fn one_read_is_bounded() {
        let mut texts = Texts::default();
        texts.note((0..10_000).map(key));
        assert_eq!(texts.missing().len(), STATEMENTS_PER_READ_MAX);
    }

    #[test]
    fn all_texts_are_read_again_after_a_day() {
        let mut texts = Texts::default();
        texts.note([key(1)].into_iter());
        texts.read(&[given(1, b"")]);
        assert!(!texts.refresh(REFRESH_INTERVAL / 2));
        assert!(!texts.note([key(1)].into_iter()));
        assert!(texts.refresh(REFRESH_INTERVAL));
        assert!(texts.note([key(1)].into_iter()));
        assert!(!texts.refresh(REFRESH_INTERVAL + Duration::from_secs(60)));
    }

    #[test]
    fn what_a_text_says_is_published_and_no_literal() {
        let (names, mut reader) = (Names::default(), reader());
        let hidden = |bytes: Option<&[u8]>| Text { key: key(1), bytes: bytes.map(<[u8]>::to_vec), length: None };
        let long = Text { key: key(1), bytes: Some(b"SELECT a, 'hunt".to_vec()), length: Some(1_000_000) };
        let cases = [
            (given(1, b"SELECT $1"), Some("SELECT ?"), None, 9),
            (given(1, b"SELECT 'hunter2'"), Some("SELECT ?"), None, 16),
            (given(1, b"ALTER ROLE a PASSWORD 'hunter2'"), Some("ALTER ROLE a"), Some("secret_statement"), 31),
            (hidden(None), None, Some("unavailable"), 0),
            (hidden(Some(INSUFFICIENT_PRIVILEGE)), None, Some("unavailable"), 0),
            (long, Some("SELECT a ..."), Some("unterminated_string"), 1_000_000),
        ];
        for (text, published, withheld, length) in cases {
            let statement = text.into_row(&mut reader, &names).statement;
            assert_eq!(
                (statement.text.as_deref(), statement.withheld, statement.length),
                (published, withheld, length)
            );
        }
    }

    fn reader() -> TextReader {
        TextReader::new(Dialect::PostgreSql, Options::default(), false)
    }
}
