//! Rules, the coin, and what a kept row carries.

use dbintel_config::{Document, Environment};
use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, QueryCounters};

use super::*;
use crate::testing::{Bench, decoded, factory, query_input, raw_query};

fn config(yaml: &str) -> Config {
    Document::from_text("test.yaml", yaml, &Environment::empty()).unwrap().read(Config::read).unwrap().config
}

fn query(mean_ms: i64) -> EnrichedQuery<'static> {
    EnrichedQuery {
        delta_valid: true,
        mean_exec_time_ns: Some(mean_ms * 1_000_000),
        delta: QueryCounters::default()
            .with_calls(3)
            .with_blk_read_time_ns(60_000_000)
            .with_blk_write_time_ns(50_000_000),
        database: Some("shop"),
        ..EnrichedQuery::default()
    }
}

fn holds(condition: &str, row: &Row<'_>) -> bool {
    condition::Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}")).is_true(row)
}

#[test]
fn conditions_of_the_guide_and_others() {
    let slow = Row::Query(&mut query(1500));
    let session = Row::Session(&mut EnrichedSession {
        state: Some("active"),
        wait_event_type: Some("Lock"),
        ..EnrichedSession::default()
    });
    let cases = [
        ("mean_exec_time > 1000", &slow, true),
        ("mean_exec_time < 10", &slow, false),
        ("(blk_read_time + blk_write_time) > 100", &slow, true),
        ("blk_read_time - blk_write_time > 100", &slow, false),
        ("calls >= 3 && (mean_exec_time < 1 || database == 'shop')", &slow, true),
        ("((calls)) == 3", &slow, true),
        ("database != 'shop'", &slow, false),
        ("cpu_time > 500", &slow, false),
        ("cpu_time <= 500", &slow, false),
        ("severity == 'ERROR'", &slow, false),
        ("severity_number >= 13", &slow, false),
        ("wait_event_type == \"Lock\"", &session, true),
        ("mean_exec_time > 0", &session, false),
        ("-1 < 0", &slow, true),
    ];
    for (condition, row, expected) in cases {
        assert_eq!(holds(condition, row), expected, "{condition}");
    }
}

#[test]
fn bad_conditions_say_what_is_wrong() {
    let cases = [
        ("mean_time > 1", "unknown field `mean_time`; known:"),
        ("mean_exec_time >", "expected a field or a number at the end"),
        ("mean_exec_time", "expected a comparison such as `>` at the end"),
        ("mean_exec_time == 'x'", "only a text field"),
        ("mean_exec_time > 'x'", "texts can only be compared"),
        ("state > 'x'", "texts can only be compared with `==` and `!=`"),
        ("state > 3", "a text field can only be compared with a quoted text"),
        ("state == 'x", "the text at character 10 has no end"),
        ("calls > 1 calls", "expected `&&`, `||` or the end, found `calls` at character 11"),
        ("calls % 2 == 1", "unexpected `%` at character 7"),
        ("(calls > 1", "expected"),
    ];
    for (condition, expected) in cases {
        let error = condition::Condition::parse(condition).unwrap_err();
        assert!(error.contains(expected), "{condition}: {error}");
    }
    assert!(condition::Condition::parse(&"(".repeat(10_000)).is_err());
}

#[test]
fn a_mistake_in_a_rule_points_into_the_file() {
    let yaml = "rules:\n  - name: slow\n    condition: mean_exec_tim > 1000\n";
    let problems = Document::from_text("a.yaml", yaml, &Environment::empty()).unwrap().read(Config::read).unwrap_err();
    assert!(
        problems.to_string().starts_with("a.yaml:3:16: rules[0].condition: unknown field `mean_exec_tim`"),
        "{problems}"
    );
}

