//! A table: values decoded once and kept in memory, changed in place, with an undo list for the open transaction.
//!
//! A value is in one of four states. *Clean*: as in the store, may be evicted. *Unflushed*: committed to the changelog
//! and not yet in the store. *Changed*: touched by the open transaction, its old value in the undo list. *Absent*: known
//! not to exist, which saves the store a look-up. Rows of one statement come back poll after poll, so nearly all
//! look-ups end in memory; the store is for what is cold and for a fast restart.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{StateError, StateValue};
use crate::engine::changelog::ChangeWriter;
use crate::engine::store::{Entry, Store, StoreBatch, TableId};

/// What the engine does with a table, whatever it holds.
pub trait StateTable: Send {
    /// Name within the processor.
    fn name(&self) -> &'static str;

    /// Gives the table its place in the store; `id` comes from pipeline, processor and table names.
    fn attach(&mut self, id: TableId, store: Arc<dyn Store>);

    /// Some value was changed by the open transaction.
    fn changed(&self) -> bool;

    /// Removes what has expired at event time `now` (µs), of the entries of a store with these full keys.
    fn expire(&mut self, entries: &[Entry], now: i64) -> Result<(), StateError>;

    /// Writes the changes of the open transaction to the changelog.
    fn log_changes(&self, out: &mut ChangeWriter);

    /// The transaction was committed: the changes are true.
    fn commit(&mut self);

    /// The transaction was not committed: back to the old values.
    fn rollback(&mut self);

    /// Moves what the store does not have yet into a batch for it, and evicts down to `values_max`.
    fn flush(&mut self, batch: &mut StoreBatch, values_max: usize);
}

/// A table of values by key.
pub struct Table<V> {
    name: &'static str,
    place: Option<(TableId, Arc<dyn Store>)>,
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    slots: Vec<Slot<V>>,
    free: Vec<u32>,
    undo: Vec<(u32, Option<V>)>,
    unflushed: Vec<u32>,
    transaction: u64,
    hand: usize,
}

struct Slot<V> {
    key: Box<[u8]>,
    value: Option<V>,
    /// The last transaction that changed it.
    changed_in: u64,
    unflushed: bool,
    /// Read or written since the hand of the clock last passed.
    recent: bool,
}

impl<V: StateValue> Table<V> {
    /// An empty table; `name` is unique within its processor and never changes.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            place: None,
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            undo: Vec::new(),
            unflushed: Vec::new(),
            transaction: 1,
            hand: 0,
        }
    }

    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<&V>, StateError> {
        let slot = self.slot(key)?;
        Ok(self.slots[slot as usize].value.as_ref())
    }

    /// The value of a key, to be changed in place. Absent keys give none: use [`Table::insert`].
    pub fn get_mut(&mut self, key: &[u8]) -> Result<Option<&mut V>, StateError> {
        let slot = self.slot(key)?;
        if self.slots[slot as usize].value.is_some() {
            self.remember(slot);
        }
        Ok(self.slots[slot as usize].value.as_mut())
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: &[u8], value: V) -> Result<(), StateError> {
        let slot = self.slot(key)?;
        self.remember(slot);
        self.slots[slot as usize].value = Some(value);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), StateError> {
        let slot = self.slot(key)?;
        self.remember(slot);
        self.slots[slot as usize].value = None;
        Ok(())
    }

    /// Values in memory, absent ones included.
    pub fn cached(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slot of a key, read from the store when it is not in memory.
    fn slot(&mut self, key: &[u8]) -> Result<u32, StateError> {
        let hash = self.hasher.hash_one(key);
        if let Some(slot) = self.index.find(hash, |slot| *self.slots[*slot as usize].key == *key) {
            self.slots[*slot as usize].recent = true;
            return Ok(*slot);
        }
        let value = self.load(key)?;
        let entry = Slot { key: key.into(), value, changed_in: 0, unflushed: false, recent: true };
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = entry,
            None => self.slots.push(entry),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| hasher.hash_one(&*slots[*slot as usize].key));
        Ok(slot)
    }

    fn load(&self, key: &[u8]) -> Result<Option<V>, StateError> {
        let Some((id, store)) = &self.place else { return Ok(None) };
        match store.get(*id, key)? {
            None => Ok(None),
            Some(bytes) => Ok(Some(V::decode(&bytes)?)),
        }
    }

    /// Keeps the old value for a rollback, once per transaction.
    fn remember(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        if entry.changed_in != self.transaction {
            entry.changed_in = self.transaction;
            self.undo.push((slot, entry.value.clone()));
        }
    }

    fn evict(&mut self, values_max: usize) {
        let mut passed = 0;
        while self.cached() > values_max && passed < 2 * self.slots.len() {
            let slot = self.hand % self.slots.len();
            self.hand = slot + 1;
            passed += 1;
            let entry = &mut self.slots[slot];
            if entry.recent || entry.unflushed || entry.key.is_empty() {
                entry.recent = false;
                continue;
            }
            let hash = self.hasher.hash_one(&*entry.key);
            if let Ok(found) = self.index.find_entry(hash, |other| *other as usize == slot) {
                found.remove();
                entry.key = Box::default();
                entry.value = None;
                self.free.push(slot as u32);
            }
        }
    }
}

impl<V: StateValue> StateTable for Table<V> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn attach(&mut self, id: TableId, store: Arc<dyn Store>) {
        self.place = Some((id, store));
    }

    fn changed(&self) -> bool {
        !self.undo.is_empty()
    }

    fn expire(&mut self, entries: &[Entry], now: i64) -> Result<(), StateError> {
        let Some(id) = self.place.as_ref().map(|(id, _)| *id) else { return Ok(()) };
        let expired = |value: &V| value.expires_at().is_some_and(|at| at <= now);
        for (full_key, stored) in entries {
            let Some(key) = full_key.strip_prefix(id.0.to_be_bytes().as_slice()) else { continue };
            let stored_expired = V::stored_expires_at(stored)?.is_some_and(|at| at <= now);
            // What is in memory may be newer than what was stored.
            if stored_expired && self.get(key)?.is_some_and(expired) {
                self.remove(key)?;
            }
        }
        Ok(())
    }

    fn log_changes(&self, out: &mut ChangeWriter) {
        let Some((id, _)) = &self.place else { return };
        for (slot, _) in &self.undo {
            let entry = &self.slots[*slot as usize];
            match &entry.value {
                Some(value) => out.put(*id, &entry.key, |bytes| value.encode(bytes)),
                None => out.delete(*id, &entry.key),
            }
        }
    }

    fn commit(&mut self) {
        for (slot, _) in self.undo.drain(..) {
            let entry = &mut self.slots[slot as usize];
            if !entry.unflushed {
                entry.unflushed = true;
                self.unflushed.push(slot);
            }
        }
        self.transaction += 1;
    }

    fn rollback(&mut self) {
        for (slot, value) in self.undo.drain(..) {
            self.slots[slot as usize].value = value;
        }
        self.transaction += 1;
    }

    fn flush(&mut self, batch: &mut StoreBatch, values_max: usize) {
        debug_assert!(self.undo.is_empty(), "only committed values reach the store");
        if let Some((id, _)) = &self.place {
            for slot in self.unflushed.drain(..) {
                let entry = &mut self.slots[slot as usize];
                entry.unflushed = false;
                match &entry.value {
                    Some(value) => batch.put(*id, &entry.key, |bytes| value.encode(bytes)),
                    None => batch.delete(*id, &entry.key),
                }
            }
        }
        self.evict(values_max);
    }
}

#[cfg(test)]
mod tests;
