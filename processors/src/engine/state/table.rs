//! A table: values decoded once and kept in memory, changed in place, with an undo list for the open transaction.
//!
//! A value is in one of three states. *Clean*: as in the store, may be evicted. *Unflushed*: changed, and not yet in the
//! store. *Absent*: known not to exist, which saves the store a look-up. What the open transaction changed is in the undo
//! list: the old value, or for values that are numbers the difference, which is at once what the changelog gets. Rows of
//! one statement come back poll after poll, so nearly all look-ups end in memory; the store is for what is cold and for a
//! fast restart.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use self::slots::Slots;
use super::{StateError, StateValue};
use crate::engine::changelog::{Change, ChangeWriter, write_entry};
use crate::engine::store::{Slice, Store, StoreBatch, TableId};

mod slots;

/// What the engine does with a table, whatever it holds.
pub trait StateTable: Send {
    /// Name within the processor.
    fn name(&self) -> &'static str;

    /// Gives the table its place in the store; `id` comes from pipeline, processor and table names.
    fn attach(&mut self, id: TableId, store: Arc<dyn Store>);

    /// Some value was changed by the open transaction.
    fn changed(&self) -> bool;

    /// Removes what has expired at event time `now` (µs), of the entries of a store with these full keys.
    fn expire(&mut self, entries: &Slice, now: i64) -> Result<(), StateError>;

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
    slots: Slots<Slot<V>>,
    free: Vec<u32>,
    undo: Vec<(u32, Undo<V>)>,
    /// Differences of the open transaction, as entries of the changelog.
    entries: Vec<u8>,
    difference: Vec<u8>,
    unflushed: Vec<u32>,
    transaction: u64,
    hand: usize,
}

enum Undo<V> {
    /// The value as it was.
    Value(Option<Box<V>>),
    /// A difference: where its entry begins, and ends with the difference itself, of this length.
    Difference { entry: Range<usize>, length: usize },
}

/// Short keys need no memory of their own.
type Key = SmallVec<[u8; 16]>;

