use std::collections::BTreeMap;

use dbintel_schemas::records::QueryCounters;

use super::super::text::Format;
use super::*;
use crate::clock;

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const SECOND_US: i64 = 1_000_000;

/// A server that executes statements, and the rows that the processors make of it.
struct Server {
    totals: BTreeMap<String, i64>,
    at: i64,
}

impl Server {
    fn new() -> Self {
        Server { totals: BTreeMap::new(), at: 0 }
    }

    /// The statement was called so often, for 1 ms each.
    fn run(&mut self, statements: &mut Statements, query_id: &str, calls: i64, fresh: bool, now: Instant) {
        let total = self.totals.entry(query_id.to_owned()).or_default();
        *total += calls;
        self.at += SECOND_US;
        let counters = |calls: i64| QueryCounters {
            calls: Some(calls),
            total_exec_time_ns: Some(calls * 1_000_000),
            ..QueryCounters::default()
        };
        let row = EnrichedQuery {
            target: "a",
            database: Some("shop"),
            database_id: "5",
            user_id: "10",
            query_id,
            observed_at: self.at,
            interval_ns: Some(10_000_000_000),
            delta_valid: true,
            delta: counters(calls),
            total: counters(*total),
            ..EnrichedQuery::default()
        };
        statements.update(&row, 0, fresh, now);
    }
}

/// The calls that are shown, by query id.
fn calls(statements: &Statements, now: Instant) -> BTreeMap<String, i64> {
    let mut out = Exposition::new(Format::Text, "");
    statements.expose(now, &mut out);
    let text = out.finish();
    let shown = text.lines().filter(|line| line.starts_with("query_calls_total{"));
    let pair = |line: &str| {
        let (labels, value) = line.rsplit_once(' ')?;
        let query_id = labels.split("query_id=\"").nth(1)?.split('"').next()?;
        Some((query_id.to_owned(), value.parse().ok()?))
    };
    let pairs: Vec<(String, i64)> = shown.map(|line| pair(line).unwrap()).collect();
    let by_id: BTreeMap<String, i64> = pairs.iter().cloned().collect();
    assert_eq!(by_id.len(), pairs.len(), "a series is there twice");
    by_id
}

fn expected(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(query_id, calls)| ((*query_id).to_owned(), *calls)).collect()
}

#[test]
fn while_there_are_places_each_statement_shows_its_running_total() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 3, FIVE_MINUTES), clock::now());
    server.run(&mut statements, "1", 100, true, now);
    server.run(&mut statements, "2", 5, true, now);
    server.run(&mut statements, "1", 1, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 101), ("2", 5), ("other", 0)]));
}

#[test]
fn the_rest_is_summed_up_in_other() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 1, FIVE_MINUTES), clock::now());
    server.run(&mut statements, "1", 100, true, now);
    server.run(&mut statements, "2", 5, true, now);
    server.run(&mut statements, "3", 7, true, now);
    server.run(&mut statements, "2", 1, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 100), ("other", 13)]));
}

#[test]
fn a_place_changes_hands_only_for_a_clear_advantage() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 1, FIVE_MINUTES), clock::now());
    server.run(&mut statements, "1", 100, true, now);
    server.run(&mut statements, "2", 110, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 100), ("other", 110)]));
    server.run(&mut statements, "2", 40, true, now);
    // What was booked to `other` stays there; the series begins with the rest.
    assert_eq!(calls(&statements, now), expected(&[("2", 40), ("other", 110)]));
    server.run(&mut statements, "1", 1, true, now);
    assert_eq!(calls(&statements, now), expected(&[("2", 40), ("other", 111)]));
    server.run(&mut statements, "1", 500, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 600), ("other", 111)]));
}

/// A stream of work in which the busiest statements change, by a fixed arithmetic sequence.
fn workload(step: i64) -> (String, i64) {
    let mixed = (step * 7919 + 104_729) % 10_007;
    let phase = step / 200;
    let query = (mixed + phase * 3) % 20;
    let calls = if query / 4 == phase % 5 { mixed % 97 + 20 } else { mixed % 7 };
    (query.to_string(), calls)
}

#[test]
fn no_series_ever_falls_and_together_they_tell_all_that_happened() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 4, FIVE_MINUTES), clock::now());
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..4000 {
        let (query_id, calls_now) = workload(step);
        server.run(&mut statements, &query_id, calls_now, true, now);
        for (query_id, value) in calls(&statements, now) {
            let before = last.insert(query_id.clone(), value).unwrap_or(0);
            assert!(value >= before, "{query_id} fell from {before} to {value} at step {step}");
            seen.insert(query_id);
        }
        let told: i64 = last.values().sum();
        let happened: i64 = server.totals.values().sum();
        assert_eq!(told, happened, "at step {step}");
    }
    assert!(seen.len() > 8, "places never changed hands: {seen:?}");
}

