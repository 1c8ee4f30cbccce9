//! Where a reader stands.

use super::log::{Log, Next};
use crate::{BusError, Isolation, Position, Receive, Record};

struct Cursor {
    topic: usize,
    name: String,
    partition: u32,
    next: i64,
    end_told: bool,
    paused: bool,
}

/// The partitions of a reader or a member.
#[derive(Default)]
pub(super) struct Cursors {
    cursors: Vec<Cursor>,
    turn: usize,
}

/// What one round brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    pub records: usize,
    pub ends: usize,
}

impl Cursors {
    /// Reads exactly these positions; `topics` is the list that [`Record::topic`] is an index of.
    pub fn start(log: &Log, topics: &[String], positions: &[Position]) -> Result<Cursors, BusError> {
        let cursor = |position: &Position| {
            let topic = topics.iter().position(|name| *name == position.topic).ok_or_else(|| not_read(position))?;
            let next = log.resolve(&position.topic, position.partition, position.start)?;
            let (name, partition) = (position.topic.clone(), position.partition);
            Ok(Cursor { topic, name, partition, next, end_told: false, paused: false })
        };
        Ok(Cursors { cursors: positions.iter().map(cursor).collect::<Result<_, BusError>>()?, turn: 0 })
    }

    pub fn seek(&mut self, log: &Log, positions: &[Position]) -> Result<(), BusError> {
        for position in positions {
            let is_it = |cursor: &&mut Cursor| cursor.partition == position.partition && cursor.name == position.topic;
            let cursor = self.cursors.iter_mut().find(is_it).ok_or_else(|| not_read(position))?;
            cursor.next = log.resolve(&position.topic, position.partition, position.start)?;
            cursor.end_told = false;
        }
        Ok(())
    }

    pub fn pause(&mut self, partitions: &[u32], paused: bool) {
        for cursor in self.cursors.iter_mut().filter(|cursor| partitions.contains(&cursor.partition)) {
            cursor.paused = paused;
        }
    }

    /// Hands over at most `limit` records, of one partition after the other, and tells the ends that were reached.
    pub fn deliver(
        &mut self,
        log: &Log,
        isolation: Isolation,
        limit: usize,
        receive: &mut dyn Receive,
    ) -> Result<Delivered, BusError> {
        let mut delivered = Delivered::default();
        let count = self.cursors.len();
        for _ in 0..count {
            let turn = self.turn % count;
            self.turn = turn + 1;
            self.cursors[turn].deliver(log, isolation, limit, &mut delivered, receive)?;
        }
        Ok(delivered)
    }
}

impl Cursor {
    fn deliver(
        &mut self,
        log: &Log,
        isolation: Isolation,
        limit: usize,
        delivered: &mut Delivered,
        receive: &mut dyn Receive,
    ) -> Result<(), BusError> {
        let start = log.offsets(&self.name, self.partition)?.start;
        if self.next < start {
            // What was deleted in front of it is gone.
            (self.next, self.end_told) = (start, false);
        }
        while !self.paused && delivered.records < limit {
            match log.next(&self.name, self.partition, self.next, isolation)? {
                Next::Record(entry) => {
                    receive.record(Record {
                        topic: self.topic,
                        partition: self.partition,
                        offset: entry.offset,
                        timestamp: entry.timestamp,
                        key: entry.key.as_deref(),
                        value: entry.value.as_deref(),
                    });
                    self.next = entry.offset + 1;
                    self.end_told = false;
                    delivered.records += 1;
                }
                Next::End(next) => {
                    self.end_told &= next == self.next;
                    self.next = next;
                    if !std::mem::replace(&mut self.end_told, true) {
                        receive.at_end(self.topic, self.partition, next);
                        delivered.ends += 1;
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}

fn not_read(position: &Position) -> BusError {
    let operation = format!("read {} partition {}", position.topic, position.partition);
    BusError::Fatal { operation, message: "it is not among what is read".to_owned() }
}
