//! Which known statement a cut text comes from.
//!
//! Servers cut the texts of sessions (`track_activity_query_size`, `performance_schema_max_sql_text_length`). What is left
//! is the beginning of a statement whose whole text the statistics know. A cut text's canonical tokens are the beginning of
//! those of the whole one, so that it is found by search in a sorted list.

/// A shorter beginning says too little: the statement that it comes from may be one that is not known.
pub const PREFIX_BYTES_MIN: usize = 32;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No known statement begins like this, or the beginning is too short to tell.
    Nothing,
    /// Exactly one does: its place in the list.
    One(usize),
    /// Several do.
    Several,
}

/// Looks for the only statement of `known` that begins with `prefix`.
///
/// Both are [`canonical`](crate::Statement::canonical) tokens of one dialect, options and version; `known` is of whole
/// statements of one target, sorted as bytes and without duplicates.
pub fn find(known: &[impl AsRef<[u8]>], prefix: &[u8]) -> Found {
    if prefix.len() < PREFIX_BYTES_MIN {
        return Found::Nothing;
    }
    let first = known.partition_point(|statement| statement.as_ref() < prefix);
    let begins = |place: usize| known.get(place).is_some_and(|statement| statement.as_ref().starts_with(prefix));
    match (begins(first), begins(first + 1)) {
        (false, _) => Found::Nothing,
        (true, false) => Found::One(first),
        (true, true) => Found::Several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unique_beginning_of_some_length_is_found() {
        let known = [
            "select a from orders where customer = ? and state = ? ",
            "select a from orders where customer = ? order by a ",
            "select b from orders where customer = ? ",
        ];
        let cases = [
            ("select a from orders where customer = ? ", Found::Several),
            ("select a from orders where customer = ? and ", Found::One(0)),
            ("select a from orders where customer = ? order ", Found::One(1)),
            ("select b from orders where customer = ", Found::One(2)),
            ("select b from orders where customer = ? ", Found::One(2)),
            ("select c from orders where customer = ", Found::Nothing),
            ("select b ", Found::Nothing),
            ("", Found::Nothing),
        ];
        for (prefix, expected) in cases {
            assert_eq!(find(&known, prefix.as_bytes()), expected, "{prefix}");
        }
        assert_eq!(find(&[] as &[&str], known[0].as_bytes()), Found::Nothing);
    }
}
