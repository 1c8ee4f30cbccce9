//! What a sink is to the delivery that feeds it.

use std::time::{Duration, Instant};

use dbintel_schemas::TextMap;
use dbintel_schemas::records::{EnrichedLog, EnrichedMetrics, EnrichedQuery, EnrichedSession, Event};

use super::texts::Texts;

/// Takes rows to somewhere else. Owned by the thread of its delivery; what waits for the network does so elsewhere.
pub trait Sink: Send {
    /// Where to start reading a partition.
    fn start_at(&self) -> StartAt {
        StartAt::Committed
    }

    /// Whether its outcomes are written to the `exports` topic.
    fn exports(&self) -> bool {
        true
    }

    /// From now on exactly these partitions are delivered. What was taken before is forgotten: reports about an older
    /// generation are ignored.
    fn assigned(&mut self, partitions: &[u32], generation: u64) {
        let _ = (partitions, generation);
    }

    /// Takes a row.
    fn take(&mut self, row: &Row<'_>, arrival: Arrival, texts: &mut Texts) -> Taken;

    /// Does what is due by time; called after each poll.
    fn tick(&mut self, now: Instant) {
        let _ = now;
    }

    /// Sends what waits for more to come.
    fn flush(&mut self) {}

    /// Whether it can take another poll's rows. While it cannot, the partitions are paused.
    fn has_room(&mut self) -> bool {
        true
    }

    /// Hands over what became of rows since the last call.
    fn collect(&mut self, reports: &mut Vec<Report>) {
        let _ = reports;
    }
}

/// Where to start reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At the committed position; where there is none, as the settings say.
    Committed,
    /// This long ago, to fill a store that is kept in memory. Rows before the committed position are not
    /// [fresh](Arrival::fresh); what is between it and the start is passed over.
    Ago(Duration),
}

/// A record of a topic that sinks read.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack, passed by reference")]
pub enum Row<'a> {
    /// What a statement did in an interval.
    Query(EnrichedQuery<'a>),
    /// A session at a moment.
    Session(EnrichedSession<'a>),
    /// Metrics of an object.
    Metrics(EnrichedMetrics<'a>),
    /// A log record from a query of the configuration.
    Log(EnrichedLog<'a>),
    /// Something that happened.
    Event(Event<'a>),
}

impl<'a> Row<'a> {
    /// The pipeline that made it.
    pub fn pipeline(&self) -> &'a str {
        match self {
            Row::Query(row) => row.pipeline,
            Row::Session(row) => row.pipeline,
            Row::Metrics(row) => row.pipeline,
            Row::Log(row) => row.pipeline,
            Row::Event(row) => row.pipeline,
        }
    }

    /// Labels of its target.
    pub fn labels(&self) -> TextMap<'a> {
        match self {
            Row::Query(row) => row.labels,
            Row::Session(row) => row.labels,
            Row::Metrics(row) => row.labels,
            Row::Log(row) => row.labels,
            Row::Event(row) => row.labels,
        }
    }

    /// The monitored server.
    pub fn target(&self) -> &'a str {
        match self {
            Row::Query(row) => row.target,
            Row::Session(row) => row.target,
            Row::Metrics(row) => row.target,
            Row::Log(row) => row.target,
            Row::Event(row) => row.target,
        }
    }
}

/// How a row came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Names the row when its outcome is reported.
    pub ticket: Ticket,
    /// Its partition.
    pub partition: u32,
    /// It was not settled by an earlier life of this sink.
    pub fresh: bool,
    /// When it arrived.
    pub now: Instant,
}

/// Names a row that was taken, within one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    pub(super) line: u32,
    pub(super) sequence: u64,
}

impl Ticket {
    /// The ticket of all rows that are not [fresh](Arrival::fresh). Reports about it change nothing.
    pub const SETTLED_BEFORE: Ticket = Ticket { line: u32::MAX, sequence: 0 };
}

/// What a sink did with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is done.
    Settled(Outcome),
    /// It became this many items (at least one), each of which will be reported.
    Pending(u32),
}

/// What became of a row or of one of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted,
    /// It is not for this sink, or holds nothing for it.
    Skipped,
    /// The receiver will never have it, for a reason from a small fixed set.
    Rejected(&'static str),
}

/// Items whose delivery ended together.
#[derive(Debug)]
pub struct Report {
    /// Generation in which they were taken.
    pub generation: u64,
    /// What became of them.
    pub settled: Vec<Settlement>,
    /// Requests that were sent for them.
    pub attempts: u32,
    /// Class of the last failure, if there was one.
    pub failure: Option<&'static str>,
    /// From the first attempt to the last answer.
    pub duration: Duration,
}

/// Items of one row with one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The row.
    pub ticket: Ticket,
    /// How many of its items.
    pub items: u32,
    /// What became of them.
    pub outcome: Outcome,
}
