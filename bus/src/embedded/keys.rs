//! Keys of the directory.
//!
//! The column families `blocks` and `index` share one key, `topic id u16 | partition u16 | base offset u64`, big-endian
//! so that a partition is one sorted run. The default family holds the rest, told apart by its first byte.

/// Column family of the records.
pub(super) const BLOCKS: &str = "blocks";
/// Column family of the summaries: one for each block.
pub(super) const INDEX: &str = "index";
/// Column family of topics, ends and positions.
pub(super) const META: &str = "default";

/// Key of the version of the directory's format.
pub(super) const FORMAT: &[u8] = b"v";
/// First byte of all topics.
pub(super) const TOPIC: u8 = b't';

const START: u8 = b's';
const END: u8 = b'e';
const CLEAN: u8 = b'c';
const POSITION: u8 = b'p';
const BLOCK_KEY_BYTES: usize = 12;

/// A partition of a topic, as it stands in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartitionId {
    /// Number of the topic, given at its creation.
    pub topic: u16,
    /// Number of the partition in its topic.
    pub partition: u16,
}

impl PartitionId {
    /// Key of the block that begins at `base`. Offsets are never negative.
    pub fn block(self, base: i64) -> [u8; BLOCK_KEY_BYTES] {
        let mut key = [0; BLOCK_KEY_BYTES];
        key[..4].copy_from_slice(&self.bytes());
        key[4..].copy_from_slice(&base.max(0).to_be_bytes());
        key
    }

    /// Key above all blocks of the partition.
    pub fn above_blocks(self) -> [u8; BLOCK_KEY_BYTES] {
        let mut key = self.block(i64::MAX);
        key[4..].fill(u8::MAX);
        key
    }

    /// Offset in a block's key.
    pub fn base_of(key: &[u8]) -> Option<i64> {
        let bytes: [u8; 8] = key.get(4..BLOCK_KEY_BYTES)?.try_into().ok()?;
        Some(i64::from_be_bytes(bytes))
    }

    /// Key of the first offset kept.
    pub fn start(self) -> Vec<u8> {
        self.tagged(START)
    }

    /// Key of the end.
    pub fn end(self) -> Vec<u8> {
        self.tagged(END)
    }

    /// Key of the offset below which compaction is done.
    pub fn clean(self) -> Vec<u8> {
        self.tagged(CLEAN)
    }

    /// Key of a group's position.
    pub fn position(self, group: &str) -> Vec<u8> {
        let mut key = vec![POSITION];
        key.extend_from_slice(group.as_bytes());
        key.push(0);
        key.extend_from_slice(&self.bytes());
        key
    }

    fn tagged(self, tag: u8) -> Vec<u8> {
        let mut key = vec![tag];
        key.extend_from_slice(&self.bytes());
        key
    }

    fn bytes(self) -> [u8; 4] {
        let [a, b] = self.topic.to_be_bytes();
        let [c, d] = self.partition.to_be_bytes();
        [a, b, c, d]
    }
}

/// Key of a topic's settings.
pub(super) fn topic(id: u16) -> Vec<u8> {
    let mut key = vec![TOPIC];
    key.extend_from_slice(&id.to_be_bytes());
    key
}
