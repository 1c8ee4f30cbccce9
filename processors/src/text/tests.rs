use dbintel_schemas::List;
use dbintel_schemas::record_id::record_id;
use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, EnrichedText, Event, RawSession, RawText};

use super::Text;
use super::state::{DAY, LIFETIME};
use crate::delta::Delta;
use crate::testing::{Bench, Input, decoded, factory, framed, query_input, rank, raw_query};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

fn bench() -> Bench {
    Bench::new(vec![("delta".into(), factory(Delta::new)), ("text".into(), factory(Text::new))])
}

/// The text of statement `query_id`, at `at` in µs.
fn text(query_id: &str, fingerprint: Option<&str>, at: i64) -> Input {
    let raw = RawText {
        record_id: record_id("db1", 0, at, query_id.as_bytes()),
        poller: "postgresql",
        target: "db1",
        observed_at: at,
        database: Some("shop"),
        database_id: "16384",
        user_id: "10",
        query_id,
        toplevel: Some(true),
        fingerprint,
        fingerprint_version: fingerprint.map(|_| 1),
        verb: Some("SELECT"),
        tables: List::from_slice(&["orders", "people"]),
        tables_certain: true,
        text: Some("SELECT ? FROM orders, people"),
        ..RawText::default()
    };
    Input { topic: rank("raw.texts"), offset: at, timestamp: at / 1000, value: framed(&raw) }
}

/// A session that executes a statement, at `at` in µs.
fn session<'a>(fingerprint: Option<&'a str>, source: &'a str, query_id: Option<&'a str>, at: i64) -> RawSession<'a> {
    RawSession {
        record_id: record_id("db1", 0, at, b"session"),
        poller: "postgresql",
        target: "db1",
        observed_at: at,
        database: Some("shop"),
        database_id: Some("16384"),
        session_id: "4711",
        query_id,
        text: Some("select ? from orders, people"),
        fingerprint,
        fingerprint_source: Some(source),
        fingerprint_version: Some(1),
        verb: Some("SELECT"),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
        ..RawSession::default()
    }
}

fn input(raw: &RawSession<'_>) -> Input {
    Input {
        topic: rank("raw.sessions"),
        offset: raw.observed_at,
        timestamp: raw.observed_at / 1000,
        value: framed(raw),
    }
}

fn run(bench: &mut Bench, inputs: &[Input]) {
    bench.push(inputs);
    bench.process(3).unwrap();
    bench.commit();
}

fn sessions(bench: &Bench) -> Vec<(Option<&str>, Option<&str>, Option<&str>)> {
    let shown = |value| {
        let row = decoded::<EnrichedSession<'_>>(value);
        (row.fingerprint, row.fingerprint_source, row.text)
    };
    bench.values("enriched.sessions").into_iter().map(shown).collect()
}

