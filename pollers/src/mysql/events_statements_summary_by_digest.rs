//! Counters of statements, and their texts. What was not executed since the last poll has not changed: only rows that the
//! server saw since then are read, and from time to time all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use dbintel_schemas::records::QueryCounters;
use mysql_async::Row;

use super::connection::Connection;
use super::value::Columns;
use crate::failure::Failure;
use crate::rows::{QueryRow, StatementId, TextRow};
use crate::text::{StatementText, TextReader, UNAVAILABLE};

/// Identifier of what the server counts together when its table is full.
pub const OTHERS: &str = "others";

/// What identifies a statement on the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The schema that it was executed in; empty if there was none.
    pub schema: Arc<str>,
    /// The digest; [`OTHERS`] for what has none.
    pub digest: Arc<str>,
}

/// Columns with times in ps that become counters in ns, and columns that are counters.
const TIMES: [(&str, &str); 3] =
    [("SUM_TIMER_WAIT", "total_exec_time_ns"), ("SUM_CPU_TIME", "cpu_time_ns"), ("SUM_LOCK_TIME", "lock_time_ns")];
const COUNTS: [(&str, &str); 13] = [
    ("COUNT_STAR", "calls"),
    ("SUM_ERRORS", "errors"),
    ("SUM_WARNINGS", "warnings"),
    ("SUM_ROWS_AFFECTED", "rows_affected"),
    ("SUM_ROWS_EXAMINED", "rows_examined"),
    ("SUM_NO_INDEX_USED", "no_index_used"),
    ("SUM_NO_GOOD_INDEX_USED", "no_good_index_used"),
    ("SUM_SELECT_SCAN", "select_scan"),
    ("SUM_SELECT_FULL_JOIN", "select_full_join"),
    ("SUM_CREATED_TMP_TABLES", "tmp_tables"),
    ("SUM_CREATED_TMP_DISK_TABLES", "tmp_disk_tables"),
    ("SUM_SORT_ROWS", "sort_rows"),
    ("SUM_SORT_MERGE_PASSES", "sort_merge_passes"),
];

/// Reads the counters of statements that ended at `since` or later, in µs since the epoch; of all if there is no such time.
pub async fn read(
    connection: &mut Connection,
    columns: &BTreeSet<String>,
    since: Option<i64>,
) -> Result<Vec<(Key, QueryRow)>, Failure> {
    let rows = connection.query(&sql(columns, since)).await?;
    rows.iter().map(|row| statement(row, since.is_none())).collect()
}

fn sql(columns: &BTreeSet<String>, since: Option<i64>) -> String {
    let or_null = |column: &str, expression: String| match columns.contains(column) {
        true => expression,
        false => "NULL".to_owned(),
    };
    let times = TIMES.map(|(column, name)| format!("{} AS {name}", or_null(column, format!("{column} DIV 1000"))));
    let counts = COUNTS.map(|(column, name)| format!("{} AS {name}", or_null(column, column.to_owned())));
    let seen = since.map(|since| format!(" WHERE LAST_SEEN >= FROM_UNIXTIME({since} / 1000000)")).unwrap_or_default();
    format!(
        "SELECT SCHEMA_NAME AS schema_name, DIGEST AS digest, {}, {}, SUM_ROWS_SENT + SUM_ROWS_AFFECTED AS `rows`, \
         MIN_TIMER_WAIT DIV 1000 AS min_ns, MAX_TIMER_WAIT DIV 1000 AS max_ns, \
         CAST(UNIX_TIMESTAMP(FIRST_SEEN) * 1000000 AS SIGNED) AS first_seen \
         FROM performance_schema.events_statements_summary_by_digest{seen}",
        times.join(", "),
        counts.join(", "),
    )
}

