//! The thread of a sink: one loop that owns the membership, the sink and the positions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dbintel_bus::{
    BusError, CommitError, Committed, Framings, GroupSpec, Member, Polled, Position, Start, announce_all, topic_name,
};
use dbintel_schemas::records::Export;
use dbintel_schemas::topics::PREFIX;
use dbintel_schemas::{Definition, Topic};

use super::decoder::{Decoder, Sources};
use super::exports::Exports;
use super::inbox::{Inbox, Reached};
use super::metrics::Metrics;
use super::settle::{Progress, Tracker};
use super::sink::{Report, Sink, StartAt};
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
/// Longest wait for open rows when the partitions are given back.
const REVOKE_DRAIN: Duration = Duration::from_secs(2);
/// Longest wait for open rows at the end.
const STOP_DRAIN: Duration = Duration::from_secs(4);
/// Wait after the log did not answer.
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
    /// Pipelines that name the sink.
    pub pipelines: Vec<String>,
    /// Name of this member, stable over restarts.
    pub slot: String,
    /// Whether the sink wants the texts of statements.
    pub texts: bool,
    /// How records are framed.
    pub framings: Framings,
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
    paused: bool,
    committed_at: Instant,
}

impl Pump {
    /// Prepares a delivery; [`Pump::run`] does the work. `stop` ends it, `ready` tells that it owns partitions.
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
            paused: false,
            committed_at: clock::now(),
        }
    }

    /// Delivers until it is stopped, or until the log needs a person. What is open at the end is drained for a bounded
    /// time; the rest is delivered again by the next life.
    pub fn run(mut self) -> Result<(), BusError> {
        let mut member = self.join()?;
        while !self.stopping() {
            if let Err(error) = self.step(member.as_mut()) {
                self.ready.store(false, Ordering::Relaxed);
                give_up_or_wait(error)?;
            }
        }
        self.drain(STOP_DRAIN);
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
        loop {
            match self.announce().and_then(|()| self.sources.bus.join(&spec)) {
                Ok(member) => return Ok(member),
                Err(error) if self.stopping() => return Err(error),
                Err(error) => give_up_or_wait(error)?,
            }
        }
    }

    /// Leaves the schema of what this sink writes where readers find it.
    fn announce(&self) -> Result<(), BusError> {
        if !self.sink.exports() {
            return Ok(());
        }
        announce_all(
            self.sources.bus.as_ref(),
            &[Definition::of::<Export<'_>>()],
            clock::wall_us() / 1000,
            ANNOUNCE_TIMEOUT,
        )
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// One turn of the loop.
    fn step(&mut self, member: &mut dyn Member) -> Result<(), BusError> {
        if let Some(partitions) = self.waiting.take() {
            self.waiting = Some(partitions.clone());
            self.begin(member, partitions)?;
            self.waiting = None;
        }
        let now = clock::now();
        self.sink.tick(now);
        self.collect();
        self.pause_or_resume(member)?;
        if self.settings.texts && !self.paused {
            self.texts.refresh()?;
        }
        match self.poll(member, now)? {
            Polled::Records(_) => {}
            Polled::Assigned(partitions) => self.waiting = Some(partitions),
            Polled::Revoked { lost } => self.hand_back(member, lost)?,
        }
        self.observe();
        let is_due = now.duration_since(self.committed_at) >= COMMIT_INTERVAL;
        if is_due { self.commit(member) } else { Ok(()) }
    }

    fn poll(&mut self, member: &mut dyn Member, now: Instant) -> Result<Polled, BusError> {
        let is_idle = self.tracker.open_rows() == 0 && self.reached.all_read();
        let timeout = if is_idle { POLL_TIMEOUT_IDLE } else { POLL_TIMEOUT };
        let mut inbox = Inbox {
            sink: self.sink.as_mut(),
            tracker: &mut self.tracker,
            decoder: &mut self.decoder,
            texts: &mut self.texts,
            topics: &self.settings.topics,
            pipelines: &self.settings.pipelines,
            metrics: &self.metrics,
            reached: &mut self.reached,
            now,
        };
        member.poll(timeout, POLL_ROWS_MAX, &mut inbox)
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
        let has_room = self.sink.has_room() && self.tracker.open_rows() < OPEN_ROWS_MAX;
        match (self.paused, has_room) {
            (false, false) => member.pause(&self.partitions)?,
            (true, true) => member.resume(&self.partitions)?,
            _ => return Ok(()),
        }
        self.paused = !has_room;
        self.metrics.paused.set(i64::from(self.paused));
        Ok(())
    }

    /// Starts to read the partitions that this member owns now.
    fn begin(&mut self, member: &mut dyn Member, partitions: Vec<u32>) -> Result<(), BusError> {
        let committed = member.committed(&partitions)?;
        if self.settings.texts {
            self.texts = self.open_texts(&partitions)?;
        }
        let starts = self.starts(&partitions, &committed);
        member.start(&starts)?;
        self.generation += 1;
        let topics = &self.settings.topics;
        let settled = starts.iter().enumerate().map(|(index, start)| {
            let topic = index % topics.len();
            (topic, start.partition, committed_offset(&committed, &start.topic, start.partition).unwrap_or(0))
        });
        self.tracker.begin(settled);
        self.reached.begin();
        self.paused = false;
        self.metrics.paused.set(0);
        self.sink.assigned(&partitions, self.generation);
        tracing::info!(sink = self.settings.id, ?partitions, "delivering");
        self.partitions = partitions;
        self.ready.store(true, Ordering::Relaxed);
        Ok(())
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

    /// One position for each partition and topic, in the order of the topics for each partition.
    fn starts(&self, partitions: &[u32], committed: &[Committed]) -> Vec<Position> {
        let start_of = |topic: &str, partition: u32| match self.sink.start_at() {
            StartAt::Committed => match committed_offset(committed, topic, partition) {
                Some(offset) => Start::Offset(offset),
                None => Start::Beginning,
            },
            StartAt::Ago(age) => Start::Time((clock::wall_us() - age.as_micros() as i64).max(0) / 1000),
        };
        let mut starts = Vec::new();
        for partition in partitions {
            for topic in &self.settings.topics {
                let topic = topic_name(*topic);
                let start = start_of(&topic, *partition);
                starts.push(Position { topic, partition: *partition, start });
            }
        }
        starts
    }

    /// Gives the partitions back: what settles soon is committed, the rest belongs to the next owner.
    fn hand_back(&mut self, member: &mut dyn Member, lost: bool) -> Result<(), BusError> {
        self.ready.store(false, Ordering::Relaxed);
        if !lost {
            self.drain(REVOKE_DRAIN);
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
        self.tracker.begin([]);
        self.reached.begin();
        self.partitions.clear();
        self.waiting = None;
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
        let is_behind = !self.reached.all_read() && self.reached.newest_ms > 0;
        let lag_us = if is_behind { (clock::wall_us() - self.reached.newest_ms * 1000).max(0) } else { 0 };
        self.metrics.lag.set(lag_us as f64 / 1e6);
    }
}

/// Name of the consumer group of a sink.
pub fn group_name(id: &str) -> String {
    format!("{PREFIX}sink.{id}")
}

fn committed_offset(committed: &[Committed], topic: &str, partition: u32) -> Option<i64> {
    let is_it = |position: &&Committed| position.topic == topic && position.partition == partition;
    committed.iter().find(is_it).map(|position| position.next_offset)
}

/// Waits a moment if that may help.
fn give_up_or_wait(error: BusError) -> Result<(), BusError> {
    match error {
        BusError::Fatal { .. } => Err(error),
        BusError::Unavailable { .. } | BusError::Fenced { .. } => {
            tracing::warn!(%error, "the log does not answer; trying again");
            std::thread::sleep(RETRY_WAIT);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
