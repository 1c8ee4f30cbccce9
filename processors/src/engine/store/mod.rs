//! Where committed state rests on this machine: a sorted map of bytes that is always behind the changelog.

mod memory;
#[cfg(feature = "native")]
mod rocksdb;
mod slice;
mod staged;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dbintel_bus::Offsets;

use super::changelog::Marker;

pub use self::memory::MemoryStore;
#[cfg(feature = "native")]
pub use self::rocksdb::{RocksStore, StoreMemory};
pub use self::slice::Slice;
pub use self::staged::Staged;

/// A store of one task. One thread writes; values that were written together are there together after a crash, or not at all.
pub trait Store: Send + Sync {
    /// The value of a key of a table.
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes a batch with the place that it brings the store to.
    fn write(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError>;

    /// The place of the last batch; none for an empty store.
    fn place(&self) -> Result<Option<Place>, StoreError>;

    /// Entries in the order of their full keys, after `cursor` (empty: from the beginning), until about `bytes_max`.
    fn scan(&self, cursor: &[u8], bytes_max: usize) -> Result<Slice, StoreError>;

    /// Makes what was written durable.
    fn persist(&self) -> Result<(), StoreError>;

    /// A few bytes beside the store, which outlive the process, and need not outlive the machine. None when there are none.
    fn note(&self) -> Option<Vec<u8>>;

    /// Replaces them. That they cannot be written troubles nobody.
    fn set_note(&self, note: &[u8]);

    /// Removes everything but the note.
    fn wipe(&self) -> Result<(), StoreError>;
}

/// Opens the store in a directory.
pub type OpenStore = Box<dyn Fn(&Path) -> Result<Arc<dyn Store>, StoreError> + Send + Sync>;

/// How far a store has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Offset of the changelog to read next.
    pub changelog_next: i64,
    /// End of the last commit that the store holds.
    pub marker: Marker,
}

impl Place {
    /// The record that ends the store's last commit lies between these offsets of the changelog.
    pub fn lies_in(&self, log: &Offsets) -> bool {
        (log.start..log.end).contains(&(self.changelog_next - 1))
    }

    /// It names offsets that had not been written yet: the changelog was copied from another cluster, which had other offsets.
    pub fn is_of_a_copy(&self) -> bool {
        let checkpoint = &self.marker.checkpoint;
        checkpoint.restore_from.max(checkpoint.cycle_start.unwrap_or(0)) > self.changelog_next
    }
}

/// Identity of a table within a store: a hash of its full name, so that tables may come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u64);

impl TableId {
    /// From the full name, `pipeline/processor/table`.
    pub fn of(name: &str) -> Self {
        let hash = dbintel_schemas::record_id::hash128(&[name.as_bytes()]);
        // 0 is the store's own.
        Self(u64::from_le_bytes(hash[..8].try_into().expect("8 of 16 bytes")).max(1))
    }
}

/// Full key in a store and in the changelog: table, then key.
pub fn full_key(table: TableId, key: &[u8], out: &mut impl Extend<u8>) {
    out.extend(table.0.to_be_bytes());
    out.extend(key.iter().copied());
}

/// Table and key of a full key; table 0, which is nobody's, when it is too short.
pub fn split_key(full_key: &[u8]) -> (TableId, &[u8]) {
    let (table, key) = full_key.split_first_chunk::<8>().unwrap_or((&[0; 8], full_key));
    (TableId(u64::from_be_bytes(*table)), key)
}

/// Puts and deletes that are written together, in order.
#[derive(Debug, Default)]
pub struct StoreBatch {
    bytes: Vec<u8>,
    entries: Vec<(usize, usize, Option<usize>)>,
}

impl StoreBatch {
    /// Sets a value; `encode` appends it.
    pub fn put(&mut self, table: TableId, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        full_key(table, key, &mut self.bytes);
        let middle = self.bytes.len();
        encode(&mut self.bytes);
        self.entries.push((start, middle, Some(self.bytes.len())));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: TableId, key: &[u8]) {
        let start = self.bytes.len();
        full_key(table, key, &mut self.bytes);
        self.entries.push((start, self.bytes.len(), None));
    }

    /// Full keys with their values; none deletes.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.entries
            .iter()
            .map(|(start, middle, end)| (&self.bytes[*start..*middle], end.map(|end| &self.bytes[*middle..end])))
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the entries and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("state store {}: could not {operation}: {message}", directory.display())]
pub struct StoreError {
    /// Directory of the store; empty in memory.
    pub directory: PathBuf,
    /// What was tried.
    pub operation: &'static str,
    /// What the store says.
    pub message: String,
    /// Another process has it open; it may close it.
    pub busy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::changelog::Checkpoint;

    #[test]
    fn a_place_that_names_later_offsets_is_of_a_copy() {
        let place = |restore_from, cycle_start| Place {
            changelog_next: 10,
            marker: Marker {
                checkpoint: Checkpoint { restore_from, cycle_start, ..Checkpoint::default() },
                ..Marker::default()
            },
        };
        assert!(!place(10, Some(10)).is_of_a_copy() && !place(0, None).is_of_a_copy());
        assert!(place(11, None).is_of_a_copy() && place(3, Some(11)).is_of_a_copy());
    }
}
