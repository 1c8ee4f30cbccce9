//! Topics, partitions and transactions as a broker keeps them: what is not committed is in the log already, between other
//! records, and readers of committed records stop before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::{
    BusError, Committed, Isolation, NewTopic, Offsets, Outgoing, Retention, SendError, Start, TopicDescription,
};

/// What a record needs beside its key, value and headers.
const RECORD_OVERHEAD: usize = 70;

/// Number of a transaction.
pub(super) type TransactionId = usize;

/// A record in the log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Box<[u8]>>,
    pub value: Option<Box<[u8]>>,
    transaction: Option<TransactionId>,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub settings: NewTopic,
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    start: i64,
    end: i64,
    entries: VecDeque<Entry>,
    /// First offset of each transaction that has not ended.
    open: BTreeMap<TransactionId, i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    writer: Writer,
    started: Instant,
    outcome: Outcome,
    partitions: BTreeSet<(String, u32)>,
    group: String,
    positions: Vec<Committed>,
}

/// Who writes in transactions: a newer epoch of the same name fences the older.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    pub name: String,
    pub epoch: u64,
}

/// What follows in a partition.
pub(super) enum Next<'a> {
    Record(&'a Entry),
    /// Nothing for now; a next record will have at least this offset.
    End(i64),
}

/// All that the log holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    topics: BTreeMap<String, Topic>,
    transactions: Vec<Transaction>,
    epochs: BTreeMap<String, u64>,
    /// By group, topic and partition: next offset and metadata.
    positions: BTreeMap<(String, String, u32), (i64, String)>,
}

impl Partition {
    fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    fn offsets(&self) -> Offsets {
        Offsets { start: self.start, stable_end: self.stable_end(), end: self.end }
    }

    fn from(&self, offset: i64) -> impl Iterator<Item = &Entry> {
        let first = self.entries.partition_point(|entry| entry.offset < offset);
        self.entries.range(first..)
    }

    fn forget_before(&mut self, before: i64) {
        self.start = self.start.max(before.min(self.end));
        while self.entries.front().is_some_and(|entry| entry.offset < self.start) {
            self.entries.pop_front();
        }
    }
}

impl Log {
    pub fn create(&mut self, topics: &[NewTopic]) -> Vec<String> {
        let mut created = Vec::new();
        for settings in
            topics.iter().filter(|topic| !self.topics.contains_key(&topic.name)).cloned().collect::<Vec<_>>()
        {
            let partitions = (0..settings.partitions).map(|_| Partition::default()).collect();
            created.push(settings.name.clone());
            self.topics.insert(settings.name.clone(), Topic { settings, partitions });
        }
        created
    }

    pub fn topic(&self, name: &str) -> Result<&Topic, BusError> {
        self.topics.get(name).ok_or_else(|| unknown(name))
    }

    fn partition(&self, topic: &str, partition: u32) -> Result<&Partition, BusError> {
        self.topic(topic)?.partitions.get(partition as usize).ok_or_else(|| unknown(&format!("{topic} {partition}")))
    }

