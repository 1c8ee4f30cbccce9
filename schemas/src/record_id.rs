//! Identities of records: 128-bit hashes that a replay computes again.
//!
//! The hash is MurmurHash3 x64 128 with seed 0, its two halves in little-endian order. What is hashed is each part in turn,
//! behind its length in bytes as an unsigned 64-bit little-endian number, so that `["a", "bc"]` and `["ab", "c"]` differ.
//! It is for identity and for even samples, not for protection from somebody who looks for collisions.

const FIRST_MULTIPLIER: u64 = 0x87c3_7b91_1142_53d5;
const SECOND_MULTIPLIER: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK_SIZE: u32 = 16;

/// Hash of some parts; see the module for its definition, which never changes.
#[must_use]
pub fn hash128(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Hasher::default();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finish()
}

/// Identity of a raw record: of the target, the epoch of the target's owner, the number of the poll within the epoch, and
/// what identifies the row within the poll. The numbers are hashed as 64-bit little-endian parts.
#[must_use]
pub fn record_id(target: &str, owner_epoch: i64, poll_seq: i64, row_key: &[u8]) -> [u8; 16] {
    hash128(&[target.as_bytes(), &owner_epoch.to_le_bytes(), &poll_seq.to_le_bytes(), row_key])
}

/// MurmurHash3 x64 128 of bytes that come in pieces.
#[derive(Default)]
struct Hasher {
    first: u64,
    second: u64,
    /// The bytes of the open block, its first byte lowest.
    block: u128,
    /// How many they are, below 16.
    filled: u32,
    length: u64,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.push(u64::from_le_bytes(*word), 8);
        }
        if !tail.is_empty() {
            let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.push(word, tail.len() as u32);
        }
    }

    /// Appends the `bytes` (1 to 8) lowest bytes of a word.
    fn push(&mut self, word: u64, bytes: u32) {
        self.length += u64::from(bytes);
        self.block |= u128::from(word) << (8 * self.filled);
        self.filled += bytes;
        if self.filled >= BLOCK_SIZE {
            self.mix_block();
            self.filled -= BLOCK_SIZE;
            // What did not fit: nothing when the block was just filled.
            self.block = u128::from(word.checked_shr(8 * (bytes - self.filled)).unwrap_or(0));
        }
    }

    fn mix_block(&mut self) {
        let (first, second) = halves(self.block);
        self.first ^= scramble_first(first);
        self.first = self.first.rotate_left(27).wrapping_add(self.second).wrapping_mul(5).wrapping_add(0x52dc_e729);
        self.second ^= scramble_second(second);
        self.second = self.second.rotate_left(31).wrapping_add(self.first).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }

    fn finish(self) -> [u8; 16] {
        let (first_tail, second_tail) = halves(self.block);
        let mut first = self.first ^ scramble_first(first_tail) ^ self.length;
        let mut second = self.second ^ scramble_second(second_tail) ^ self.length;
        first = first.wrapping_add(second);
        second = second.wrapping_add(first);
        first = avalanche(first);
        second = avalanche(second);
        first = first.wrapping_add(second);
        second = second.wrapping_add(first);
        (u128::from(second) << 64 | u128::from(first)).to_le_bytes()
    }
}

fn halves(block: u128) -> (u64, u64) {
    (block as u64, (block >> 64) as u64)
}

fn scramble_first(word: u64) -> u64 {
    word.wrapping_mul(FIRST_MULTIPLIER).rotate_left(31).wrapping_mul(SECOND_MULTIPLIER)
}

fn scramble_second(word: u64) -> u64 {
    word.wrapping_mul(SECOND_MULTIPLIER).rotate_left(33).wrapping_mul(FIRST_MULTIPLIER)
}

fn avalanche(word: u64) -> u64 {
    let word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn murmur3(bytes: &[u8]) -> [u8; 16] {
        let mut hasher = Hasher::default();
        hasher.update(bytes);
        hasher.finish()
    }

    fn hex(bytes: [u8; 16]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From the reference implementation, whose halves are shown here in little-endian order.
    #[test]
    fn the_hash_is_murmur3() {
        let cases: [(&[u8], [u64; 2]); 4] = [
            (b"", [0, 0]),
            (b"hello", [0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19]),
            (b"hello, world", [0x342f_ac62_3a5e_bc8e, 0x4cdc_bc07_9642_414d]),
            (b"The quick brown fox jumps over the lazy dog.", [0xcd99_481f_9ee9_02c9, 0x695d_a1a3_8987_b6e7]),
        ];
        for (bytes, [first, second]) in cases {
            let expected = [first.to_le_bytes(), second.to_le_bytes()].concat();
            assert_eq!(murmur3(bytes).as_slice(), expected);
        }
    }

    #[test]
    fn pieces_of_any_length_give_the_same_hash() {
        let bytes: Vec<u8> = (0..100).collect();
        for size in 1..40 {
            let mut hasher = Hasher::default();
            bytes.chunks(size).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), murmur3(&bytes), "{size}");
        }
    }

    /// These never change: what is stored, and a replay, depend on them.
    #[test]
    fn golden_values() {
        assert_eq!(hex(hash128(&[])), "00000000000000000000000000000000");
        assert_eq!(hex(hash128(&[b"a", b"bc"])), "9229971c6b7adb67c7c2654b2d5d80a6");
        assert_eq!(hex(hash128(&[b"ab", b"c"])), "2b0aea8bbd3ffd3c4d7d28b3efe28b66");
        assert_eq!(hex(record_id("orders-primary", 3, 41, b"16384 16385 -42 t")), "2d1558ad14a26c2fc5a903747881e16a");
        assert_eq!(hex(record_id("", -1, i64::MAX, b"")), "e8ac83702781a0647741fa8535d2a300");
    }
}
