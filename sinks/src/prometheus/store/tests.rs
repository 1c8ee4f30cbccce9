use prometheus::IntCounter;

use super::super::text::Format;
use super::*;
use crate::clock;

const MINUTE: Duration = Duration::from_secs(60);

fn dropped() -> Dropped {
    let counter = |name: &str| IntCounter::new(name, name).unwrap();
    Dropped {
        invalid_name: counter("a"),
        invalid_value: counter("b"),
        type_conflict: counter("c"),
        duplicate: counter("d"),
        series_limit: counter("e"),
    }
}

fn store() -> Store {
    Store::new(5 * MINUTE, vec!["query_calls_total".to_owned()], dropped())
}

fn sample(name: &str, labels: &str, value: i64, at: i64) -> Sample {
    Sample {
        name: name.to_owned(),
        kind: Kind::Gauge,
        help: "help".to_owned(),
        labels: labels.into(),
        source: [0; 16],
        value: Number::Int(value),
        observed_at: at,
        interval: None,
        partition: 0,
    }
}

fn shown(store: &Store, now: Instant) -> Vec<String> {
    let mut out = Exposition::new(Format::Text, "");
    store.expose(now, &mut out);
    out.finish().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_last_value_is_shown_and_older_ones_are_passed_over() {
    let (mut store, now) = (store(), clock::now());
    assert!(store.insert(sample("level", "a=\"1\"", 1, 100), now));
    assert!(store.insert(sample("level", "a=\"1\"", 2, 200), now));
    assert!(!store.insert(sample("level", "a=\"1\"", 3, 150), now));
    assert!(store.insert(sample("level", "a=\"2\"", 4, 100), now));
    assert_eq!(shown(&store, now), ["level{a=\"1\"} 2", "level{a=\"2\"} 4"]);
    assert_eq!(store.len(), 2);
}

#[test]
fn conflicts_are_dropped_counted_and_never_shown() {
    let (mut store, now) = (store(), clock::now());
    store.insert(sample("level", "a=\"1\"", 1, 100), now);
    let counter = Sample { kind: Kind::Counter, ..sample("level", "a=\"9\"", 9, 100) };
    assert!(!store.insert(counter, now));
    let twin = Sample { source: [1; 16], ..sample("level", "a=\"1\"", 9, 200) };
    assert!(!store.insert(twin, now));
    assert!(!store.insert(sample("query_calls_total", "a=\"1\"", 9, 100), now));
    assert_eq!((store.dropped.type_conflict.get(), store.dropped.duplicate.get()), (2, 1));
    assert_eq!(shown(&store, now), ["level{a=\"1\"} 1"]);
}

#[test]
fn a_counter_and_another_family_never_share_a_name_as_openmetrics_writes_it() {
    let (mut store, now) = (store(), clock::now());
    let counter = |name: &str| Sample { kind: Kind::Counter, ..sample(name, "", 1, 100) };
    assert!(store.insert(sample("level", "", 1, 100), now) && store.insert(counter("work_total"), now));
    assert!(!store.insert(counter("level_total"), now) && !store.insert(sample("work", "", 1, 100), now));
    assert!(!store.insert(sample("query_calls", "", 1, 100), now));
    assert!(store.insert(sample("level_total", "", 1, 100), now), "two gauges differ");
    assert_eq!(store.dropped.type_conflict.get(), 3);
}

#[test]
fn what_has_no_name_or_counts_below_0_is_dropped_and_counted() {
    let (mut store, now) = (store(), clock::now());
    assert!(!store.insert(sample("", "", 1, 100), now));
    for value in [Number::Int(-1), Number::Double(-0.5), Number::Double(f64::NAN)] {
        assert!(!store.insert(Sample { kind: Kind::Counter, value, ..sample("work_total", "", 0, 100) }, now));
        assert!(store.insert(Sample { value, ..sample("level", "", 0, 100) }, now), "a gauge has any value");
    }
    assert_eq!((store.dropped.invalid_name.get(), store.dropped.invalid_value.get()), (1, 3));
    assert_eq!(shown(&store, now), ["level NaN"]);
}

#[test]
fn another_source_takes_over_a_series_that_has_ended() {
    let (mut store, now) = (store(), clock::now());
    store.insert(sample("level", "a=\"1\"", 1, 100), now);
    let heir = Sample { source: [1; 16], ..sample("level", "a=\"1\"", 2, 50) };
    assert!(store.insert(heir, now + 6 * MINUTE));
    assert_eq!(shown(&store, now + 6 * MINUTE), ["level{a=\"1\"} 2"]);
}

#[test]
fn a_series_expires_after_the_longer_of_the_setting_and_three_polls() {
    let (mut store, now) = (store(), clock::now());
    store.insert(sample("quick", "", 1, 0), now);
    store.insert(Sample { interval: Some(10 * MINUTE), ..sample("slow", "", 2, 0) }, now);
    assert_eq!(shown(&store, now + 5 * MINUTE), ["quick 1", "slow 2"]);
    assert_eq!(shown(&store, now + 6 * MINUTE), ["slow 2"]);
    store.expire(now + 6 * MINUTE);
    assert_eq!(store.len(), 1);
    assert_eq!(shown(&store, now + 30 * MINUTE), ["slow 2"]);
    assert_eq!(shown(&store, now + 31 * MINUTE), [""; 0]);
}

#[test]
fn the_setting_is_never_cut() {
    let (week, hour) = (Duration::from_secs(7 * 86_400), Duration::from_secs(3600));
    assert_eq!(expiry(week, Some(hour)), week);
    assert_eq!(expiry(hour, Some(week)), EXPIRY_MAX);
}

#[test]
fn a_series_without_an_interval_shows_its_pace_by_its_values() {
    let (mut store, now) = (store(), clock::now());
    store.insert(sample("slow", "", 1, 0), now);
    let thirty_minutes_us = 30 * 60 * 1_000_000;
    store.insert(sample("slow", "", 2, thirty_minutes_us), now + 30 * MINUTE);
    assert_eq!(shown(&store, now + 119 * MINUTE), ["slow 2"]);
}

#[test]
fn the_number_of_series_is_bounded() {
    let (mut store, now) = (store(), clock::now());
    for index in 0..SERIES_MAX + 10 {
        store.insert(sample("level", &format!("a=\"{index}\""), 1, 0), now);
    }
    assert_eq!((store.len(), store.dropped.series_limit.get()), (SERIES_MAX, 10));
    assert!(store.insert(sample("level", "a=\"0\"", 2, 1), now), "a known series goes on");
}

#[test]
fn series_of_lost_partitions_are_forgotten() {
    let (mut store, now) = (store(), clock::now());
    store.insert(sample("level", "a=\"1\"", 1, 0), now);
    store.insert(Sample { partition: 7, ..sample("level", "a=\"2\"", 2, 0) }, now);
    store.keep_partitions(&[7]);
    assert_eq!(shown(&store, now), ["level{a=\"2\"} 2"]);
}
