//! One poll's transaction: read-only, with limits that hold for the transaction alone, so that a connection that a
//! pooler hands to an application afterwards is as it was.
//!
//! Behind a pooler statements are unnamed. Settings are set with `set_config(…, true)`, which is SET LOCAL as a function: one
//! statement instead of eight in the server's table of statements.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::prepared::Prepared;
use crate::failure::Failure;

/// Longest wait for a lock: we read views, and whoever holds a lock for longer is in the way of more than us.
const LOCK_TIMEOUT_MAX: Duration = Duration::from_millis(500);
/// Time after which the server ends a transaction that we forgot, beyond the time for a statement.
const IDLE_GRACE: Duration = Duration::from_secs(5);

/// How long the statements of a transaction may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    statement: Duration,
    lock: Duration,
}

impl Timeouts {
    /// Each statement may take this long, and wait for a lock for half of it or half a second, whichever is less.
    pub fn within(statement: Duration) -> Timeouts {
        Timeouts { statement, lock: (statement / 2).min(LOCK_TIMEOUT_MAX) }
    }
}

/// What the server says about itself at the start of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Process id of the backend.
    pub process_id: i32,
    /// Its clock, in µs since the epoch.
    pub server_time: i64,
    /// Start of the server, in µs since the epoch.
    pub started_at: i64,
    /// It replays its log.
    pub in_recovery: bool,
}

/// A transaction. It is rolled back by the server if it is dropped together with the connection; otherwise end it with
/// [`Transaction::commit`] or [`Transaction::roll_back`].
pub struct Transaction<'a> {
    client: &'a Client,
    /// None behind a pooler, where the next transaction may be another connection's.
    prepared: Option<&'a Prepared>,
    facts: Facts,
    statements_sent: AtomicI64,
}

/// A parameter of a statement, with its type, so that the server need not be asked for it.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

impl<'a> Transaction<'a> {
    /// Begins a transaction and reads the facts, in one round trip. `application_name` is set for this transaction only.
    pub(super) async fn begin(
        client: &'a Client,
        prepared: Option<&'a Prepared>,
        timeouts: Timeouts,
        application_name: Option<&str>,
    ) -> Result<Transaction<'a>, Failure> {
        let messages = client.simple_query(&opening(timeouts, application_name)).await?;
        let facts = facts(&messages).ok_or_else(|| Failure::protocol("the server did not say who it is"))?;
        Ok(Transaction { client, prepared, facts, statements_sent: AtomicI64::new(3) })
    }

    /// What the server said about itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Statements sent so far.
    pub fn statements_sent(&self) -> i64 {
        self.statements_sent.load(Ordering::Relaxed)
    }

    /// Rows of a statement. All columns have to be of built-in types: cast what is not.
    pub async fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
        self.count();
        let statement = match self.prepared {
            Some(prepared) => prepared.statement(self.client, sql, parameters).await?,
            None => None,
        };
        let Some(statement) = statement else { return Ok(self.client.query_typed(sql, parameters).await?) };
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        let rows = self.client.query(&statement, &values).await;
        if let (Err(_), Some(prepared)) = (&rows, self.prepared) {
            prepared.forget();
        }
        Ok(rows?)
    }

    /// As [`Transaction::query`], of a statement that is planned each time: for what it is given, or because it does not come again.
    pub async fn query_once(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failure> {
        self.count();
        Ok(self.client.query_typed(sql, parameters).await?)
    }

    /// The only row of a statement.
    pub async fn query_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row, Failure> {
        let row = self.query(sql, parameters).await?.into_iter().next();
        row.ok_or_else(|| Failure::protocol("the server gave no row"))
    }

    /// Names of the columns of a relation or function call in FROM, found by selecting nothing from it.
    pub async fn columns(&self, relation: &str) -> Result<Vec<String>, Failure> {
        self.count();
        let messages = self.client.simple_query(&format!("SELECT * FROM {relation} LIMIT 0")).await?;
        let columns = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => Some(columns),
            _ => None,
        });
        let names = columns.map(|columns| columns.iter().map(|column| column.name().to_owned()).collect());
        Ok(names.unwrap_or_default())
    }

    /// Names of the columns that a statement gives, which is not run.
    pub async fn columns_of(&self, sql: &str) -> Result<Vec<String>, Failure> {
        self.count();
        let statement = self.client.prepare(sql).await?;
        Ok(statement.columns().iter().map(|column| column.name().to_owned()).collect())
    }

    /// Ends the transaction.
    pub async fn commit(self) -> Result<(), Failure> {
        self.count();
        Ok(self.client.batch_execute("COMMIT").await?)
    }

    /// Ends the transaction after an error.
    pub async fn roll_back(self) -> Result<(), Failure> {
        self.count();
        Ok(self.client.batch_execute("ROLLBACK").await?)
    }

    fn count(&self) {
        self.statements_sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Three statements. The first SELECT uses no operator and only qualified names: until it ran, the search path may be
/// anybody's. `pg_temp` is named last, or it would come first. A database without encoding holds names of any bytes,
/// which the server would refuse to call UTF-8: they are taken as they are.
fn opening(timeouts: Timeouts, application_name: Option<&str>) -> String {
    let idle = timeouts.statement + IDLE_GRACE;
    let name = application_name.map(|name| format!(", {}", setting("application_name", name))).unwrap_or_default();
    let settings = [
        setting("search_path", "pg_catalog, pg_temp"),
        setting("statement_timeout", &timeouts.statement.as_millis().to_string()),
        setting("lock_timeout", &timeouts.lock.as_millis().max(1).to_string()),
        setting("idle_in_transaction_session_timeout", &idle.as_millis().to_string()),
        setting("TimeZone", "UTC"),
        setting("DateStyle", "ISO"),
    ];
    format!(
        "BEGIN READ ONLY; SELECT {}{name}; \
         SELECT pg_backend_pid(), (extract(epoch FROM clock_timestamp()) * 1000000)::int8, \
         (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, pg_is_in_recovery()::int, \
         CASE current_setting('server_encoding') WHEN 'SQL_ASCII' \
         THEN set_config('client_encoding', 'SQL_ASCII', true) END",
        settings.join(", ")
    )
}

fn setting(name: &str, value: &str) -> String {
    format!("pg_catalog.set_config('{name}', '{}', true)", value.replace('\'', "''"))
}

fn facts(messages: &[SimpleQueryMessage]) -> Option<Facts> {
    let row = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    Some(Facts {
        process_id: row.get(0)?.parse().ok()?,
        server_time: row.get(1)?.parse().ok()?,
        started_at: row.get(2)?.parse().ok()?,
        in_recovery: row.get(3)? == "1",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_locks_are_short() {
        let cases = [(100, 50), (1_000, 500), (30_000, 500)];
        for (statement, lock) in cases {
            let timeouts = Timeouts::within(Duration::from_millis(statement));
            assert_eq!(timeouts.lock, Duration::from_millis(lock));
        }
    }

    #[test]
    fn every_setting_ends_with_the_transaction() {
        let sql = opening(Timeouts::within(Duration::from_secs(1)), Some("o'brien"));
        assert!(sql.starts_with("BEGIN READ ONLY; "));
        assert_eq!(sql.matches("set_config(").count(), 8);
        assert_eq!(sql.matches(", true)").count(), 8);
        assert!(sql.contains("'o''brien'"));
    }
}
