//! What is true of any text.

use dbintel_sqltext::{Dialect, Normalizer, Options, tokens};

use crate::checker::{Reading, leaks, read};

pub fn judge(text: &[u8], dialect: Dialect, readings: &[Reading]) {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    let whole = normalizer.normalize(text);
    let shown = whole.text.to_owned();
    assert_eq!(leaks(text, &shown, readings), [""; 0], "{shown:?}");
    let tables = whole.tables().collect::<Vec<_>>().join(" ");
    assert!(tables.is_empty() || leaks(text, &tables, readings).is_empty(), "{tables:?}");
    // Between dollar signs stands a string in MySQL 9, which no reading of the judge knows.
    let may_be_dollar_quoted =
        matches!(dialect, Dialect::MySql(_)) && text.iter().filter(|byte| **byte == b'$').count() > 1;
    let (hash, unmarked) = (whole.fingerprint, !whole.cut && whole.withheld.is_none());
    assert!(
        !unmarked || may_be_dollar_quoted || !readings.iter().all(|&reading| read(text, reading).open),
        "not marked: {shown:?}"
    );
    let canonical = whole.canonical.to_owned();

    // Nothing is kept of the text before.
    let known_cut = normalizer.normalize_cut(text);
    assert!(known_cut.cut);
    assert_eq!(leaks(text, known_cut.text, readings), [""; 0], "cut: {:?}", known_cut.text);
    if unmarked {
        assert_ne!(known_cut.fingerprint, hash);
        assert!(canonical.starts_with(known_cut.canonical), "{:?}", known_cut.canonical.escape_ascii().to_string());
    }
    let mut end = 0;
    for token in tokens(dialect, text) {
        assert!(end <= token.start && token.start < token.end && token.end <= text.len(), "{token:?} after {end}");
        end = token.end;
    }
}
