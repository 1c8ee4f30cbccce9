//! Writes values into space that was made for them.

/// Most bytes that a number takes.
pub const LONG_SIZE_BOUND: usize = 10;

/// Space for a datum. The sum of the size bounds of what is written must not exceed it.
#[derive(Debug)]
pub struct Output<'o> {
    space: &'o mut [u8],
    length: usize,
}

impl<'o> Output<'o> {
    /// Appends to `out` what `write` writes, which takes at most `size_bound` bytes.
    #[inline]
    pub fn append(out: &'o mut Vec<u8>, size_bound: usize, write: impl FnOnce(&mut Output<'_>)) {
        let start = out.len();
        out.resize(start + size_bound, 0);
        let mut output = Output { space: &mut out[start..], length: 0 };
        write(&mut output);
        let length = output.length;
        out.truncate(start + length);
    }

    /// Writes bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.space[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Writes a zigzag number of variable length.
    #[inline]
    pub fn long(&mut self, value: i64) {
        let value = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
        if value < 0x80 {
            self.space[self.length] = value.to_le_bytes()[0];
            self.length += 1;
        } else {
            let (bytes, length) = number_of_many_bytes(value);
            self.space[self.length..self.length + LONG_SIZE_BOUND]
                .copy_from_slice(&bytes.to_le_bytes()[..LONG_SIZE_BOUND]);
            self.length += length;
        }
    }

    /// Writes bytes with their length in front.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.length_of(bytes.len());
        self.raw(bytes);
    }

    /// Writes the length of a string, of bytes, or of a block.
    #[inline]
    pub fn length_of(&mut self, length: usize) {
        self.long(i64::try_from(length).unwrap_or(i64::MAX));
    }
}

/// The bytes of a number, and how many they are. There is always space for ten, as each number may take them.
#[inline(never)]
fn number_of_many_bytes(value: u64) -> (u128, usize) {
    let groups = (63 - (value | 1).leading_zeros() as usize) / 7;
    let low = u128::from(split_into_groups_of_seven(value));
    let high = u128::from(value >> 56) & 0x7f | u128::from(value >> 63) << 8;
    let continued = 0x8080_8080_8080_8080_8080_u128 & ((1_u128 << (8 * groups)) - 1);
    (low | high << 64 | continued, groups + 1)
}

/// Moves each group of seven bits to a byte of its own.
#[inline]
fn split_into_groups_of_seven(value: u64) -> u64 {
    let quads = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
    let pairs = (quads & 0x0000_3fff_0000_3fff) | ((quads & 0x0fff_c000_0fff_c000) << 2);
    (pairs & 0x007f_007f_007f_007f) | ((pairs & 0x3f80_3f80_3f80_3f80) << 1)
}
