//! A store in memory, which loses what was not persisted, as a crash would. For tests and simulation.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use super::{Place, Slice, Store, StoreBatch, StoreError, TableId, full_key};

/// Sorted map with a durable image.
#[derive(Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
    note: Mutex<Option<Vec<u8>>>,
}

#[derive(Default)]
struct Content {
    live: Image,
    durable: Image,
}

#[derive(Default, Clone)]
struct Image {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    place: Option<Place>,
}

impl MemoryStore {
    /// Falls back to what was persisted.
    pub fn crash(&self) {
        let mut content = self.content();
        content.live = content.durable.clone();
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut full = Vec::new();
        full_key(table, key, &mut full);
        Ok(self.content().live.entries.get(&full).cloned())
    }

    fn write(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError> {
        let live = &mut self.content().live;
        for (key, value) in batch.iter() {
            match value {
                Some(value) => live.entries.insert(key.to_vec(), value.to_vec()),
                None => live.entries.remove(key),
            };
        }
        live.place = Some(place.clone());
        Ok(())
    }

    fn place(&self) -> Result<Option<Place>, StoreError> {
        Ok(self.content().live.place.clone())
    }

    fn scan(&self, cursor: &[u8], bytes_max: usize) -> Result<Slice, StoreError> {
        let content = self.content();
        let mut slice = Slice::default();
        for (key, value) in content.live.entries.range::<[u8], _>((Bound::Excluded(cursor), Bound::Unbounded)) {
            if slice.bytes() >= bytes_max {
                break;
            }
            slice.push(key, value);
        }
        Ok(slice)
    }

    fn persist(&self) -> Result<(), StoreError> {
        let mut content = self.content();
        content.durable = content.live.clone();
        Ok(())
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_note(&self, note: &[u8]) {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = Some(note.to_vec());
    }

    fn wipe(&self) -> Result<(), StoreError> {
        *self.content() = Content::default();
        Ok(())
    }
}
