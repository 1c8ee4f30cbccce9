//! Arrays that are read item by item, without memory of their own.

use std::fmt;

use crate::codec::{Cursor, Datum, Output};

/// Bytes around the items: the count and the end.
const FRAME_SIZE_BOUND: usize = 11;

/// An array: items of the writer, or encoded ones that were checked when they were read.
#[derive(Clone, Copy)]
pub struct List<'a, T> {
    content: Content<'a, T>,
}

#[derive(Clone, Copy)]
enum Content<'a, T> {
    Items(&'a [T]),
    Encoded(Encoded<'a>),
}

#[derive(Clone, Copy)]
struct Encoded<'a> {
    /// All blocks and the end.
    bytes: &'a [u8],
    items: usize,
    /// One block without its size, as we write it.
    as_we_write: bool,
}

impl<'a, T> List<'a, T> {
    /// A list of these items.
    #[inline]
    #[must_use]
    pub fn from_slice(items: &'a [T]) -> Self {
        Self { content: Content::Items(items) }
    }

    /// A list without items.
    #[inline]
    #[must_use]
    pub fn empty() -> Self {
        Self::from_slice(&[])
    }

    /// Number of items.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.content {
            Content::Items(items) => items.len(),
            Content::Encoded(encoded) => encoded.items,
        }
    }

    /// Whether there is no item.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: Datum<'a>> List<'a, T> {
    /// The items, in order. Encoded ones are decoded as they are reached.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> ListIter<'a, T> {
        let source = match self.content {
            Content::Items(items) => Source::Items(items.iter()),
            Content::Encoded(encoded) => {
                Source::Encoded { cursor: Cursor::new(encoded.bytes), left: encoded.items, left_in_block: 0 }
            }
        };
        ListIter { source }
    }

    /// Reads the items only to check and count them.
    #[inline(never)]
    fn read_items(mut cursor: Cursor<'a>) -> (Encoded<'a>, Cursor<'a>) {
        let start = cursor;
        let (mut items, mut blocks, mut sized) = (0, 0_usize, false);
        while let Some(block) = cursor.block() {
            for _ in 0..block.items {
                T::read(&mut cursor);
                if cursor.has_failed() {
                    break;
                }
            }
            cursor.end_block(block);
            items += block.items;
            blocks += 1;
            sized |= block.is_sized();
        }
        (Encoded { bytes: start.read_until(&cursor), items, as_we_write: blocks == 1 && !sized }, cursor)
    }
}

impl<'a, T: Datum<'a>> Datum<'a> for List<'a, T> {
    const SIZE_BOUND: usize = FRAME_SIZE_BOUND;

    #[inline]
    fn read(cursor: &mut Cursor<'a>) -> Self {
        if cursor.skip_byte(0) {
            return Self::empty();
        }
        let (encoded, after) = Self::read_items(*cursor);
        *cursor = after;
        Self { content: Content::Encoded(encoded) }
    }

    #[inline]
    fn content_size(&self) -> usize {
        match &self.content {
            Content::Encoded(encoded) if encoded.as_we_write => encoded.bytes.len(),
            _ => self.iter().map(|item| T::SIZE_BOUND + item.content_size()).sum(),
        }
    }

    #[inline]
    fn write(&self, output: &mut Output<'_>) {
        match &self.content {
            Content::Encoded(encoded) if encoded.as_we_write => output.raw(encoded.bytes),
            _ if self.is_empty() => output.long(0),
            _ => {
                output.length_of(self.len());
                self.iter().for_each(|item| item.write(output));
                output.long(0);
            }
        }
    }
}

impl<T> Default for List<'_, T> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<'a, T: Datum<'a>> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Datum<'a>> fmt::Debug for List<'a, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Datum<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = ListIter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Items of a [`List`].
#[derive(Debug, Clone)]
pub struct ListIter<'a, T> {
    source: Source<'a, T>,
}

#[derive(Debug, Clone)]
enum Source<'a, T> {
    Items(std::slice::Iter<'a, T>),
    Encoded { cursor: Cursor<'a>, left: usize, left_in_block: usize },
}

impl<'a, T: Datum<'a>> Iterator for ListIter<'a, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        match &mut self.source {
            Source::Items(items) => items.next().copied(),
            Source::Encoded { left: 0, .. } => None,
            Source::Encoded { cursor, left, left_in_block } => {
                if *left_in_block == 0 {
                    *left_in_block = cursor.block()?.items;
                }
                *left -= 1;
                *left_in_block -= 1;
                Some(T::read(cursor))
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.source {
            Source::Items(items) => items.len(),
            Source::Encoded { left, .. } => *left,
        };
        (left, Some(left))
    }
}

impl<'a, T: Datum<'a>> ExactSizeIterator for ListIter<'a, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::records::{LedgerDisposition, LedgerEntry, LedgerInput};

    #[test]
    fn lists_in_lists_are_the_same_before_and_after_the_wire() {
        let disposition =
            |reason| LedgerDisposition { disposition: "absorbed", reason, records: 2, offsets: b"\x01\0\x01" };
        let dispositions = [disposition("baseline"), disposition("late")];
        let inputs = [
            LedgerInput {
                topic: "raw.queries",
                dispositions: List::from_slice(&dispositions),
                ..LedgerInput::default()
            },
            LedgerInput { topic: "raw.texts", ..LedgerInput::default() },
        ];
        let entry = LedgerEntry { group: "enrich", inputs: List::from_slice(&inputs), ..LedgerEntry::default() };
        let mut datum = Vec::new();
        entry.encode(&mut datum);
        let decoded = LedgerEntry::decode(&datum).unwrap();
        assert_eq!(decoded, entry);
        assert_eq!(decoded.inputs.iter().len(), 2);
        let reasons: Vec<&str> =
            decoded.inputs.iter().flat_map(|input| input.dispositions).map(|item| item.reason).collect();
        assert_eq!(reasons, ["baseline", "late"]);
        let mut again = Vec::new();
        decoded.encode(&mut again);
        assert_eq!(again, datum);
    }

    #[test]
    fn an_empty_list_has_no_items() {
        let list: List<'_, &str> = List::empty();
        assert!(list.is_empty());
        assert_eq!(list.iter().next(), None);
    }
}
