//! Reads values off the front of a datum.
//!
//! A cursor remembers its first failure; from then on there is nothing left to read, and what it returns is arbitrary. So
//! a record is read in a straight line, and asked once at its end whether all went well.

use super::Fault;

/// Most bytes that a number takes.
const NUMBER_SIZE_MAX: usize = 10;

/// The part of a datum that is still to be read.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    failure: Option<Failure>,
}

/// Why a datum could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub fault: Fault,
    /// Bytes that were left.
    pub left: usize,
}

/// Head of a block of an array or map.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    /// Number of items in the block; at most the number of bytes that are left.
    pub items: usize,
    /// Bytes that have to be left after the items, when the block tells its size.
    left_after: Option<usize>,
}

impl Block {
    /// Whether the block tells its size in bytes.
    #[inline]
    #[must_use]
    pub fn is_sized(&self) -> bool {
        self.left_after.is_some()
    }
}

impl<'a> Cursor<'a> {
    /// Starts at the front of `datum`.
    #[inline]
    #[must_use]
    pub fn new(datum: &'a [u8]) -> Self {
        Self { rest: datum, failure: None }
    }

    /// Whether all bytes were read without a failure.
    #[inline]
    pub fn finish(&self) -> Result<(), Failure> {
        match (self.failure, self.rest) {
            (Some(failure), _) => Err(failure),
            (None, []) => Ok(()),
            (None, rest) => Err(Failure { fault: Fault::TrailingBytes, left: rest.len() }),
        }
    }

    /// Whether there was a failure.
    #[inline]
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Reads nothing any more.
    #[inline]
    pub fn fail(&mut self, fault: Fault) {
        *self = failed(*self, fault);
    }

    /// What `later` has read since it was a copy of this cursor.
    #[inline]
    #[must_use]
    pub fn read_until(&self, later: &Self) -> &'a [u8] {
        let length = self.rest.len().saturating_sub(later.rest.len());
        self.rest.get(..length).unwrap_or_default()
    }

    /// Reads `length` bytes.
    #[inline(always)]
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                taken
            }
            None => {
                self.fail(Fault::EndOfInput);
                &[]
            }
        }
    }

    /// Reads `N` bytes.
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk() {
            Some((taken, rest)) => {
                self.rest = rest;
                *taken
            }
            None => {
                self.fail(Fault::EndOfInput);
                [0; N]
            }
        }
    }

    /// Reads a byte if it is this one.
    #[inline]
    pub fn skip_byte(&mut self, expected: u8) -> bool {
        match self.rest {
            [byte, rest @ ..] if *byte == expected => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Reads a zigzag number of variable length.
    #[inline(always)]
    pub fn long(&mut self) -> i64 {
        if let [byte, rest @ ..] = self.rest
            && *byte < 0x80
        {
            self.rest = rest;
            return unzigzag(u64::from(*byte));
        }
        let (value, length) = number_of_many_bytes(self.rest);
        match self.rest.get(length..) {
            Some(rest) if length > 0 => self.rest = rest,
            _ => self.fail(fault_of_number(self.rest)),
        }
        unzigzag(value)
    }

    /// Reads the length of a string, of bytes, or of a block.
    #[inline(always)]
    pub fn length(&mut self) -> usize {
        usize::try_from(self.long()).unwrap_or_else(|_| {
            self.fail(Fault::NegativeLength);
            0
        })
    }

    /// Reads bytes with their length in front.
    #[inline(always)]
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.length();
        self.take(length)
    }

    /// Reads the branch of a union with null: whether a value follows.
    #[inline(always)]
    pub fn branch(&mut self) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == 0 || *first == 2 => {
                self.rest = rest;
                *first == 2
            }
            _ => {
                let (branch, cursor) = unusual_branch(*self);
                *self = cursor;
                branch
            }
        }
    }

    /// Reads the head of the next block of an array or map; none after the last one, or after a failure.
    #[inline]
    pub fn block(&mut self) -> Option<Block> {
        let count = self.long();
        if count == 0 {
            return None;
        }
        let size = if count < 0 { Some(self.length()) } else { None };
        let left_after = size.map(|size| self.rest.len().checked_sub(size));
        let items = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if items > self.rest.len() || left_after == Some(None) {
            self.fail(Fault::EndOfInput);
        }
        if self.has_failed() { None } else { Some(Block { items, left_after: left_after.flatten() }) }
    }

    /// Checks the size that the block told, after its items were read.
    #[inline]
    pub fn end_block(&mut self, block: Block) {
        if block.left_after.is_some_and(|left| left != self.rest.len()) {
            self.fail(Fault::WrongBlockSize);
        }
    }
}

/// What is rare takes and returns the cursor by value, so that elsewhere it stays in registers.
#[cold]
#[inline(never)]
fn failed(cursor: Cursor<'_>, fault: Fault) -> Cursor<'_> {
    let failure = cursor.failure.unwrap_or(Failure { fault, left: cursor.rest.len() });
    Cursor { rest: &[], failure: Some(failure) }
}

#[cold]
#[inline(never)]
fn unusual_branch(mut cursor: Cursor<'_>) -> (bool, Cursor<'_>) {
    let branch = cursor.long();
    if !matches!(branch, 0 | 1) {
        cursor.fail(Fault::NoSuchBranch);
    }
    (branch == 1, cursor)
}

#[cold]
#[inline(never)]
fn fault_of_number(bytes: &[u8]) -> Fault {
    if bytes.len() < NUMBER_SIZE_MAX && bytes.iter().all(|byte| *byte >= 0x80) {
        Fault::EndOfInput
    } else {
        Fault::LongTooLarge
    }
}

/// A number and its size, which is 0 when the bytes do not begin with a number.
#[inline(always)]
fn number_of_many_bytes(bytes: &[u8]) -> (u64, usize) {
    let Some(word) = bytes.first_chunk::<8>() else { return number_byte_by_byte(bytes) };
    let word = u64::from_le_bytes(*word);
    let last_bytes = !word & 0x8080_8080_8080_8080;
    if last_bytes == 0 {
        return number_byte_by_byte(bytes);
    }
    let up_to_last_byte = last_bytes ^ last_bytes.wrapping_sub(1);
    (join_groups_of_seven(word & up_to_last_byte), last_bytes.trailing_zeros() as usize / 8 + 1)
}

/// For the last bytes of a datum, and for numbers of nine or ten bytes.
#[cold]
#[inline(never)]
fn number_byte_by_byte(bytes: &[u8]) -> (u64, usize) {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(NUMBER_SIZE_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        let is_too_large = index == NUMBER_SIZE_MAX - 1 && *byte > 1;
        if *byte < 0x80 {
            return if is_too_large { (0, 0) } else { (value, index + 1) };
        }
    }
    (0, 0)
}

#[inline]
fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Moves the low seven bits of each byte together.
#[inline]
fn join_groups_of_seven(word: u64) -> u64 {
    let bytes = word & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (bytes & 0x007f_007f_007f_007f) | ((bytes & 0x7f00_7f00_7f00_7f00) >> 1);
    let quads = (pairs & 0x0000_3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
    (quads & 0x0fff_ffff) | ((quads & 0x0fff_ffff_0000_0000) >> 4)
}
