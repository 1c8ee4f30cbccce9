//! Readings in, deltas out.

use dbintel_schemas::records::{EnrichedQuery, InstanceEpoch};

use super::*;
use crate::testing::{Bench, Input, decoded, factory, framed, query_input, rank, raw_poll, raw_query};

/// What one reading gave: a delta of calls with its reason, or why there is none.
#[derive(Debug, PartialEq)]
enum Got {
    Delta(i64, Option<&'static str>),
    NotComparable(&'static str),
    Absorbed(&'static str),
}

fn step(delta: &mut Delta, raw: &RawQuery<'_>) -> Got {
    match delta.query(raw, 0, &Bump::new()).unwrap() {
        Err(reason) => Got::Absorbed(reason),
        Ok(query) if query.delta_valid => {
            let reason = query.delta_reason.map(|_| "new_entry");
            Got::Delta(query.delta.calls().unwrap(), reason)
        }
        Ok(query) => {
            assert_eq!(query.delta, Default::default(), "no values when not comparable");
            let known = ["fail_over", "statistics_reset", "server_restart", "eviction"];
            Got::NotComparable(known.into_iter().find(|reason| Some(*reason) == query.delta_reason).unwrap())
        }
    }
}

/// Runs readings of one statement through a new processor.
fn check(readings: &[RawQuery<'_>], expected: &[Got]) {
    let mut delta = Delta::new();
    let got: Vec<Got> = readings.iter().map(|raw| step(&mut delta, raw)).collect();
    assert_eq!(got, expected);
}

fn with(raw: RawQuery<'static>, change: impl FnOnce(&mut RawQuery<'static>)) -> RawQuery<'static> {
    let mut raw = raw;
    change(&mut raw);
    raw
}

#[test]
fn the_first_sight_is_a_baseline_then_come_deltas() {
    check(
        &[raw_query("q", 1, 100), raw_query("q", 2, 130), raw_query("q", 3, 130), raw_query("q", 4, 131)],
        &[Got::Absorbed("baseline"), Got::Delta(30, None), Got::Absorbed("unchanged"), Got::Delta(1, None)],
    );
}

#[test]
fn a_reading_that_was_seen_or_comes_late_changes_nothing() {
    check(
        &[
            raw_query("q", 2, 100),
            raw_query("q", 3, 110),
            raw_query("q", 3, 110),
            raw_query("q", 1, 90),
            raw_query("q", 4, 115),
        ],
        &[
            Got::Absorbed("baseline"),
            Got::Delta(10, None),
            Got::Absorbed("late"),
            Got::Absorbed("late"),
            Got::Delta(5, None),
        ],
    );
}

/// A change of a reading.
type Change = fn(&mut RawQuery<'static>);

#[test]
fn breaks_are_recognised_and_carry_no_values() {
    let other_server = InstanceEpoch { system_identifier: "8", ..raw_query("q", 1, 1).instance };
    let cases: [(&str, Change); 3] = [
        ("fail_over", |raw| raw.instance.timeline = Some(2)),
        ("statistics_reset", |raw| raw.instance.statistics_reset_at = Some(5)),
        ("server_restart", |raw| raw.instance.started_at = Some(9)),
    ];
    for (reason, change) in cases {
        // Higher counters than before: only the epoch tells.
        let after = [with(raw_query("q", 2, 500), change), with(raw_query("q", 3, 510), change)];
        check(
            &[raw_query("q", 1, 100), after[0], after[1]],
            &[Got::Absorbed("baseline"), Got::NotComparable(reason), Got::Delta(10, None)],
        );
    }
    check(
        &[raw_query("q", 1, 100), with(raw_query("q", 2, 500), |raw| raw.instance = other_server)],
        &[Got::Absorbed("baseline"), Got::NotComparable("fail_over")],
    );
}

#[test]
fn a_counter_that_falls_is_an_eviction_whatever_the_others_do() {
    let fallen = with(raw_query("q", 2, 500), |raw| raw.counters = raw.counters.with_rows(1));
    check(&[raw_query("q", 1, 100), fallen], &[Got::Absorbed("baseline"), Got::NotComparable("eviction")]);
}

#[test]
fn the_start_of_the_entry_tells_evictions_and_survives_restarts() {
    let since = |raw, at| with(raw, |raw: &mut RawQuery<'static>| raw.entry_since_at = Some(at));
    check(
        &[since(raw_query("q", 1, 100), 50), since(raw_query("q", 2, 200), 60)],
        &[Got::Absorbed("baseline"), Got::NotComparable("eviction")],
    );
    let restarted = with(since(raw_query("q", 2, 120), 50), |raw| raw.instance.started_at = Some(9));
    check(&[since(raw_query("q", 1, 100), 50), restarted], &[Got::Absorbed("baseline"), Got::Delta(20, None)]);
}

#[test]
fn absence_from_a_complete_snapshot_is_an_eviction() {
    let mut delta = Delta::new();
    assert_eq!(step(&mut delta, &raw_query("q", 1, 100)), Got::Absorbed("baseline"));
    delta.poll(&raw_poll(2, true)).unwrap();
    assert_eq!(step(&mut delta, &raw_query("q", 3, 150)), Got::NotComparable("eviction"));
    delta.poll(&raw_poll(3, false)).unwrap();
    delta.poll(&raw_poll(4, false)).unwrap();
    assert_eq!(
        step(&mut delta, &raw_query("q", 5, 151)),
        Got::Delta(1, None),
        "only a complete snapshot proves absence"
    );
}

#[test]
fn a_snapshot_does_not_prove_the_absence_of_its_own_rows() {
    let mut delta = Delta::new();
    assert_eq!(step(&mut delta, &raw_query("q", 1, 100)), Got::Absorbed("baseline"));
    // Its outcome overtakes its rows.
    delta.poll(&raw_poll(2, true)).unwrap();
    assert_eq!(step(&mut delta, &raw_query("q", 2, 150)), Got::Delta(50, None));
}

#[test]
fn a_statement_that_was_not_seen_for_a_week_is_new_whether_or_not_its_baseline_is_still_there() {
    let mut delta = Delta::new();
    assert_eq!(step(&mut delta, &raw_query("q", 1, 100)), Got::Absorbed("baseline"));
    let seconds = 7 * 24 * 3600;
    assert_eq!(step(&mut delta, &raw_query("q", seconds, 150)), Got::Delta(50, None));
    assert_eq!(step(&mut delta, &raw_query("q", 2 * seconds, 200)), Got::Absorbed("baseline"));
    assert_eq!(step(&mut delta, &raw_query("q", 2 * seconds + 1, 201)), Got::Delta(1, None));
}

#[test]
fn an_entry_that_began_after_the_last_poll_counts_from_zero() {
    let mut delta = Delta::new();
    delta.poll(&raw_poll(1, true)).unwrap();
    let began = |at| with(raw_query("new", 2, 7), |raw| raw.entry_since_at = Some(at));
    assert_eq!(step(&mut delta, &began(1_500_000)), Got::Delta(7, Some("new_entry")));
    let older = with(raw_query("old", 2, 7), |raw| raw.entry_since_at = Some(900_000));
    assert_eq!(step(&mut delta, &older), Got::Absorbed("baseline"));
}

#[test]
fn totals_add_up_across_breaks_and_means_are_of_the_interval() {
    let mut delta = Delta::new();
    let total = |delta: &mut Delta, raw: &RawQuery<'static>| match delta.query(raw, 0, &Bump::new()).unwrap() {
        Ok(query) => (query.total.calls(), query.mean_exec_time_ns),
        other => panic!("{other:?}"),
    };
    assert_eq!(step(&mut delta, &raw_query("q", 1, 100)), Got::Absorbed("baseline"));
    assert_eq!(total(&mut delta, &raw_query("q", 2, 130)), (Some(30), Some(1_000_000)));
    let reset = |seq, calls| with(raw_query("q", seq, calls), |raw| raw.instance.statistics_reset_at = Some(5));
    assert_eq!(total(&mut delta, &reset(3, 10)), (Some(30), None), "nothing is added when not comparable");
    assert_eq!(total(&mut delta, &reset(4, 15)), (Some(35), Some(1_000_000)));
}

#[test]
fn databases_users_and_levels_are_apart() {
    let others: [Change; 4] = [
        |raw| raw.database_id = "1",
        |raw| raw.user_id = "11",
        |raw| raw.toplevel = Some(false),
        |raw| raw.target = "db2",
    ];
    let mut delta = Delta::new();
    assert_eq!(step(&mut delta, &raw_query("q", 1, 100)), Got::Absorbed("baseline"));
    for change in others {
        assert_eq!(step(&mut delta, &with(raw_query("q", 2, 300), change)), Got::Absorbed("baseline"));
    }
    assert_eq!(step(&mut delta, &raw_query("q", 3, 101)), Got::Delta(1, None));
}

#[test]
fn stored_values_read_back() {
    use crate::engine::StateValue;
    let raw = with(raw_query("q", 9, 1 << 40), |raw| raw.entry_since_at = Some(-3));
    let (baseline, _) = logic::begin(&Reading::of(&raw), None);
    let mut bytes = Vec::new();
    baseline.encode(&mut bytes);
    assert_eq!(Baseline::decode(&bytes).unwrap(), baseline);
    for length in 0..bytes.len() {
        assert!(Baseline::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    let poll = LastPoll::after(None, &raw_poll(4, true));
    bytes.clear();
    poll.encode(&mut bytes);
    assert_eq!(LastPoll::decode(&bytes).unwrap(), poll);
}

/// Polls of three statements with a break in the middle, as the bus would deliver them.
fn inputs() -> Vec<Input> {
    let mut inputs = Vec::new();
    let mut offset = 0;
    for seq in 1..=40i64 {
        for (id, step) in [("a", 1), ("b", 7), ("c", 0)] {
            let raw = with(raw_query("a", seq, seq * step), |raw| {
                raw.query_id = id;
                raw.instance.statistics_reset_at = (seq > 20).then_some(5);
            });
            inputs.push(query_input(offset, &raw));
            offset += 1;
        }
        let poll = framed(&raw_poll(seq, seq == 1));
        inputs.push(Input { topic: rank("raw.polls"), offset: seq, timestamp: seq * 1000, value: poll });
    }
    inputs
}

fn deltas(bench: &Bench) -> Vec<(i64, Option<i64>, Option<i64>)> {
    let rows = bench.values("enriched.queries").into_iter().map(decoded::<EnrichedQuery<'_>>);
    rows.map(|query| (query.origin_offset, query.delta.calls(), query.total.calls())).collect()
}

#[test]
fn batches_commits_aborts_and_moves_change_nothing() {
    let new = || Bench::new(vec![("delta".into(), factory(Delta::new))]);
    let mut whole = new();
    whole.push(&inputs());
    whole.process(10_000).unwrap();
    whole.commit();
    let expected = deltas(&whole);
    assert_eq!(expected.len(), 39 * 2 + 1, "a and b change in each poll, and the break of c is told");

    for (limit, step) in [(1, 1), (3, 7), (256, 50)] {
        let mut bench = new();
        for (number, chunk) in inputs().chunks(step).enumerate() {
            bench.push(chunk);
            bench.process(limit).unwrap();
            if number % 3 == 0 {
                bench.rollback();
                bench.push(chunk);
                bench.process(limit).unwrap();
            }
            bench.commit();
            if number % 5 == 4 {
                bench = bench.moved();
            }
        }
        assert_eq!(deltas(&bench), expected, "limit {limit}, commit after {step}");
    }
}

/// A foreign producer may give all its records one id.
#[test]
fn rows_with_one_record_id_keep_their_own_baselines_whatever_is_left_out_between_them() {
    let row = |poller, id, poll_seq, calls| {
        let raw = with(raw_query(id, poll_seq, calls), |raw| raw.record_id = [0; 16]);
        RawQuery { poller, ..raw }
    };
    let (mut delta, arena) = (Delta::new(), Bump::new());
    let rows = [row("postgresql", "a", 1, 100), row("other", "skipped", 1, 7), row("postgresql", "b", 1, 5000)];
    let ahead: Vec<Row<'_>> = rows.iter().map(Row::RawQuery).collect();
    delta.prefetch(&ahead.iter().collect::<Vec<_>>()).unwrap();
    for raw in rows.iter().filter(|raw| raw.poller == "postgresql") {
        assert_eq!(delta.query(raw, 0, &arena).unwrap().unwrap_err(), "baseline");
    }
    assert_eq!(step(&mut delta, &row("postgresql", "b", 2, 5001)), Got::Delta(1, None));
}
