//! One batch: gives each block its offsets and keeps ends, index and positions in step with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rocksdb::WriteBatch;

use super::super::catalogue::{Partition, Topic};
use super::super::keys::{BLOCKS, INDEX, PartitionId};
use super::super::log::encode_position;
use super::super::staging::Append;
use super::super::storage::Storage;
use super::{CommitRequest, Ends};
use crate::BusError;

/// A batch in the making.
pub(super) struct Round<'a> {
    storage: &'a Storage,
    batch: WriteBatch,
    ends: BTreeMap<PartitionId, End>,
    records: u64,
}

struct End {
    topic: Arc<Topic>,
    offset: i64,
    newest: i64,
}

impl<'a> Round<'a> {
    pub fn new(storage: &'a Storage) -> Round<'a> {
        Round { storage, batch: WriteBatch::default(), ends: BTreeMap::new(), records: 0 }
    }

    /// Adds the records and positions of a transaction; returns where its records ended.
    pub fn commit(&mut self, request: &CommitRequest) -> Ends {
        let ends: BTreeMap<PartitionId, i64> =
            request.appends.iter().map(|append| (append.id, self.append(append))).collect();
        for (id, next_offset, metadata) in &request.positions {
            self.batch.put(id.position(&request.ownership.group), encode_position(*next_offset, metadata));
        }
        ends.into_iter().collect()
    }

    /// Adds a block; returns the offset after it.
    pub fn append(&mut self, append: &Append) -> i64 {
        let end = self.ends.entry(append.id).or_insert_with(|| {
            let partition = partition(&append.topic, append.id);
            End { topic: Arc::clone(&append.topic), offset: partition.end(), newest: partition.newest() }
        });
        let mut summary = append.block.summary;
        end.newest = end.newest.max(summary.newest);
        summary.newest_so_far = end.newest;
        let key = append.id.block(end.offset);
        self.batch.put_cf(self.storage.family(BLOCKS), key, &append.block.bytes);
        self.batch.put_cf(self.storage.family(INDEX), key, summary.encode());
        end.offset += i64::from(summary.last_delta) + 1;
        self.records += u64::from(summary.count);
        end.offset
    }

    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    pub fn bytes(&self) -> u64 {
        self.batch.size_in_bytes() as u64
    }

    /// Writes the batch, then shows its records to the readers. Returns their number.
    pub fn write(mut self, sync: bool) -> Result<u64, BusError> {
        for (id, end) in &self.ends {
            self.batch.put(id.end(), Partition::encode_end(end.offset, end.newest));
        }
        self.storage.write(self.batch, sync)?;
        for (id, end) in &self.ends {
            partition(&end.topic, *id).publish_end(end.offset, end.newest);
        }
        Ok(self.records)
    }
}

fn partition(topic: &Topic, id: PartitionId) -> &Partition {
    &topic.partitions[usize::from(id.partition)]
}
