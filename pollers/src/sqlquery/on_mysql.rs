//! Statements on MySQL and MariaDB: within a statement of ours, on a session that only reads.

use std::sync::Arc;
use std::time::Duration;

use super::on_postgresql::schedule;
use super::query::{Query, Table};
use crate::failure::Failure;
use crate::lane::{Job, Jobs, Reader};
use crate::link::Connected;
use crate::mysql::{Connection, MySql, Server};
use crate::poll::{Class, Poll};
use crate::rows::Rows;
use crate::target::Target;

/// The statements of one server.
pub struct QueryReader {
    queries: Vec<Query>,
    has_begun: bool,
}

impl QueryReader {
    /// Nothing was run yet.
    pub fn new(queries: Vec<Query>) -> QueryReader {
        QueryReader { queries, has_begun: false }
    }
}

impl Reader<MySql> for QueryReader {
    async fn changed(&mut self) {
        std::future::pending().await
    }

    fn adjust(&mut self, jobs: &mut Jobs<'_, MySql>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            schedule(&self.queries, jobs);
        }
    }

    fn known(&self) -> Option<Arc<Server>> {
        None
    }

    fn connected(&mut self, _: &Target<MySql>, _: &Connected<MySql>) {}

    fn disconnected(&mut self) {}

    async fn read(
        &mut self,
        target: &Target<MySql>,
        job: &Job,
        connected: &mut Connected<MySql>,
        _: Duration,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let Some(query) = self.queries.get(job.query.unwrap_or(0)) else { return Ok(()) };
        let connection = &mut connected.connection;
        let result = run(query, connection).await.map_err(|failure| query.explain(failure));
        poll.stamp.observed_at = target.clock.wall_us();
        poll.statements_sent = connection.take_statements_sent();
        let table = result?;
        poll.rows = Rows::Metrics(query.rows(&table)?);
        Ok(())
    }

    fn ended(&mut self, _: &Target<MySql>, _: &Job, _: Duration) -> Option<(Class, Duration)> {
        None
    }

    fn failed(&mut self, _: &Job, _: &Failure) -> bool {
        false
    }
}

async fn run(query: &Query, connection: &mut Connection) -> Result<Table, Failure> {
    connection.limit_statements(query.timeout).await?;
    let sql = format!("SELECT * FROM (\n{}\n) AS q LIMIT {}", query.sql, query.rows_max + 1);
    let (columns, rows) = connection.texts(&sql).await?;
    Ok(Table { columns, rows })
}
