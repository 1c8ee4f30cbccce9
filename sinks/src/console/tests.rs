use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, QueryCounters};

use super::*;
use crate::clock;

const SECOND: Duration = Duration::from_secs(1);

fn query(query_id: &'static str, calls: i64, time_ms: i64) -> EnrichedQuery<'static> {
    EnrichedQuery {
        target: "a",
        database: Some("shop"),
        query_id,
        interval_ns: Some(10_000_000_000),
        delta_valid: true,
        delta: QueryCounters::default()
            .with_calls(calls)
            .with_rows(calls * 10)
            .with_total_exec_time_ns(time_ms * 1_000_000),
        ..EnrichedQuery::default()
    }
}

fn session(at: i64, wait: Option<(&'static str, &'static str)>) -> EnrichedSession<'static> {
    EnrichedSession {
        target: "a",
        observed_at: at,
        state: Some("active"),
        wait_event_type: wait.map(|wait| wait.0),
        wait_event: wait.map(|wait| wait.1),
        sampling_weight: 1.0,
        ..EnrichedSession::default()
    }
}

#[test]
fn the_table_shows_the_busiest_statements_and_the_waits() {
    let (mut state, now) = (State::default(), clock::now());
    state.query(&query("1", 20, 5000), Some("select *\n  from orders\x1b[2J where id = $1"), now);
    state.query(&query("2", 123_400, 617), None, now);
    state.query(&query("3", 1, 1), Some(&"x".repeat(200)), now);
    for wait in [Some(("Lock", "transactionid")), Some(("Lock", "transactionid")), None] {
        state.session(&session(1, wait), now);
    }
    let flow = Flow { records_in: 1_234_567, records_out: 1200, lag: Duration::from_millis(400) };
    let expected = "\
records in 1,234,567   out 1,200   lag 400.0 ms

   load   calls/s      mean    rows/s database statement
   0.50      2.00  250.0 ms      20.0 shop     select * from orders [2J whe…
   0.06     12.3k      5 µs    123.4k shop     query 2
   0.00      0.10    1.0 ms      1.00 shop     xxxxxxxxxxxxxxxxxxxxxxxxxxxx…

active sessions 3
      2 Lock: transactionid
      1 CPU
";
    assert_eq!(render::render(&state.view(now), &flow, 76), expected);
}

#[test]
fn what_is_over_is_not_shown() {
    let (mut state, now) = (State::default(), clock::now());
    state.query(&query("1", 20, 5000), None, now);
    state.session(&session(1, None), now);
    state.session(&session(2, Some(("IO", "DataFileRead"))), now);
    state.session(&session(1, None), now);
    assert_eq!(state.view(now).sessions, [("IO: DataFileRead".into(), 1.0)]);
    assert_eq!(state.view(now + 6 * SECOND).active, 0.0);
    state.session(&EnrichedSession { interval_ns: Some(30_000_000_000), ..session(3, None) }, now);
    assert_eq!([90, 91].map(|seconds| state.view(now + seconds * SECOND).active), [1.0, 0.0]);
    assert_eq!(state.view(now + 25 * SECOND).statements.len(), 1);
    assert!(state.view(now + 26 * SECOND).statements.is_empty());
    state.query(&EnrichedQuery { interval_ns: Some(60_000_000_000), ..query("1", 20, 5000) }, None, now);
    assert_eq!([150, 151].map(|seconds| state.view(now + seconds * SECOND).statements.len()), [1, 0]);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_none_holds_what_a_terminal_obeys() {
    let (mut state, now) = (State::default(), clock::now());
    let row = EnrichedQuery { database: Some("\x1b[2J注文データ"), ..query("1\x07", 1, 40_000_000) };
    state.query(&row, Some("select 顧客 from 注文データ where 顧客番号 = $1 and 注文番号 = $2"), now);
    state.query(&EnrichedQuery { query_id: "2\x07", ..row }, None, now);
    state.session(&session(1, Some(("Extension", "\x1b]0;owned\x07"))), now);
    for width in 20..100 {
        let table = render::render(&state.view(now), &Flow::default(), width);
        let is_wide = |character: char| ('\u{3000}'..'\u{a000}').contains(&character);
        let columns = |line: &str| line.chars().map(|one| if is_wide(one) { 2 } else { 1 }).sum::<usize>();
        assert!(table.lines().all(|line| columns(line) <= width), "{width}:\n{table}");
        assert!(!table.contains(|character: char| character.is_control() && character != '\n'), "{table:?}");
    }
    let of = |width: usize| render::render(&state.view(now), &Flow::default(), width);
    assert_eq!(of(0), of(80), "a terminal without a width");
}

#[test]
fn rows_without_true_deltas_are_left_out() {
    let (mut state, now) = (State::default(), clock::now());
    state.query(&EnrichedQuery { delta_valid: false, ..query("1", 20, 5000) }, None, now);
    state.query(&EnrichedQuery { interval_ns: None, ..query("2", 20, 5000) }, None, now);
    assert!(state.view(now).statements.is_empty());
}

#[test]
fn the_busiest_statements_survive_when_there_are_too_many() {
    let (mut state, now) = (State::default(), clock::now());
    let ids: Vec<String> = (0..5000).map(|id| id.to_string()).collect();
    for (index, id) in ids.iter().enumerate() {
        let row = EnrichedQuery { query_id: id, ..query("", 1, 1 + (index as i64 * 7919) % 5000) };
        state.query(&row, None, now);
    }
    let view = state.view(now);
    let least_of_ten = 4991.0 / 1000.0 / 10.0;
    assert_eq!(view.statements.len(), 10);
    assert!(view.statements.iter().all(|work| work.load >= least_of_ten), "{:?}", view.statements);
}
