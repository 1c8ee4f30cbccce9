//! A table over a store that can crash.

use std::sync::Arc;

use super::*;
use crate::engine::changelog::{self, Marker};
use crate::engine::state::numbers::{read_numbers, undo_difference, write_difference, write_numbers};
use crate::engine::store::{MemoryStore, Place, Staged};

#[derive(Debug, Clone, PartialEq)]
struct Number(u64);

impl StateValue for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        bytes
            .try_into()
            .map(|bytes| Self(u64::from_le_bytes(bytes)))
            .map_err(|_| StateError::Decode { table: "numbers".into(), detail: format!("{} bytes", bytes.len()) })
    }
}

fn table() -> (Table<Number>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let mut table = Table::new("numbers");
    table.attach(TableId(5), Arc::clone(&store) as Arc<dyn Store>);
    (table, store)
}

fn flush(table: &mut Table<Number>, store: &MemoryStore, values_max: usize) {
    let mut batch = StoreBatch::default();
    table.flush(&mut batch, values_max);
    store.write(&batch, &Place::default()).unwrap();
}

/// Key and change of each entry.
fn logged(changes: &mut ChangeWriter) -> Vec<(String, String)> {
    let mut logged = Vec::new();
    for part in changes.finish(&Marker::default()) {
        let mut keep = |table: TableId, key: &[u8], change: Change<'_>| {
            assert_eq!(table, TableId(5));
            logged.push((String::from_utf8(key.to_vec()).unwrap(), format!("{change:?}")));
        };
        changelog::read(&part, &mut keep).unwrap();
    }
    logged
}

fn value(table: &mut Table<Number>, key: &[u8]) -> Option<u64> {
    table.get(key).unwrap().map(|number| number.0)
}

#[test]
fn a_rollback_brings_back_what_the_last_commit_left() {
    let (mut table, _) = table();
    table.insert(b"kept", Number(1)).unwrap();
    table.insert(b"removed", Number(2)).unwrap();
    table.commit();
    table.change(b"kept", |number| number.0 = 10).unwrap().unwrap();
    table.change(b"kept", |number| number.0 = 11).unwrap().unwrap();
    assert_eq!(table.change(b"absent", |number| number.0 = 12).unwrap(), None);
    table.remove(b"removed").unwrap();
    table.insert(b"new", Number(3)).unwrap();
    assert_eq!((value(&mut table, b"kept"), value(&mut table, b"removed")), (Some(11), None));
    table.rollback();
    assert_eq!((value(&mut table, b"kept"), value(&mut table, b"removed")), (Some(1), Some(2)));
    assert_eq!(value(&mut table, b"new"), None);
    assert!(!table.changed());
}

#[test]
fn the_changelog_holds_the_last_value_of_each_changed_key() {
    let (mut table, _) = table();
    table.insert(b"old", Number(1)).unwrap();
    table.commit();
    table.insert(b"a", Number(2)).unwrap();
    table.insert(b"a", Number(3)).unwrap();
    table.remove(b"old").unwrap();
    let mut changes = ChangeWriter::default();
    changes.begin(1);
    table.log_changes(&mut changes);
    let three = format!("{:?}", Change::Put(&3u64.to_le_bytes()));
    assert_eq!(logged(&mut changes), [("a".to_owned(), three), ("old".to_owned(), "Delete".to_owned())]);
}

#[test]
fn evicted_values_come_back_from_the_store_and_deleted_ones_do_not() {
    let (mut table, store) = table();
    for number in 0..100u64 {
        table.insert(&number.to_le_bytes(), Number(number)).unwrap();
    }
    table.commit();
    table.remove(&7u64.to_le_bytes()).unwrap();
    table.commit();
    flush(&mut table, &store, 10);
    assert!(table.cached() <= 10, "{} values are in memory", table.cached());
    for number in 0..100u64 {
        let expected = (number != 7).then_some(number);
        assert_eq!(value(&mut table, &number.to_le_bytes()), expected);
    }
    flush(&mut table, &store, 10);
    assert!(table.cached() <= 10);
}

#[test]
fn unflushed_values_are_never_evicted() {
    let (mut table, store) = table();
    table.insert(b"a", Number(1)).unwrap();
    table.commit();
    flush(&mut table, &store, 100);
    table.insert(b"a", Number(2)).unwrap();
    table.commit();
    table.evict(0);
    assert_eq!(value(&mut table, b"a"), Some(2));
}

#[test]
fn a_value_that_cannot_be_decoded_names_its_table() {
    let (mut table, store) = table();
    let mut batch = StoreBatch::default();
    batch.put(TableId(5), b"a", |out| out.push(1));
    store.write(&batch, &Place::default()).unwrap();
    let message = table.get(b"a").unwrap_err().to_string();
    assert!(message.contains("numbers") && message.contains("1 bytes"), "{message}");
}

