//! Polls that wait for the bus. Pure.
//!
//! A bus that is down must not stop polling, and must not fill the memory. So the polls wait here, in order, up to a
//! number of rows (a bus that is only busy for a moment may leave more, up to a bound of the process), and what is cumulative goes first: an older reading of the same counters as soon as a newer one
//! waits behind it, then counters in general, then sessions, then the records of the polls themselves. What is lost is
//! counted in the poll that it belonged to, and reported, so that the poller can send a complete snapshot again.

use std::collections::VecDeque;
use std::time::Duration;

use crate::poll::Poll;
use crate::rows::Rows;

/// Rows that the spools of all targets of a process hold together.
pub const SPOOL_ROWS_MAX: usize = 50_000;
/// Rows that all spools may hold while the bus has been refusing for less than [`PATIENCE`].
pub const BUSY_ROWS_MAX: usize = 4 * SPOOL_ROWS_MAX;
/// Time for which a bus that takes nothing is only busy.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Rows that the spool of one target may hold however many targets there are.
pub const TARGET_ROWS_MIN: usize = 500;
/// Polls that the spool of one target may hold: half an hour of sessions.
pub const POLLS_MAX: usize = 2_000;

/// Polls that wait for the bus, oldest first.
#[derive(Debug)]
pub struct Spool {
    polls: VecDeque<Waiting>,
    rows: usize,
    rows_max: usize,
}

/// A poll of which some rows may be published already.
#[derive(Debug)]
pub struct Waiting {
    /// The poll.
    pub poll: Poll,
    /// Rows that are settled: published, or refused for good.
    pub settled: usize,
    /// Rows that are published.
    pub published: i64,
}

/// What was lost, by what the poller has to do about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Counters of statements: the next poll has to be a complete snapshot.
    pub queries: u64,
    /// Texts: they have to be read again.
    pub texts: u64,
    /// Sessions.
    pub sessions: u64,
    /// Log records.
    pub logs: u64,
    /// Metrics.
    pub metrics: u64,
    /// Whole polls, with their record.
    pub polls: u64,
}

impl Spool {
    /// An empty spool of one of `targets` targets.
    pub fn new(targets: usize) -> Spool {
        let rows_max = (SPOOL_ROWS_MAX / targets.max(1)).max(TARGET_ROWS_MIN);
        Spool { polls: VecDeque::new(), rows: 0, rows_max }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.polls.is_empty()
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a poll at the end. Readings that it makes obsolete go: then nobody can tell any more which interval its rows cover.
    pub fn push(&mut self, mut poll: Poll) -> Lost {
        let mut lost = Lost::default();
        if poll.rows.are_cumulative() {
            for waiting in &mut self.polls {
                if waiting.poll.is_of_the_job_of(&poll) {
                    self.rows -= waiting.drop_rows(&mut lost);
                }
            }
        }
        if lost != Lost::default() {
            poll.stamp.interval_ns = None;
        }
        if poll.snapshot_complete {
            lost.queries = 0;
        }
        self.rows += poll.rows.len();
        self.polls.push_back(Waiting { poll, settled: 0, published: 0 });
        lost
    }

    /// The oldest poll.
    pub fn front(&self) -> Option<&Waiting> {
        self.polls.front()
    }

    /// Notes that the next `taken` rows of the oldest poll are published.
    pub fn published(&mut self, taken: usize) {
        if let Some(front) = self.polls.front_mut() {
            front.settled += taken;
            front.published += taken as i64;
            self.rows -= taken;
        }
    }

    /// Notes that the next row of the oldest poll cannot be published at all.
    pub fn refused(&mut self) {
        if let Some(front) = self.polls.front_mut() {
            front.settled += 1;
            front.poll.rows_dropped += 1;
            front.poll.snapshot_complete = false;
            self.rows -= 1;
        }
    }

    /// Takes out the oldest poll, which is published as a whole.
    pub fn pop(&mut self) -> Option<Waiting> {
        let front = self.polls.pop_front();
        self.rows -= front.as_ref().map_or(0, Waiting::rows_left);
        front
    }

    /// Drops rows, and then polls, until the bounds hold, after the bus has refused for so long. All spools of the process
    /// together hold `process_rows`.
    pub fn thin(&mut self, refusing: Duration, process_rows: usize) -> Lost {
        let is_busy = refusing < PATIENCE && process_rows <= BUSY_ROWS_MAX;
        let rows_max = if is_busy { BUSY_ROWS_MAX } else { self.rows_max };
        let mut lost = Lost::default();
        let thinnings: [fn(&Rows) -> bool; 2] = [Rows::are_cumulative, |_| true];
        for goes_now in thinnings {
            for waiting in &mut self.polls {
                if self.rows > rows_max && goes_now(&waiting.poll.rows) {
                    self.rows -= waiting.drop_rows(&mut lost);
                }
            }
        }
        while self.polls.len() > POLLS_MAX {
            if let Some(mut waiting) = self.polls.pop_front() {
                self.rows -= waiting.drop_rows(&mut lost);
                lost.polls += 1;
            }
        }
        lost
    }
}

impl Waiting {
    fn rows_left(&self) -> usize {
        self.poll.rows.len() - self.settled
    }

    /// Drops the rows that wait; returns how many.
    fn drop_rows(&mut self, lost: &mut Lost) -> usize {
        let dropped = self.poll.drop_rows_from(self.settled);
        match &self.poll.rows {
            Rows::None => {}
            Rows::Queries(_) => lost.queries += dropped,
            Rows::Texts(_) => lost.texts += dropped,
            Rows::Sessions(_) => lost.sessions += dropped,
            Rows::Logs(_) => lost.logs += dropped,
            Rows::Metrics(_) => lost.metrics += dropped,
        }
        dropped as usize
    }
}

#[cfg(test)]
mod tests;
