//! Fingerprints that never change within a version of the algorithm.

use std::fs;
use std::path::{Path, PathBuf};

use dbintel_sqltext::FINGERPRINT_VERSION;
use serde_json::{Value, json};

use crate::corpora::{statements, text};
use crate::subject::{Mode, Server, normalise};

fn file() -> PathBuf {
    let name = format!("v{FINGERPRINT_VERSION}.jsonl");
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fingerprints").join(name)
}

fn mode(dialect: &str) -> Mode {
    match dialect {
        "postgresql" => Server::PostgreSql.usual(),
        "mysql" => Server::MySql.usual(),
        other => panic!("no dialect {other}"),
    }
}

fn record(dialect: &str, sql: &str) -> Value {
    let found = normalise(sql, mode(dialect));
    json!({ "dialect": dialect, "fingerprint": format!("{:032x}", found.hash), "sql": sql, "text": found.text })
}

/// If this fails, either the change is a mistake, or it needs another `FINGERPRINT_VERSION` and a file of its own, which
/// `cargo run -p dbintel-sqltext --example record_fingerprints` writes.
#[test]
fn fingerprints_of_this_version_are_as_ever() {
    let recorded = fs::read_to_string(file()).expect("each version has its file");
    let mut count = 0;
    for line in recorded.lines() {
        let expected: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record(text(&expected, "dialect"), text(&expected, "sql")), expected);
        count += 1;
    }
    assert!(count >= 80, "only {count} lines");
}

/// Whoever normalises what is shown, or normalises twice, comes to the same statement.
#[test]
fn the_shown_text_has_the_fingerprint_of_its_statement() {
    let (mut count, mut operators) = (0, 0);
    let mut strangers = Vec::new();
    for case in statements() {
        let mode = case.server.usual();
        let sent = normalise(&case.sql, mode);
        if sent.cut || sent.withheld.is_some() {
            continue;
        }
        let shown = normalise(&sent.text, mode);
        count += 1;
        // Between two words that are no key words of expressions, a question mark is PostgreSQL's operator on JSON.
        if !mode.is_mysql() && shown.canonical.windows(5).any(|token| token == b" `?` ") && shown.text == sent.text {
            operators += 1;
        } else if (shown.hash, &shown.text) != (sent.hash, &sent.text) {
            let (shown, sent) = (shown.canonical.escape_ascii(), sent.canonical.escape_ascii());
            strangers.push(format!("{}: {}\n  shown {shown}\n  sent  {sent}", case.name, case.sql));
        }
    }
    assert!(count > 8000 && operators < 20, "{count} statements, {operators} of them with an operator");
    assert!(
        strangers.is_empty(),
        "{} of {count}\n{}",
        strangers.len(),
        strangers[..strangers.len().min(25)].join("\n")
    );
}
