//! Records on their way out, encoded once into one buffer that is reused from batch to batch.

use std::collections::BTreeMap;
use std::ops::Range;

use dbintel_bus::{Framings, Outgoing, topic_name};
use dbintel_schemas::records::StagedRow;
use dbintel_schemas::topics::{self, Topic};
use dbintel_schemas::{Record, wire};

/// Encoded records that wait to be sent in the open transaction.
pub struct Outbox {
    framings: Framings,
    names: BTreeMap<Topic, String>,
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    scratch: Vec<u8>,
}

struct Waiting {
    topic: Topic,
    partition: u32,
    timestamp: i64,
    key: Range<usize>,
    value: Range<usize>,
    /// Empty for records without a trace.
    traceparent: Range<usize>,
}

/// Header with the trace that a record belongs to.
const TRACEPARENT: &str = "traceparent";

/// Where an encoded record stands, for those who count and hash it.
pub struct Encoded<'a> {
    /// The framed value.
    pub value: &'a [u8],
    /// The topic allows no record of this size.
    pub oversize: bool,
}

impl Outbox {
    /// An empty outbox.
    pub fn new(framings: Framings) -> Self {
        let names = Topic::ALL.iter().map(|topic| (*topic, topic_name(*topic))).collect();
        Self { framings, names, bytes: Vec::new(), waiting: Vec::new(), scratch: Vec::new() }
    }

    /// Encodes a primary output, with the trace that it belongs to as a header; one that its topic does not allow is taken back and marked.
    pub fn primary<'r, R: Record<'r>>(
        &mut self,
        record: &R,
        key: &str,
        traceparent: Option<&str>,
        partition: u32,
        timestamp: i64,
    ) -> Encoded<'_> {
        let index = self.push(record, R::TOPIC, key.as_bytes(), partition, timestamp);
        if let Some(traceparent) = traceparent {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(traceparent.as_bytes());
            self.waiting[index].traceparent = start..self.bytes.len();
        }
        self.checked(index)
    }

    /// Encodes a row for the group that has its next processor. `envelope` says everything but what the row is.
    pub fn staged<'r, R: Record<'r>>(
        &mut self,
        record: &R,
        envelope: StagedRow<'_>,
        topic: Topic,
        partition: u32,
        timestamp: i64,
    ) -> Encoded<'_> {
        let mut row = std::mem::take(&mut self.scratch);
        row.clear();
        wire::write(record, self.framings.of(R::TOPIC), &mut row);
        let envelope = StagedRow { kind: R::TOPIC.name(), row: &row, ..envelope };
        let index = self.push(&envelope, topic, envelope.target.as_bytes(), partition, timestamp);
        self.scratch = row;
        self.checked(index)
    }

    /// The last record, which is taken back if its topic does not allow it.
    fn checked(&mut self, index: usize) -> Encoded<'_> {
        let Waiting { topic, key, value, .. } = &self.waiting[index];
        let (value, oversize) =
            (value.clone(), key.len() + value.len() > topics::spec(*topic).max_message_bytes as usize);
        if oversize {
            self.waiting.pop();
        }
        Encoded { value: &self.bytes[value], oversize }
    }

    /// Encodes a record that is not counted as the output of a row.
    pub fn derived<'r, R: Record<'r>>(&mut self, record: &R, key: &str, partition: u32, timestamp: i64) {
        self.push(record, R::TOPIC, key.as_bytes(), partition, timestamp);
    }

    fn push<'r, R: Record<'r>>(
        &mut self,
        record: &R,
        topic: Topic,
        key: &[u8],
        partition: u32,
        timestamp: i64,
    ) -> usize {
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value_start = self.bytes.len();
        wire::write(record, self.framings.of(R::TOPIC), &mut self.bytes);
        self.waiting.push(Waiting {
            topic,
            partition,
            timestamp,
            key: key_start..value_start,
            value: value_start..self.bytes.len(),
            traceparent: 0..0,
        });
        self.waiting.len() - 1
    }

    /// Hands the records over, in order, and forgets them.
    pub fn drain<E>(&mut self, mut send: impl FnMut(Outgoing<'_>) -> Result<(), E>) -> Result<(), E> {
        for waiting in &self.waiting {
            let traceparent = [(TRACEPARENT, &self.bytes[waiting.traceparent.clone()])];
            let headers = if waiting.traceparent.is_empty() { &[][..] } else { &traceparent };
            send(Outgoing {
                topic: &self.names[&waiting.topic],
                partition: waiting.partition,
                timestamp: waiting.timestamp,
                key: Some(&self.bytes[waiting.key.clone()]),
                value: Some(&self.bytes[waiting.value.clone()]),
                headers,
            })?;
        }
        self.clear();
        Ok(())
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.bytes.clear();
    }
}
