//! Keys of compacted topics, where one target has many records.

use crate::records::EnrichedText;

/// Stands between the target and the identity; no name of a target holds it.
pub const SEPARATOR: u8 = 0x1f;

/// Appends the key of a record of a compacted topic: the target, the separator, and what identifies the record within the
/// target (database, fingerprint, poll class).
pub fn compacted_key(target: &str, identity: impl AsRef<[u8]>, out: &mut Vec<u8>) {
    out.extend_from_slice(target.as_bytes());
    out.push(SEPARATOR);
    out.extend_from_slice(identity.as_ref());
}

/// The key of a text of the dictionary: by its fingerprint; a statement without one by the identifier that its server has.
#[must_use]
pub fn of_text(text: &EnrichedText<'_>) -> String {
    let EnrichedText { target, database_id, user_id, query_id, .. } = text;
    match text.fingerprint {
        Some(fingerprint) => format!("{target}\u{1f}{fingerprint}"),
        None => format!("{target}\u{1f}{database_id}\u{1f}{user_id}\u{1f}{query_id}"),
    }
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
