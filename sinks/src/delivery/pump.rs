//! The thread of a sink: one loop that owns the membership, the sink and the positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbintel_bus::{
    BusError, CommitError, Committed, Framings, GroupSpec, Member, Polled, Position, Producer, Slot, Start,
    announce_all, topic_name,
};
use dbintel_schemas::records::Export;
use dbintel_schemas::topics::PREFIX;
use dbintel_schemas::{Definition, Topic};

use super::decoder::{Decoder, Sources};
use super::exports::Exports;
use super::inbox::{Inbox, Reached};
use super::metrics::Metrics;
use super::selection::Selection;
use super::settle::{Progress, Tracker};
use super::sink::{Report, Sink};
use super::start::{Beginning, FirstStart, Policy, survey};
use super::texts::Texts;
use crate::clock;

/// Rows taken by one poll.
const POLL_ROWS_MAX: usize = 500;
/// Longest wait for rows: also how often time-outs are looked at and reports collected.
const POLL_TIMEOUT: Duration = Duration::from_millis(20);
/// Wait while nothing is open and nothing arrives.
const POLL_TIMEOUT_IDLE: Duration = Duration::from_millis(100);
/// Time between commits.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Rows that may be open, settled behind an unsettled one included. Past it the partitions are paused.
const OPEN_ROWS_MAX: usize = 50_000;
/// The same in bytes, as rows stand in the log. What one poll brings comes on top.
const OPEN_BYTES_MAX: usize = 32 << 20;
/// Longest wait for open rows when the partitions are given back, and at the end: half of what the process has by default
/// to stop, so that the other half is there for the last commit and for leaving the group.
const DRAIN: Duration = Duration::from_secs(2);
/// Wait after the log, or who knows the schemas, did not answer.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// Longest wait until the schema of `exports` is in the log.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the log that are fetched ahead.
const FETCH_BYTES_MAX: usize = 8 << 20;

/// What a delivery needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Component id of the sink.
    pub id: String,
    /// Topics to read.
    pub topics: Vec<Topic>,
    /// Rows that the sink takes.
    pub selection: Selection,
    /// Name of this member, stable over restarts.
    pub slot: Slot,
    /// Whether the sink wants the texts of statements.
    pub texts: bool,
    /// How records are framed.
    pub framings: Framings,
    /// Where it begins when it has no position, unless the sink itself says how far to look back.
    pub start_at: FirstStart,
}

/// A running delivery.
pub struct Pump {
    settings: Settings,
    sources: Sources,
    sink: Box<dyn Sink>,
    metrics: Metrics,
    stop: Arc<AtomicBool>,
    ready: Arc<AtomicBool>,
    tracker: Tracker,
    decoder: Decoder,
    texts: Texts,
    reached: Reached,
    exports: Exports,
    reports: Vec<Report>,
    partitions: Vec<u32>,
    /// An assignment that could not be started yet.
    waiting: Option<Vec<u32>>,
    generation: u64,
    /// Partitions are owned and read.
    delivering: bool,
    paused: bool,
    /// Why rows were left out of the last poll; they have to be read again.
    blocked: Option<String>,
    committed_at: Instant,
}

impl Pump {
    /// Prepares a delivery; [`Pump::run`] does the work. `stop` ends it, `ready` tells that it owns partitions and that
    /// nothing failed last.
    pub fn new(
        settings: Settings,
        sources: Sources,
        sink: Box<dyn Sink>,
        metrics: Metrics,
        stop: Arc<AtomicBool>,
        ready: Arc<AtomicBool>,
    ) -> Self {
        Pump {
            decoder: Decoder::new(sources.clone()),
            exports: Exports::new(&settings.id, &settings.framings),
            settings,
            sources,
            sink,
            metrics,
            stop,
            ready,
            tracker: Tracker::default(),
            texts: Texts::default(),
            reached: Reached::default(),
            reports: Vec::new(),
            partitions: Vec::new(),
            waiting: None,
            generation: 0,
            delivering: false,
            paused: false,
            blocked: None,
            committed_at: clock::now(),
        }
    }

