//! What waits for the writer.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::super::outbox::{Call, Outbox};
use super::super::sync::locked;
use super::{CommitRequest, Ends, Waiting, again};
use crate::{BusError, CommitError};

/// Bytes of commits after which a batch takes no further one.
const ROUND_BYTES: usize = 8 << 20;

/// Commits and calls. Commits are bounded by the number of members, each of which waits for its own.
pub(super) struct Queue {
    linger: Duration,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    commits: VecDeque<Waiting>,
    outboxes: Vec<Arc<Outbox>>,
    /// When the outboxes have to be emptied; none if they are empty.
    due: Option<Instant>,
    /// After a failure: not before then.
    not_before: Option<Instant>,
    closed: bool,
}

/// What goes into one batch.
pub(super) struct Work {
    pub commits: Vec<Waiting>,
    pub outboxes: Vec<Arc<Outbox>>,
}

impl Work {
    /// Writes none of it; what producers sent stays with them.
    pub fn refuse(self, error: &BusError) {
        for waiting in self.commits {
            waiting.answer(Err(CommitError::Bus(again(error))));
        }
        for outbox in self.outboxes {
            outbox.refused(&error.to_string());
        }
    }
}

impl Queue {
    pub fn new(linger: Duration) -> Queue {
        Queue { linger, state: Mutex::default(), work: Condvar::new() }
    }

    /// Adds a commit; none if the queue is closed.
    pub fn submit(&self, request: CommitRequest) -> Option<Receiver<Result<Ends, CommitError>>> {
        let (waiting, reply) = Waiting::new(request);
        let mut state = locked(&self.state);
        if state.closed {
            return None;
        }
        state.commits.push_back(waiting);
        self.work.notify_one();
        Some(reply)
    }

    pub fn serve(&self, outbox: Arc<Outbox>) {
        locked(&self.state).outboxes.push(outbox);
    }

    pub fn call(&self, call: Call, now: Instant) {
        let at = if call == Call::Now { now } else { now + self.linger };
        let mut state = locked(&self.state);
        state.due = Some(state.due.map_or(at, |due| due.min(at)));
        self.work.notify_one();
    }

    /// The outboxes have to be emptied again, not before `at`. False if the queue is closed: then nobody tries again.
    pub fn retry_at(&self, at: Instant) -> bool {
        let mut state = locked(&self.state);
        state.due = Some(at);
        state.not_before = Some(at);
        !state.closed
    }

    /// Records that producers wait to see written.
    pub fn outstanding(&self) -> u64 {
        locked(&self.state).outboxes.iter().map(|outbox| outbox.outstanding()).sum()
    }

    /// Takes nothing more; whoever waits for a commit learns that there will be no answer.
    pub fn abandon(&self) {
        let mut state = locked(&self.state);
        state.closed = true;
        state.commits.clear();
    }

    pub fn close(&self) {
        locked(&self.state).closed = true;
        self.work.notify_one();
    }

    /// Waits for work; none when the queue is closed and empty.
    pub fn take(&self, now: impl Fn() -> Instant) -> Option<Work> {
        let mut state = locked(&self.state);
        loop {
            let time = now();
            if let Some(work) = state.work(time) {
                return Some(work);
            }
            if state.closed {
                return None;
            }
            state = match state.due.map(|due| due.max(state.not_before.unwrap_or(due))) {
                Some(due) => {
                    let waited = self.work.wait_timeout(state, due.saturating_duration_since(time));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    /// Producers ride along with each commit; alone, they wait until they are due.
    fn work(&mut self, now: Instant) -> Option<Work> {
        let commits = self.some_commits();
        let allowed = self.closed || self.not_before.is_none_or(|at| now >= at);
        let due = self.due.is_some_and(|due| now >= due || self.closed || !commits.is_empty());
        let mut outboxes = Vec::new();
        if allowed && due {
            self.due = None;
            self.not_before = None;
            self.outboxes.retain(|outbox| !outbox.finished());
            outboxes.clone_from(&self.outboxes);
        }
        if commits.is_empty() && outboxes.is_empty() { None } else { Some(Work { commits, outboxes }) }
    }

    fn some_commits(&mut self) -> Vec<Waiting> {
        let mut commits = Vec::new();
        let mut bytes = 0;
        while bytes < ROUND_BYTES
            && let Some(waiting) = self.commits.pop_front()
        {
            bytes += waiting.request.appends.iter().map(|append| append.block.bytes.len()).sum::<usize>();
            commits.push(waiting);
        }
        commits
    }
}
