//! Which partition a target is on: the same as the default partitioner of Kafka's Java client.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// Murmur2 with the seed of Kafka's Java client.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    // The algorithm is defined on the low 32 bits of the length.
    let length = (bytes.len() & 0xffff_ffff) as u32;
    let (words, tail) = bytes.as_chunks::<4>();
    let hash = words.iter().fold(SEED ^ length, |hash, word| {
        let mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        hash.wrapping_mul(MULTIPLIER) ^ (mixed ^ (mixed >> 24)).wrapping_mul(MULTIPLIER)
    });
    finish(mix_tail(hash, tail))
}

/// Partition of a target: all that concerns one server is on one partition number of every topic. 0 when there are none.
#[must_use]
pub fn partition_of(target: &str, partitions: u32) -> u32 {
    (murmur2(target.as_bytes()) & 0x7fff_ffff).checked_rem(partitions).unwrap_or(0)
}

fn mix_tail(hash: u32, tail: &[u8]) -> u32 {
    if tail.is_empty() {
        return hash;
    }
    let word = tail.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    (hash ^ word).wrapping_mul(MULTIPLIER)
}

fn finish(hash: u32) -> u32 {
    let mixed = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    mixed ^ (mixed >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of Kafka's Java client.
    #[test]
    fn murmur2_agrees_with_java() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn a_negative_hash_gives_a_partition() {
        // -973932308 & 0x7fffffff is 1173551340.
        assert_eq!(partition_of("21", 12), 1_173_551_340 % 12);
        assert_eq!(partition_of("21", 1), 0);
        assert_eq!(partition_of("21", 0), 0);
    }
}