    /// Delivers until it is stopped, or until the log needs a person. What is open at the end is drained for a bounded
    /// time; the rest is delivered again by the next life.
    pub fn run(mut self) -> Result<(), BusError> {
        let mut member = self.join()?;
        while !self.stopping() {
            let result = self.step(member.as_mut());
            self.ready.store(result.is_ok() && self.delivering, Ordering::Relaxed);
            match result {
                Ok(()) => {}
                Err(error @ BusError::Fenced { .. }) => member = self.join_again(member, &error)?,
                Err(error) => give_up_or_wait(error)?,
            }
        }
        self.drain(DRAIN);
        if let Err(error) = self.commit(member.as_mut()) {
            tracing::warn!(%error, sink = self.settings.id, "the last positions were not committed");
        }
        member.close()
    }

    fn join(&mut self) -> Result<Box<dyn Member>, BusError> {
        let spec = GroupSpec {
            group: group_name(&self.settings.id),
            topics: self.settings.topics.iter().map(|topic| topic_name(*topic)).collect(),
            changelog: None,
            slot: self.settings.slot.clone(),
            fetch_bytes_max: FETCH_BYTES_MAX,
        };
        let mut announced = None;
        loop {
            match self.announce(&mut announced).and_then(|()| self.sources.bus.join(&spec)) {
                Ok(member) => return Ok(member),
                Err(error) if self.stopping() => return Err(error),
                Err(error) => give_up_or_wait(error)?,
            }
        }
    }

    /// Replaces a member that can commit nothing more. What is open will be delivered again.
    fn join_again(&mut self, member: Box<dyn Member>, why: &BusError) -> Result<Box<dyn Member>, BusError> {
        tracing::warn!(%why, sink = self.settings.id, "joining the group again");
        self.forget();
        if let Err(error) = member.close() {
            tracing::warn!(%error, sink = self.settings.id, "the old member did not leave its group");
        }
        std::thread::sleep(RETRY_WAIT);
        self.join()
    }

