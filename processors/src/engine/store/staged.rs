//! Changes from a changelog on their way into a store: each key once, however often it changed.

use std::collections::HashMap;

use super::{Store, StoreBatch, StoreError, TableId, full_key, split_key};
use crate::engine::changelog::Change;
use crate::engine::state::numbers::apply_difference;

/// What will be written.
#[derive(Default)]
pub struct Staged {
    /// Values by full key; none deletes.
    values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    key: Vec<u8>,
    bytes: usize,
    /// Differences to values that are not there. While the checkpoint is read from its beginning that is as it should be, since
    /// the value comes later, with the difference in it; a store that has everything up to here must not have any.
    pub without_value: u64,
}

impl Staged {
    /// Takes a change that follows all that were taken and all that the store has.
    pub fn take(
        &mut self,
        store: &dyn Store,
        table: TableId,
        key: &[u8],
        change: Change<'_>,
    ) -> Result<(), StoreError> {
        self.key.clear();
        full_key(table, key, &mut self.key);
        let value = match change {
            Change::Put(value) => Some(value.to_vec()),
            Change::Delete => None,
            Change::Difference(difference) => {
                let stored = match self.values.get(&self.key) {
                    Some(staged) => staged.as_deref().map(|value| apply_difference(value, difference)),
                    None => store.get(table, key)?.map(|value| apply_difference(&value, difference)),
                };
                let Some(Some(value)) = stored else {
                    self.without_value += 1;
                    return Ok(());
                };
                Some(value)
            }
        };
        self.bytes += self.key.len() + value.as_ref().map_or(0, Vec::len);
        match self.values.get_mut(&self.key) {
            Some(staged) => *staged = value,
            None => drop(self.values.insert(self.key.clone(), value)),
        }
        Ok(())
    }

    /// Bytes taken since the last [`Staged::batch`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything as a batch, in the order of the keys. Nothing is left.
    pub fn batch(&mut self) -> StoreBatch {
        self.bytes = 0;
        let mut values: Vec<_> = self.values.drain().collect();
        values.sort_unstable();
        let mut batch = StoreBatch::default();
        for (full_key, value) in values {
            let (table, key) = split_key(&full_key);
            match value {
                Some(value) => batch.put(table, key, |out| out.extend_from_slice(&value)),
                None => batch.delete(table, key),
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::state::numbers::{write_difference, write_numbers};
    use crate::engine::store::{MemoryStore, Place};

    const TABLE: TableId = TableId(3);

    fn numbers(numbers: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        write_numbers(1, numbers, &mut out);
        out
    }

    #[test]
    fn differences_meet_their_value_in_the_store_or_on_the_way_there() {
        let mut difference = Vec::new();
        write_difference(&[1, 1], &[1, 4], &mut difference);
        let store = MemoryStore::default();
        let mut before = StoreBatch::default();
        before.put(TABLE, b"a", |out| *out = [std::mem::take(out), numbers(&[7, 7])].concat());
        store.write(&before, &Place::default()).unwrap();

        let mut staged = Staged::default();
        let mut take = |key: &[u8], change: Change<'_>| staged.take(&store, TABLE, key, change).unwrap();
        take(b"a", Change::Difference(&difference));
        take(b"a", Change::Difference(&difference));
        take(b"b", Change::Put(&numbers(&[1, 1])));
        take(b"b", Change::Difference(&difference));
        take(b"c", Change::Difference(&difference));
        take(b"d", Change::Put(&numbers(&[1, 1])));
        take(b"d", Change::Delete);
        take(b"d", Change::Difference(&difference));
        assert_eq!(staged.without_value, 2);
        store.write(&staged.batch(), &Place::default()).unwrap();
        assert_eq!(store.get(TABLE, b"a").unwrap(), Some(numbers(&[7, 13])));
        assert_eq!(store.get(TABLE, b"b").unwrap(), Some(numbers(&[1, 4])));
        assert_eq!((store.get(TABLE, b"c").unwrap(), store.get(TABLE, b"d").unwrap()), (None, None));
        assert!(staged.bytes() == 0 && staged.batch().iter().next().is_none(), "nothing is left");
    }
}
