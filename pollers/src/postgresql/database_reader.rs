//! What is read on the connections for per-database work: tables, indexes and sizes. Each lane has its share of the
//! databases, and keeps its connection open as long as the share is one database.

use std::sync::Arc;

use tokio::sync::watch;

use crate::lane::{Job, Jobs, changed};
use crate::left_out::LeftOut;
use crate::poll::{Class, Poll};
use crate::rows::Rows;
use crate::target::Target;
use crate::view::View;

use super::engine::{PostgreSql, TransactionReader};
use super::server::Server;
use super::server_reader::Fleet;
use super::transaction::Transaction;
use super::view;
use super::views::{self, pg_relation_size, pg_sequences};
use crate::failure::Failure;

/// A lane's share of the databases.
pub struct DatabaseReader {
    fleet: watch::Receiver<Fleet>,
    share: usize,
    shares: usize,
    /// The fleet changed since the jobs were made.
    outdated: bool,
    left_out: LeftOut,
}

impl DatabaseReader {
    /// The reader of one share of `shares`.
    pub fn new(fleet: watch::Receiver<Fleet>, share: usize, shares: usize) -> DatabaseReader {
        DatabaseReader { fleet, share, shares, outdated: true, left_out: LeftOut::default() }
    }

    async fn views(
        &mut self,
        views: &[&'static View],
        target: &Target<PostgreSql>,
        transaction: &Transaction<'_>,
        server: &Server,
        poll: &mut Poll,
    ) -> Result<(), Failure> {
        let mut rows = view::read_all(views, &target.config, &mut self.left_out, transaction, server, poll).await?;
        poll.capabilities.extend(pg_relation_size::drop_locked(&mut rows));
        poll.rows = Rows::Metrics(rows);
        Ok(())
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
        self.left_out.forget_forbidden();
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
        target: &Target<PostgreSql>,
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
            Class::Tables => self.views(&views::OF_DATABASE, target, transaction, server, poll).await,
            Class::Sizes => {
                self.views(&views::SIZES, target, transaction, server, poll).await?;
                if self.left_out.begin(pg_sequences::HIDDEN_SEQUENCES, poll) {
                    poll.capabilities.extend(pg_sequences::hidden(transaction).await?);
                    self.left_out.finish();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn failed(&mut self, job: &Job, failure: &Failure) -> bool {
        self.left_out.fail(job.class, failure, view::remedy(failure));
        false
    }
}