#[test]
fn after_a_restart_no_statement_goes_back_and_other_counts_only_what_is_new() {
    let (mut server, mut first, now) = (Server::new(), Statements::new("", 2, FIVE_MINUTES), clock::now());
    let rows = [("1", 100), ("2", 80), ("3", 5), ("1", 10), ("3", 5)];
    for (query_id, calls) in rows {
        server.run(&mut first, query_id, calls, true, now);
    }
    let before = calls(&first, now);
    assert_eq!(before, expected(&[("1", 110), ("2", 80), ("other", 10)]));
    // The next life reads the end of the log again.
    let (mut replayed, mut second) = (Server::new(), Statements::new("", 2, FIVE_MINUTES));
    for (query_id, calls) in rows {
        replayed.run(&mut second, query_id, calls, false, now);
    }
    assert_eq!(calls(&second, now), expected(&[("1", 110), ("2", 80), ("other", 0)]));
    replayed.run(&mut second, "3", 4, true, now);
    replayed.run(&mut second, "1", 1, true, now);
    assert_eq!(calls(&second, now), expected(&[("1", 111), ("2", 80), ("other", 4)]));
}

#[test]
fn rows_that_were_sampled_out_are_made_up_for_by_the_running_total() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 1, FIVE_MINUTES), clock::now());
    server.run(&mut statements, "1", 1000, true, now);
    server.run(&mut statements, "2", 5, true, now);
    *server.totals.get_mut("2").unwrap() += 30;
    server.run(&mut statements, "2", 1, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 1000), ("other", 36)]));
}

#[test]
fn a_baseline_moves_nothing_and_a_repeated_row_neither() {
    let (mut statements, now) = (Statements::new("", 1, FIVE_MINUTES), clock::now());
    let baseline = EnrichedQuery {
        target: "a",
        query_id: "1",
        observed_at: 10,
        total: QueryCounters { calls: Some(0), ..QueryCounters::default() },
        ..EnrichedQuery::default()
    };
    statements.update(&baseline, 0, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 0), ("other", 0)]));
    let moved = EnrichedQuery {
        observed_at: 20,
        delta_valid: true,
        delta: QueryCounters { calls: Some(3), ..QueryCounters::default() },
        total: QueryCounters { calls: Some(3), ..QueryCounters::default() },
        ..baseline
    };
    for row in [moved, moved, baseline] {
        statements.update(&row, 0, true, now);
    }
    assert_eq!(calls(&statements, now), expected(&[("1", 3), ("other", 0)]));
}

#[test]
fn a_target_without_rows_is_hidden_and_its_statements_are_forgotten_after_long() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 2, FIVE_MINUTES), clock::now());
    server.run(&mut statements, "1", 100, true, now);
    let later = now + FIVE_MINUTES;
    assert_eq!(calls(&statements, later).len(), 2);
    assert_eq!(calls(&statements, later + Duration::from_secs(1)), expected(&[]));
    server.run(&mut statements, "2", 1, true, later + FIVE_MINUTES);
    assert_eq!(calls(&statements, later + FIVE_MINUTES), expected(&[("1", 100), ("2", 1), ("other", 0)]));
    statements.expire(now + Duration::from_secs(3700));
    assert_eq!(calls(&statements, later + FIVE_MINUTES), expected(&[("2", 1), ("other", 0)]));
    statements.expire(now + Duration::from_secs(36_000));
    assert_eq!((statements.known, statements.targets.len()), (0, 0));
}

#[test]
fn the_number_of_statements_is_bounded() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 10, FIVE_MINUTES), clock::now());
    let step = |index: usize| now + Duration::from_micros(index as u64);
    for index in 0..STATEMENTS_MAX + 1000 {
        server.at = 0;
        server.run(&mut statements, &index.to_string(), 1, true, step(index));
        assert!(statements.known <= STATEMENTS_MAX);
    }
    let told: i64 = calls(&statements, step(STATEMENTS_MAX + 1000)).values().sum();
    assert_eq!(told, (STATEMENTS_MAX + 1000) as i64);
}

#[test]
fn the_table_names_fields_that_exist() {
    let names: Vec<&str> = SHOWN.iter().map(|shown| QueryCounters::FIELDS[shown.index]).collect();
    let expected = [
        "calls",
        "rows",
        "total_exec_time_ns",
        "total_plan_time_ns",
        "shared_blks_hit",
        "shared_blks_read",
        "shared_blks_dirtied",
        "shared_blks_written",
        "temp_blks_read",
        "temp_blks_written",
        "blk_read_time_ns",
        "blk_write_time_ns",
        "wal_bytes",
        "cpu_time_ns",
        "errors",
    ];
    assert_eq!(names, expected);
    assert_eq!(names[EXEC_TIME], "total_exec_time_ns");
}
