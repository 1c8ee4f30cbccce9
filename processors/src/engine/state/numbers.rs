//! Values that are rows of integers, and the difference between two of them.
//!
//! Counters move by little, so what a commit changed is far smaller than the value: a difference names the integers that
//! moved and by how much. It can be taken back, which is the undo list, and be applied to the stored form without
//! knowing what the integers mean, which is how a store is brought up to its changelog.
//!
//! Stored: a version byte, how many there are (LEB128), then each integer as zigzag LEB128. Difference: for each integer that
//! moved the number of those before it that did not (LEB128), and by how much it moved (zigzag, wrapping).

use super::StateError;
use super::value::{Fields, read_unsigned, write_number, write_unsigned, zigzag};

/// More integers than any value has; a difference that reaches beyond them is damaged.
const NUMBERS_MAX: u64 = 1 << 12;

/// Appends the stored form.
pub fn write_numbers(version: u8, numbers: &[i64], out: &mut Vec<u8>) {
    out.push(version);
    write_unsigned(out, numbers.len() as u64);
    for number in numbers {
        write_number(out, *number);
    }
}

/// Reads the stored form into integers that are 0 so far; a former release may have written fewer.
pub fn read_numbers(table: &'static str, version: u8, stored: &[u8], numbers: &mut [i64]) -> Result<(), StateError> {
    let mut fields = Fields::of(table, version, stored)?;
    let count = fields.count()?;
    if count > numbers.len() {
        return Err(fields.error(format!("{count} numbers are more than {}", numbers.len())));
    }
    for number in &mut numbers[..count] {
        *number = fields.number()?;
    }
    Ok(())
}

/// Appends the difference between two values of one length.
pub fn write_difference(before: &[i64], after: &[i64], out: &mut Vec<u8>) {
    let mut difference = DifferenceWriter::new(out);
    before.iter().zip(after).for_each(|(before, after)| difference.number(*before, *after));
}

/// Appends a difference, integer by integer.
pub struct DifferenceWriter<'a> {
    out: &'a mut Vec<u8>,
    unmoved: u64,
}

impl<'a> DifferenceWriter<'a> {
    /// Nothing moved so far.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, unmoved: 0 }
    }

    /// The next integer.
    #[inline]
    pub fn number(&mut self, before: i64, after: i64) {
        if before == after {
            self.unmoved += 1;
            return;
        }
        write_unsigned(self.out, self.unmoved);
        write_number(self.out, after.wrapping_sub(before));
        self.unmoved = 0;
    }

    /// So many integers did not move.
    pub fn skip(&mut self, unmoved: usize) {
        self.unmoved += unmoved as u64;
    }
}

/// Takes a difference back.
pub fn undo_difference(numbers: &mut [i64], difference: &[u8]) {
    let mut index = 0;
    for (unmoved, by) in Moves(difference) {
        index += unmoved as usize;
        let Some(number) = numbers.get_mut(index) else { return };
        *number = number.wrapping_sub(by);
        index += 1;
    }
}

/// Adds a difference to the sum of others: how far each integer moves. False when it is damaged, and then some of it may have
/// been added.
pub fn add_difference(sums: &mut Vec<i64>, difference: &[u8]) -> bool {
    let mut next = 0u64;
    let mut moves = Moves(difference);
    for (unmoved, by) in moves.by_ref() {
        let index = next.saturating_add(unmoved);
        if index >= NUMBERS_MAX {
            return false;
        }
        let index = index as usize;
        if sums.len() <= index {
            sums.resize(index + 1, 0);
        }
        sums[index] = sums[index].wrapping_add(by);
        next = index as u64 + 1;
    }
    moves.0.is_empty()
}