fn statement(row: &Row, snapshot: bool) -> Result<(Key, QueryRow), Failure> {
    let row = Columns(row);
    let key = key(&row)?;
    let mut counters = QueryCounters::default();
    for name in TIMES.iter().chain(&COUNTS).map(|(_, name)| *name).chain(["rows"]) {
        let place = QueryCounters::FIELDS.iter().position(|field| *field == name);
        if let (Some(place), Some(value)) = (place, row.optional::<u64>(name)?) {
            counters.set(place, Some(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }
    if counters.cpu_time_ns() == Some(0) {
        // It is 0 as long as the server is not told to measure it.
        counters = counters.with_cpu_time_ns(None);
    }
    let at_most = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let query = QueryRow {
        id: key.statement(),
        entry_since_at: row.optional("first_seen")?,
        snapshot,
        min_exec_time_ns: row.optional::<u64>("min_ns")?.map(at_most),
        max_exec_time_ns: row.optional::<u64>("max_ns")?.map(at_most),
        counters,
    };
    Ok((key, query))
}

fn key(row: &Columns<'_>) -> Result<Key, Failure> {
    let schema = row.text("schema_name")?.unwrap_or_default();
    let digest = row.text("digest")?.unwrap_or_else(|| OTHERS.to_owned());
    Ok(Key { schema: schema.into(), digest: digest.into() })
}

/// Reads the texts of statements. Not all of them need come: some may be gone.
pub async fn texts(
    connection: &mut Connection,
    keys: &[Key],
    reader: &mut TextReader,
) -> Result<Vec<(Key, TextRow)>, Failure> {
    let is_digest = |digest: &str| digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digests: BTreeSet<&str> = keys.iter().map(|key| &*key.digest).filter(|digest| is_digest(digest)).collect();
    let mut found = Vec::new();
    if !digests.is_empty() {
        let list = digests.iter().map(|digest| format!("'{digest}'")).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT SCHEMA_NAME AS schema_name, DIGEST AS digest, DIGEST_TEXT AS text \
             FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST IN ({list})"
        );
        for row in connection.query(&sql).await? {
            let row = Columns(&row);
            let key = key(&row)?;
            let text = row.optional::<Vec<u8>>("text")?;
            if keys.contains(&key) {
                let statement = text.map(|text| reader.statement(executed(&text), false));
                found.push(key.text(statement.unwrap_or_else(|| StatementText::withheld(UNAVAILABLE))));
            }
        }
    }
    let others = keys.iter().filter(|key| !is_digest(&key.digest));
    found.extend(others.map(|key| key.text(StatementText::withheld(UNAVAILABLE))));
    Ok(found)
}

/// What a digest of an execution executes. MySQL puts a word in front of the text of a prepared statement, that is in front of
/// a verb; after `EXECUTE` as a client sends it stands a name, in backticks.
fn executed(text: &[u8]) -> &[u8] {
    let rest = text.strip_prefix(b"EXECUTE ").filter(|rest| rest.first().is_some_and(u8::is_ascii_uppercase));
    rest.unwrap_or(text)
}

impl Key {
    fn text(&self, statement: StatementText) -> (Key, TextRow) {
        (self.clone(), TextRow { id: self.statement(), statement })
    }

    fn statement(&self) -> StatementId {
        StatementId {
            database: (!self.schema.is_empty()).then(|| self.schema.clone()),
            database_id: self.schema.to_string(),
            user: None,
            user_id: String::new(),
            query_id: self.digest.to_string(),
            toplevel: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_a_server_does_not_have_are_null() {
        let columns = ["SUM_TIMER_WAIT", "COUNT_STAR"].map(str::to_owned).into_iter().collect();
        let sql = sql(&columns, None);
        assert!(sql.contains("SUM_TIMER_WAIT DIV 1000 AS total_exec_time_ns, NULL AS cpu_time_ns"), "{sql}");
        assert!(!sql.contains("WHERE") && !sql.contains("ORDER BY"), "{sql}");
    }

    #[test]
    fn an_execution_is_known_as_what_it_executes() {
        assert_eq!(executed(b"EXECUTE SELECT `id` FROM `goods`"), b"SELECT `id` FROM `goods`");
        assert_eq!(executed(b"EXECUTE `s` USING @?"), b"EXECUTE `s` USING @?");
        assert_eq!(executed(b"SELECT ?"), b"SELECT ?");
    }

    #[test]
    fn only_what_was_seen_since_is_read() {
        let sql = sql(&BTreeSet::new(), Some(1_795_690_000_123_456));
        assert!(sql.ends_with(" WHERE LAST_SEEN >= FROM_UNIXTIME(1795690000123456 / 1000000)"), "{sql}");
    }
}