    fn partition_mut(&mut self, topic: &str, partition: u32) -> Result<&mut Partition, BusError> {
        let found = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition as usize));
        found.ok_or_else(|| unknown(&format!("{topic} {partition}")))
    }

    pub fn describe(&self, prefix: &str) -> Vec<TopicDescription> {
        let topics = self.topics.values().filter(|topic| topic.settings.name.starts_with(prefix));
        let describe = |topic: &Topic| TopicDescription {
            name: topic.settings.name.clone(),
            partitions: topic.settings.partitions,
            retention: topic.settings.retention,
            message_bytes_max: topic.settings.message_bytes_max,
            offsets: topic.partitions.iter().map(Partition::offsets).collect(),
        };
        topics.map(describe).collect()
    }

    pub fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        Ok(self.partition(topic, partition)?.offsets())
    }

    /// Writes a record, in a transaction or for itself, and gives its offset.
    pub fn append(&mut self, record: &Outgoing<'_>, transaction: Option<TransactionId>) -> Result<i64, SendError> {
        let settings = &self.topic(record.topic)?.settings;
        let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers + RECORD_OVERHEAD;
        if bytes > settings.message_bytes_max {
            return Err(SendError::TooLarge { bytes });
        }
        if settings.retention == Retention::Compacted && record.key.is_none() {
            let message = "a compacted topic takes no record without a key".to_owned();
            return Err(BusError::Fatal { operation: format!("send to {}", record.topic), message }.into());
        }
        let partition = self.partition_mut(record.topic, record.partition)?;
        let offset = partition.end;
        partition.entries.push_back(Entry {
            offset,
            timestamp: record.timestamp,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            transaction,
        });
        partition.end += 1;
        if let Some(id) = transaction {
            partition.open.entry(id).or_insert(offset);
            self.transactions[id].partitions.insert((record.topic.to_owned(), record.partition));
        }
        Ok(offset)
    }

    /// A newer epoch of a writer: what its older ones have open is aborted.
    pub fn enter(&mut self, name: &str) -> Writer {
        self.end_all(|transaction| transaction.writer.name == name);
        let epoch = self.epochs.entry(name.to_owned()).or_default();
        *epoch += 1;
        Writer { name: name.to_owned(), epoch: *epoch }
    }

    /// Whether no newer one has taken the writer's name.
    pub fn is_current(&self, writer: &Writer) -> bool {
        self.epochs.get(&writer.name) == Some(&writer.epoch)
    }

    pub fn begin(&mut self, writer: &Writer, group: &str, now: Instant) -> TransactionId {
        self.transactions.push(Transaction {
            writer: writer.clone(),
            started: now,
            outcome: Outcome::Open,
            partitions: BTreeSet::new(),
            group: group.to_owned(),
            positions: Vec::new(),
        });
        self.transactions.len() - 1
    }

    /// Puts positions into a transaction: they hold when it is committed.
    pub fn add_positions(&mut self, id: TransactionId, positions: &[Committed]) {
        self.transactions[id].positions.extend_from_slice(positions);
    }

    /// Ends a transaction, unless it has ended; whether it is committed now.
    pub fn end(&mut self, id: TransactionId, commit: bool) -> bool {
        if self.transactions[id].outcome == Outcome::Open && self.is_current(&self.transactions[id].writer) {
            self.settle(id, commit);
        }
        self.transactions[id].outcome == Outcome::Committed
    }

    fn settle(&mut self, id: TransactionId, commit: bool) {
        let transaction = &mut self.transactions[id];
        transaction.outcome = if commit { Outcome::Committed } else { Outcome::Aborted };
        let (partitions, positions) = (transaction.partitions.clone(), std::mem::take(&mut transaction.positions));
        let group = transaction.group.clone();
        for (topic, number) in partitions {
            if let Ok(partition) = self.partition_mut(&topic, number) {
                partition.open.remove(&id);
                // The marker.
                partition.end += 1;
            }
        }
        for position in positions.into_iter().filter(|_| commit) {
            let place = (group.clone(), position.topic, position.partition);
            self.positions.insert(place, (position.next_offset, position.metadata));
        }
    }

    fn end_all(&mut self, is_meant: impl Fn(&Transaction) -> bool) {
        for id in 0..self.transactions.len() {
            if self.transactions[id].outcome == Outcome::Open && is_meant(&self.transactions[id]) {
                self.settle(id, false);
            }
        }
    }

    /// Aborts what has been open for too long, and fences its writer.
    pub fn expire(&mut self, now: Instant, limit: Duration) {
        let is_old = |transaction: &Transaction| now - transaction.started >= limit;
        let open = self.transactions.iter().filter(|transaction| transaction.outcome == Outcome::Open);
        let old: Vec<String> = open.filter(|open| is_old(open)).map(|open| open.writer.name.clone()).collect();
        for name in old {
            self.enter(&name);
        }
    }

    /// The ends of a topic's partitions that a transaction wrote to: after its last record there.
    pub fn ends_of(&self, id: TransactionId, topic: &str) -> Vec<(u32, i64)> {
        let touched = self.transactions[id].partitions.iter().filter(|(name, _)| name == topic);
        let last = |number: u32| {
            let entries = &self.partition(topic, number).ok()?.entries;
            entries.iter().rev().find(|entry| entry.transaction == Some(id)).map(|entry| (number, entry.offset + 1))
        };
        touched.filter_map(|(_, number)| last(*number)).collect()
    }

    /// Whether a transaction is open that would move these positions.
    pub fn has_pending(&self, group: &str, partitions: &[u32]) -> bool {
        let open = self.transactions.iter().filter(|transaction| transaction.outcome == Outcome::Open);
        let mut of_group = open.filter(|open| open.group == group);
        of_group.any(|open| open.positions.iter().any(|position| partitions.contains(&position.partition)))
    }

    pub fn committed(&self, group: &str, topics: &[String], is_meant: impl Fn(u32) -> bool) -> Vec<Committed> {
        let of_group = self
            .positions
            .iter()
            .filter(|((name, topic, partition), _)| name == group && topics.contains(topic) && is_meant(*partition));
        let committed = of_group.map(|((_, topic, partition), (next_offset, metadata))| Committed {
            topic: topic.clone(),
            partition: *partition,
            next_offset: *next_offset,
            metadata: metadata.clone(),
        });
        committed.collect()
    }

    pub fn forget_positions(&mut self, group: &str) {
        self.positions.retain(|(name, _, _), _| name != group);
    }

    pub fn resolve(&self, topic: &str, partition: u32, start: Start) -> Result<i64, BusError> {
        let found = self.partition(topic, partition)?;
        Ok(match start {
            Start::Beginning => found.start,
            Start::End => found.stable_end(),
            Start::Offset(offset) => offset,
            Start::Time(time) => {
                found.entries.iter().find(|entry| entry.timestamp >= time).map_or(found.end, |entry| entry.offset)
            }
        })
    }

    /// What a reader at `from` gets next.
    pub fn next(&self, topic: &str, partition: u32, from: i64, isolation: Isolation) -> Result<Next<'_>, BusError> {
        let found = self.partition(topic, partition)?;
        let end = if isolation == Isolation::Committed { found.stable_end() } else { found.end };
        let is_seen = |entry: &&Entry| {
            let is_aborted = |id: TransactionId| self.transactions[id].outcome == Outcome::Aborted;
            isolation == Isolation::Uncommitted || !entry.transaction.is_some_and(is_aborted)
        };
        let next = found.from(from).take_while(|entry| entry.offset < end).find(is_seen);
        Ok(next.map_or(Next::End(end.max(from)), Next::Record))
    }

    pub fn trim(&mut self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        self.partition_mut(topic, partition)?.forget_before(before);
        Ok(())
    }

    /// Deletes from the beginning of each partition what is older.
    pub fn delete_older(&mut self, topic: &str, timestamp: i64) -> Result<(), BusError> {
        let topic = self.topics.get_mut(topic).ok_or_else(|| unknown(topic))?;
        for partition in &mut topic.partitions {
            let stable_end = partition.stable_end();
            let kept = partition.entries.iter().find(|entry| entry.timestamp >= timestamp);
            partition.forget_before(kept.map_or(stable_end, |entry| entry.offset.min(stable_end)));
        }
        Ok(())
    }

    /// Keeps the last committed record of each key; what is not stable is left alone.
    pub fn compact(&mut self, topic: &str) -> Result<(), BusError> {
        let transactions = &self.transactions;
        let topic = self.topics.get_mut(topic).ok_or_else(|| unknown(topic))?;
        for partition in &mut topic.partitions {
            let stable_end = partition.stable_end();
            let is_aborted =
                |entry: &Entry| entry.transaction.is_some_and(|id| transactions[id].outcome == Outcome::Aborted);
            let mut last: BTreeMap<Option<Box<[u8]>>, i64> = BTreeMap::new();
            let stable = partition.entries.iter().filter(|entry| entry.offset < stable_end && !is_aborted(entry));
            last.extend(stable.map(|entry| (entry.key.clone(), entry.offset)));
            partition.entries.retain(|entry| entry.offset >= stable_end || last.get(&entry.key) == Some(&entry.offset));
        }
        Ok(())
    }
}

fn unknown(what: &str) -> BusError {
    BusError::Fatal { operation: format!("use {what}"), message: "there is no such topic or partition".to_owned() }
}
