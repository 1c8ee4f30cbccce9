//! The log as all parts of the process share it: finding blocks by offset and by time, and what groups have committed.

use std::sync::atomic::{AtomicBool, AtomicU64};

use super::block::{Block, Damaged, Summary};
use super::catalogue::{Catalogue, Partition, Topic};
use super::keys::{BLOCKS, INDEX, META, PartitionId};
use super::space::Space;
use super::storage::Storage;
use super::sync::{Signal, locked};
use crate::{BusError, Committed, Start};

/// How often a block may be replaced by compaction between finding and reading it.
const LOOKUPS_MAX: usize = 8;

/// The directory with what is known of it in memory.
pub(super) struct Log {
    pub storage: Storage,
    pub catalogue: Catalogue,
    /// Raised whenever records become visible or a group changes.
    pub changed: Signal,
    /// Set when the log is about to be closed: what may take long gives up.
    pub closing: AtomicBool,
    /// Bytes of blocks deleted whose disk space was not yet reclaimed.
    pub deleted_bytes: AtomicU64,
    /// Room for more.
    pub space: Space,
}

impl Log {
    /// Reads what is in the directory.
    pub fn new(storage: Storage, disk_free_bytes_min: u64) -> Result<Log, BusError> {
        let catalogue = Catalogue::default();
        catalogue.load(&storage)?;
        let space = Space::new(storage.directory().to_owned(), disk_free_bytes_min);
        let (changed, closing, deleted_bytes) = (Signal::default(), AtomicBool::new(false), AtomicU64::new(0));
        Ok(Log { storage, catalogue, changed, closing, deleted_bytes, space })
    }

    /// The block that holds `offset`, with its base. The blocks of a partition cover it without a hole, so that there is
    /// always one between start and end; if none is found, the start has just moved, or this is a reader that has seen
    /// only a part of what the writer did.
    pub fn block_at(&self, id: PartitionId, offset: i64) -> Result<Option<(i64, Block)>, BusError> {
        if let Some(bytes) = self.storage.get(BLOCKS, id.block(offset))? {
            return Ok(Some((offset, self.open_block(id, offset, &bytes)?)));
        }
        for _ in 0..LOOKUPS_MAX {
            let Some((base, _)) = self.summary_from(id, offset)?.filter(|(base, _)| *base <= offset) else {
                break;
            };
            // Compaction may have replaced it meanwhile.
            if let Some(bytes) = self.storage.get(BLOCKS, id.block(base))? {
                return Ok(Some((base, self.open_block(id, base, &bytes)?)));
            }
        }
        Ok(None)
    }

    /// The base and summary of the first block that ends at `offset` or above.
    pub fn summary_from(&self, id: PartitionId, offset: i64) -> Result<Option<(i64, Summary)>, BusError> {
        let mut index = self.storage.range(INDEX, &id.block(0), &id.above_blocks());
        index.seek_for_prev(id.block(offset));
        if let Some((base, summary)) = self.summary_at(&index)?
            && summary.end(base) > offset
        {
            return Ok(Some((base, summary)));
        }
        index.seek(id.block(offset));
        self.summary_at(&index)
    }

    /// All blocks of a partition that end at `offset` or above, in order, until `visit` says that it has seen enough.
    pub fn visit_summaries(
        &self,
        id: PartitionId,
        offset: i64,
        mut visit: impl FnMut(i64, &Summary) -> bool,
    ) -> Result<(), BusError> {
        let Some((first, _)) = self.summary_from(id, offset)? else {
            return Ok(());
        };
        let mut index = self.storage.range(INDEX, &id.block(first), &id.above_blocks());
        index.seek_to_first();
        while let Some((base, summary)) = self.summary_at(&index)? {
            if !visit(base, &summary) {
                break;
            }
            index.next();
        }
        Ok(())
    }

    /// The offset that a start means right now.
    pub fn resolve(&self, topic: &Topic, partition: &Partition, start: Start) -> Result<i64, BusError> {
        let offsets = partition.offsets();
        match start {
            Start::Beginning => Ok(offsets.start),
            Start::End => Ok(offsets.end),
            Start::Time(time) => self.offset_at(partition, time),
            Start::Offset(offset) if offset > offsets.end => Err(BusError::Fatal {
                operation: format!(
                    "read {} partition {} from offset {offset}",
                    topic.settings.name, partition.id.partition
                ),
                message: format!("the log ends at {}; was its directory replaced?", offsets.end),
            }),
            Start::Offset(offset) => {
                if offset < offsets.start {
                    warn_of_loss(topic, partition.id.partition.into(), offsets.start - offset);
                }
                Ok(offset.max(offsets.start))
            }
        }
    }

