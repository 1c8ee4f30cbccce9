//! Takes what a poll brings: decodes, keeps the rows that the sink takes, hands them over.

use std::collections::HashSet;
use std::time::Instant;

use dbintel_bus::{Receive, Record};
use dbintel_schemas::Topic;

use super::decoder::{Decoder, Lookup};
use super::metrics::Metrics;
use super::selection::Selection;
use super::settle::Tracker;
use super::sink::{Arrival, Outcome, Sink, StartAt, Taken, Ticket};
use super::texts::Texts;

/// Reason of rows that could not be decoded.
const UNDECODABLE: &str = "undecodable";
/// Kinds of decode errors that are logged; each is logged once.
const KINDS_MAX: usize = 100;

/// The parts of a delivery that a record passes through.
pub struct Inbox<'p> {
    pub sink: &'p mut dyn Sink,
    pub tracker: &'p mut Tracker,
    pub decoder: &'p mut Decoder,
    pub texts: &'p mut Texts,
    pub topics: &'p [Topic],
    pub selection: &'p Selection,
    pub metrics: &'p Metrics,
    pub reached: &'p mut Reached,
    pub now: Instant,
    /// Why nothing more is taken: what came after the last row that was taken has to be read again.
    pub blocked: Option<String>,
}

/// How far the reading got.
#[derive(Debug, Default)]
pub struct Reached {
    /// Time of the newest record that was seen, in ms since the epoch.
    newest_ms: i64,
    /// Partitions of topics with more to read.
    behind: HashSet<(usize, u32)>,
    /// Kinds of decode errors that were logged.
    logged: HashSet<String>,
}

impl Reached {
    /// Whether each partition was read to its end.
    pub fn all_read(&self) -> bool {
        self.behind.is_empty()
    }

    /// Time of the newest record that was seen while there are more, in ms since the epoch.
    pub fn behind_since(&self) -> Option<i64> {
        (!self.all_read()).then_some(self.newest_ms)
    }

    /// Other partitions are read from now on.
    pub fn begin(&mut self) {
        self.behind.clear();
        self.newest_ms = 0;
    }
}

impl Receive for Inbox<'_> {
    fn record(&mut self, record: Record<'_>) {
        if self.blocked.is_some() {
            return;
        }
        self.reached.behind.insert((record.topic, record.partition));
        self.reached.newest_ms = record.timestamp;
        if let Some(value) = record.value
            && let Lookup::Unavailable(reason) = self.decoder.prepare(value)
        {
            self.blocked = Some(reason);
            return;
        }
        let opened = self.tracker.open(&record);
        let replays = matches!(self.sink.start_at(), StartAt::Ago(_));
        let ticket = match opened {
            Some(ticket) => ticket,
            None if replays => Ticket::SETTLED_BEFORE,
            None => return,
        };
        let arrival = Arrival { ticket, partition: record.partition, fresh: opened.is_some(), now: self.now };
        match self.take(&record, arrival) {
            Taken::Settled(outcome) => self.tracker.settle(ticket, 1, outcome),
            Taken::Pending(items) => self.tracker.split(ticket, items),
        }
    }

    fn at_end(&mut self, topic: usize, partition: u32, _next_offset: i64) {
        if self.blocked.is_none() {
            self.reached.behind.remove(&(topic, partition));
        }
    }
}

impl Inbox<'_> {
    fn take(&mut self, record: &Record<'_>, arrival: Arrival) -> Taken {
        let (Some(topic), Some(value)) = (self.topics.get(record.topic), record.value) else {
            return Taken::Settled(Outcome::Skipped);
        };
        match self.decoder.row(*topic, value) {
            Ok(row) if !self.selection.takes(&row) => Taken::Settled(Outcome::Skipped),
            Ok(row) => self.sink.take(&row, arrival, self.texts),
            Err(error) => {
                self.metrics.undecodable.inc();
                let kind = format!("{topic:?}: {error}");
                if self.reached.logged.len() < KINDS_MAX && self.reached.logged.insert(kind) {
                    let (partition, offset) = (record.partition, record.offset);
                    tracing::warn!(topic = topic.name(), partition, offset, %error, "a record could not be decoded");
                }
                Taken::Settled(Outcome::Rejected(UNDECODABLE))
            }
        }
    }
}
