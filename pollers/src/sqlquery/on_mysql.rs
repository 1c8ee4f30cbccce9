//! Statements on MySQL and MariaDB: within a statement of ours, on a session that only reads.

use std::time::Duration;

use super::queries::Queries;
use super::query::{Query, Table};
use crate::failure::Failure;
use crate::lane::{Job, Jobs, Reader};
use crate::link::Connected;
use crate::mysql::{Connection, MySql};
use crate::poll::Poll;
use crate::target::Target;

/// The statements of one server.
pub struct QueryReader(pub Queries);

impl Reader<MySql> for QueryReader {
    fn adjust(&mut self, jobs: &mut Jobs<'_, MySql>) {
        self.0.schedule(jobs);
    }

    async fn read(
        &mut self,
        target: &Target<MySql>,
        job: &Job,
        connected: &mut Connected<MySql>,
        _: Duration,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let Some((query, sql)) = self.0.of(job) else { return Ok(()) };
        let connection = &mut connected.connection;
        let result = run(query, &sql, connection).await.map_err(|failure| query.explain(failure));
        poll.stamp.observed_at = target.clock.wall_us();
        poll.statements_sent = connection.take_statements_sent();
        poll.rows = self.0.rows(job, &result?)?;
        Ok(())
    }
}

async fn run(query: &Query, sql: &str, connection: &mut Connection) -> Result<Table, Failure> {
    connection.limit_statements(query.timeout).await?;
    let sql = format!("SELECT * FROM (\n{sql}\n) AS q {}", query.window('`'));
    let (columns, rows) = connection.texts(&sql).await?;
    Ok(Table { columns, rows })
}
