//! A worker: one thread with one member of the group and the tasks of the partitions that it owns.
//!
//! The loop polls, processes, and commits when it is time. Everything that happens to the membership comes out of the
//! poll, on this thread, so that state needs no locks.

mod assignment;
mod commit;
mod restoring;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbintel_bus::{BusError, GroupSpec, Member, Polled, Receive, Record, SendError, Slot};

use super::clock;
use super::group::Shared;
use super::outbox::Outbox;
use super::restore::RestoreError;
use super::schema_lookup::SchemaLookup;
use super::store::StoreError;
use super::task::{Progress, Task, TaskError};

/// Records taken from the bus at once.
const POLL_RECORDS: usize = 10_000;

/// Rows of one task that are processed before the others have their turn.
const TURN_ROWS: usize = 5_000;

/// Bytes of outputs after which a commit is due: with changelog and checkpoint well below what a transaction may hold.
const COMMIT_BYTES: usize = 16 << 20;

/// Longest wait for a record when there is nothing to do.
const IDLE_WAIT: Duration = Duration::from_millis(100);

/// How long a task waits for an input that may still hold something older than what waits.
const MERGE_WAIT: Duration = Duration::from_millis(100);

/// Wait before joining again after trouble, doubled each time.
const REJOIN_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// One worker thread.
pub(super) struct Worker<'a> {
    shared: &'a Shared,
    /// Its part of the group's readiness.
    ready: &'a AtomicBool,
    member: Box<dyn Member>,
    writer: String,
    tasks: BTreeMap<u32, Running>,
    outbox: Outbox,
    lookup: SchemaLookup,
    pace: Pace,
    /// Full name of the group's changelog.
    changelog: String,
    /// No task could go on when it last had its turn.
    stalled: bool,
}

/// A task and what the worker keeps about it.
struct Running {
    task: Task,
    /// Since when rows wait because the head of another input is not known.
    blocked_since: Option<Instant>,
    /// The changelog was trimmed up to here.
    trimmed: i64,
}

/// When commits are due.
struct Pace {
    dirty_since: Option<Instant>,
    last_commit: Option<Instant>,
    rows: usize,
    /// Bytes of outputs sent in the open transaction.
    bytes: usize,
    /// Rows per transaction; halved while the bus refuses a transaction for the size of a record.
    rows_max: usize,
}

impl Pace {
    fn new(rows_max: usize) -> Pace {
        Pace { dirty_since: None, last_commit: None, rows: 0, bytes: 0, rows_max }
    }

    /// A transaction begins.
    fn begin(&mut self) {
        (self.dirty_since, self.rows, self.bytes) = (None, 0, 0);
    }

    /// The transaction takes no more.
    fn full(&self) -> bool {
        self.rows >= self.rows_max || self.bytes >= COMMIT_BYTES
    }
}

/// A worker cannot go on; it leaves the group and joins again.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("a record of {bytes} bytes is larger than the bus allows")]
    TooLarge { bytes: usize },
}

impl<'a> Worker<'a> {
    /// Runs until the group is stopped; trouble with the bus or the disk makes it join again.
    pub fn run(shared: &'a Shared, number: usize) {
        let mut wait = REJOIN_WAIT.0;
        while !shared.stopping() {
            let started = clock::now();
            match Worker::join(shared, number).and_then(Worker::work) {
                Ok(()) => return,
                Err(error) => {
                    shared.metrics.rejoins.inc();
                    if started.elapsed() > REJOIN_WAIT.1 {
                        wait = REJOIN_WAIT.0;
                    }
                    tracing::error!(group = shared.config.name, worker = number, %error, retry_in = ?wait, "a worker joins its group again");
                }
            }
            shared.wait(wait);
            wait = (wait * 2).min(REJOIN_WAIT.1);
        }
    }

    fn join(shared: &'a Shared, number: usize) -> Result<Self, WorkerError> {
        let config = &shared.config;
        let slot = Slot { name: slot(number, &config.slot.name), kept: config.slot.kept };
        let changelog = config.changelog();
        let member = shared.bus.join(&GroupSpec {
            group: config.name.clone(),
            topics: config.input_names(),
            changelog: Some(changelog.clone()),
            slot: slot.clone(),
            fetch_bytes_max: config.buffer_bytes / config.workers.max(1),
        })?;
        Ok(Self {
            shared,
            ready: &shared.ready[number],
            member,
            writer: slot.name,
            tasks: BTreeMap::new(),
            outbox: Outbox::new(config.framings.clone()),
            lookup: SchemaLookup::new(config.schema_registry.clone()),
            pace: Pace::new(config.commit_rows),
            changelog,
            stalled: false,
        })
    }

    fn work(mut self) -> Result<(), WorkerError> {
        let outcome = self.work_until_stopped();
        self.end(outcome)
    }

    /// Leaves the group, after whatever happened.
    fn end(mut self, outcome: Result<(), WorkerError>) -> Result<(), WorkerError> {
        self.ready.store(false, Ordering::Release);
        self.shared.metrics.partitions.sub(self.tasks.len() as i64);
        self.tasks.clear();
        let left = self.member.close();
        outcome?;
        Ok(left?)
    }

    fn work_until_stopped(&mut self) -> Result<(), WorkerError> {
        while !self.shared.stopping() {
            self.turn()?;
        }
        self.finish()
    }

    /// Commits what was processed, and closes the stores.
    fn finish(&mut self) -> Result<(), WorkerError> {
        self.commit()?;
        self.close_tasks()
    }

