//! The contract: what a log is to the rest of dbintel. See the crate's documentation for the guarantees.

use std::sync::Arc;
use std::time::Duration;

use crate::{BusError, CommitError, SendError};

/// A log with topics, groups and transactions.
pub trait Bus: Send + Sync {
    /// A producer outside of transactions: idempotent, ordered within a partition, never loses what it accepted while the process lives.
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError>;

    /// Joins a consumer group with a transactional producer of its own.
    fn join(&self, group: &GroupSpec) -> Result<Box<dyn Member>, BusError>;

    /// Reads given partitions outside of any group.
    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn Reader>, BusError>;

    /// Creates the topics that are missing; returns the names of those it created. Existing topics are left alone.
    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<String>, BusError>;

    /// All topics whose name starts with `prefix`, sorted by name.
    fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError>;

    /// First offset and ends of a partition.
    fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError>;

    /// Positions that a group has committed, for every partition of the topics that has one.
    fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError>;

    /// Deletes the records of a partition below `before`.
    fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError>;

    /// Whether the log answers right now; the error says why not.
    fn health(&self) -> Result<(), BusError>;
}

/// Sends outside of transactions. Cheap to share; all methods take `&self`.
pub trait Producer: Send + Sync {
    /// Takes a record for sending and returns at once.
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError>;

    /// Waits until all accepted records are durable in the log.
    fn flush(&self, timeout: Duration) -> Result<(), BusError>;

    /// Records accepted and not yet durable.
    fn outstanding(&self) -> usize;
}

/// One member of a consumer group: a consumer and a transactional producer that commit together. Owned by one thread.
pub trait Member: Send {
    /// Waits for at most `timeout` for the first record, hands at most `limit` records to `receive`, and stops early when
    /// the membership changes.
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError>;

    /// Committed positions of the given partitions over all topics of the group. Waits until no transaction is pending on them.
    fn committed(&mut self, partitions: &[u32]) -> Result<Vec<Committed>, BusError>;

    /// Answers [`Polled::Assigned`]: starts to fetch, from exactly these positions (one for each topic and partition).
    fn start(&mut self, positions: &[Position]) -> Result<(), BusError>;

    /// Answers [`Polled::Revoked`]: gives the partitions back.
    fn release(&mut self) -> Result<(), BusError>;

    /// Adds a record to the open transaction, opening one if there is none.
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError>;

    /// Commits the open transaction together with the input positions (next offset to read). Afterwards all of it is
    /// visible, or the error says that nothing is.
    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError>;

    /// Drops the open transaction, if there is one.
    fn abort(&mut self) -> Result<(), BusError>;

    /// Continues to read from other positions; what was fetched before is not delivered.
    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError>;

    /// Stops delivering the partitions, on all topics, until [`Member::resume`].
    fn pause(&mut self, partitions: &[u32]) -> Result<(), BusError>;

    /// Delivers the partitions again.
    fn resume(&mut self, partitions: &[u32]) -> Result<(), BusError>;

    /// Leaves the group at once, so that the others take over without waiting. An open transaction is aborted.
    fn close(self: Box<Self>) -> Result<(), BusError>;
}

/// Reads partitions outside of any group.
pub trait Reader: Send {
    /// Waits for at most `timeout` for the first record and hands at most `limit` records to `receive`; returns their number.
    fn read(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<usize, BusError>;
}

/// Takes what a poll brings.
pub trait Receive {
    /// A record. It is borrowed from the client: copy what is kept.
    fn record(&mut self, record: Record<'_>);

    /// The partition has no further committed record for now; `topic` is the index in the group's or reader's list, and
    /// `next_offset` the offset that a next record will have at least.
    fn at_end(&mut self, topic: usize, partition: u32, next_offset: i64) {
        let _ = (topic, partition, next_offset);
    }
}

impl<F: FnMut(Record<'_>)> Receive for F {
    fn record(&mut self, record: Record<'_>) {
        self(record);
    }
}

/// A record read from the log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Index of the topic in [`GroupSpec::topics`] or [`ReaderSpec::partitions`]' distinct topics ([`ReaderSpec::topics`]).
    pub topic: usize,
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: i64,
    /// Timestamp in ms since the epoch, as the writer set it.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; none is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A record to write.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Full name of the topic.
    pub topic: &'a str,
    /// Partition, chosen by the writer.
    pub partition: u32,
    /// Timestamp in ms since the epoch.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What a poll found besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// This many records were delivered; 0 when the time passed.
    Records(usize),
    /// The member now owns these partition numbers (the whole assignment). Nothing is fetched until [`Member::start`].
    Assigned(Vec<u32>),
    /// The member has to give all its partitions back with [`Member::release`].
    Revoked {
        /// They belong to somebody else already: nothing can be committed any more.
        lost: bool,
    },
}

/// Where to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Full name of the topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset to read next.
    pub start: Start,
}

/// Where to start reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record kept.
    Beginning,
    /// After the last committed record.
    End,
    /// At this offset.
    Offset(i64),
    /// At the first record with this timestamp (ms since the epoch) or a later one.
    Time(i64),
}

/// A committed position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Full name of the topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset to read next.
    pub next_offset: i64,
    /// Text stored with the position.
    pub metadata: String,
}

/// What a commit made visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// For each partition of the group's changelog that the transaction wrote to: the offset after its last record.
    pub changelog_ends: Vec<(u32, i64)>,
}

/// Ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offsets {
    /// First offset that is kept.
    pub start: i64,
    /// End for read-committed readers (last stable offset).
    pub stable_end: i64,
    /// True end (high watermark): records above `stable_end` may still be committed or aborted.
    pub end: i64,
}

/// Who a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Stable over restarts, and unique among live members of the group: transactional id = group + slot.
    pub name: String,
    /// The group keeps the member's partitions for it while it is away, until its session runs out (Kafka: static membership). A
    /// log within the process has no use for it.
    pub kept: bool,
}

impl From<&str> for Slot {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), kept: false }
    }
}

/// How a member takes part.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    /// Name of the group.
    pub group: String,
    /// Full names of the input topics, all with the same number of partitions.
    pub topics: Vec<String>,
    /// Full name of the changelog, whose ends a [`Receipt`] reports.
    pub changelog: Option<String>,
    /// Who the member is.
    pub slot: Slot,
    /// Bytes that may be fetched ahead and waiting.
    pub fetch_bytes_max: usize,
}

/// What a reader reads.
#[derive(Debug, Clone)]
pub struct ReaderSpec {
    /// Partitions and where to start in each.
    pub partitions: Vec<Position>,
    /// Which records to see.
    pub isolation: Isolation,
}

impl ReaderSpec {
    /// The distinct topics in order of first appearance: what [`Record::topic`] is an index of.
    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        for position in &self.partitions {
            if !topics.contains(&position.topic) {
                topics.push(position.topic.clone());
            }
        }
        topics
    }
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Committed records only, up to the last stable offset.
    Committed,
    /// All records, aborted ones too. For tools that look at the log itself.
    Uncommitted,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Full name.
    pub name: String,
    /// Number of partitions, fixed for ever.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
    /// Largest record, in bytes.
    pub message_bytes_max: usize,
}

/// What a topic keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Records younger than this.
    Time(Duration),
    /// The last record of each key.
    Compacted,
    /// Everything, until somebody calls [`Bus::trim`].
    Unlimited,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Full name.
    pub name: String,
    /// Number of partitions.
    pub partitions: u32,
    /// What is kept.
    pub retention: Retention,
    /// Largest record, in bytes.
    pub message_bytes_max: usize,
    /// First offset and ends of each partition.
    pub offsets: Vec<Offsets>,
}
