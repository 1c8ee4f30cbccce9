//! Statements on PostgreSQL: each in a read-only transaction of its own, within a statement of ours that takes its rows as
//! texts. So it can be one statement only, and of whatever types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dbintel_sqltext::{Dialect, Options};

use super::query::{Query, Table};
use super::tracking::{Placeholder, Tracking};
use crate::failure::Failure;
use crate::lane::{Job, Jobs};
use crate::link::Connected;
use crate::poll::{Class, Poll};
use crate::postgresql::{PostgreSql, Server, Transaction, TransactionReader};
use crate::target::Target;
use crate::text::TextReader;

/// Statements run with the search path and the time limit that are theirs.
const PREPARE: &str = "SELECT set_config('statement_timeout', $1, true), \
    set_config('search_path', (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), true)";

/// The statements of one server.
pub struct QueryReader {
    queries: Vec<Query>,
    tracking: Tracking,
    texts: TextReader,
    has_begun: bool,
}

impl QueryReader {
    /// Nothing was run yet.
    pub fn new(queries: Vec<Query>) -> QueryReader {
        let tracking = Tracking::new(&queries, Placeholder::Dollar);
        let texts = TextReader::new(Dialect::PostgreSql, Options::default(), false);
        QueryReader { queries, tracking, texts, has_begun: false }
    }
}

/// Makes a job of each statement, at its interval.
pub fn schedule<E: crate::engine::Engine>(queries: &[Query], jobs: &mut Jobs<'_, E>) {
    for (number, query) in queries.iter().enumerate() {
        let job = Job::of_query(number);
        jobs.every(job.clone());
        jobs.set_interval(&job, query.interval);
    }
}

impl TransactionReader for QueryReader {
    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn adjust(&mut self, jobs: &mut Jobs<'_, PostgreSql>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            schedule(&self.queries, jobs);
        }
    }

    fn known(&self) -> Option<Arc<Server>> {
        None
    }

    fn connected(&mut self, _: &Target<PostgreSql>, _: &Connected<PostgreSql>) {}

    fn disconnected(&mut self) {}

    async fn read(
        &mut self,
        _: &Target<PostgreSql>,
        job: &Job,
        transaction: &Transaction<'_>,
        _: &Arc<Server>,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let place = job.query.unwrap_or(0);
        let Some(query) = self.queries.get(place) else { return Ok(()) };
        let sql = self.tracking.statement(place, &query.sql);
        let table = run(query, &sql, transaction).await.map_err(|failure| query.explain(failure))?;
        poll.rows = query.rows(&table, &mut self.texts)?;
        self.tracking.advance(place, query, &table)?;
        Ok(())
    }

    fn ended(&mut self, _: &Target<PostgreSql>, _: &Job, _: Duration) -> Option<(Class, Duration)> {
        None
    }

    fn failed(&mut self, _: &Job, _: &Failure) -> bool {
        false
    }
}

async fn run(query: &Query, sql: &str, transaction: &Transaction<'_>) -> Result<Table, Failure> {
    let timeout = query.timeout.as_millis().to_string();
    transaction.query(PREPARE, &[(&timeout, tokio_postgres::types::Type::TEXT)]).await?;
    let columns = transaction.columns_of(sql).await?;
    let sql = format!("SELECT row_to_json(q)::text FROM (\n{}\n) AS q LIMIT {}", sql, query.rows_max + 1);
    let mut rows = Vec::new();
    for row in transaction.query(&sql, &[]).await? {
        let json: &str = row.try_get(0)?;
        rows.push(texts(json, &columns)?);
    }
    Ok(Table { columns, rows })
}

/// The values of a row as texts, in the order of the columns.
fn texts(json: &str, columns: &[String]) -> Result<Vec<Option<String>>, Failure> {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|_| Failure::protocol("the server gave a row that is no JSON"))?;
    let text = |column: &String| match values.get(column)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    Ok(columns.iter().map(text).collect())
}
