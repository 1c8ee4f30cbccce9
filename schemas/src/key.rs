//! Keys of compacted topics, where one target has many records.

/// Stands between the target and the identity; no name of a target holds it.
pub const SEPARATOR: u8 = 0x1f;

/// Appends the key of a record of a compacted topic: the target, the separator, and what identifies the record within the
/// target (database, fingerprint, poll class).
pub fn compacted_key(target: &str, identity: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(target.as_bytes());
    out.push(SEPARATOR);
    out.extend_from_slice(identity.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_comes_first() {
        let mut key = Vec::new();
        compacted_key("db1", "sales", &mut key);
        assert_eq!(key, b"db1\x1fsales");
    }
}
