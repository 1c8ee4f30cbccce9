//! Maps from text to text, such as labels and attributes.

use std::fmt;

use crate::codec::{Cursor, Datum, Output};
use crate::list::{List, ListIter};

/// A map from text to text in the order of its writer. Two maps are equal when they have the same pairs in the same order.
#[derive(Clone, Copy, PartialEq, Default)]
pub struct TextMap<'a> {
    pairs: List<'a, (&'a str, &'a str)>,
}

impl<'a> TextMap<'a> {
    /// A map of these pairs. Keys should be distinct: most other readers keep one pair of a key only.
    #[inline]
    #[must_use]
    pub fn from_slice(pairs: &'a [(&'a str, &'a str)]) -> Self {
        Self { pairs: List::from_slice(pairs) }
    }

    /// A map without pairs.
    #[inline]
    #[must_use]
    pub fn empty() -> Self {
        Self { pairs: List::empty() }
    }

    /// Number of pairs.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The pairs, in order.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> ListIter<'a, (&'a str, &'a str)> {
        self.pairs.iter()
    }

    /// Value of the first pair with this key. Takes time in proportion to the number of pairs.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.iter().find(|(candidate, _)| *candidate == key).map(|(_, value)| value)
    }
}

impl<'a> Datum<'a> for TextMap<'a> {
    const SIZE_BOUND: usize = List::<(&str, &str)>::SIZE_BOUND;

    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        Self { pairs: List::read(cursor) }
    }

    #[inline]
    fn content_size(&self) -> usize {
        self.pairs.content_size()
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        self.pairs.write(output);
    }
}

impl fmt::Debug for TextMap<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for TextMap<'a> {
    type Item = (&'a str, &'a str);
    type IntoIter = ListIter<'a, (&'a str, &'a str)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::records::Target;

    #[test]
    fn a_map_is_the_same_before_and_after_the_wire() {
        let pairs = [("team", "payments"), ("region", "eu-1"), ("empty", "")];
        let mut datum = Vec::new();
        Target { labels: TextMap::from_slice(&pairs), ..Target::default() }.encode(&mut datum);
        let decoded = Target::decode(&datum).unwrap().labels;
        for map in [TextMap::from_slice(&pairs), decoded] {
            assert_eq!(map.len(), 3);
            assert_eq!(map.iter().collect::<Vec<_>>(), pairs);
            assert_eq!((map.get("region"), map.get("empty"), map.get("none")), (Some("eu-1"), Some(""), None));
        }
        assert_eq!(decoded, TextMap::from_slice(&pairs));
        assert_ne!(decoded, TextMap::from_slice(&pairs[..2]));
        assert_eq!(format!("{decoded:?}"), format!("{:?}", TextMap::from_slice(&pairs)));
    }
}
