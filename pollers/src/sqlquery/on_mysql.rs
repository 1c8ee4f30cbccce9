//! Statements on MySQL and MariaDB: within a statement of ours, on a session that only reads.

use std::sync::Arc;
use std::time::Duration;

use dbintel_sqltext::{Dialect, Options, SqlMode};

use super::on_postgresql::schedule;
use super::query::{Query, Table};
use super::tracking::{Placeholder, Tracking};
use crate::failure::Failure;
use crate::lane::{Job, Jobs, Reader};
use crate::link::Connected;
use crate::mysql::{Connection, MySql, Server};
use crate::poll::{Class, Poll};
use crate::target::Target;
use crate::text::TextReader;

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
        let tracking = Tracking::new(&queries, Placeholder::Question);
        let texts = TextReader::new(Dialect::MySql(SqlMode::default()), Options::default(), false);
        QueryReader { queries, tracking, texts, has_begun: false }
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
        let place = job.query.unwrap_or(0);
        let Some(query) = self.queries.get(place) else { return Ok(()) };
        let sql = self.tracking.statement(place, &query.sql);
        let connection = &mut connected.connection;
        let result = run(query, &sql, connection).await.map_err(|failure| query.explain(failure));
        poll.stamp.observed_at = target.clock.wall_us();
        poll.statements_sent = connection.take_statements_sent();
        let table = result?;
        poll.rows = query.rows(&table, &mut self.texts)?;
        self.tracking.advance(place, query, &table)?;
        Ok(())
    }

    fn ended(&mut self, _: &Target<MySql>, _: &Job, _: Duration) -> Option<(Class, Duration)> {
        None
    }

    fn failed(&mut self, _: &Job, _: &Failure) -> bool {
        false
    }
}

async fn run(query: &Query, sql: &str, connection: &mut Connection) -> Result<Table, Failure> {
    connection.limit_statements(query.timeout).await?;
    let sql = format!("SELECT * FROM (\n{}\n) AS q LIMIT {}", sql, query.rows_max + 1);
    let (columns, rows) = connection.texts(&sql).await?;
    Ok(Table { columns, rows })
}