    /// Leaves the schema of what this sink writes where readers find it: sent once, however long that takes.
    fn announce(&self, announced: &mut Option<Arc<dyn Producer>>) -> Result<(), BusError> {
        if !self.sink.exports() {
            return Ok(());
        }
        if announced.is_none() {
            let producer = self.sources.bus.producer()?;
            announce_all(&*producer, &[Definition::of::<Export<'_>>()], clock::wall_us() / 1000)?;
            *announced = Some(producer);
        }
        announced.as_ref().map_or(Ok(()), |producer| producer.flush(ANNOUNCE_TIMEOUT))
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One turn of the loop. Whatever else fails, the membership is looked after.
    fn step(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        let begun = self.begin(member);
        let now = clock::now();
        self.sink.tick(now);
        self.collect();
        self.pause_or_resume(member)?;
        let refreshed = if self.settings.texts && !self.paused { self.texts.refresh() } else { Ok(()) };
        match self.poll(member, now)? {
            Polled::Records(_) => {}
            Polled::Assigned(partitions) => self.waiting = Some(partitions),
            Polled::Revoked { lost } => self.hand_back(member, lost)?,
        }
        self.observe();
        if now.duration_since(self.committed_at) >= COMMIT_INTERVAL {
            self.commit(member)?;
        }
        begun.and(refreshed).and_then(|()| match &self.blocked {
            None => Ok(()),
            Some(reason) => Err(unavailable("look up the schema of a record", reason)),
        })
    }

    fn poll(&mut self, member: &mut dyn Member, now: Instant) -> Result<Polled, BusError> {
        self.go_back(member)?;
        let is_idle = self.tracker.open_rows() == 0 && self.reached.all_read();
        let timeout = if is_idle { POLL_TIMEOUT_IDLE } else { POLL_TIMEOUT };
        let mut inbox = Inbox {
            sink: self.sink.as_mut(),
            tracker: &mut self.tracker,
            decoder: &mut self.decoder,
            texts: &mut self.texts,
            topics: &self.settings.topics,
            selection: &self.settings.selection,
            metrics: &self.metrics,
            reached: &mut self.reached,
            now,
            blocked: None,
        };
        let polled = member.poll(timeout, POLL_ROWS_MAX, &mut inbox);
        self.blocked = inbox.blocked;
        polled
    }

    /// Returns to the rows that were left out.
    fn go_back(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        if self.blocked.is_none() {
            return Ok(());
        }
        let positions: Vec<Position> = self.tracker.next_offsets().map(|place| self.position(place)).collect();
        member.seek(&positions)?;
        self.blocked = None;
        Ok(())
    }

    fn position(&self, (topic, partition, offset): (usize, u32, i64)) -> Position {
        Position { topic: topic_name(self.settings.topics[topic]), partition, start: Start::Offset(offset) }
    }

    fn collect(&mut self) {
        self.sink.collect(&mut self.reports);
        for report in self.reports.drain(..) {
            if report.generation == self.generation {
                self.tracker.apply(&report);
            }
        }
    }

    fn pause_or_resume(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        let (rows, bytes) = (self.tracker.open_rows(), self.tracker.open_bytes());
        let has_room = self.sink.has_room() && rows < OPEN_ROWS_MAX && bytes < OPEN_BYTES_MAX;
        match (self.paused, has_room) {
            (false, false) => member.pause(&self.partitions)?,
            (true, true) => member.resume(&self.partitions)?,
            _ => return Ok(()),
        }
        self.paused = !has_room;
        self.metrics.paused.set(i64::from(self.paused));
        Ok(())
    }

    /// Starts to read the partitions that this member owns now, if it does not yet. Where the books begin is committed
    /// first: a restart before the first settled row begins at the same place.
    fn begin(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        let Some(partitions) = self.waiting.clone() else { return Ok(()) };
        let committed = member.committed(&partitions)?;
        if self.settings.texts {
            self.texts = self.open_texts(&partitions)?;
        }
        let beginnings = self.survey(&partitions, &committed)?;
        self.tracker.begin(&beginnings);
        self.commit(member)?;
        if !self.tracker.progress().is_empty() {
            return Err(unavailable("begin to deliver", "where the books begin was not committed"));
        }
        let positions: Vec<Position> = self.tracker.next_offsets().map(|place| self.position(place)).collect();
        member.start(&positions)?;
        self.tell_left_out(&beginnings);
        self.generation += 1;
        self.reached.begin();
        self.delivering = true;
        self.paused = false;
        self.metrics.paused.set(0);
        self.sink.assigned(&partitions, self.generation);
        tracing::info!(sink = self.settings.id, ?partitions, "delivering");
        self.partitions = partitions;
        self.waiting = None;
        Ok(())
    }

    fn survey(&self, partitions: &[u32], committed: &[Committed]) -> Result<Vec<(usize, u32, Beginning)>, BusError> {
        let topics: Vec<String> = self.settings.topics.iter().map(|topic| topic_name(*topic)).collect();
        let policy = Policy { start_at: self.sink.start_at(), first: self.settings.start_at };
        survey(self.sources.bus.as_ref(), &topics, partitions, committed, policy)
    }

    /// Says and counts what will not be delivered.
    fn tell_left_out(&self, beginnings: &[(usize, u32, Beginning)]) {
        let sink = &self.settings.id;
        for (topic, partition, beginning) in beginnings {
            let topic = self.settings.topics[*topic].name();
            let Beginning { expired, passed_over, settled, .. } = *beginning;
            if expired > 0 {
                tracing::error!(
                    sink,
                    topic,
                    partition,
                    lost = expired,
                    "retention deleted records before they were delivered"
                );
            }
            if passed_over > 0 {
                tracing::info!(sink, topic, partition, passed_over, settled, "earlier records are not delivered");
            }
            self.metrics.expired.inc_by(expired.unsigned_abs());
            self.metrics.passed_over.inc_by(passed_over.unsigned_abs());
        }
    }

    /// A dictionary that will not work until a person changes something is done without.
    fn open_texts(&self, partitions: &[u32]) -> Result<Texts, BusError> {
        match Texts::open(&self.sources, partitions) {
            Err(error @ BusError::Fatal { .. }) => {
                tracing::warn!(%error, sink = self.settings.id, "there are no texts of statements");
                Ok(Texts::default())
            }
            result => result,
        }
    }

    /// Gives the partitions back: what settles soon is committed, the rest belongs to the next owner.
    fn hand_back(&mut self, member: &mut dyn Member, lost: bool) -> Result<(), BusError> {
        if !lost {
            self.drain(DRAIN);
            if let Err(error) = self.commit(member) {
                tracing::warn!(%error, sink = self.settings.id, "the last positions were not committed");
            }
        }
        self.forget();
        member.release()
    }

    /// Drops what is open: it will be delivered again, here or elsewhere.
    fn forget(&mut self) {
        self.generation += 1;
        self.tracker.begin(&[]);
        self.reached.begin();
        self.partitions.clear();
        self.waiting = None;
        self.delivering = false;
        self.blocked = None;
        self.paused = false;
        self.metrics.paused.set(0);
        self.sink.assigned(&[], self.generation);
    }

    /// Sends what is batched and waits for the answers.
    fn drain(&mut self, limit: Duration) {
        let started = clock::now();
        self.sink.flush();
        self.collect();
        while self.tracker.open_rows() > 0 && clock::now().duration_since(started) < limit {
            std::thread::sleep(Duration::from_millis(5));
            self.sink.flush();
            self.collect();
        }
    }

    /// Commits how far the delivery got, with what became of the rows.
    fn commit(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        self.committed_at = clock::now();
        let progress = self.tracker.progress();
        if progress.is_empty() {
            return Ok(());
        }
        if self.sink.exports()
            && let Err(error) = self.exports.send(member, &self.settings.topics, &progress, clock::wall_us())
        {
            member.abort()?;
            return Err(error);
        }
        match member.commit(&self.positions(&progress)) {
            Ok(_) => self.committed(&progress),
            Err(CommitError::Bus(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, sink = self.settings.id, "positions were not committed; the next commit includes them");
            }
        }
        Ok(())
    }

    fn positions(&self, progress: &[Progress]) -> Vec<Committed> {
        let position = |progress: &Progress| Committed {
            topic: topic_name(self.settings.topics[progress.topic]),
            partition: progress.partition,
            next_offset: progress.next_offset,
            metadata: String::new(),
        };
        progress.iter().map(position).collect()
    }

    fn committed(&mut self, progress: &[Progress]) {
        self.tracker.committed();
        self.metrics.commits.inc();
        for line in progress {
            self.metrics.accepted.inc_by(line.tally.accepted as u64);
            self.metrics.rejected.inc_by(line.tally.rejected as u64);
            self.metrics.skipped.inc_by(line.tally.skipped as u64);
        }
    }

    fn observe(&self) {
        self.metrics.open.set(self.tracker.open_rows() as i64);
        let behind_since = self.tracker.oldest_open().or_else(|| self.reached.behind_since());
        let lag_us = behind_since.map_or(0, |since_ms| (clock::wall_us() - since_ms * 1000).max(0));
        self.metrics.lag.set(lag_us as f64 / 1e6);
    }
}

/// Name of the consumer group of a sink.
pub fn group_name(id: &str) -> String {
    format!("{PREFIX}sink.{id}")
}

fn unavailable(operation: &str, message: &str) -> BusError {
    BusError::Unavailable { operation: operation.to_owned(), message: message.to_owned() }
}

/// Waits a moment if that may help.
fn give_up_or_wait(error: BusError) -> Result<(), BusError> {
    match error {
        BusError::Fatal { .. } => Err(error),
        BusError::Unavailable { .. } | BusError::Fenced { .. } => {
            tracing::warn!(%error, "the delivery cannot go on; trying again");
            std::thread::sleep(RETRY_WAIT);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
