//! The hash behind fingerprints: MurmurHash3 x64 128 with seed 0, whose first half is the lower half of the number.
//!
//! It is specified, has a reference implementation, and never changes. It is for identity, not for protection from somebody
//! who looks for collisions.

const FIRST_MULTIPLIER: u64 = 0x87c3_7b91_1142_53d5;
const SECOND_MULTIPLIER: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK_SIZE: usize = 16;

/// Hash of some bytes.
pub(crate) fn hash128(bytes: &[u8]) -> u128 {
    let (mut first, mut second) = (0_u64, 0_u64);
    let (blocks, tail) = bytes.as_chunks::<BLOCK_SIZE>();
    for block in blocks {
        let (first_word, second_word) = halves(block);
        first ^= scramble_first(first_word);
        first = first.rotate_left(27).wrapping_add(second).wrapping_mul(5).wrapping_add(0x52dc_e729);
        second ^= scramble_second(second_word);
        second = second.rotate_left(31).wrapping_add(first).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let mut block = [0; BLOCK_SIZE];
    block[..tail.len()].copy_from_slice(tail);
    let (first_word, second_word) = halves(&block);
    first ^= scramble_first(first_word) ^ bytes.len() as u64;
    second ^= scramble_second(second_word) ^ bytes.len() as u64;
    finish(first, second)
}

fn finish(mut first: u64, mut second: u64) -> u128 {
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    first = avalanche(first);
    second = avalanche(second);
    first = first.wrapping_add(second);
    second = second.wrapping_add(first);
    u128::from(second) << 64 | u128::from(first)
}

fn halves(block: &[u8; BLOCK_SIZE]) -> (u64, u64) {
    let block = u128::from_le_bytes(*block);
    ((block & u128::from(u64::MAX)) as u64, (block >> 64) as u64)
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

    /// From the reference implementation.
    #[test]
    fn the_hash_is_murmur3() {
        let cases: [(&[u8], [u64; 2]); 4] = [
            (b"", [0, 0]),
            (b"hello", [0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19]),
            (b"hello, world", [0x342f_ac62_3a5e_bc8e, 0x4cdc_bc07_9642_414d]),
            (b"The quick brown fox jumps over the lazy dog.", [0xcd99_481f_9ee9_02c9, 0x695d_a1a3_8987_b6e7]),
        ];
        for (bytes, [first, second]) in cases {
            assert_eq!(hash128(bytes), u128::from(second) << 64 | u128::from(first));
        }
    }
}
