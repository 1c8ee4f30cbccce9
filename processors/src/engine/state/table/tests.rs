//! A table over a store that can crash.

use std::sync::Arc;

use super::*;
use crate::engine::changelog::{Marker, apply};
use crate::engine::store::{MemoryStore, Place};

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

fn value(table: &mut Table<Number>, key: &[u8]) -> Option<u64> {
    table.get(key).unwrap().map(|number| number.0)
}

#[test]
fn a_rollback_brings_back_what_the_last_commit_left() {
    let (mut table, _) = table();
    table.insert(b"kept", Number(1)).unwrap();
    table.insert(b"removed", Number(2)).unwrap();
    table.commit();
    table.get_mut(b"kept").unwrap().unwrap().0 = 10;
    table.get_mut(b"kept").unwrap().unwrap().0 = 11;
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
    table.log_changes(&mut changes);
    let mut batch = StoreBatch::default();
    for part in changes.finish(&Marker::default()) {
        apply(&part, &mut batch).unwrap();
    }
    let logged: Vec<_> = batch.iter().map(|(key, value)| (key[8..].to_vec(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(logged, [(b"a".to_vec(), Some(3u64.to_le_bytes().to_vec())), (b"old".to_vec(), None)]);
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
    table.log_changes(&mut changes);
    let mut logged = StoreBatch::default();
    apply(&changes.finish(&Marker::default()).remove(0), &mut logged).unwrap();
    let removed: Vec<_> = logged.iter().map(|(key, value)| (key[8..].to_vec(), value.is_none())).collect();
    assert_eq!(removed, [(b"gone".to_vec(), true)]);
    table.rollback();
    assert_eq!(table.get(b"gone").unwrap(), Some(&Until(10)), "a transaction that is not committed removes nothing");
}
