//! Inputs that could not be processed, kept with their bytes and the reason.

use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::Quarantined;
use dbintel_schemas::topics::Topic;

use super::outbox::Outbox;

/// Bytes of key and of value that a quarantine record keeps; of more it keeps the beginning, the length and a hash.
const KEPT_BYTES_MAX: usize = 512 * 1024;

/// Longest detail, in bytes.
const DETAIL_BYTES_MAX: usize = 1024;

/// An input that is refused.
pub struct Refused<'a> {
    /// Input topic.
    pub topic: Topic,
    /// Offset.
    pub offset: i64,
    /// Timestamp of the record in ms.
    pub timestamp: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// From a small fixed set.
    pub reason: &'a str,
    /// What happened, without values.
    pub detail: &'a str,
    /// Only a reference is kept: where it was, how long, and its hash.
    pub without_bytes: bool,
}

impl Refused<'_> {
    /// Writes the quarantine record of one pipeline.
    pub fn write(&self, group: &str, pipeline: &str, partition: u32, outbox: &mut Outbox) {
        let value = self.value.unwrap_or_default();
        let kept_bytes = if self.without_bytes { 0 } else { KEPT_BYTES_MAX };
        let beginning = |bytes: &'_ [u8]| -> usize { bytes.len().min(kept_bytes) };
        let record = Quarantined {
            group,
            pipeline,
            topic: self.topic.name(),
            partition: i64::from(partition),
            offset: self.offset,
            timestamp_at: self.timestamp.saturating_mul(1000),
            reason: self.reason,
            detail: &self.detail[..self.detail.floor_char_boundary(DETAIL_BYTES_MAX)],
            key: self.key.map(|key| &key[..beginning(key)]),
            value: self.value.map(|value| &value[..beginning(value)]),
            value_length: value.len() as i64,
            value_hash: hash128(&[value]),
            truncated: value.len() > kept_bytes,
            code_version: env!("CARGO_PKG_VERSION"),
        };
        outbox.derived(&record, self.topic.name(), partition, self.timestamp);
    }
}
