use super::*;

const STATEMENT: &str = "SELECT id, total FROM orders WHERE customer = $1 AND state = $2 ORDER BY id LIMIT $3";

fn reader() -> TextReader {
    let mut reader = TextReader::new(Dialect::PostgreSql, Options::default(), false);
    reader.remember(true);
    reader
}

fn source(text: &StatementText) -> Option<Source> {
    text.fingerprint.map(|(_, source)| source)
}

#[test]
fn a_statement_and_a_session_that_executes_it_are_one() {
    let mut reader = reader();
    let statement = reader.statement(STATEMENT.as_bytes(), false);
    let sent = "select id, total from orders where customer = 'anna' and state = 3 order by id limit 10 -- mine";
    let session = reader.session(sent.as_bytes(), false);
    assert_eq!(statement.fingerprint, session.fingerprint);
    assert_eq!(source(&session), Some(Source::Text));
    assert_eq!(session.length, sent.len() as i64);
    assert_eq!(
        (session.verb, session.tables.as_slice(), session.tables_certain),
        ("SELECT", &["orders".to_owned()][..], true)
    );
    assert!(!format!("{session:?}").contains("anna"), "{session:?}");
}

#[test]
fn a_cut_text_is_the_only_statement_that_begins_like_it() {
    let mut reader = reader();
    let whole = reader.statement(STATEMENT.as_bytes(), false).fingerprint.map(|(fingerprint, _)| fingerprint);
    let cut = &b"select id, total from orders where customer = 'anna' and sta"[..];
    let session = reader.session(cut, true);
    assert_eq!(session.fingerprint, whole.map(|fingerprint| (fingerprint, Source::Prefix)));
    assert!(session.truncated);
    let in_a_literal = &b"select id, total from orders where customer = 'anna"[..];
    assert_eq!(reader.session(in_a_literal, true).fingerprint, session.fingerprint);

    reader.statement(STATEMENT.replace("$2", "$2 AND region = $4").as_bytes(), false);
    let session = reader.session(cut, true);
    assert_eq!(source(&session), Some(Source::Partial), "two statements begin like this");
    assert_ne!(session.fingerprint.map(|(fingerprint, _)| fingerprint), whole);

    reader.forget();
    assert_eq!(source(&reader.session(cut, true)), Some(Source::Partial), "nothing is known");
}

#[test]
fn a_reader_that_is_not_asked_to_remembers_nothing() {
    let mut reader = TextReader::new(Dialect::PostgreSql, Options::default(), false);
    reader.statement(STATEMENT.as_bytes(), false);
    assert_eq!(source(&reader.session(&STATEMENT.as_bytes()[..60], true)), Some(Source::Partial));
}

#[test]
fn when_not_all_statements_are_known_none_is_the_only_one() {
    let mut reader = reader();
    reader.statement(STATEMENT.as_bytes(), false);
    let long = |n: usize| format!("SELECT {} FROM t{n}", vec!["a_column_of_some_length"; 8_000].join(", "));
    (0..50).for_each(|n| drop(reader.statement(long(n).as_bytes(), false)));
    assert!(reader.known.as_ref().unwrap().bytes < KNOWN_BYTES_MAX + TEXT_BYTES_MAX);
    assert_eq!(source(&reader.session(&STATEMENT.as_bytes()[..60], true)), Some(Source::Partial));
}

#[test]
fn what_cannot_be_read_for_certain_is_hidden_with_its_reason() {
    let mut reader = reader();
    let cases = [
        ("ALTER ROLE anna PASSWORD 'hunter2'", Some("secret_statement"), Some(Source::Text)),
        ("SELECT 'hunter2", Some("unterminated_string"), Some(Source::Partial)),
        ("hunter2", Some("unknown_statement"), Some(Source::Partial)),
        ("SELECT 1 -- hunter2", None, Some(Source::Text)),
        ("", None, None),
    ];
    for (text, withheld, found) in cases {
        let read = reader.session(text.as_bytes(), false);
        assert_eq!((read.withheld, source(&read)), (withheld, found), "{read:?}");
        assert!(!format!("{read:?}").contains("hunter2"), "{read:?}");
    }
}

#[test]
fn a_text_past_the_limit_counts_as_cut() {
    let long = format!("SELECT 1 WHERE a IN ({})", vec!["1"; TEXT_BYTES_MAX].join(","));
    let read = reader().statement(long.as_bytes(), false);
    assert!(read.truncated);
    assert_eq!((read.length, source(&read)), (long.len() as i64, Some(Source::Partial)));
}

#[test]
fn the_text_as_it_was_sent_is_kept_only_where_it_is_asked_for() {
    let text =
        b"SELECT 'hunter2' /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',controller='shop'*/";
    assert_eq!(reader().session(text, false).verbatim, None);
    let mut raw = TextReader::new(Dialect::PostgreSql, Options::default(), true);
    let read = raw.session(text, false);
    assert_eq!(read.verbatim.as_deref(), std::str::from_utf8(text).ok());
    assert_eq!(read.text.as_deref(), Some("SELECT ?"));
    assert_eq!(read.tags, [("controller", "shop".to_owned())]);
    let trace = read.traceparent.map(|trace| trace.to_string());
    assert_eq!(trace.as_deref(), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
}
