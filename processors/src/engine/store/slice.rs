//! Entries that were read from a store, in one piece of memory.

/// Full keys with their values, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Slice {
    bytes: Vec<u8>,
    /// Where each key and its value end; a key begins where the value before it ends.
    ends: Vec<(usize, usize)>,
}

impl Slice {
    /// Appends an entry.
    pub fn push(&mut self, full_key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(full_key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.ends.len()).map(|number| self.entry(number))
    }

    /// The key of the last entry.
    pub fn last_key(&self) -> Option<&[u8]> {
        Some(self.entry(self.ends.len().checked_sub(1)?).0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Size of keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn entry(&self, number: usize) -> (&[u8], &[u8]) {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before].1);
        let (key_end, end) = self.ends[number];
        (&self.bytes[start..key_end], &self.bytes[key_end..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_in_order() {
        let mut slice = Slice::default();
        assert_eq!((slice.last_key(), slice.len()), (None, 0));
        let entries: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"bc", b""), (b"d", b"234")];
        entries.iter().for_each(|(key, value)| slice.push(key, value));
        assert_eq!(slice.iter().collect::<Vec<_>>(), entries);
        assert_eq!((slice.last_key(), slice.len(), slice.bytes()), (Some(&b"d"[..]), 3, 8));
    }
}
