//! Statements on PostgreSQL: each in a read-only transaction of its own, within a statement of ours that takes its rows as
//! texts. So it can be one statement only, and of whatever types.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::queries::Queries;
use super::query::{Query, Table};

use crate::failure::Failure;
use crate::lane::{Job, Jobs};
use crate::poll::Poll;
use crate::postgresql::{PostgreSql, Server, Transaction, TransactionReader};
use crate::target::Target;

/// Statements run with the search path and the time limit that are theirs.
const PREPARE: &str = "SELECT set_config('statement_timeout', $1, true), \
    set_config('search_path', (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), true)";

/// The statements of one server.
pub struct QueryReader(pub Queries);

impl TransactionReader for QueryReader {
    fn adjust(&mut self, jobs: &mut Jobs<'_, PostgreSql>) {
        self.0.schedule(jobs);
    }

    async fn read(
        &mut self,
        _: &Target<PostgreSql>,
        job: &Job,
        transaction: &Transaction<'_>,
        _: &Arc<Server>,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let Some((query, sql)) = self.0.of(job) else { return Ok(()) };
        let table = run(query, &sql, transaction).await.map_err(|failure| query.explain(failure))?;
        poll.rows = self.0.rows(job, &table)?;
        Ok(())
    }
}

async fn run(query: &Query, sql: &str, transaction: &Transaction<'_>) -> Result<Table, Failure> {
    let timeout = query.timeout.as_millis().to_string();
    transaction.query(PREPARE, &[(&timeout, tokio_postgres::types::Type::TEXT)]).await?;
    let columns = transaction.columns_of(sql).await?;
    let sql = format!("SELECT row_to_json(q)::text FROM (\n{sql}\n) AS q {}", query.window('"'));
    let mut rows = Vec::new();
    for row in transaction.query_once(&sql, &[]).await? {
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
