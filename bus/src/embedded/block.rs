//! The unit of storage: all records that one commit brought to one partition, in about a mebibyte at most.
//!
//! ```text
//! version u8 | crc32 u32 | codec u8 | count u32 | last delta u32 | first timestamp i64 | newest timestamp i64
//!   | sealed at i64 | payload bytes u32 | payload, as it is or lz4          (little-endian; the crc covers what follows)
//! record: offset delta, zigzag(timestamp - first timestamp), key length + 1, key, value length + 1, value,
//!   headers bytes, { name length, name, value length, value }               (numbers are LEB128; length 0 is "none")
//! ```
//! The base offset is not in the block but in its key, so that a block is built and compressed before the writer knows
//! where it will stand.

mod payload;
#[cfg(test)]
mod tests;

use payload::{Payload, put_bytes, put_number, put_optional};

/// Payload bytes at which a block is closed and the next one begun.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

const VERSION: u8 = 1;
const CODEC_RAW: u8 = 0;
const CODEC_LZ4: u8 = 1;
const CHECKED_FROM: usize = 5;
const HEADER_BYTES: usize = 42;
/// Below this a block is not worth compressing.
const COMPRESSED_BYTES_MIN: usize = 128;
/// A payload is at most one record above [`BLOCK_BYTES`]; a longer one is damage.
const PAYLOAD_BYTES_MAX: usize = BLOCK_BYTES + 2 * super::RECORD_BYTES_MAX;

/// The stored bytes are not a block.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the block is damaged: {0}")]
pub(super) struct Damaged(pub &'static str);

/// What is known of a block without reading it. Kept in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    /// Records in it.
    pub count: u32,
    /// Last offset that it covers, less the base. There may be no record left at it.
    pub last_delta: u32,
    /// Bytes of the stored block.
    pub bytes: u32,
    /// Newest timestamp in it.
    pub newest: i64,
    /// Newest timestamp in the partition up to and including this block: it grows with the offset.
    pub newest_so_far: i64,
    /// Wall clock when the block was closed.
    pub sealed_at: i64,
}

const SUMMARY_BYTES: usize = 36;

impl Summary {
    /// As it is stored.
    pub fn encode(&self) -> [u8; SUMMARY_BYTES] {
        let mut bytes = [0; SUMMARY_BYTES];
        bytes[0..4].copy_from_slice(&self.count.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.last_delta.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.newest.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.newest_so_far.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.sealed_at.to_le_bytes());
        bytes
    }

    /// Reads what [`Summary::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Summary, Damaged> {
        if bytes.len() != SUMMARY_BYTES {
            return Err(Damaged("a summary has the wrong length"));
        }
        Ok(Summary {
            count: u32_at(bytes, 0),
            last_delta: u32_at(bytes, 4),
            bytes: u32_at(bytes, 8),
            newest: i64_at(bytes, 12),
            newest_so_far: i64_at(bytes, 20),
            sealed_at: i64_at(bytes, 28),
        })
    }

    /// The offset after all that the block covers.
    pub fn end(&self, base: i64) -> i64 {
        base + i64::from(self.last_delta) + 1
    }

    /// When the block counts as written: a record from the future does not make it younger than it is.
    pub fn aged_from(&self) -> i64 {
        self.newest.min(self.sealed_at)
    }
}

/// A closed block, ready to be stored.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The stored value.
    pub bytes: Vec<u8>,
    /// Its summary, with `newest_so_far` still to be raised by the writer.
    pub summary: Summary,
}

/// A record on its way into or out of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Offset less the base.
    pub delta: u32,
    /// Timestamp in ms since the epoch.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Headers as they are stored.
    pub headers: &'a [u8],
}

/// Collects the records of a block.
#[derive(Debug, Default)]
pub(super) struct Builder {
    payload: Vec<u8>,
    headers: Vec<u8>,
    count: u32,
    last_delta: u32,
    first_timestamp: i64,
    newest: i64,
}