fn dictionary(bench: &Bench) -> Vec<Option<&str>> {
    bench.values("enriched.texts").into_iter().map(|value| decoded::<EnrichedText<'_>>(value).fingerprint).collect()
}

fn announced(bench: &Bench) -> Vec<String> {
    let shown = |value| {
        let event = decoded::<Event<'_>>(value);
        let fingerprint =
            event.attributes.iter().find(|(name, _)| *name == "fingerprint").map_or("", |(_, value)| value);
        format!("{} {fingerprint}", event.event_type)
    };
    bench.values("events").into_iter().map(shown).collect()
}

#[test]
fn a_statement_of_the_statistics_gets_what_its_text_says() {
    let mut bench = bench();
    let (mut first, mut second) = (raw_query("5", 1, 10), raw_query("5", 2, 30));
    (first.observed_at, second.observed_at) = (SECOND, 2 * SECOND);
    run(&mut bench, &[query_input(0, &first), text("5", Some("f1"), SECOND * 3 / 2), query_input(1, &second)]);
    let rows: Vec<EnrichedQuery<'_>> = bench.values("enriched.queries").into_iter().map(decoded).collect();
    let last = rows.last().unwrap();
    assert_eq!((last.fingerprint, last.fingerprint_version, last.verb), (Some("f1"), Some(1), Some("SELECT")));
    assert_eq!(last.tables.iter().collect::<Vec<_>>(), ["orders", "people"]);
}

#[test]
fn a_session_is_the_statement_that_its_server_names_and_else_that_of_its_text() {
    let mut bench = bench();
    let rows = [
        session(Some("own"), "text", Some("5"), 3 * SECOND),
        session(Some("cut"), "partial", Some("5"), 4 * SECOND),
        session(Some("own"), "text", Some("6"), 5 * SECOND),
        session(Some("cut"), "partial", None, 6 * SECOND),
        session(Some("f1"), "prefix", None, 7 * SECOND),
        session(Some("f9"), "prefix", None, 8 * SECOND),
    ];
    let inputs: Vec<Input> = [text("5", Some("f1"), SECOND)].into_iter().chain(rows.iter().map(input)).collect();
    run(&mut bench, &inputs);
    let own_text = Some("select ? from orders, people");
    let expected = [
        (Some("f1"), Some("query_id"), None),
        (Some("f1"), Some("query_id"), None),
        (Some("own"), Some("text"), None),
        (Some("cut"), Some("partial"), own_text),
        (Some("f1"), Some("prefix"), None),
        (Some("f9"), Some("prefix"), own_text),
    ];
    assert_eq!(sessions(&bench), expected);
    assert_eq!(dictionary(&bench), [Some("f1"), Some("own")], "each whole text is told once");
}

#[test]
fn a_text_is_told_once_a_day_and_one_without_identity_each_time() {
    let mut bench = bench();
    let times = [SECOND, 2 * SECOND, DAY / 2, DAY + 2 * SECOND];
    let inputs: Vec<Input> = times.iter().map(|at| text("5", Some("f1"), *at)).collect();
    // A clock that jumps by more than ten minutes is not believed: time has to pass record by record.
    for at in (0..2 * DAY).step_by((5 * MINUTE) as usize) {
        let due: Vec<Input> =
            inputs.iter().filter(|input| (at..at + 5 * MINUTE).contains(&input.offset)).cloned().collect();
        run(&mut bench, &due);
        run(&mut bench, &[input(&session(None, "partial", None, at + 5 * MINUTE - 1))]);
    }
    assert_eq!(dictionary(&bench), [Some("f1"); 2]);
    let mut bench = self::bench();
    run(&mut bench, &[text("5", None, SECOND), text("5", None, 2 * SECOND)]);
    assert_eq!(dictionary(&bench), [None; 2]);
}

#[test]
fn what_was_not_told_for_a_week_is_forgotten() {
    let mut bench = bench();
    run(&mut bench, &[text("5", Some("f1"), SECOND)]);
    for at in (10 * MINUTE..LIFETIME + 20 * MINUTE).step_by((9 * MINUTE) as usize) {
        run(&mut bench, &[input(&session(None, "partial", None, at))]);
    }
    run(&mut bench, &[input(&session(Some("own"), "text", Some("5"), LIFETIME + 20 * MINUTE))]);
    assert_eq!(sessions(&bench).last().unwrap().0, Some("own"), "nobody says any more what 5 is");
}

#[test]
fn a_statement_is_announced_when_its_target_is_no_longer_new() {
    let mut bench = bench();
    run(
        &mut bench,
        &[text("5", Some("f1"), SECOND), text("6", Some("f2"), 4 * MINUTE), text("7", Some("f3"), 6 * MINUTE)],
    );
    let raw = session(Some("f4"), "text", None, 7 * MINUTE);
    run(&mut bench, &[input(&raw), text("8", Some("f4"), 8 * MINUTE), text("9", Some("f3"), 8 * MINUTE + 1)]);
    assert_eq!(announced(&bench), ["new_statement f3", "new_statement f4"]);
    let event = decoded::<Event<'_>>(bench.values("events")[0]);
    assert_eq!(event.message, "a statement was seen for the first time: SELECT on orders, people");
    assert_eq!((event.origin_topic, event.origin_offset, event.occurred_at), ("raw.texts", 6 * MINUTE, 6 * MINUTE));
}

#[test]
fn announcements_are_bounded_and_the_next_one_says_how_many_were_left_out() {
    let mut bench = bench();
    run(&mut bench, &[text("0", Some("f0"), SECOND)]);
    run(&mut bench, &[input(&session(None, "partial", None, 9 * MINUTE))]);
    let names: Vec<String> = (1..=100).map(|number| format!("n{number}")).collect();
    let many: Vec<Input> =
        names.iter().zip(1..).map(|(name, number)| text(name, Some(name), 10 * MINUTE + number)).collect();
    run(&mut bench, &many);
    assert_eq!(announced(&bench).len(), 60);
    run(&mut bench, &[text("last", Some("last"), 11 * MINUTE)]);
    let event = decoded::<Event<'_>>(bench.values("events")[60]);
    assert!(event.attributes.iter().any(|pair| pair == ("unannounced_before", "40")));
}

#[test]
fn state_moves_with_its_task_and_an_aborted_text_was_never_told() {
    let mut bench = bench();
    bench.push(&[text("5", Some("f1"), SECOND)]);
    bench.process(1).unwrap();
    bench.rollback();
    bench.push(&[text("5", Some("f1"), SECOND)]);
    bench.process(1).unwrap();
    bench.commit();
    let mut bench = bench.moved();
    run(&mut bench, &[input(&session(Some("own"), "text", Some("5"), 2 * SECOND)), text("6", Some("f1"), 3 * SECOND)]);
    assert_eq!(dictionary(&bench), [Some("f1")]);
    assert_eq!(sessions(&bench), [(Some("f1"), Some("query_id"), None)]);
    assert!(bench.ledger().contains(&("absorbed".to_owned(), "known_text".to_owned(), 1)));
}

#[test]
fn a_target_with_too_many_statements_keeps_its_texts_on_the_rows_and_says_so_once() {
    let mut bench = bench();
    let names: Vec<String> = (0..super::NEW_PER_DAY_MAX + 5).map(|number| format!("n{number}")).collect();
    let inputs: Vec<Input> =
        names.iter().zip(1..).map(|(name, at)| input(&session(Some(name), "text", None, at))).collect();
    bench.push(&inputs);
    bench.process(256).unwrap();
    bench.commit();
    let texts = sessions(&bench).iter().filter(|(_, _, text)| text.is_some()).count();
    assert_eq!((dictionary(&bench).len() as i64, texts), (super::NEW_PER_DAY_MAX, 5));
    assert_eq!(announced(&bench), ["statement_limit "]);
}
