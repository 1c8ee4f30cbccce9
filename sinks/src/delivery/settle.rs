//! Which positions may be committed: rows settle in any order, positions move only past rows that are all settled.
//!
//! INVARIANT: a position that [`Tracker::progress`] gives is never past a row that is not settled, and the rows it passed
//! since the last commit are exactly the ones in its tally.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::sink::{Outcome, Report, Ticket};

/// Follows the rows of all partitions that are being delivered.
#[derive(Debug, Default)]
pub struct Tracker {
    lines: Vec<Line>,
    places: HashMap<(usize, u32), u32>,
    open: usize,
}

/// One partition of one topic.
#[derive(Debug)]
struct Line {
    topic: usize,
    partition: u32,
    /// Sequence of the first entry.
    base: u64,
    entries: VecDeque<Entry>,
    /// Position that was committed last.
    committed: i64,
    /// Position up to which all is settled.
    settled: i64,
    tally: Tally,
}

/// A row that is not settled, or waits behind one.
#[derive(Debug)]
struct Entry {
    offset: i64,
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
    /// Class of the last failure.
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
    /// Forgets everything and follows these (topic, partition, position) instead.
    pub fn begin(&mut self, positions: impl IntoIterator<Item = (usize, u32, i64)>) {
        *self = Tracker::default();
        for (topic, partition, position) in positions {
            self.places.insert((topic, partition), self.lines.len() as u32);
            self.lines.push(Line {
                topic,
                partition,
                base: 0,
                entries: VecDeque::new(),
                committed: position,
                settled: position,
                tally: Tally::default(),
            });
        }
    }

    /// Registers a row with one item. None if its partition is not followed, or if it lies before the position: it was
    /// settled earlier.
    pub fn open(&mut self, topic: usize, partition: u32, offset: i64) -> Option<Ticket> {
        let place = *self.places.get(&(topic, partition))?;
        let line = &mut self.lines[place as usize];
        if offset < line.settled {
            return None;
        }
        let sequence = line.base + line.entries.len() as u64;
        line.entries.push_back(Entry { offset, items: 1, outcome: Outcome::Skipped });
        self.open += 1;
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
        let line = &mut self.lines[ticket.line as usize];
        self.open -= line.advance();
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
            line.tally.error_class = report.failure.or(line.tally.error_class);
        }
        for settlement in &report.settled {
            self.settle(settlement.ticket, settlement.items, settlement.outcome);
        }
    }

    /// Partitions that got further since the last commit.
    pub fn progress(&self) -> Vec<Progress> {
        self.lines.iter().filter(|line| line.settled > line.committed).map(Line::progress).collect()
    }

    /// What [`Tracker::progress`] gave was committed.
    pub fn committed(&mut self) {
        for line in &mut self.lines {
            if line.settled > line.committed {
                line.committed = line.settled;
                line.tally = Tally::default();
            }
        }
    }

    /// Rows that are not settled, or wait behind one that is not.
    pub fn open_rows(&self) -> usize {
        self.open
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let line = self.lines.get_mut(ticket.line as usize)?;
        let index = ticket.sequence.checked_sub(line.base)?;
        line.entries.get_mut(usize::try_from(index).ok()?)
    }
}

impl Line {
    /// Moves past settled rows; returns their number.
    fn advance(&mut self) -> usize {
        let before = self.entries.len();
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
            self.entries.pop_front();
        }
        before - self.entries.len()
    }

    fn progress(&self) -> Progress {
        Progress {
            topic: self.topic,
            partition: self.partition,
            first_offset: self.committed,
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