impl Builder {
    /// Adds the record with the next offset.
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(&str, &[u8])]) {
        let mut encoded = std::mem::take(&mut self.headers);
        encoded.clear();
        for (name, value) in headers {
            put_bytes(&mut encoded, name.as_bytes());
            put_bytes(&mut encoded, value);
        }
        let delta = if self.count == 0 { 0 } else { self.last_delta + 1 };
        self.push_entry(&Entry { delta, timestamp, key, value, headers: &encoded });
        self.headers = encoded;
    }

    /// Adds a record with an offset of its own, higher than the one before.
    pub fn push_entry(&mut self, entry: &Entry<'_>) {
        if self.count == 0 {
            self.first_timestamp = entry.timestamp;
        }
        put_number(&mut self.payload, u64::from(entry.delta));
        put_number(&mut self.payload, zigzag(entry.timestamp.wrapping_sub(self.first_timestamp)));
        put_optional(&mut self.payload, entry.key);
        put_optional(&mut self.payload, entry.value);
        put_bytes(&mut self.payload, entry.headers);
        self.count += 1;
        self.last_delta = entry.delta;
        self.newest = if self.count == 1 { entry.timestamp } else { self.newest.max(entry.timestamp) };
    }

    /// Lets the block cover offsets after its last record, up to and including this one.
    pub fn cover(&mut self, last_delta: u32) {
        self.last_delta = last_delta;
    }

    /// Bytes collected.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether it is time to [`Builder::seal`].
    pub fn full(&self) -> bool {
        self.payload.len() >= BLOCK_BYTES
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Closes the block and begins a new one. `now` is the wall clock in ms.
    pub fn seal(&mut self, now: i64) -> Sealed {
        let mut bytes = vec![0; HEADER_BYTES];
        let codec = append_payload(&mut bytes, &self.payload);
        bytes[0] = VERSION;
        bytes[5] = codec;
        bytes[6..10].copy_from_slice(&self.count.to_le_bytes());
        bytes[10..14].copy_from_slice(&self.last_delta.to_le_bytes());
        bytes[14..22].copy_from_slice(&self.first_timestamp.to_le_bytes());
        bytes[22..30].copy_from_slice(&self.newest.to_le_bytes());
        bytes[30..38].copy_from_slice(&now.to_le_bytes());
        bytes[38..42].copy_from_slice(&length(self.payload.len()).to_le_bytes());
        bytes.shrink_to_fit();
        let crc = crc32fast::hash(&bytes[CHECKED_FROM..]);
        bytes[1..5].copy_from_slice(&crc.to_le_bytes());
        let summary = Summary {
            count: self.count,
            last_delta: self.last_delta,
            bytes: length(bytes.len()),
            newest: self.newest,
            newest_so_far: self.newest,
            sealed_at: now,
        };
        self.payload.clear();
        self.count = 0;
        Sealed { bytes, summary }
    }
}

/// A block that was read back and found whole.
#[derive(Debug)]
pub(super) struct Block {
    payload: Vec<u8>,
    first_timestamp: i64,
    last_delta: u32,
    /// Wall clock when the block was closed.
    pub sealed_at: i64,
}

impl Block {
    /// Checks and unpacks a stored block.
    pub fn open(bytes: &[u8]) -> Result<Block, Damaged> {
        if bytes.len() < HEADER_BYTES {
            return Err(Damaged("it is too short"));
        }
        if bytes[0] != VERSION {
            return Err(Damaged("its version is unknown"));
        }
        if crc32fast::hash(&bytes[CHECKED_FROM..]) != u32_at(bytes, 1) {
            return Err(Damaged("its checksum is wrong"));
        }
        let payload_bytes = u32_at(bytes, 38) as usize;
        Ok(Block {
            payload: unpack(bytes[5], &bytes[HEADER_BYTES..], payload_bytes)?,
            first_timestamp: i64_at(bytes, 14),
            last_delta: u32_at(bytes, 10),
            sealed_at: i64_at(bytes, 30),
        })
    }

    /// The offset after all that the block covers.
    pub fn end(&self, base: i64) -> i64 {
        base + i64::from(self.last_delta) + 1
    }

    /// Whether there is no record at `position` or after it.
    pub fn finished(&self, position: usize) -> bool {
        position >= self.payload.len()
    }

    /// The record at `position` (0 at first) and the position after it; none at the end.
    pub fn entry(&self, position: usize) -> Result<Option<(Entry<'_>, usize)>, Damaged> {
        let mut payload = Payload { bytes: &self.payload, position };
        if payload.finished() {
            return Ok(None);
        }
        let delta = u32::try_from(payload.number()?).map_err(|_| Damaged("an offset is too large"))?;
        let timestamp = self.first_timestamp.wrapping_add(unzigzag(payload.number()?));
        let key = payload.optional()?;
        let value = payload.optional()?;
        let headers = payload.bytes()?;
        Ok(Some((Entry { delta, timestamp, key, value, headers }, payload.position)))
    }
}

fn append_payload(out: &mut Vec<u8>, payload: &[u8]) -> u8 {
    let start = out.len();
    if payload.len() >= COMPRESSED_BYTES_MIN {
        out.resize(start + lz4_flex::block::get_maximum_output_size(payload.len()), 0);
        if let Ok(bytes) = lz4_flex::block::compress_into(payload, &mut out[start..])
            && bytes < payload.len()
        {
            out.truncate(start + bytes);
            return CODEC_LZ4;
        }
        out.truncate(start);
    }
    out.extend_from_slice(payload);
    CODEC_RAW
}

fn unpack(codec: u8, stored: &[u8], payload_bytes: usize) -> Result<Vec<u8>, Damaged> {
    match codec {
        CODEC_RAW if stored.len() == payload_bytes => Ok(stored.to_vec()),
        CODEC_LZ4 if payload_bytes <= PAYLOAD_BYTES_MAX => {
            let payload =
                lz4_flex::block::decompress(stored, payload_bytes).map_err(|_| Damaged("it does not unpack"))?;
            if payload.len() == payload_bytes { Ok(payload) } else { Err(Damaged("it unpacks to another length")) }
        }
        CODEC_RAW | CODEC_LZ4 => Err(Damaged("its length is wrong")),
        _ => Err(Damaged("its codec is unknown")),
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a block is far smaller than 4 GiB: records and blocks are bounded")
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were taken"))
}
