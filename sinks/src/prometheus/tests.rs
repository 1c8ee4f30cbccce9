use std::collections::BTreeSet;
use std::time::Duration;

use dbintel_schemas::records::{EnrichedMetrics, EnrichedQuery, EnrichedSession, MetricPoint, QueryCounters};
use dbintel_schemas::{List, TextMap};
use prometheus::Registry;

use super::*;
use crate::clock;
use crate::delivery::Ticket;

fn sink(registry: &Registry) -> Prometheus {
    let const_labels = [("environment".to_owned(), "test".to_owned())].into();
    let config = Config { namespace: "db".to_owned(), const_labels, ..Config::default() };
    Prometheus::new(config, &delivery::Metrics::new(registry, "prometheus"))
}

fn take(sink: &mut Prometheus, row: Row<'_>) {
    assert_eq!(taken(sink, row), Taken::Settled(Outcome::Accepted));
}

fn taken(sink: &mut Prometheus, row: Row<'_>) -> Taken {
    let arrival = Arrival { ticket: Ticket::SETTLED_BEFORE, partition: 0, fresh: true, now: clock::now() };
    sink.take(&row, arrival, &mut Texts::default())
}

fn metrics<'a>(points: &'a [MetricPoint<'a>]) -> EnrichedMetrics<'a> {
    EnrichedMetrics {
        target: "a",
        engine: "postgresql",
        engine_version: "18.4",
        role: "primary",
        labels: TextMap::from_slice(&[("team", "payments"), ("role", "forged")]),
        object: TextMap::from_slice(&[("database", "shop"), ("environment", "forged")]),
        points: List::from_slice(points),
        ..EnrichedMetrics::default()
    }
}

fn point(name: &'static str, kind: &'static str, value: i64) -> MetricPoint<'static> {
    MetricPoint { name, unit: "By", kind, int_value: Some(value), ..MetricPoint::default() }
}

#[test]
fn rows_of_all_kinds_are_shown_with_constant_labels() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    take(&mut sink, Row::Metrics(metrics(&[point("postgresql.db_size", "sum", 8192)])));
    let total = QueryCounters::default().with_calls(7).with_total_exec_time_ns(1_500_000_000);
    take(
        &mut sink,
        Row::Query(EnrichedQuery {
            target: "a",
            database: Some("shop"),
            user: Some("app"),
            query_id: "-42",
            delta_valid: true,
            delta: total,
            total,
            ..EnrichedQuery::default()
        }),
    );
    let session = EnrichedSession { target: "a", state: Some("active"), sampling_weight: 1.0, ..Default::default() };
    take(&mut sink, Row::Session(session));
    let text = sink.shared.expose(Format::Text, clock::now() + Duration::from_secs(1));
    let lines = [
        r#"db_postgresql_db_size_bytes{environment="test",database="shop",exported_environment="forged",target="a"} 8192"#,
        r#"db_query_calls_total{environment="test",database="shop",query_id="-42",target="a",user="app"} 7"#,
        r#"db_query_exec_seconds_total{environment="test",database="shop",query_id="-42",target="a",user="app"} 1.5"#,
        r#"db_query_calls_total{environment="test",query_id="other",target="a"} 0"#,
        r#"db_active_sessions{environment="test",state="active",target="a",wait_event="CPU",wait_event_type="CPU"} 1"#,
        r#"db_target_info{environment="test",target="a"} 1"#,
    ];
    for line in lines {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_known_about_a_target_stands_on_one_series() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    take(&mut sink, Row::Metrics(metrics(&[])));
    let text = sink.shared.expose(Format::Text, clock::now());
    let expected = concat!(
        r#"db_target_info{environment="test",engine="postgresql",engine_version="18.4",exported_role="forged","#,
        r#"role="primary",target="a",team="payments"} 1"#
    );
    assert!(text.contains(expected), "{text}");
}

#[test]
fn conflicts_are_counted_and_the_scrape_goes_on() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    let first = [point("a.b", "gauge", 1), point("a_b", "gauge", 2), point("a.b.total", "gauge", 3)];
    take(&mut sink, Row::Metrics(metrics(&first)));
    take(&mut sink, Row::Metrics(metrics(&[point("a.b", "counter", 4), point("query.calls.total", "gauge", 5)])));
    let text = sink.shared.expose(Format::Text, clock::now());
    let values = |name: &str| -> Vec<&str> {
        let is_it = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with('{');
        text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()).collect()
    };
    assert_eq!(values("db_a_b_bytes"), ["1"]);
    let dropped: f64 = registry
        .gather()
        .iter()
        .filter(|family| family.name() == "sink_dropped_samples_total")
        .flat_map(|family| family.get_metric())
        .map(|metric| metric.get_counter().get_value())
        .sum();
    assert!(dropped >= 1.0, "nothing was counted");
}

#[test]
fn rows_of_too_many_targets_are_rejected() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    let targets: Vec<String> = (0..=TARGETS_MAX).map(|number| number.to_string()).collect();
    let session = |target| Row::Session(EnrichedSession { target, ..EnrichedSession::default() });
    for target in &targets[1..] {
        take(&mut sink, session(target));
    }
    assert_eq!(taken(&mut sink, session(&targets[0])), Taken::Settled(TOO_MANY_TARGETS));
    take(&mut sink, session(&targets[1]));
    let mut values = sink.shared.lock();
    let (query, now) = (EnrichedQuery { target: &targets[0], ..EnrichedQuery::default() }, clock::now());
    for target in &targets[1..] {
        assert!(values.statements.update(&EnrichedQuery { target, ..query }, 0, true, now));
    }
    assert!(!values.statements.update(&query, 0, true, now));
    assert!(!values.sessions.update(&EnrichedSession { target: &targets[0], ..EnrichedSession::default() }, 0, now));
}

