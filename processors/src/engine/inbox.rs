//! The inputs of a task, put in order.
//!
//! The bus gives no order between topics. A task takes the smallest (timestamp, topic rank, offset) among its inputs,
//! as long as it knows the head of each: an input without a waiting record is known when the bus said that it is at its
//! end. The worker waits a bounded moment for the others.

use std::collections::VecDeque;
use std::ops::Range;

use dbintel_bus::Record;

/// Fetched bytes that are kept together; one allocation serves thousands of records.
const SEGMENT_BYTES: usize = 256 * 1024;

/// Waiting records of one task, one queue per input topic in order of rank.
pub struct Inbox {
    queues: Vec<Queue>,
    bytes: usize,
    spare: Vec<Segment>,
}

struct Queue {
    segments: VecDeque<Segment>,
    at_end: bool,
}

/// Records of one topic in the order of their offsets, copied out of the client's memory.
#[derive(Default)]
pub struct Segment {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    taken: usize,
}

/// One record of a [`Segment`].
pub struct Entry {
    /// Offset.
    pub offset: i64,
    /// Timestamp in ms.
    pub timestamp: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

/// Which records come next: so many of one topic, from one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Rank of the topic.
    pub topic: usize,
    /// Number of records.
    pub records: usize,
}

impl Inbox {
    /// An empty inbox for this many topics.
    pub fn new(topics: usize) -> Self {
        let queues = (0..topics).map(|_| Queue { segments: VecDeque::new(), at_end: false }).collect();
        Self { queues, bytes: 0, spare: Vec::new() }
    }

    /// Takes a record in.
    pub fn push(&mut self, record: &Record<'_>) {
        let queue = &mut self.queues[record.topic];
        queue.at_end = false;
        let open =
            queue.segments.back().is_some_and(|segment| segment.bytes.len() < SEGMENT_BYTES && segment.taken == 0);
        if !open {
            queue.segments.push_back(self.spare.pop().unwrap_or_default());
        }
        if let Some(segment) = queue.segments.back_mut() {
            self.bytes += segment.push(record);
        }
    }

    /// The bus has no further record of the topic for now.
    pub fn at_end(&mut self, topic: usize) {
        self.queues[topic].at_end = true;
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Each input has a record waiting, or none for now.
    pub fn heads_known(&self) -> bool {
        self.queues.iter().all(|queue| !queue.segments.is_empty() || queue.at_end)
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queues.iter().all(|queue| queue.segments.is_empty())
    }

    /// The next records in order, at most `limit`. None when nothing waits, or when an input's head is not known and
    /// `unknown_heads` does not allow to go on without it.
    pub fn next_run(&self, limit: usize, unknown_heads: bool) -> Option<Run> {
        if !unknown_heads && !self.heads_known() {
            return None;
        }
        let heads = || self.queues.iter().enumerate().filter_map(|(topic, queue)| Some((queue.head()?, topic)));
        let (_, topic) = heads().min()?;
        let bound = heads().filter(|(_, other)| *other != topic).min();
        let segment = self.queues[topic].segments.front()?;
        let records = segment.entries[segment.taken..]
            .iter()
            .take(limit)
            .take_while(|entry| bound.is_none_or(|bound| (entry.timestamp, topic) < bound))
            .count();
        Some(Run { topic, records: records.max(1) })
    }

    /// Takes the segment of a run out, to be given back with [`Inbox::put_back`].
    pub fn take(&mut self, run: Run) -> Segment {
        self.queues[run.topic].segments.pop_front().unwrap_or_default()
    }

    /// Gives a segment back after `processed` of its records were processed.
    pub fn put_back(&mut self, topic: usize, mut segment: Segment, processed: usize) {
        let done = segment.taken..segment.taken + processed;
        self.bytes = self.bytes.saturating_sub(segment.entries[done.clone()].iter().map(Entry::size).sum());
        segment.taken = done.end;
        if segment.taken < segment.entries.len() {
            self.queues[topic].segments.push_front(segment);
        } else if self.spare.len() < self.queues.len() {
            segment.clear();
            self.spare.push(segment);
        }
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self) {
        for queue in &mut self.queues {
            queue.segments.clear();
            queue.at_end = false;
        }
        self.bytes = 0;
    }
}

impl Queue {
    fn head(&self) -> Option<i64> {
        let segment = self.segments.front()?;
        segment.entries.get(segment.taken).map(|entry| entry.timestamp)
    }
}

impl Segment {
    fn push(&mut self, record: &Record<'_>) -> usize {
        let entry = Entry {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(|key| append(&mut self.bytes, key)),
            value: record.value.map(|value| append(&mut self.bytes, value)),
        };
        let size = entry.size();
        self.entries.push(entry);
        size
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.taken = 0;
    }

    /// The next records of the segment, at most `limit`.
    pub fn waiting(&self, limit: usize) -> &[Entry] {
        let end = self.entries.len().min(self.taken + limit);
        &self.entries[self.taken..end]
    }

    /// Key of an entry of this segment.
    pub fn key(&self, entry: &Entry) -> Option<&[u8]> {
        entry.key.clone().map(|range| &self.bytes[range])
    }

    /// Value of an entry of this segment.
    pub fn value(&self, entry: &Entry) -> Option<&[u8]> {
        entry.value.clone().map(|range| &self.bytes[range])
    }
}

impl Entry {
    fn size(&self) -> usize {
        let length = |range: &Option<Range<usize>>| range.as_ref().map_or(0, ExactSizeIterator::len);
        length(&self.key) + length(&self.value) + size_of::<Entry>()
    }
}

fn append(bytes: &mut Vec<u8>, part: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    start..bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: usize, offset: i64, timestamp: i64) -> Record<'static> {
        Record { topic, partition: 0, offset, timestamp, key: Some(b"t"), value: Some(b"v") }
    }

    /// Takes everything in order, in runs of at most `limit`.
    fn drain(inbox: &mut Inbox, limit: usize) -> Vec<(usize, i64)> {
        let mut order = Vec::new();
        while let Some(run) = inbox.next_run(limit, false) {
            let segment = inbox.take(run);
            order.extend(segment.waiting(run.records).iter().map(|entry| (run.topic, entry.offset)));
            inbox.put_back(run.topic, segment, run.records);
        }
        order
    }

    fn filled() -> Inbox {
        let mut inbox = Inbox::new(3);
        for (topic, offset, timestamp) in [(0, 0, 10), (0, 1, 30), (1, 0, 10), (1, 1, 20), (1, 2, 20), (2, 0, 5)] {
            inbox.push(&record(topic, offset, timestamp));
        }
        inbox
    }

    #[test]
    fn order_is_timestamp_then_rank_then_offset_whatever_the_batches() {
        let expected = [(2, 0), (0, 0), (1, 0), (1, 1), (1, 2), (0, 1)];
        for limit in [1, 2, 100] {
            let mut inbox = filled();
            (0..3).for_each(|topic| inbox.at_end(topic));
            assert_eq!(drain(&mut inbox, limit), expected, "limit {limit}");
            assert!(inbox.is_empty());
            assert_eq!(inbox.bytes(), 0);
        }
    }

    #[test]
    fn an_unknown_head_holds_the_others_back() {
        let mut inbox = filled();
        assert_eq!(drain(&mut inbox, 100), [(2, 0)], "topic 2 may still hold something older");
        assert_eq!(inbox.next_run(100, true), Some(Run { topic: 0, records: 1 }));
        inbox.at_end(2);
        assert_eq!(inbox.next_run(100, false), Some(Run { topic: 0, records: 1 }));
    }
}
