//! The one writer: all commits and producers that wait share one batch and one fsync.

mod queue;
mod round;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::keys::PartitionId;
use super::log::Log;
use super::outbox::{Call, Outbox};
use super::staging::Append;
use super::sync::locked;
use super::{Config, clock};
use crate::groups::{Groups, Ownership};
use crate::{BusError, CommitError};
use queue::{Queue, Work};
use round::Round;

/// Pause after a failed write, before producers are tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A transaction to commit.
pub(super) struct CommitRequest {
    /// Who commits.
    pub ownership: Ownership,
    /// The records.
    pub appends: Vec<Append>,
    /// The positions: partition, next offset, metadata.
    pub positions: Vec<(PartitionId, i64, String)>,
}

/// Where the records of a commit ended: for each partition the offset after the last of them.
pub(super) type Ends = Vec<(PartitionId, i64)>;

/// What the writer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Transactions committed.
    pub commits: u64,
    /// Batches written, each with one fsync.
    pub batches: u64,
    /// Records appended.
    pub records: u64,
}

#[derive(Debug, Default)]
struct Counters {
    commits: AtomicU64,
    batches: AtomicU64,
    records: AtomicU64,
}

/// Handle of the writer's thread. Dropping it writes what is waiting and stops the thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    log: Arc<Log>,
    groups: Arc<Mutex<Groups>>,
    sync: bool,
    counters: Counters,
    failure: Mutex<Option<String>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(log: Arc<Log>, groups: Arc<Mutex<Groups>>, config: &Config) -> Result<Writer, BusError> {
        let shared =
            Shared { log, groups, sync: config.sync, counters: Counters::default(), failure: Mutex::default() };
        let (queue, shared) = (Arc::new(Queue::new(config.linger)), Arc::new(shared));
        let run = (Arc::clone(&queue), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("bus-writer".to_owned())
            .spawn(move || run.1.run(&run.0))
            .map_err(|error| BusError::Fatal { operation: "start a thread".to_owned(), message: error.to_string() })?;
        Ok(Writer { queue, shared, thread: Some(thread) })
    }

    /// Commits a transaction and waits until it is durable.
    pub fn commit(&self, request: CommitRequest) -> Result<Ends, CommitError> {
        let stopped = || BusError::Fatal {
            operation: "commit".to_owned(),
            message: "the writer of the embedded log has stopped; restart the process".to_owned(),
        };
        let reply = self.queue.submit(request).ok_or_else(stopped)?;
        reply.recv().map_err(|_| stopped())?
    }

    /// Takes records from an outbox from now on, until it is finished.
    pub fn serve(&self, outbox: Arc<Outbox>) {
        self.queue.serve(outbox);
    }

    /// Calls the writer to the outboxes.
    pub fn call(&self, call: Call, now: impl Fn() -> Instant) {
        if call != Call::Not {
            self.queue.call(call, now());
        }
    }

    /// Whether the log can be written right now.
    pub fn health(&self) -> Result<(), BusError> {
        let operation = "write the embedded log".to_owned();
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(BusError::Fatal {
                operation,
                message: "its writer has stopped; restart the process".to_owned(),
            });
        }
        match locked(&self.shared.failure).clone() {
            Some(message) => Err(BusError::Unavailable { operation, message }),
            None => Ok(()),
        }
    }

    /// What was done so far.
    pub fn statistics(&self) -> Statistics {
        let counters = &self.shared.counters;
        Statistics {
            commits: counters.commits.load(Ordering::Relaxed),
            batches: counters.batches.load(Ordering::Relaxed),
            records: counters.records.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, queue: &Queue) {
        // However the thread ends, a panic included.
        let _abandoning = Abandoning(queue);
        while let Some(work) = queue.take(clock::monotonic) {
            let failed = self.round(work).is_err();
            if failed && !queue.retry_at(clock::monotonic() + RETRY_PAUSE) {
                break;
            }
        }
        let lost = queue.outstanding();
        if lost > 0 {
            let failure = locked(&self.failure).clone().unwrap_or_default();
            tracing::error!(
                lost,
                failure,
                "the embedded log was closed with accepted records that could not be written"
            );
        }
    }

    /// Writes all that waits in one batch. After an error the producers have to be tried again.
    fn round(&self, work: Work) -> Result<(), BusError> {
        // Before anything is taken from the producers: their records go on gathering in large blocks.
        if let Err(error) = self.log.space.admit(0) {
            self.note(Some(&error));
            work.refuse(&error);
            return Err(error);
        }
        let mut round = Round::new(&self.log.storage);
        let mut admitted = Vec::new();
        for waiting in work.commits {
            if locked(&self.groups).begin_commit(&waiting.request.ownership) {
                let ends = round.commit(&waiting.request);
                admitted.push((waiting, ends));
            } else {
                waiting.answer(Err(fenced(&waiting.request.ownership)));
            }
        }
        let taken: Vec<_> = work.outboxes.into_iter().map(|outbox| (outbox.take(), outbox)).collect();
        taken.iter().flat_map(|(taken, _)| &taken.appends).for_each(|append| {
            round.append(append);
        });
        let result = self.write(round, admitted.len());
        for (waiting, ends) in admitted {
            locked(&self.groups).end_commit(&waiting.request.ownership);
            waiting.answer(result.as_ref().map(|()| ends).map_err(|error| CommitError::Bus(again(error))));
        }
        self.log.changed.raise();
        for (taken, outbox) in taken {
            match &result {
                Ok(()) => outbox.written(&taken),
                Err(error) => outbox.returned(taken, &error.to_string()),
            }
        }
        result
    }

    fn write(&self, round: Round<'_>, commits: usize) -> Result<(), BusError> {
        if round.is_empty() {
            return Ok(());
        }
        let written = self.log.space.admit(round.bytes()).and_then(|()| round.write(self.sync));
        self.note(written.as_ref().err());
        let records = written?;
        self.counters.commits.fetch_add(commits as u64, Ordering::Relaxed);
        self.counters.batches.fetch_add(1, Ordering::Relaxed);
        self.counters.records.fetch_add(records, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps the last failure, for whoever asks; says so in the log when writing stops and when it goes on.
    fn note(&self, error: Option<&BusError>) {
        let mut failure = locked(&self.failure);
        match (error, &*failure) {
            (Some(error), None) => tracing::error!(%error, "the embedded log cannot be written; it is tried again"),
            (None, Some(_)) => tracing::info!("the embedded log can be written again"),
            _ => {}
        }
        *failure = error.map(ToString::to_string);
    }
}

/// Ends the waiting for a writer that is gone.
struct Abandoning<'a>(&'a Queue);

impl Drop for Abandoning<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn fenced(ownership: &Ownership) -> CommitError {
    CommitError::Fenced(format!(
        "generation {} of group {} is over, its partitions were handed out again",
        ownership.generation, ownership.group
    ))
}

/// The same error for another waiter.
fn again(error: &BusError) -> BusError {
    match error {
        BusError::Unavailable { operation, message } => {
            BusError::Unavailable { operation: operation.clone(), message: message.clone() }
        }
        BusError::Fenced { operation, message } => {
            BusError::Fenced { operation: operation.clone(), message: message.clone() }
        }
        BusError::Fatal { operation, message } => {
            BusError::Fatal { operation: operation.clone(), message: message.clone() }
        }
    }
}

/// A commit in the queue.
struct Waiting {
    request: CommitRequest,
    reply: std::sync::mpsc::SyncSender<Result<Ends, CommitError>>,
}

impl Waiting {
    fn new(request: CommitRequest) -> (Waiting, Receiver<Result<Ends, CommitError>>) {
        let (reply, receiver) = sync_channel(1);
        (Waiting { request, reply }, receiver)
    }

    fn answer(&self, result: Result<Ends, CommitError>) {
        // Whoever asked may have gone in a panic; the commit stands as it is.
        let _ = self.reply.send(result);
    }
}