#[test]
fn a_target_that_is_read_seldom_is_shown_until_three_reads_are_missing() {
    let registry = Registry::new();
    let mut sink = sink(&registry);
    take(&mut sink, Row::Metrics(EnrichedMetrics { interval_ns: Some(600_000_000_000), ..metrics(&[]) }));
    take(&mut sink, Row::Session(EnrichedSession { target: "a", ..EnrichedSession::default() }));
    let is_shown = |minutes: u64| {
        let page = sink.shared.expose(Format::Text, clock::now() + Duration::from_secs(60 * minutes));
        page.contains("db_target_info{")
    };
    assert_eq!([29, 31].map(is_shown), [true, false]);
}

/// Names and values of labels, some of which look like ours, like the constant one, or like nothing that is allowed.
const WORDS: [&str; 15] = [
    "target",
    "role",
    "environment",
    "exported_environment",
    "database",
    "query_id",
    "other",
    "__name__",
    "größe",
    "a.b",
    "a_b",
    "",
    "1st",
    "quo\"te\\\n",
    "\0",
];
/// Names of metrics, some of which meet each other or ours.
const NAMES: [&str; 9] =
    ["a.b", "a_b", "a.b.total", "", "ö", "query.calls", "active.sessions", "target.info", "7 odd-näme"];

/// Words without a pattern that are the same in each run.
struct Words(u64);

impl Words {
    fn number(&mut self, end: usize) -> usize {
        self.0 += 1;
        usize::from(hash128(&[&self.0.to_le_bytes()])[0]) % end
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.number(WORDS.len())]
    }

    fn map(&mut self) -> Vec<(&'static str, &'static str)> {
        (0..self.number(5)).map(|_| (self.word(), self.word())).collect()
    }
}

fn take_any(sink: &mut Prometheus, words: &mut Words) {
    let (target, labels, object) = (words.word(), words.map(), words.map());
    let labels = TextMap::from_slice(&labels);
    let total = QueryCounters::default().with_calls(3);
    let row = match words.number(3) {
        0 => {
            let kind = ["gauge", "sum", "counter"][words.number(3)];
            let point =
                MetricPoint { unit: "", ..point(NAMES[words.number(NAMES.len())], kind, words.number(9) as i64 - 1) };
            let row = EnrichedMetrics { object: TextMap::from_slice(&object), ..metrics(&[]) };
            take(sink, Row::Metrics(EnrichedMetrics { target, labels, points: List::from_slice(&[point]), ..row }));
            return;
        }
        1 => {
            let (database, user, query_id) = (Some(words.word()), Some(words.word()), words.word());
            let database_id = words.word();
            Row::Query(EnrichedQuery {
                target,
                labels,
                database,
                database_id,
                user,
                query_id,
                total,
                ..Default::default()
            })
        }
        _ => {
            let (state, wait_event_type) = (Some(words.word()), Some(words.word()));
            Row::Session(EnrichedSession { target, labels, state, wait_event_type, ..Default::default() })
        }
    };
    take(sink, row);
}

/// The labels of a series, `name="value"` each, from what stands between braces.
fn split(labels: &str) -> Vec<(&str, &str)> {
    let (mut rest, mut pairs) = (labels, Vec::new());
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut escaped = false;
        let is_end = |character: char| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            ends
        };
        let end = value.find(is_end).expect("a value ends");
        pairs.push((name, &value[..end]));
        rest = value[end + 1..].strip_prefix(',').unwrap_or(&value[end + 1..]);
    }
    assert_eq!(rest, "", "{labels}");
    pairs
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let is_letter = |character: char| character.is_ascii_alphabetic() || character == '_';
    characters.next().is_some_and(is_letter) && characters.all(|one| is_letter(one) || one.is_ascii_digit())
}

/// What a scraper would trip over.
fn check(page: &str) {
    let (mut families, mut series, mut current) = (BTreeSet::new(), BTreeSet::new(), "");
    for line in page.lines().filter(|line| *line != "# EOF" && !line.starts_with("# HELP ")) {
        if let Some((family, _)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(is_name(family) && families.insert(family), "{family} is there twice\n{page}");
            current = family;
            continue;
        }
        let (name, rest) = line.split_once('{').expect("each series has a constant label");
        let (labels, _) = rest.rsplit_once("} ").expect("labels end");
        assert!(name == current || name.strip_suffix("_total") == Some(current), "{line} is not in {current}\n{page}");
        let mut labels = split(labels);
        labels.sort_unstable();
        assert!(labels.iter().all(|(name, _)| is_name(name)), "{line}");
        assert!(labels.windows(2).all(|two| two[0].0 != two[1].0), "a label is there twice: {line}");
        assert!(series.insert((name, labels)), "a series is there twice: {line}\n{page}");
    }
}

#[test]
fn whatever_comes_in_no_label_series_or_family_is_there_twice() {
    let mut words = Words(0);
    for round in 0..100 {
        let const_labels = ["environment", "exported_role"].map(|name| (name.to_owned(), "test".to_owned())).into();
        let namespace = ["", "db"][round % 2].to_owned();
        let config = Config { namespace, const_labels, top_statements: 3, ..Config::default() };
        let mut sink = Prometheus::new(config, &delivery::Metrics::new(&Registry::new(), "prometheus"));
        for _ in 0..100 {
            take_any(&mut sink, &mut words);
        }
        for format in [Format::Text, Format::OpenMetrics] {
            check(&sink.shared.expose(format, clock::now()));
        }
    }
}
