use std::collections::BTreeMap;

use dbintel_schemas::record_id::hash128;
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
    rows: Vec<Done>,
}

/// What a statement did: calls in an interval and in all, of 1 ms each.
struct Done {
    query_id: String,
    at: i64,
    calls: i64,
    total: i64,
}

impl Server {
    fn new() -> Self {
        Server { totals: BTreeMap::new(), at: 0, rows: Vec::new() }
    }

    /// The statement was called so often.
    fn run(&mut self, statements: &mut Statements, query_id: &str, calls: i64, fresh: bool, now: Instant) {
        let total = self.totals.entry(query_id.to_owned()).or_default();
        *total += calls;
        self.at += SECOND_US;
        let done = Done { query_id: query_id.to_owned(), at: self.at, calls, total: *total };
        statements.update(&done.row(), 0, fresh, now);
        self.rows.push(done);
    }
}

impl Done {
    fn row(&self) -> EnrichedQuery<'_> {
        let counters =
            |calls: i64| QueryCounters::default().with_calls(calls).with_total_exec_time_ns(calls * 1_000_000);
        EnrichedQuery {
            target: "a",
            database: Some("shop"),
            database_id: "5",
            user_id: "10",
            query_id: &self.query_id,
            observed_at: self.at,
            interval_ns: Some(10_000_000_000),
            delta_valid: true,
            delta: counters(self.calls),
            total: counters(self.total),
            ..EnrichedQuery::default()
        }
    }
}

/// Adds up what the series rise by from scrape to scrape, as `increase` of Prometheus does: one that fell, and each one
/// after a restart, began at 0.
#[derive(Default)]
struct Increase {
    last: BTreeMap<String, i64>,
    sum: i64,
}

impl Increase {
    fn scrape(&mut self, statements: &Statements, now: Instant) {
        for (query_id, value) in calls(statements, now) {
            let before = self.last.insert(query_id, value).filter(|before| *before <= value).unwrap_or(0);
            self.sum += value - before;
        }
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
    // What `other` has counted stays there; the series begins with the rest.
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
fn after_a_restart_the_same_statements_have_places_and_only_what_is_new_is_counted() {
    let (mut server, mut first, now) = (Server::new(), Statements::new("", 2, FIVE_MINUTES), clock::now());
    let rows = [("1", 100), ("2", 80), ("3", 5), ("1", 10), ("3", 5)];
    for (query_id, calls) in rows {
        server.run(&mut first, query_id, calls, true, now);
    }
    let before = calls(&first, now);
    assert_eq!(before, expected(&[("1", 110), ("2", 80), ("other", 10)]));
    // The next life reads the end of the log again.
    let mut second = Statements::new("", 2, FIVE_MINUTES);
    for done in &server.rows {
        second.update(&done.row(), 0, false, now);
    }
    assert_eq!(calls(&second, now), expected(&[("1", 0), ("2", 0), ("other", 0)]));
    server.run(&mut second, "3", 4, true, now);
    server.run(&mut second, "1", 1, true, now);
    // What `other` has counted in the first life is not told again when the statement gets a place.
    server.run(&mut second, "3", 300, true, now);
    assert_eq!(calls(&second, now), expected(&[("1", 1), ("3", 300), ("other", 4)]));
}

/// Numbers without a pattern that are the same in each run.
struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: i64) -> i64 {
        self.drawn += 1;
        let bytes = hash128(&[&self.seed.to_le_bytes(), &self.drawn.to_le_bytes()]);
        i64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) % end
    }
}