    /// Polls and processes once, and commits if it is time.
    fn turn(&mut self) -> Result<(), WorkerError> {
        self.poll()?;
        self.process()?;
        if self.commit_due() {
            self.commit()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), WorkerError> {
        let waiting: usize = self.tasks.values().map(|running| running.task.inbox.bytes()).sum();
        self.shared.metrics.waiting_bytes.set(waiting as i64);
        let config = &self.shared.config;
        if waiting > config.buffer_bytes / config.workers.max(1) {
            if self.stalled {
                self.shared.wait(Duration::from_millis(1));
            }
            return Ok(());
        }
        let timeout = self.poll_timeout();
        let polled = self.member.poll(timeout, POLL_RECORDS, &mut Intake { tasks: &mut self.tasks });
        match polled {
            Ok(Polled::Records(_)) => Ok(()),
            Ok(Polled::Assigned(partitions)) => self.assign(&partitions),
            Ok(Polled::Revoked { lost }) => self.revoke(lost),
            Err(BusError::Unavailable { operation, message }) => {
                tracing::warn!(operation, reason = message, "the bus does not answer; keeping the place");
                self.shared.wait(IDLE_WAIT);
                Ok(())
            }
            Err(BusError::Fenced { message, .. }) => {
                tracing::warn!(reason = message, "dropped from the group; joining again");
                self.forget()
            }
            Err(error) => Err(error.into()),
        }
    }

    fn poll_timeout(&self) -> Duration {
        let waits = |running: &Running| !running.task.inbox.is_empty() && running.blocked_since.is_none();
        if !self.stalled && self.tasks.values().any(waits) {
            return Duration::ZERO;
        }
        let now = clock::now();
        let commit_in =
            self.pace.dirty_since.map(|since| self.shared.config.commit_interval.saturating_sub(now - since));
        let unblocked_in = self
            .tasks
            .values()
            .filter_map(|running| running.blocked_since)
            .map(|since| MERGE_WAIT.saturating_sub(now - since))
            .min();
        [commit_in, unblocked_in].into_iter().flatten().fold(IDLE_WAIT, Duration::min)
    }

    fn process(&mut self) -> Result<(), WorkerError> {
        let partitions: Vec<u32> = self.tasks.keys().copied().collect();
        self.stalled = true;
        for partition in partitions {
            match self.process_task(partition) {
                Ok(()) => {}
                Err(WorkerError::Task(TaskError::Panicked { topic, offset })) => {
                    tracing::error!(topic, partition, offset, "a processor panicked; the record goes to quarantine");
                    // What came before it is committed first, so that each of many such records costs a commit and no more.
                    return self.again_with(self.pace.rows);
                }
                Err(WorkerError::TooLarge { .. }) => return self.too_large(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn process_task(&mut self, partition: u32) -> Result<(), WorkerError> {
        let Some(running) = self.tasks.get_mut(&partition) else { return Ok(()) };
        let now = clock::now();
        let mut turn = 0;
        while turn < TURN_ROWS && !self.pace.full() && self.outbox.bytes() < COMMIT_BYTES {
            let limit = (self.pace.rows_max - self.pace.rows).min(TURN_ROWS - turn);
            running.blocked_since = running.blocked_since.filter(|_| !running.task.inbox.heads_known());
            let unknown_heads = running.blocked_since.is_some_and(|since| now - since >= MERGE_WAIT);
            match running.task.process(&self.lookup, limit, unknown_heads, &mut self.outbox)? {
                Progress::Rows(0) => {
                    let blocked = !running.task.inbox.is_empty();
                    running.blocked_since = blocked.then(|| running.blocked_since.unwrap_or(now));
                    break;
                }
                Progress::Rows(rows) => {
                    self.stalled = false;
                    turn += rows;
                    self.pace.rows += rows;
                    self.pace.dirty_since.get_or_insert(now);
                }
                Progress::UnknownSchema(writer) => {
                    self.lookup.look(&writer, &*self.shared.bus, now);
                    running.blocked_since = None;
                    break;
                }
            }
        }
        self.send_outbox()
    }

    /// Sends what waits in the outbox; a full send buffer is waited for.
    fn send_outbox(&mut self) -> Result<(), WorkerError> {
        self.pace.bytes += self.outbox.bytes();
        let member = &mut self.member;
        self.outbox.drain(|record| {
            loop {
                match member.send(record) {
                    Err(SendError::Full) => clock::sleep(Duration::from_millis(1)),
                    Ok(()) => return Ok(()),
                    Err(SendError::Bus(error)) => return Err(WorkerError::Bus(error)),
                    Err(SendError::TooLarge { bytes }) => return Err(WorkerError::TooLarge { bytes }),
                }
            }
        })
    }
}

/// Name of a worker in its group. Logs hand out partitions in the order of these names: with the number of the worker first,
/// every process owns something before any owns more.
fn slot(number: usize, process: &str) -> String {
    format!("{number}-{process}")
}

/// Puts fetched records into the inboxes of their tasks.
struct Intake<'a> {
    tasks: &'a mut BTreeMap<u32, Running>,
}

impl Receive for Intake<'_> {
    fn record(&mut self, record: Record<'_>) {
        if let Some(running) = self.tasks.get_mut(&record.partition) {
            running.task.inbox.push(&record);
        }
    }

    fn at_end(&mut self, topic: usize, partition: u32, _next_offset: i64) {
        if let Some(running) = self.tasks.get_mut(&partition) {
            running.task.inbox.at_end(topic);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
