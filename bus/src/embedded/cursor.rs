//! Reading partitions in order: where each reader stands, and one block at a time.

use std::sync::Arc;

use super::block::{Block, Entry};
use super::catalogue::{Partition, Topic};
use super::log::{Log, warn_of_loss};
use crate::{BusError, Position, Receive, Record};

/// How often the start may move past a reader while it opens a block.
const OPENINGS_MAX: usize = 8;

/// Where a reader stands in one partition.
struct Cursor {
    topic: Arc<Topic>,
    topic_index: usize,
    partition: u32,
    next: i64,
    block: Option<OpenBlock>,
    end_told: bool,
    paused: bool,
}

struct OpenBlock {
    block: Block,
    base: i64,
    position: usize,
}

/// What one round may hand over. The last record may be larger than the bytes that are left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Room {
    fn take(&mut self, entry: &Entry<'_>) {
        self.records -= 1;
        self.bytes = self.bytes.saturating_sub(entry.key.map_or(0, <[u8]>::len) + entry.value.map_or(0, <[u8]>::len));
    }

    fn is_used_up(self) -> bool {
        self.records == 0 || self.bytes == 0
    }
}

/// What one round over the partitions brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Records handed over.
    pub records: usize,
    /// Ends told.
    pub ends: usize,
}

/// The partitions of a reader or member. Nothing is fetched ahead, and at most one of them has a block open that is not
/// read to its end: the memory does not grow with their number.
#[derive(Default)]
pub(super) struct Cursors {
    cursors: Vec<Cursor>,
    turn: usize,
}

impl Cursors {
    /// Reads exactly these positions; `topics` is the list that [`Record::topic`] is an index of.
    pub fn start(log: &Log, topics: &[String], positions: &[Position]) -> Result<Cursors, BusError> {
        let mut cursors = Vec::with_capacity(positions.len());
        for position in positions {
            let topic = log.catalogue.topic(&position.topic)?;
            let topic_index =
                topics.iter().position(|name| *name == position.topic).ok_or_else(|| BusError::Fatal {
                    operation: format!("read {}", position.topic),
                    message: "it is not among the topics of the group".to_owned(),
                })?;
            let next = log.resolve(&topic, topic.partition(position.partition)?, position.start)?;
            let partition = position.partition;
            cursors.push(Cursor { topic, topic_index, partition, next, block: None, end_told: false, paused: false });
        }
        Ok(Cursors { cursors, turn: 0 })
    }

    /// Goes on from other positions.
    pub fn seek(&mut self, log: &Log, positions: &[Position]) -> Result<(), BusError> {
        for position in positions {
            let found = self
                .cursors
                .iter_mut()
                .find(|cursor| cursor.partition == position.partition && cursor.topic.settings.name == position.topic);
            let cursor = found.ok_or_else(|| BusError::Fatal {
                operation: format!("seek in {} partition {}", position.topic, position.partition),
                message: "it is not being read".to_owned(),
            })?;
            cursor.next = log.resolve(&cursor.topic, cursor.topic.partition(cursor.partition)?, position.start)?;
            cursor.block = None;
            cursor.end_told = false;
        }
        Ok(())
    }

    /// Stops or goes on delivering partitions.
    pub fn pause(&mut self, partitions: &[u32], paused: bool) {
        for cursor in self.cursors.iter_mut().filter(|cursor| partitions.contains(&cursor.partition)) {
            cursor.paused = paused;
            if paused {
                cursor.block = None;
            }
        }
    }

    /// Hands over what there is room for, a block of each partition in turn, and tells the ends that were reached.
    pub fn deliver(&mut self, log: &Log, mut room: Room, receive: &mut dyn Receive) -> Result<Delivered, BusError> {
        let mut delivered = Delivered::default();
        let mut idle = 0;
        while idle < self.cursors.len() && !room.is_used_up() {
            let turn = self.turn % self.cursors.len();
            let cursor = &mut self.cursors[turn];
            let records = cursor.deliver(log, &mut room, receive)?;
            delivered.ends += usize::from(cursor.tell_end(receive)?);
            delivered.records += records;
            idle = if records == 0 { idle + 1 } else { 0 };
            if cursor.block.is_none() {
                self.turn = turn + 1;
            }
        }
        Ok(delivered)
    }
}

impl Cursor {
    fn ends(&self) -> Result<&Partition, BusError> {
        self.topic.partition(self.partition)
    }

    /// Hands over records of the next block that has some for this reader.
    fn deliver(&mut self, log: &Log, room: &mut Room, receive: &mut dyn Receive) -> Result<usize, BusError> {
        if self.paused {
            return Ok(0);
        }
        let mut records = 0;
        while records == 0 && (self.block.is_some() || self.open_block(log)?) {
            records = self.deliver_block(log, room, receive)?;
        }
        self.end_told &= records == 0;
        Ok(records)
    }

    fn deliver_block(&mut self, log: &Log, room: &mut Room, receive: &mut dyn Receive) -> Result<usize, BusError> {
        let Some(mut open) = self.block.take() else {
            return Ok(0);
        };
        let id = self.topic.partition(self.partition)?.id;
        let mut records = 0;
        while !room.is_used_up()
            && let Some((entry, position)) =
                open.block.entry(open.position).map_err(|damaged| log.damaged(id, open.base, damaged))?
        {
            open.position = position;
            let offset = open.base + i64::from(entry.delta);
            if offset >= self.next {
                self.next = offset + 1;
                records += 1;
                room.take(&entry);
                receive.record(self.record(offset, &entry));
            }
        }
        if open.block.finished(open.position) {
            self.next = open.block.end(open.base);
        } else {
            self.block = Some(open);
        }
        Ok(records)
    }

    fn record<'a>(&self, offset: i64, entry: &Entry<'a>) -> Record<'a> {
        Record {
            topic: self.topic_index,
            partition: self.partition,
            offset,
            timestamp: entry.timestamp,
            key: entry.key,
            value: entry.value,
        }
    }

    fn open_block(&mut self, log: &Log) -> Result<bool, BusError> {
        let partition = self.ends()?;
        let id = partition.id;
        // The end first: what is below it is in the log, and what is above it is not to be seen yet.
        let end = partition.end();
        for _ in 0..OPENINGS_MAX {
            self.skip_deleted()?;
            if self.next >= end {
                return Ok(false);
            }
            if let Some((base, block)) = log.block_at(id, self.next)? {
                self.block = Some(OpenBlock { block, base, position: 0 });
                return Ok(true);
            }
        }
        // A reader that has not yet seen all of it looks again later.
        if log.storage.beside() { Ok(false) } else { Err(log.missing(id, self.next)) }
    }

    /// Goes on at the first record kept.
    fn skip_deleted(&mut self) -> Result<(), BusError> {
        let start = self.ends()?.start();
        if self.next < start {
            warn_of_loss(&self.topic, self.partition, start - self.next);
            self.next = start;
            self.end_told = false;
        }
        Ok(())
    }

    fn tell_end(&mut self, receive: &mut dyn Receive) -> Result<bool, BusError> {
        let reached = self.block.is_none() && self.next >= self.ends()?.end();
        if self.paused || self.end_told || !reached {
            return Ok(false);
        }
        self.end_told = true;
        receive.at_end(self.topic_index, self.partition, self.next);
        Ok(true)
    }
}
