//! Records of one input topic that are decoded and processed together.

use bumpalo::Bump;
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{ReadError, Schemas};

use crate::engine::inbox::{Entry, Segment};
use crate::engine::quarantine::Refused;
use crate::engine::row::{Origin, Row};

/// Consecutive records of one topic. `'a` is the life of everything that their rows borrow.
pub struct Batch<'a> {
    /// Rank of the topic.
    pub rank: usize,
    pub topic: Topic,
    pub segment: &'a Segment,
    pub entries: &'a [Entry],
    pub arena: &'a Bump,
    /// Names of the pipelines.
    pub names: Vec<&'a str>,
}

impl<'a> Batch<'a> {
    /// Decodes one record.
    pub fn decode(&self, entry: &Entry, schemas: &Schemas) -> Result<(Origin<'a>, Row<'a>), ReadError> {
        let value = self.segment.value(entry).unwrap_or_default();
        Row::read(self.topic, schemas, value, self.arena, entry.offset)
    }

    /// A record that is refused.
    pub fn refused<'r>(
        &'r self,
        entry: &'r Entry,
        reason: &'r str,
        detail: &'r str,
        without_bytes: bool,
    ) -> Refused<'r> {
        Refused {
            topic: self.topic,
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: self.segment.key(entry),
            value: self.segment.value(entry),
            reason,
            detail,
            without_bytes,
        }
    }
}
