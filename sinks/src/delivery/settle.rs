//! Which positions may be committed: rows settle in any order, positions move only past rows that are all settled.
//!
//! INVARIANT: a position that [`Tracker::progress`] gives is never past a row that is not settled, and the rows it passed
//! since the last commit are exactly the ones in its tally.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dbintel_bus::Record;

use super::sink::{Outcome, Report, Ticket};
use super::start::Beginning;

/// Class of what retention deleted before it was delivered.
const EXPIRED: &str = "expired";

/// Follows the rows of all partitions that are being delivered.
#[derive(Debug, Default)]
pub struct Tracker {
    lines: Vec<Line>,
    places: HashMap<(usize, u32), u32>,
    open: usize,
    open_bytes: usize,
}

/// One partition of one topic.
#[derive(Debug)]
struct Line {
    topic: usize,
    partition: u32,
    /// Sequence of the first entry.
    base: u64,
    entries: VecDeque<Entry>,
    /// Offset to read next.
    next: i64,
    /// Position that was committed last; none if there is none.
    committed: Option<i64>,
    /// Position up to which all is settled.
    settled: i64,
    tally: Tally,
}

/// A row that is not settled, or waits behind one.
#[derive(Debug)]
struct Entry {
    offset: i64,
    /// In ms since the epoch, as the writer set it.
    timestamp: i64,
    /// Size in the log.
    bytes: usize,
    items: u32,
    outcome: Outcome,
}

/// What became of the rows between two commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that the receiver has.
    pub accepted: i64,
    /// Rows that it will never have.
    pub rejected: i64,
    /// Rows that were not for this sink.
    pub skipped: i64,
    /// Requests sent.
    pub attempts: i64,
    /// Class of the last rejection; of the last failure if nothing was rejected.
    pub error_class: Option<&'static str>,
    /// The longest time from a first attempt to a last answer.
    pub duration: Duration,
}

/// How far a partition got since the last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Index of the topic.
    pub topic: usize,
    /// Partition.
    pub partition: u32,
    /// The position that was committed before.
    pub first_offset: i64,
    /// The position to commit.
    pub next_offset: i64,
    /// What became of the rows in between.
    pub tally: Tally,
}

impl Tracker {
    /// Forgets everything and follows these (topic, partition) instead. Where the books do not begin at the committed
    /// position, that is progress already.
    pub fn begin(&mut self, beginnings: &[(usize, u32, Beginning)]) {
        *self = Tracker::default();
        for (topic, partition, beginning) in beginnings {
            self.places.insert((*topic, *partition), self.lines.len() as u32);
            self.lines.push(Line {
                topic: *topic,
                partition: *partition,
                base: 0,
                entries: VecDeque::new(),
                next: beginning.read_from,
                committed: beginning.committed,
                settled: beginning.settled,
                tally: Tally { error_class: (beginning.expired > 0).then_some(EXPIRED), ..Tally::default() },
            });
        }
    }

    /// Registers a row with one item. None if its partition is not followed, or if it lies before the position: it was
    /// settled earlier.
    pub fn open(&mut self, record: &Record<'_>) -> Option<Ticket> {
        let place = *self.places.get(&(record.topic, record.partition))?;
        let line = &mut self.lines[place as usize];
        line.next = record.offset + 1;
        if record.offset < line.settled {
            return None;
        }
        let sequence = line.base + line.entries.len() as u64;
        let bytes = record.value.map_or(0, <[u8]>::len);
        let Record { offset, timestamp, .. } = *record;
        line.entries.push_back(Entry { offset, timestamp, bytes, items: 1, outcome: Outcome::Skipped });
        self.open += 1;
        self.open_bytes += bytes;
        Some(Ticket { line: place, sequence })
    }

    /// The row turned out to be this many items.
    pub fn split(&mut self, ticket: Ticket, items: u32) {
        if let Some(entry) = self.entry(ticket) {
            entry.items = items.max(1);
        }
    }

