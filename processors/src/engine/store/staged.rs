//! Changes from a changelog on their way into a store: each key once, however often it changed.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::{Store, StoreBatch, StoreError, TableId, full_key, split_key};
use crate::engine::changelog::Change;
use crate::engine::state::numbers::{add_difference, apply_difference, write_difference};

/// What will be written.
#[derive(Default)]
pub struct Staged {
    /// By full key.
    pending: HashMap<Key, Pending>,
    bytes: usize,
    /// Differences to values that are not there. While the checkpoint is read from its beginning that is as it should be, since
    /// the value comes later, with the difference in it; a store that has everything up to here must not have any.
    pub without_value: u64,
}

type Key = SmallVec<[u8; 24]>;

/// Room for the numbers of most values.
const SUMS: usize = 64;

enum Pending {
    /// None deletes.
    Value(Option<Vec<u8>>),
    /// How far each number of the stored value moves, all differences together.
    Moved(Vec<i64>),
}

impl Staged {
    /// Takes a change that follows all that were taken and all that the store has.
    pub fn take(&mut self, table: TableId, key: &[u8], change: Change<'_>) {
        let mut full = Key::new();
        full_key(table, key, &mut full);
        self.bytes += full.len();
        let pending = match change {
            Change::Put(value) | Change::Rewritten(value) => {
                self.bytes += value.len();
                Pending::Value(Some(value.to_vec()))
            }
            Change::Delete => Pending::Value(None),
            Change::Difference(difference) => return self.move_by(full, difference),
        };
        self.pending.insert(full, pending);
    }

    fn move_by(&mut self, full_key: Key, difference: &[u8]) {
        self.bytes += difference.len();
        let fits = match self.pending.entry(full_key).or_insert_with(|| Pending::Moved(Vec::with_capacity(SUMS))) {
            Pending::Moved(sums) => add_difference(sums, difference),
            Pending::Value(None) => false,
            Pending::Value(Some(value)) => match apply_difference(value, difference) {
                None => false,
                Some(after) => {
                    *value = after;
                    true
                }
            },
        };
        self.without_value += u64::from(!fits);
    }

    /// Bytes taken since the last [`Staged::batch`].
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything as a batch for the store, in the order of the keys. Nothing is left.
    pub fn batch(&mut self, store: &dyn Store) -> Result<StoreBatch, StoreError> {
        self.bytes = 0;
        let mut pending: Vec<_> = self.pending.drain().collect();
        pending.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut batch = StoreBatch::default();
        for (full_key, pending) in pending {
            let (table, key) = split_key(&full_key);
            match pending {
                Pending::Value(Some(value)) => batch.put(table, key, |out| out.extend_from_slice(&value)),
                Pending::Value(None) => batch.delete(table, key),
                Pending::Moved(sums) => match moved(store.get(table, key)?, &sums) {
                    Some(value) => batch.put(table, key, |out| out.extend_from_slice(&value)),
                    None => self.without_value += 1,
                },
            }
        }
        Ok(batch)
    }
}

fn moved(stored: Option<Vec<u8>>, sums: &[i64]) -> Option<Vec<u8>> {
    let mut difference = Vec::new();
    write_difference(&vec![0; sums.len()], sums, &mut difference);
    apply_difference(&stored?, &difference)
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
        let mut take = |key: &[u8], change: Change<'_>| staged.take(TABLE, key, change);
        take(b"a", Change::Difference(&difference));
        take(b"a", Change::Difference(&difference));
        take(b"b", Change::Put(&numbers(&[1, 1])));
        take(b"b", Change::Difference(&difference));
        take(b"c", Change::Difference(&difference));
        take(b"d", Change::Put(&numbers(&[1, 1])));
        take(b"d", Change::Delete);
        take(b"d", Change::Difference(&difference));
        let batch = staged.batch(&store).unwrap();
        assert_eq!(staged.without_value, 2);
        store.write(&batch, &Place::default()).unwrap();
        assert_eq!(store.get(TABLE, b"a").unwrap(), Some(numbers(&[7, 13])));
        assert_eq!(store.get(TABLE, b"b").unwrap(), Some(numbers(&[1, 4])));
        assert_eq!((store.get(TABLE, b"c").unwrap(), store.get(TABLE, b"d").unwrap()), (None, None));
        assert!(staged.bytes() == 0 && staged.batch(&store).unwrap().iter().next().is_none(), "nothing is left");
        staged.take(TABLE, b"a", Change::Difference(&difference[..difference.len() - 1]));
        assert_eq!(staged.without_value, 3, "a damaged one is none");
    }
}
