//! One partition of a topic as a stream of what is made of its committed records, up to the end that it had at first.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dbintel_bus::{Bus, BusError, Isolation, Position, Reader, ReaderSpec, Receive, Record, Start};

use crate::clock;

/// Records that are taken at a time.
const READ_RECORDS: usize = 10_000;
const READ_TIMEOUT: Duration = Duration::from_millis(200);
/// Longest silence of a log that has more to tell: longer than a broker leaves the transaction of an owner that died open.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// Picks what is wanted of a record.
type Make<'a, T> = Box<dyn FnMut(&Record<'_>) -> Option<T> + 'a>;

/// A stream with a look at the next item.
pub struct Stream<'a, T> {
    reader: Box<dyn Reader>,
    name: String,
    make: Make<'a, T>,
    waiting: VecDeque<T>,
    next_offset: i64,
    end: i64,
    /// End of what was written at first, in transactions that may still be open.
    written_end: i64,
    /// First offset that the log has kept.
    pub log_start: i64,
    /// Nothing was taken yet: what would come first may have been deleted, if the log does not start at 0.
    pub is_untouched: bool,
}

impl<'a, T> Stream<'a, T> {
    /// From the first record kept. `make` picks what is wanted.
    pub fn open(
        bus: &dyn Bus,
        topic: &str,
        partition: u32,
        make: impl FnMut(&Record<'_>) -> Option<T> + 'a,
    ) -> Result<Self, BusError> {
        let log = bus.offsets(topic, partition)?;
        let partitions = vec![Position { topic: topic.to_owned(), partition, start: Start::Offset(log.start) }];
        Ok(Self {
            reader: bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?,
            name: format!("{topic} partition {partition}"),
            make: Box::new(make),
            waiting: VecDeque::new(),
            next_offset: log.start,
            end: log.stable_end,
            written_end: log.end,
            log_start: log.start,
            is_untouched: true,
        })
    }

    /// Goes on to the end of what was written when it was opened, and waits for the transactions that are open there. Of a
    /// transaction that the broker has promised to commit, another topic may be readable already.
    pub fn through_open_transactions(mut self) -> Self {
        self.end = self.written_end;
        self
    }

    /// The next item, which stays where it is.
    pub fn peek(&mut self) -> Result<Option<&T>, BusError> {
        if self.waiting.is_empty() {
            self.fill()?;
        }
        Ok(self.waiting.front())
    }

    /// The next item.
    pub fn next(&mut self) -> Result<Option<T>, BusError> {
        self.next_if(|_| true)
    }

    /// The next item, if it is one of these.
    pub fn next_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Result<Option<T>, BusError> {
        let is_wanted = self.peek()?.is_some_and(wanted);
        self.is_untouched &= !is_wanted;
        Ok(if is_wanted { self.waiting.pop_front() } else { None })
    }

    fn fill(&mut self) -> Result<(), BusError> {
        let mut heard: Instant = clock::now();
        while self.waiting.is_empty() && self.next_offset < self.end {
            let before = self.next_offset;
            let mut taking = Taking {
                make: &mut *self.make,
                waiting: &mut self.waiting,
                next_offset: &mut self.next_offset,
                end: self.end,
            };
            self.reader.read(READ_TIMEOUT, READ_RECORDS, &mut taking)?;
            if self.next_offset > before {
                heard = clock::now();
            } else if clock::now() - heard > SILENCE_MAX {
                let message = format!("the log does not go on at offset {before}, though it ends at {}", self.end);
                return Err(BusError::Unavailable { operation: format!("read {}", self.name), message });
            }
        }
        Ok(())
    }
}

struct Taking<'t, T> {
    make: &'t mut dyn FnMut(&Record<'_>) -> Option<T>,
    waiting: &'t mut VecDeque<T>,
    next_offset: &'t mut i64,
    end: i64,
}

impl<T> Receive for Taking<'_, T> {
    fn record(&mut self, record: Record<'_>) {
        *self.next_offset = record.offset + 1;
        if record.offset < self.end {
            self.waiting.extend((self.make)(&record));
        }
    }

    fn at_end(&mut self, _: usize, _: u32, next_offset: i64) {
        *self.next_offset = next_offset.max(*self.next_offset);
    }
}
