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
        delta: QueryCounters {
            calls: Some(calls),
            rows: Some(calls * 10),
            total_exec_time_ns: Some(time_ms * 1_000_000),
            ..QueryCounters::default()
        },
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
    assert_eq!(state.view(now + 25 * SECOND).statements.len(), 1);
    assert!(state.view(now + 26 * SECOND).statements.is_empty());
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