/// Expires at the time that it holds.
#[derive(Debug, Clone, PartialEq)]
struct Until(i64);

impl StateValue for Until {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Until(i64::from_le_bytes(bytes.try_into().unwrap())))
    }

    fn expires_at(&self) -> Option<i64> {
        Some(self.0)
    }
}

#[test]
fn the_checkpoint_removes_what_has_expired_unless_it_was_refreshed() {
    let store = Arc::new(MemoryStore::default());
    let mut table = Table::new("until");
    table.attach(TableId(5), Arc::clone(&store) as Arc<dyn Store>);
    for (key, until) in [(b"gone", 10), (b"kept", 30), (b"back", 10)] {
        table.insert(key, Until(until)).unwrap();
    }
    table.commit();
    let mut batch = StoreBatch::default();
    table.flush(&mut batch, 0);
    let foreign = TableId(6);
    batch.put(foreign, b"gone", |out| out.extend_from_slice(b"of another table"));
    store.write(&batch, &Place::default()).unwrap();
    table.insert(b"back", Until(40)).unwrap();
    table.commit();

    let slice = store.scan(&[], usize::MAX).unwrap();
    table.expire(&slice, 20).unwrap();
    let mut changes = ChangeWriter::default();
    changes.begin(1);
    table.log_changes(&mut changes);
    assert_eq!(logged(&mut changes), [("gone".to_owned(), "Delete".to_owned())]);
    table.rollback();
    assert_eq!(table.get(b"gone").unwrap(), Some(&Until(10)), "a transaction that is not committed removes nothing");
}

/// Two counters.
#[derive(Debug, Clone, PartialEq)]
struct Pair([i64; 2]);

impl StateValue for Pair {
    fn encode(&self, out: &mut Vec<u8>) {
        write_numbers(1, &self.0, out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut pair = [0; 2];
        read_numbers("pairs", 1, bytes, &mut pair)?;
        Ok(Self(pair))
    }

    fn difference(&self, before: &Self, out: &mut Vec<u8>) -> bool {
        write_difference(&before.0, &self.0, out);
        true
    }

    fn undo(&mut self, difference: &[u8]) {
        undo_difference(&mut self.0, difference);
    }
}

#[test]
fn differences_are_logged_taken_back_and_lead_a_store_to_the_same_values() {
    let (store, copy) = (Arc::new(MemoryStore::default()), MemoryStore::default());
    let mut table = Table::new("pairs");
    table.attach(TableId(5), Arc::clone(&store) as Arc<dyn Store>);
    let mut staged = Staged::default();
    let mut follow = |table: &mut Table<Pair>| {
        let mut changes = ChangeWriter::default();
        changes.begin(1);
        table.log_changes(&mut changes);
        table.commit();
        let part = changes.finish(&Marker::default()).remove(0);
        changelog::read(&part, |id, key, change| staged.take(id, key, change)).unwrap();
        copy.write(&staged.batch(&copy).unwrap(), &Place::default()).unwrap();
    };
    for key in [b"a", b"b", b"c"] {
        table.insert(key, Pair([1, 2])).unwrap();
    }
    follow(&mut table);
    let change = |table: &mut Table<Pair>, key: &[u8], by: i64| table.change(key, |pair| pair.0[1] += by).unwrap();
    // Changed twice; changed, then replaced; replaced, then changed.
    for by in [5, 7] {
        change(&mut table, b"a", by);
    }
    table.change(b"a", |_| {}).unwrap();
    assert_eq!(table.undo.len(), 2, "what moves nothing is no change");
    change(&mut table, b"b", 5);
    table.insert(b"b", Pair([0, 0])).unwrap();
    table.insert(b"c", Pair([9, 0])).unwrap();
    change(&mut table, b"c", 5);
    follow(&mut table);
    // Not committed.
    for key in [b"a", b"b", b"c"] {
        change(&mut table, key, 100);
        table.remove(key).unwrap();
    }
    table.rollback();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        table.change(b"a", |pair| {
            pair.0[0] = 77;
            panic!("a change that fails half way")
        })
    }));
    assert!(panicked.is_err());
    table.rollback();
    follow(&mut table);

    let expected = [(b"a", [1, 14]), (b"b", [0, 0]), (b"c", [9, 5])];
    let mut batch = StoreBatch::default();
    table.flush(&mut batch, 0);
    store.write(&batch, &Place::default()).unwrap();
    for (key, pair) in expected {
        assert_eq!(table.get(key).unwrap(), Some(&Pair(pair)));
        assert_eq!(copy.get(TableId(5), key).unwrap(), store.get(TableId(5), key).unwrap());
    }
}