    /// Settles items of a row; the row is settled with its last item, and rejected if one item was.
    pub fn settle(&mut self, ticket: Ticket, items: u32, outcome: Outcome) {
        let Some(entry) = self.entry(ticket) else { return };
        entry.items = entry.items.saturating_sub(items);
        entry.outcome = worse(entry.outcome, outcome);
        let (rows, bytes) = self.lines[ticket.line as usize].advance();
        self.open -= rows;
        self.open_bytes -= bytes;
    }

    /// Settles what a report holds.
    pub fn apply(&mut self, report: &Report) {
        let mut lines: Vec<u32> = Vec::new();
        for settlement in &report.settled {
            if !lines.contains(&settlement.ticket.line) {
                lines.push(settlement.ticket.line);
            }
        }
        for line in lines {
            let Some(line) = self.lines.get_mut(line as usize) else { continue };
            line.tally.attempts += i64::from(report.attempts);
            line.tally.duration = line.tally.duration.max(report.duration);
            // Trouble that passed is no news beside rows that were rejected.
            if line.tally.rejected == 0 {
                line.tally.error_class = report.failure.or(line.tally.error_class);
            }
        }
        for settlement in &report.settled {
            self.settle(settlement.ticket, settlement.items, settlement.outcome);
        }
    }

    /// Partitions that got further since the last commit.
    pub fn progress(&self) -> Vec<Progress> {
        self.lines.iter().filter(|line| line.has_progress()).map(Line::progress).collect()
    }

    /// What [`Tracker::progress`] gave was committed.
    pub fn committed(&mut self) {
        for line in self.lines.iter_mut().filter(|line| line.has_progress()) {
            line.committed = Some(line.settled);
            line.tally = Tally::default();
        }
    }

    /// Where to read on: (topic, partition, offset).
    pub fn next_offsets(&self) -> impl Iterator<Item = (usize, u32, i64)> {
        self.lines.iter().map(|line| (line.topic, line.partition, line.next))
    }

    /// Rows that are not settled, or wait behind one that is not.
    pub fn open_rows(&self) -> usize {
        self.open
    }

    /// Their bytes, as they stand in the log.
    pub fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Time of the oldest of them, in ms since the epoch.
    pub fn oldest_open(&self) -> Option<i64> {
        self.lines.iter().filter_map(|line| Some(line.entries.front()?.timestamp)).min()
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let line = self.lines.get_mut(ticket.line as usize)?;
        let index = ticket.sequence.checked_sub(line.base)?;
        line.entries.get_mut(usize::try_from(index).ok()?)
    }
}

impl Line {
    /// Moves past settled rows; returns their number and bytes.
    fn advance(&mut self) -> (usize, usize) {
        let (before, mut bytes) = (self.entries.len(), 0);
        while let Some(entry) = self.entries.front()
            && entry.items == 0
        {
            match entry.outcome {
                Outcome::Accepted => self.tally.accepted += 1,
                Outcome::Skipped => self.tally.skipped += 1,
                Outcome::Rejected(class) => {
                    self.tally.rejected += 1;
                    self.tally.error_class = Some(class);
                }
            }
            self.settled = entry.offset + 1;
            self.base += 1;
            bytes += entry.bytes;
            self.entries.pop_front();
        }
        (before - self.entries.len(), bytes)
    }

    /// Whether there is something to commit: without a position, the beginning is.
    fn has_progress(&self) -> bool {
        self.committed != Some(self.settled)
    }

    fn progress(&self) -> Progress {
        Progress {
            topic: self.topic,
            partition: self.partition,
            first_offset: self.committed.unwrap_or(self.settled),
            next_offset: self.settled,
            tally: self.tally,
        }
    }
}

/// A row is rejected if one item was, accepted if one item was and none rejected.
fn worse(left: Outcome, right: Outcome) -> Outcome {
    match (left, right) {
        (Outcome::Rejected(class), _) | (_, Outcome::Rejected(class)) => Outcome::Rejected(class),
        (Outcome::Accepted, _) | (_, Outcome::Accepted) => Outcome::Accepted,
        (Outcome::Skipped, Outcome::Skipped) => Outcome::Skipped,
    }
}

#[cfg(test)]
#[path = "settle/tests.rs"]
mod tests;
