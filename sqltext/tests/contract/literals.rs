//! No value and no comment of the corpora is left in a text.

use crate::checker::leaks;
use crate::corpora::{Case, statements, texts};
use crate::subject::{Mode, modes, normalise};

/// Fails with the first leaks of `cases` under every mode of their server, and under the modes of the other one.
fn assert_no_leak(cases: &[Case], modes: &[Mode]) {
    let mut failures = Vec::new();
    for case in cases {
        for &mode in modes {
            let outcome = normalise(&case.sql, mode);
            let mut leaks = leaks(case.sql.as_bytes(), &outcome.text, &mode.readings());
            leaks.extend(crate::checker::leaks(case.sql.as_bytes(), &outcome.tables.join(" "), &mode.readings()));
            if !leaks.is_empty() {
                let (sql, text) = (excerpt(&case.sql), excerpt(&outcome.text));
                failures.push(format!("{} {mode:?}: {leaks:?}\n  in:  {sql}\n  out: {text}", case.name));
            }
        }
    }
    let shown = failures.iter().take(25).map(String::as_str).collect::<Vec<_>>();
    assert!(failures.is_empty(), "{} leaks, of them\n{}", failures.len(), shown.join("\n"));
}

fn excerpt(text: &str) -> String {
    text.chars().take(400).collect()
}

#[test]
fn no_literal_is_left_of_a_statement() {
    assert_no_leak(&statements(), &modes());
}

#[test]
fn no_literal_is_left_of_a_script() {
    assert_no_leak(&texts(), &modes());
}
