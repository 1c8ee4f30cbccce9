//! Records on their way to the writer: checked, and packed into blocks by partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::block::{Builder, Sealed};
use super::catalogue::{Catalogue, Topic};
use super::clock;
use super::keys::PartitionId;
use crate::{BusError, Outgoing, Retention, SendError};

/// A closed block and the partition that it goes to.
#[derive(Debug)]
pub(super) struct Append {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub id: PartitionId,
    /// The records.
    pub block: Sealed,
}

/// Collects records. Those of one partition stay in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Staging {
    open: BTreeMap<PartitionId, (Arc<Topic>, Builder)>,
    closed: Vec<Append>,
    recent: Option<Arc<Topic>>,
    bytes: usize,
    any: bool,
}

impl Staging {
    /// Takes a record, unless the staged bytes would exceed `bytes_max`.
    pub fn push(&mut self, catalogue: &Catalogue, record: &Outgoing<'_>, bytes_max: usize) -> Result<(), SendError> {
        let topic = self.topic(catalogue, record.topic)?;
        let id = topic.partition(record.partition)?.id;
        let bytes = record_bytes(record);
        check(&topic, record, bytes)?;
        if self.bytes + bytes > bytes_max && self.any {
            return Err(SendError::Full);
        }
        let (_, builder) = self.open.entry(id).or_insert_with(|| (topic, Builder::default()));
        let before = builder.len();
        builder.push(record.timestamp, record.key, record.value, record.headers);
        self.bytes += builder.len() - before;
        self.any = true;
        if builder.full() {
            self.close(id);
        }
        Ok(())
    }

    /// Takes all blocks out, closing the open ones.
    pub fn take(&mut self) -> Vec<Append> {
        let open: Vec<PartitionId> = self.open.keys().copied().collect();
        open.into_iter().for_each(|id| self.close(id));
        self.open.clear();
        self.bytes = 0;
        self.any = false;
        std::mem::take(&mut self.closed)
    }

    /// Bytes staged, before compression.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn close(&mut self, id: PartitionId) {
        if let Some((topic, builder)) = self.open.get_mut(&id)
            && !builder.is_empty()
        {
            self.closed.push(Append { topic: Arc::clone(topic), id, block: builder.seal(clock::wall_ms()) });
        }
    }

    /// Writers send runs of records to one topic: the last one is kept at hand.
    fn topic(&mut self, catalogue: &Catalogue, name: &str) -> Result<Arc<Topic>, BusError> {
        if let Some(recent) = self.recent.as_ref().filter(|recent| recent.settings.name == name) {
            return Ok(Arc::clone(recent));
        }
        let topic = catalogue.topic(name)?;
        self.recent = Some(Arc::clone(&topic));
        Ok(topic)
    }
}

fn check(topic: &Topic, record: &Outgoing<'_>, bytes: usize) -> Result<(), SendError> {
    if bytes > topic.settings.message_bytes_max {
        return Err(SendError::TooLarge { bytes });
    }
    if record.key.is_none() && topic.settings.retention == Retention::Compacted {
        return Err(SendError::Bus(BusError::Fatal {
            operation: format!("send to {}", record.topic),
            message: "a compacted topic takes no record without a key".to_owned(),
        }));
    }
    Ok(())
}

fn record_bytes(record: &Outgoing<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}
