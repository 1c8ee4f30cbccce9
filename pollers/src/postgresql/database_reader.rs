//! What is read on the connections for per-database work: tables, indexes and sizes. Each lane has its share of the
//! databases, and keeps its connection open as long as the share is one database.

use std::sync::Arc;

use tokio::sync::watch;

use crate::lane::{Job, Jobs, changed};
use crate::poll::{Class, Poll};
use crate::rows::Rows;
use crate::target::Target;
use crate::view::View;

use super::engine::{PostgreSql, TransactionReader};
use super::server::Server;
use super::server_reader::Fleet;
use super::transaction::Transaction;
use super::view;
use super::views::{self, pg_relation_size};
use crate::failure::Failure;

/// A lane's share of the databases.
pub struct DatabaseReader {
    fleet: watch::Receiver<Fleet>,
    share: usize,
    shares: usize,
    /// The fleet changed since the jobs were made.
    outdated: bool,
}

impl DatabaseReader {
    /// The reader of one share of `shares`.
    pub fn new(fleet: watch::Receiver<Fleet>, share: usize, shares: usize) -> DatabaseReader {
        DatabaseReader { fleet, share, shares, outdated: true }
    }
}

impl TransactionReader for DatabaseReader {
    async fn changed(&mut self) {
        changed(&mut self.fleet).await;
        self.outdated = true;
    }

    fn adjust(&mut self, jobs: &mut Jobs<'_, PostgreSql>) {
        if self.fleet.has_changed().unwrap_or(false) {
            self.outdated = true;
        }
        if !std::mem::take(&mut self.outdated) {
            return;
        }
        let databases = self.fleet.borrow_and_update().databases.clone();
        let mine: Vec<_> = databases.into_iter().skip(self.share).step_by(self.shares).collect();
        jobs.retain(|database| mine.contains(database));
        for database in mine {
            jobs.every(Job::of_database(Class::Tables, database.clone()));
            jobs.every(Job::of_database(Class::Sizes, database));
        }
    }

    fn known(&self) -> Option<Arc<Server>> {
        self.fleet.borrow().server.clone()
    }

    async fn read(
        &mut self,
        _: &Target<PostgreSql>,
        job: &Job,
        transaction: &Transaction<'_>,
        server: &Arc<Server>,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let expected = self.fleet.borrow().server.clone();
        if expected.is_some_and(|expected| expected.system_identifier != server.system_identifier) {
            return Err(Failure::server_changed());
        }
        match job.class {
            Class::Tables => read(&views::OF_DATABASE, transaction, server, poll).await,
            Class::Sizes => read(&views::SIZES, transaction, server, poll).await,
            _ => Ok(()),
        }
    }
}

/// Reads views of the connected database, each up to its limit.
async fn read(
    views: &[(&'static View, usize)],
    transaction: &Transaction<'_>,
    server: &Server,
    poll: &mut Poll,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (view, max) in views {
        let (of_view, missing) = view::read_first(view, *max, transaction, &server.catalog).await?;
        rows.extend(of_view);
        poll.capabilities.extend(missing);
    }
    poll.capabilities.extend(pg_relation_size::drop_locked(&mut rows));
    poll.rows = Rows::Metrics(rows);
    Ok(())
}
