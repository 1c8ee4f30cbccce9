//! What never changes a fingerprint, and what always does.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::checker::leaks;
use crate::corpora::{statements, texts};
use crate::statements::{Part, Style, render, statement, style};
use crate::subject::{Mode, Server, fingerprint, modes, mysql, normalise};

fn both_servers() -> impl Strategy<Value = Server> {
    prop_oneof![Just(Server::PostgreSql), Just(Server::MySql)]
}

fn two_renderings() -> impl Strategy<Value = (Server, Vec<Part>, Style, Style)> {
    both_servers().prop_flat_map(|server| (Just(server), statement(server), style(server), style(server)))
}

/// Another part of the same kind.
fn other(part: &Part, choice: Index) -> Option<Part> {
    match part {
        Part::Table(name) => Some(Part::Table(format!("{name}_other"))),
        Part::Column(name) => Some(Part::Column(format!("{name}_other"))),
        Part::Operator(text) => {
            let others: Vec<&str> =
                ["=", "<", ">", "<=", ">=", "<>"].into_iter().filter(|other| other != text).collect();
            Some(Part::Operator(others[choice.index(others.len())]))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn writing_it_otherwise_changes_nothing((server, parts, one, other) in two_renderings()) {
        let (one, other) = (render(server, &parts, &one), render(server, &parts, &other));
        let mode = server.usual();
        let (first, second) = (normalise(&one, mode), normalise(&other, mode));
        prop_assert_eq!(first.hash, second.hash, "\n{}\n -> {}\n{}\n -> {}", one, first.text, other, second.text);
        prop_assert!(first.withheld.is_none() && !first.cut, "{} -> {:?}", one, first);
        prop_assert!(!first.text.contains("hush"), "{} -> {}", one, first.text);
        let leaks = leaks(one.as_bytes(), &first.text, &mode.readings());
        prop_assert!(leaks.is_empty(), "{} -> {}: {:?}", one, first.text, leaks);
    }

    #[test]
    fn another_name_or_operator_is_another_statement(
        (server, parts, one, _) in two_renderings(),
        place in any::<Index>(),
        choice in any::<Index>(),
    ) {
        let places: Vec<usize> = (0..parts.len()).filter(|&at| other(&parts[at], choice).is_some()).collect();
        let place = places[place.index(places.len())];
        let mut changed = parts.clone();
        changed[place] = other(&parts[place], choice).unwrap();
        let (one, other) = (render(server, &parts, &one), render(server, &changed, &one));
        let mode = server.usual();
        prop_assert_ne!(fingerprint(&one, mode), fingerprint(&other, mode), "\n{}\n{}", one, other);
    }

    #[test]
    fn a_normalised_text_is_its_own_normal_form((server, parts, one, _) in two_renderings()) {
        let sql = render(server, &parts, &one);
        let first = normalise(&sql, server.usual());
        let second = normalise(&first.text, server.usual());
        prop_assert_eq!(&second.text, &first.text, "{}", sql);
        prop_assert_eq!(second.hash, first.hash, "{} -> {}", sql, first.text);
    }

    #[test]
    fn every_mode_of_mysql_agrees_where_it_can((parts, one) in (statement(Server::MySql), style(Server::MySql))) {
        let sql = render(Server::MySql, &parts, &one);
        let expected = normalise(&sql, Server::MySql.usual());
        for mode in [mysql(Some(true), Some(true)), mysql(None, None), mysql(Some(false), None)] {
            let found = normalise(&sql, mode);
            prop_assert_eq!((&found.text, found.hash), (&expected.text, expected.hash), "{} {:?}", sql, mode);
        }
    }

    #[test]
    fn any_bytes_are_read_and_keep_their_secrets(bytes in hostile(), mode in any::<Index>()) {
        let modes = modes();
        let mode = modes[mode.index(modes.len())];
        let outcome = normalise(&bytes, mode);
        let leaks = leaks(&bytes, &outcome.text, &mode.readings());
        prop_assert!(leaks.is_empty(), "{:?} {:?} -> {:?}: {:?}", mode, bytes.escape_ascii().to_string(), outcome.text, leaks);
    }
}

/// Pieces that lexers trip over.
const PIECES: [&str; 62] = [
    "'",
    "''",
    "\"",
    "`",
    "$",
    "$$",
    "$a$",
    "$b$",
    "$1",
    "\\",
    "\\'",
    "\\\\",
    "--",
    "-- ",
    "#",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "/*M!",
    "/*+",
    "\n",
    "\r",
    "\r\n",
    "\0",
    "\t",
    " ",
    "E",
    "e",
    "U&",
    "N",
    "x",
    "b",
    "_utf8",
    "_",
    ".",
    "..",
    "0x",
    "0b",
    "1",
    "12",
    "1e",
    "1e5",
    ";",
    "(",
    ")",
    ",",
    "IN",
    "VALUES",
    "COPY a FROM STDIN",
    "\\.",
    "PASSWORD",
    "DO",
    "SELECT",
    "secret",
    "aa",
    ":",
    "@",
    "%s",
    "?",
    "\u{a0}",
    "\u{2019}",
];

/// Pieces and bytes in any order.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_normalised_text_of_the_corpora_is_its_own_normal_form() {
    let mut failures = Vec::new();
    for case in statements().into_iter().chain(texts()) {
        let mode: Mode = case.server.usual();
        let first = normalise(&case.sql, mode);
        let second = normalise(&first.text, mode);
        if first.cut || first.withheld.is_some() {
            continue;
        }
        // Where no server writes a `?`, it may be read as an operator on JSON.
        let defines = !mode.is_mysql() && matches!(first.verb, "CREATE" | "ALTER" | "COMMENT");
        // `point ?` in a server's own text is `point $1`; that `point` is a type is not known.
        let other_type = case.name == "polygon.sql";
        if first.text != second.text || first.hash != second.hash && !defines && !other_type {
            let differs = first.text.bytes().zip(second.text.bytes()).position(|(one, other)| one != other);
            let from = differs.unwrap_or(first.text.len()).saturating_sub(80);
            let excerpt = |text: &str| text.chars().skip(from).take(200).collect::<String>();
            failures.push(format!("{}\n  ..{}\n  ..{}", case.name, excerpt(&first.text), excerpt(&second.text)));
        }
    }
    let shown = failures.iter().take(40).map(String::as_str).collect::<Vec<_>>();
    assert!(failures.is_empty(), "{} failures, of them\n{}", failures.len(), shown.join("\n"));
}
