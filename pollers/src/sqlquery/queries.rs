//! The queries of a poller and how far each has come: what the readers of all kinds of servers have in common.

use dbintel_sqltext::Options;

use super::query::{Query, Table};
use super::tracking::{Syntax, Tracking};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::lane::{Job, Jobs};
use crate::rows::Rows;
use crate::text::TextReader;

/// Queries of one poller.
pub struct Queries {
    all: Vec<Query>,
    tracking: Tracking,
    texts: TextReader,
    are_scheduled: bool,
}

impl Queries {
    /// None was run yet.
    pub fn new(all: Vec<Query>, syntax: Syntax) -> Queries {
        let tracking = Tracking::new(&all, syntax);
        Queries {
            all,
            tracking,
            texts: TextReader::new(syntax.dialect, Options::default(), false),
            are_scheduled: false,
        }
    }

    /// Makes a job of each query, at its interval.
    pub fn schedule<E: Engine>(&mut self, jobs: &mut Jobs<'_, E>) {
        if std::mem::replace(&mut self.are_scheduled, true) {
            return;
        }
        for (place, query) in self.all.iter().enumerate() {
            let job = Job::of_query(place);
            jobs.every(job.clone());
            jobs.set_interval(&job, query.interval);
        }
    }

    /// The query of a job, and the statement to run for it now.
    pub fn of(&self, job: &Job) -> Option<(&Query, String)> {
        let place = job.query?;
        let query = self.all.get(place)?;
        Some((query, self.tracking.statement(place, &query.sql)))
    }

    /// What the rows are that a run gave. The next run begins after them.
    pub fn rows(&mut self, job: &Job, table: &Table) -> Result<Rows, Failure> {
        let Some((place, query)) = job.query.and_then(|place| Some((place, self.all.get(place)?))) else {
            return Ok(Rows::None);
        };
        let rows = query.rows(table, &mut self.texts)?;
        self.tracking.advance(place, query, table)?;
        Ok(rows)
    }
}