/// The stored form with a difference applied; none when one of the two is damaged. Integers that the stored form does not
/// have yet are 0.
pub fn apply_difference(stored: &[u8], difference: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = stored.split_first()?;
    let mut left = read_unsigned(&mut rest)?;
    let moved = Moves(difference).fold(0u64, |sum, (unmoved, _)| sum.saturating_add(unmoved).saturating_add(1));
    if moved > NUMBERS_MAX {
        return None;
    }
    let mut out = Vec::with_capacity(stored.len() + 8);
    out.push(*version);
    write_unsigned(&mut out, left.max(moved));
    let mut next = || match left.checked_sub(1) {
        None => Some(0),
        Some(fewer) => {
            left = fewer;
            read_unsigned(&mut rest).map(zigzag)
        }
    };
    let mut moves = Moves(difference);
    for (unmoved, by) in moves.by_ref() {
        for _ in 0..unmoved {
            write_number(&mut out, next()?);
        }
        write_number(&mut out, next()?.wrapping_add(by));
    }
    out.extend_from_slice(rest);
    moves.0.is_empty().then_some(out)
}

/// What a difference moves, until it ends or is damaged; then the rest stays.
struct Moves<'a>(&'a [u8]);

impl Iterator for Moves<'_> {
    type Item = (u64, i64);

    fn next(&mut self) -> Option<Self::Item> {
        let mut rest = self.0;
        let moved = (read_unsigned(&mut rest)?, zigzag(read_unsigned(&mut rest)?));
        self.0 = rest;
        Some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(numbers: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        write_numbers(7, numbers, &mut out);
        out
    }

    fn difference(before: &[i64], after: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        write_difference(before, after, &mut out);
        out
    }

    #[test]
    fn a_difference_leads_there_and_back() {
        let cases: [([i64; 4], [i64; 4]); 5] = [
            ([1, 2, 3, 4], [1, 2, 3, 4]),
            ([1, 2, 3, 4], [1, 5, 3, 4]),
            ([0, 0, 0, 0], [-1, i64::MAX, i64::MIN, 1]),
            ([i64::MAX, i64::MIN, 0, 9], [i64::MIN, i64::MAX, 0, 0]),
            ([1, 2, 3, 4], [1, 2, 3, 1_000_000]),
        ];
        for (before, after) in cases {
            let difference = difference(&before, &after);
            assert_eq!(
                apply_difference(&stored(&before), &difference),
                Some(stored(&after)),
                "{before:?} to {after:?}"
            );
            let mut sums = vec![5];
            assert!(add_difference(&mut sums, &difference));
            sums.resize(4, 0);
            let expected: [i64; 4] = std::array::from_fn(|index| {
                after[index].wrapping_sub(before[index]).wrapping_add(if index == 0 { 5 } else { 0 })
            });
            assert_eq!(sums, expected);
            let mut back = after;
            undo_difference(&mut back, &difference);
            assert_eq!(back, before);
        }
        assert!(difference(&[7; 66], &[7; 66]).is_empty());
        assert_eq!(difference(&[0; 66], &[1; 66]).len(), 132, "a small move has two bytes");
    }

    #[test]
    fn integers_that_a_later_release_added_begin_at_0() {
        assert_eq!(apply_difference(&stored(&[1]), &difference(&[1, 0, 0], &[1, 0, 5])), Some(stored(&[1, 0, 5])));
    }

    #[test]
    fn damage_is_seen() {
        let difference = difference(&[1, 1], &[1, 300]);
        assert_eq!(apply_difference(&[], &difference), None);
        assert_eq!(apply_difference(&stored(&[1, 1]), &difference[..difference.len() - 1]), None);
        assert_eq!(apply_difference(&[7, 2, 0x80], &difference), None);
        let far = [&[0xff; 9][..], &[1, 2]].concat();
        assert_eq!(apply_difference(&stored(&[1, 1]), &far), None, "reaches beyond any value");
        assert!(!add_difference(&mut Vec::new(), &far) && !add_difference(&mut Vec::new(), &difference[..1]));
        let mut numbers = [0; 2];
        let stored = stored(&[1, 1]);
        for length in 0..stored.len() {
            assert!(read_numbers("t", 7, &stored[..length], &mut numbers).is_err(), "cut at {length}");
        }
        assert!(read_numbers("t", 7, &stored, &mut numbers[..1]).is_err(), "of a later release");
        undo_difference(&mut [], &difference);
    }
}