#[test]
fn what_the_series_rise_by_is_what_happened_over_restarts_and_changes_of_places() {
    let now = clock::now();
    for seed in 0..30 {
        let mut chance = Chance { seed, drawn: 0 };
        let (mut server, mut increase) = (Server::new(), Increase::default());
        let top = 1 + chance.below(4) as usize;
        let mut statements = Statements::new("", top, FIVE_MINUTES);
        for step in 0..200 {
            if chance.below(40) == 0 {
                (statements, increase.last) = (Statements::new("", top, FIVE_MINUTES), BTreeMap::new());
                let remembered = chance.below(server.rows.len() as i64 + 1) as usize;
                for done in &server.rows[server.rows.len() - remembered..] {
                    statements.update(&done.row(), 0, false, now);
                }
            }
            increase.scrape(&statements, now);
            let busy = i64::from(chance.below(10) == 0) * chance.below(1000);
            let (query_id, calls) = (chance.below(12).to_string(), busy + chance.below(10));
            server.run(&mut statements, &query_id, calls, true, now);
            increase.scrape(&statements, now);
            let happened: i64 = server.totals.values().sum();
            assert_eq!(increase.sum, happened, "seed {seed}, step {step}");
        }
    }
}

#[test]
fn a_running_total_that_begins_anew_or_late_is_counted_from_0() {
    let (mut statements, now) = (Statements::new("", 1, FIVE_MINUTES), clock::now());
    let row = |at: i64, calls: Option<i64>| EnrichedQuery {
        target: "a",
        query_id: "1",
        observed_at: at,
        total: QueryCounters::default().with_calls(calls),
        ..EnrichedQuery::default()
    };
    for (at, total) in [(1, None), (2, Some(40)), (3, Some(50)), (4, Some(7)), (5, Some(-3))] {
        statements.update(&row(at, total), 0, true, now);
    }
    assert_eq!(calls(&statements, now), expected(&[("1", 57), ("other", 0)]));
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
        total: QueryCounters::default().with_calls(0),
        ..EnrichedQuery::default()
    };
    statements.update(&baseline, 0, true, now);
    assert_eq!(calls(&statements, now), expected(&[("1", 0), ("other", 0)]));
    let moved = EnrichedQuery {
        observed_at: 20,
        delta_valid: true,
        delta: QueryCounters::default().with_calls(3),
        total: QueryCounters::default().with_calls(3),
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
    assert_eq!((statements.rest, statements.targets.len()), (0, 0));
}

#[test]
fn the_number_of_statements_is_bounded() {
    let (mut server, mut statements, now) = (Server::new(), Statements::new("", 10, FIVE_MINUTES), clock::now());
    let step = |index: usize| now + Duration::from_micros(index as u64);
    for index in 0..REST_MAX + 1000 {
        server.at = 0;
        server.run(&mut statements, &index.to_string(), 1, true, step(index));
        assert!(statements.rest <= REST_MAX);
    }
    let told: i64 = calls(&statements, step(REST_MAX + 1000)).values().sum();
    assert_eq!(told, (REST_MAX + 1000) as i64);
}

#[test]
fn statements_with_a_place_do_not_count_for_the_limit() {
    const TOP: usize = 1000;
    let (mut statements, now) = (Statements::new("", TOP, FIVE_MINUTES), clock::now());
    let targets: Vec<String> = (0..=REST_MAX / TOP).map(|number| number.to_string()).collect();
    for number in 0..TOP {
        let query_id = number.to_string();
        for target in &targets {
            let row = EnrichedQuery { target, query_id: &query_id, ..EnrichedQuery::default() };
            statements.update(&row, 0, true, now);
        }
    }
    let all: usize = statements.targets.values().map(|target| target.statements.len()).sum();
    assert!(all > REST_MAX, "{all}");
    assert_eq!(statements.rest, 0);
    statements.update(&EnrichedQuery { target: "0", query_id: "rest", ..EnrichedQuery::default() }, 0, true, now);
    assert_eq!(statements.rest, 1);
}

#[test]
fn no_statement_has_the_labels_of_other() {
    let (mut statements, now) = (Statements::new("", 2, FIVE_MINUTES), clock::now());
    let total = QueryCounters::default().with_calls(3);
    let forged = EnrichedQuery { target: "a", query_id: "other", total, ..EnrichedQuery::default() };
    statements.update(&forged, 0, true, now);
    assert_eq!(calls(&statements, now), expected(&[("other", 0)]));
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
