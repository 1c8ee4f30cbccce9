//! Metrics: what is read for each class.

use super::connection::Connection;
use super::server::Server;
use super::{replica, status, view, views};
use crate::failure::Failure;
use crate::left_out::LeftOut;
use crate::poll::{Class, Poll};
use crate::rows::{MetricRow, Rows};
use crate::view::View;

/// A poll of metrics that is being read.
pub struct Reading<'r> {
    /// Whom we ask.
    pub connection: &'r mut Connection,
    /// What it has.
    pub server: &'r Server,
    /// What is not asked for.
    pub left_out: &'r mut LeftOut,
    /// What comes out.
    pub poll: &'r mut Poll,
}

impl Reading<'_> {
    /// Reads all that the poll's class has.
    pub async fn read(mut self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        match self.poll.class {
            Class::Metrics => {
                self.poll.capabilities.extend_from_slice(&self.server.missing);
                rows.extend(status::status(self.connection).await?);
                rows.push(status::limits(self.connection).await?);
                self.innodb_metrics(&mut rows).await?;
                self.views(&views::METRICS, &mut rows).await?;
            }
            Class::Replication => {
                self.replica(&mut rows).await?;
                self.views(&views::REPLICATION, &mut rows).await?;
            }
            Class::Settings => {
                rows.push(status::settings(self.connection).await?);
                self.poll.capabilities.extend(self.server.absent.iter().chain(&self.server.advice).cloned());
            }
            Class::Tables => self.views(&views::TABLES, &mut rows).await?,
            Class::Sizes => self.views(&views::SIZES, &mut rows).await?,
            Class::Sessions | Class::Statements | Class::Texts | Class::Queries => {}
        }
        self.left_out.finish();
        self.poll.rows = Rows::Metrics(rows);
        Ok(())
    }

    async fn innodb_metrics(&mut self, rows: &mut Vec<MetricRow>) -> Result<(), Failure> {
        const NAME: &str = "innodb_metrics.all";
        let Some(columns) = self.server.catalog.get("innodb_metrics") else { return Ok(()) };
        if self.left_out.begin(NAME, self.poll) {
            let read = status::innodb_metrics(self.connection, columns).await;
            rows.extend(self.allowed(NAME, read)?);
        }
        Ok(())
    }

    async fn replica(&mut self, rows: &mut Vec<MetricRow>) -> Result<(), Failure> {
        const CHANNELS: &str = "replica_status";
        const LOGS: &str = "binary_logs";
        if self.left_out.begin(CHANNELS, self.poll) {
            let read = replica::channels(self.connection, self.server).await;
            rows.extend(self.allowed(CHANNELS, read)?.into_iter().flatten());
        }
        if self.left_out.begin(LOGS, self.poll) {
            let read = replica::binary_logs(self.connection).await;
            rows.extend(self.allowed(LOGS, read)?.flatten());
        }
        Ok(())
    }

    async fn views(&mut self, views: &[&'static View], rows: &mut Vec<MetricRow>) -> Result<(), Failure> {
        for view in views {
            if self.left_out.begin(view.name, self.poll) {
                let read = view::read(view, self.connection, &self.server.catalog).await;
                let (of_view, missing) = self.allowed(view.name, read)?.unwrap_or_default();
                rows.extend(of_view);
                self.poll.capabilities.extend(missing);
            }
        }
        Ok(())
    }

    /// What was read, or nothing if that is not allowed or takes too long: then the next polls do without it, and this one says
    /// so.
    fn allowed<T>(&mut self, name: &'static str, read: Result<T, Failure>) -> Result<Option<T>, Failure> {
        let failure = match read {
            Ok(read) => return Ok(Some(read)),
            Err(failure) if failure.connection_lost => return Err(failure),
            Err(failure) => failure,
        };
        let grants = self.server.grants();
        let remedy = format!("GRANT {grants} ON *.* and SELECT ON performance_schema.* to our account");
        let remedy = failure.is_missing_on_mysql().then_some(remedy);
        if !self.left_out.fail(self.poll.class, &failure, remedy) {
            return Err(failure);
        }
        self.left_out.begin(name, self.poll);
        Ok(None)
    }
}