#[test]
fn the_rule_with_the_smallest_priority_number_decides() {
    let sampler = AdaptiveSampler::new(Arc::new(config(
        "default_sampling_rate: 10\nrules:\n  - {name: all, condition: calls > 0, sampling_rate: 1, priority: 2}\n  - {name: slow, condition: mean_exec_time > 1000, sampling_rate: 50, priority: 1}\n",
    )));
    let decide = |row: Row<'_>| sampler.decide(&row).map(|decision| (decision.rule.to_owned(), decision.probability));
    assert_eq!(decide(Row::Query(&mut query(1500))), Some(("slow".into(), 0.5)));
    assert_eq!(decide(Row::Query(&mut query(5))), Some(("all".into(), 0.01)));
    assert_eq!(decide(Row::Session(&mut EnrichedSession::default())), Some(("default".into(), 0.1)));
    let mut broken = EnrichedQuery { delta_valid: false, ..query(5) };
    assert_eq!(decide(Row::Query(&mut broken)), None, "a row that tells of a break is always kept");
}

#[test]
fn everything_is_kept_until_a_rate_is_set() {
    let sampler = AdaptiveSampler::new(Arc::new(config("{}")));
    for number in 0..1000u128 {
        let mut row = EnrichedQuery { record_id: (number << 90 | number).to_le_bytes(), ..query(5) };
        assert!(sampler.decide(&Row::Query(&mut row)).unwrap().kept);
    }
}

#[test]
fn the_share_that_is_kept_is_the_rate_and_the_weights_add_up() {
    let sampler = AdaptiveSampler::new(Arc::new(config("default_sampling_rate: 10")));
    let records = 100_000u128;
    let kept = (0..records)
        .filter(|number| {
            let mut row = EnrichedQuery { record_id: number.to_le_bytes(), ..query(5) };
            sampler.decide(&Row::Query(&mut row)).unwrap().kept
        })
        .count() as f64;
    // Binomial: mean 10,000, standard deviation 95; five of those.
    assert!((kept - 10_000.0).abs() < 475.0, "{kept} of {records} kept at 10 %");
}

#[test]
fn the_salt_makes_samplers_independent_and_the_decision_repeats() {
    let id = [7; 16];
    assert_eq!(coin(&id, "dbintel"), coin(&id, "dbintel"));
    assert_ne!(coin(&id, "dbintel"), coin(&id, "other"));
    assert!(coin(&id, "dbintel") < 1 << RANDOMNESS_BITS);
}

#[test]
fn kept_rows_carry_their_probability_and_the_books_count_the_others() {
    let rules = Arc::new(config("default_sampling_rate: 25"));
    let mut bench = Bench::new(vec![
        ("delta".into(), factory(crate::delta::Delta::new)),
        ("adaptive_sampler".into(), factory(move || AdaptiveSampler::new(Arc::clone(&rules)))),
    ]);
    let ids: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    let readings = |seq: i64| {
        ids.iter()
            .enumerate()
            .map(move |(index, id)| query_input((seq - 1) * 400 + index as i64, &raw_query(id, seq, seq * 10)))
    };
    let inputs: Vec<_> = readings(1).chain(readings(2)).collect();
    bench.push(&inputs);
    assert_eq!(bench.process(1000).unwrap(), 800);
    bench.commit();
    let kept: Vec<EnrichedQuery<'_>> = bench.values("enriched.queries").into_iter().map(decoded).collect();
    assert!((60..140).contains(&kept.len()), "{} of 400 kept at 25 %", kept.len());
    for row in &kept {
        assert_eq!((row.sampling_rule, row.sampling_probability, row.sampling_weight), (Some("default"), 0.25, 4.0));
        assert!((row.sampling_randomness.unwrap() as f64) < 0.25 * (1u64 << 56) as f64);
    }
    let expected = [
        ("absorbed".into(), "baseline".into(), 400),
        ("forwarded".into(), String::new(), kept.len() as i64),
        ("sampled_out".into(), "rate".into(), 400 - kept.len() as i64),
    ];
    assert_eq!(bench.ledger(), expected);
}