    /// The first offset with this timestamp or a later one; the end if there is none.
    fn offset_at(&self, partition: &Partition, time: i64) -> Result<i64, BusError> {
        let offsets = partition.offsets();
        let (mut low, mut high) = (offsets.start, offsets.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.summary_from(partition.id, middle)? {
                Some((base, summary)) if base < high && summary.newest_so_far < time => low = summary.end(base),
                _ => high = middle,
            }
        }
        // Almost always the first block holds it; not so if its newest record was trimmed.
        while low < offsets.end {
            let found = self.summary_from(partition.id, low)?.filter(|(base, _)| *base <= low);
            let (base, summary) = found.ok_or_else(|| self.missing(partition.id, low))?;
            if summary.newest >= time
                && let Some(offset) = self.first_at(partition, base, time)?
            {
                return Ok(offset);
            }
            low = summary.end(base);
        }
        Ok(offsets.end)
    }

    fn first_at(&self, partition: &Partition, base: i64, time: i64) -> Result<Option<i64>, BusError> {
        let (id, start) = (partition.id, partition.start());
        let (base, block) = self.block_at(id, base)?.ok_or_else(|| self.missing(id, base))?;
        let mut position = 0;
        while let Some((entry, next)) = block.entry(position).map_err(|damaged| self.damaged(id, base, damaged))? {
            let offset = base + i64::from(entry.delta);
            if entry.timestamp >= time && offset >= start {
                return Ok(Some(offset));
            }
            position = next;
        }
        Ok(None)
    }

    /// Positions of a group on the topics that have one, for the partitions that `wanted` names.
    pub fn positions(
        &self,
        group: &str,
        topics: &[String],
        wanted: impl Fn(u32) -> bool,
    ) -> Result<Vec<Committed>, BusError> {
        let mut positions = Vec::new();
        for name in topics {
            let topic = self.catalogue.topic(name)?;
            for (number, partition) in (0..).zip(&topic.partitions) {
                if wanted(number)
                    && let Some(bytes) = self.storage.get(META, partition.id.position(group))?
                    && let Some((next_offset, metadata)) = decode_position(&bytes)
                {
                    positions.push(Committed { topic: name.clone(), partition: number, next_offset, metadata });
                }
            }
        }
        Ok(positions)
    }

    /// Deletes the records of a partition below `before`.
    pub fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        let topic = self.catalogue.topic(topic)?;
        let partition = topic.partition(partition)?;
        let guard = locked(&partition.maintenance);
        let result = super::retention::advance_start(self, partition, before);
        drop(guard);
        self.changed.raise();
        result
    }

    /// The error for a block that does not read.
    pub fn damaged(&self, id: PartitionId, base: i64, damaged: Damaged) -> BusError {
        BusError::Fatal {
            operation: self.reading(id, base),
            message: format!("{damaged}; check the disk; trimming the topic above it skips it"),
        }
    }

    /// The error for a block that is not where it should be.
    pub fn missing(&self, id: PartitionId, offset: i64) -> BusError {
        let message = "the block is not there; try again; if that does not help, trimming the topic above it skips it";
        BusError::Unavailable { operation: self.reading(id, offset), message: message.to_owned() }
    }

    fn reading(&self, id: PartitionId, offset: i64) -> String {
        let topics = self.catalogue.all();
        let topic = topics.iter().find(|topic| topic.partitions.iter().any(|partition| partition.id == id));
        let name = topic.map_or("a topic", |topic| topic.settings.name.as_str());
        format!("read {name} partition {} at offset {offset}", id.partition)
    }

    fn open_block(&self, id: PartitionId, base: i64, bytes: &[u8]) -> Result<Block, BusError> {
        Block::open(bytes).map_err(|damaged| self.damaged(id, base, damaged))
    }

    fn summary_at(&self, index: &rocksdb::DBRawIterator<'_>) -> Result<Option<(i64, Summary)>, BusError> {
        let Some((key, value)) = index.item() else {
            return index.status().map(|()| None).map_err(|error| self.storage.reading_failed(&error));
        };
        let damaged = |damaged| BusError::Fatal {
            operation: format!("read the embedded log in {}", self.storage.directory().display()),
            message: format!("its index is damaged: {damaged}; restore the directory or begin a new one"),
        };
        let base = PartitionId::base_of(key).ok_or_else(|| damaged(Damaged("a key is too short")))?;
        Ok(Some((base, Summary::decode(value).map_err(damaged)?)))
    }
}

/// Says that a reader came too late.
pub(super) fn warn_of_loss(topic: &Topic, partition: u32, lost: i64) {
    let topic = &topic.settings.name;
    tracing::warn!(topic, partition, lost, "records were deleted before they were read");
}

/// The stored form of a position.
pub(super) fn encode_position(next_offset: i64, metadata: &str) -> Vec<u8> {
    let mut bytes = next_offset.to_le_bytes().to_vec();
    bytes.extend_from_slice(metadata.as_bytes());
    bytes
}

fn decode_position(bytes: &[u8]) -> Option<(i64, String)> {
    let (next_offset, metadata) = bytes.split_first_chunk::<8>()?;
    Some((i64::from_le_bytes(*next_offset), String::from_utf8_lossy(metadata).into_owned()))
}