struct Slot<V> {
    key: Key,
    value: Option<V>,
    /// The last transaction that has its whole old value in the undo list.
    remembered_in: u64,
    /// In the list of what the store does not have. May be there without need, after a rollback.
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
            slots: Slots::new(),
            free: Vec::new(),
            undo: Vec::new(),
            entries: Vec::new(),
            difference: Vec::new(),
            unflushed: Vec::new(),
            transaction: 1,
            hand: 0,
        }
    }

    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Result<Option<&V>, StateError> {
        let slot = self.slot(key)?;
        Ok(self.slots[slot].value.as_ref())
    }

    /// Changes the value of a key in place. Absent keys give none: use [`Table::insert`].
    pub fn change<R>(&mut self, key: &[u8], change: impl FnOnce(&mut V) -> R) -> Result<Option<R>, StateError> {
        self.replace(key, |before, difference| {
            // On a copy: a change that panics leaves the value as it was.
            let mut after = before.clone();
            let outcome = change(&mut after);
            let is_difference = after.difference(before, difference);
            (Some((after, is_difference)), outcome)
        })
    }

    /// Replaces the value of a key by what `change` makes of it, if it makes one; of values with a difference it writes that
    /// as well. Absent keys give none: use [`Table::insert`].
    pub fn replace<R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&V, &mut Vec<u8>) -> (Option<(V, bool)>, R),
    ) -> Result<Option<R>, StateError> {
        let slot = self.slot(key)?;
        let entry = &mut self.slots[slot];
        let Some(value) = &mut entry.value else { return Ok(None) };
        self.difference.clear();
        let (after, outcome) = change(value, &mut self.difference);
        let Some((after, is_difference)) = after else { return Ok(Some(outcome)) };
        if entry.remembered_in == self.transaction {
            *value = after;
            return Ok(Some(outcome));
        }
        if is_difference {
            if self.difference.is_empty() {
                return Ok(Some(outcome));
            }
            *value = after;
            let start = self.entries.len();
            write_entry(&mut self.entries, key, Change::Difference(&self.difference));
            let (entry, length) = (start..self.entries.len(), self.difference.len());
            self.undo.push((slot, Undo::Difference { entry, length }));
        } else {
            entry.remembered_in = self.transaction;
            let before = std::mem::replace(value, after);
            self.undo.push((slot, Undo::Value(Some(Box::new(before)))));
        }
        self.needs_flush(slot);
        Ok(Some(outcome))
    }

    /// Sets the value of a key.
    pub fn insert(&mut self, key: &[u8], value: V) -> Result<(), StateError> {
        let slot = self.slot(key)?;
        self.remember(slot);
        self.slots[slot].value = Some(value);
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &[u8]) -> Result<(), StateError> {
        let slot = self.slot(key)?;
        self.remember(slot);
        self.slots[slot].value = None;
        Ok(())
    }

    /// Reads values that will be asked for soon, so that they are in the processor's cache when they are. All of them
    /// wait for memory at the same time, where look-ups one by one wait in turn.
    pub fn warm<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        for key in keys {
            if let Some(slot) = self.find(key, self.hasher.hash_one(key)) {
                black_box(self.slots[slot].value.clone());
            }
        }
    }

    fn find(&self, key: &[u8], hash: u64) -> Option<u32> {
        self.index.find(hash, |slot| *self.slots[*slot].key == *key).copied()
    }

    /// Values in memory, absent ones included.
    pub fn cached(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The slot of a key, read from the store when it is not in memory.
    fn slot(&mut self, key: &[u8]) -> Result<u32, StateError> {
        let hash = self.hasher.hash_one(key);
        if let Some(slot) = self.find(key, hash) {
            self.slots[slot].recent = true;
            return Ok(slot);
        }
        let value = self.load(key)?;
        let entry = Slot { key: Key::from_slice(key), value, remembered_in: 0, unflushed: false, recent: true };
        let slot = match self.free.pop() {
            Some(free) => {
                self.slots[free] = entry;
                free
            }
            None => {
                self.slots.push(entry);
                self.slots.len() as u32 - 1
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| hasher.hash_one(&*slots[*slot].key));
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
        let entry = &mut self.slots[slot];
        if entry.remembered_in != self.transaction {
            entry.remembered_in = self.transaction;
            self.undo.push((slot, Undo::Value(entry.value.clone().map(Box::new))));
        }
        self.needs_flush(slot);
    }

    fn needs_flush(&mut self, slot: u32) {
        let entry = &mut self.slots[slot];
        if !entry.unflushed {
            entry.unflushed = true;
            self.unflushed.push(slot);
        }
    }

    fn end_transaction(&mut self) {
        self.entries.clear();
        self.transaction += 1;
    }

    fn evict(&mut self, values_max: usize) {
        let mut passed = 0;
        while self.cached() > values_max && passed < 2 * self.slots.len() {
            let slot = (self.hand % self.slots.len()) as u32;
            self.hand = slot as usize + 1;
            passed += 1;
            let entry = &mut self.slots[slot];
            if entry.recent || entry.unflushed || entry.key.is_empty() {
                entry.recent = false;
                continue;
            }
            let hash = self.hasher.hash_one(&*entry.key);
            if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
                found.remove();
                entry.key = Key::new();
                entry.value = None;
                self.free.push(slot);
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

    fn expire(&mut self, entries: &Slice, now: i64) -> Result<(), StateError> {
        let Some(id) = self.place.as_ref().map(|(id, _)| *id) else { return Ok(()) };
        let expired = |value: &V| value.expires_at().is_some_and(|at| at <= now);
        for (full_key, stored) in entries.iter() {
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
        for (_, undo) in &self.undo {
            if let Undo::Difference { entry, .. } = undo {
                out.written(*id, &self.entries[entry.clone()]);
            }
        }
        // Whole values come last: after one there are no differences of its key.
        for (slot, _) in self.undo.iter().filter(|(_, undo)| matches!(undo, Undo::Value(_))) {
            let entry = &self.slots[*slot];
            match &entry.value {
                Some(value) => out.put(*id, &entry.key, |bytes| value.encode(bytes)),
                None => out.delete(*id, &entry.key),
            }
        }
    }

    fn commit(&mut self) {
        self.undo.clear();
        self.end_transaction();
    }

    fn rollback(&mut self) {
        for (slot, undo) in self.undo.drain(..).rev() {
            let value = &mut self.slots[slot].value;
            match undo {
                Undo::Value(before) => *value = before.map(|before| *before),
                Undo::Difference { entry, length } => {
                    let difference = &self.entries[entry.end - length..entry.end];
                    value.iter_mut().for_each(|value| value.undo(difference));
                }
            }
        }
        self.end_transaction();
    }

    fn flush(&mut self, batch: &mut StoreBatch, values_max: usize) {
        debug_assert!(self.undo.is_empty(), "only committed values reach the store");
        if let Some((id, _)) = &self.place {
            for slot in self.unflushed.drain(..) {
                let entry = &mut self.slots[slot];
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
