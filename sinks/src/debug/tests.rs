use std::sync::{Arc, Mutex};

use dbintel_schemas::records::{EnrichedMetrics, EnrichedQuery, EnrichedSession, Event, MetricPoint, QueryCounters};
use dbintel_schemas::{List, TextMap};
use serde_json::Value;

use super::*;
use crate::clock;
use crate::delivery::Ticket;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn query() -> EnrichedQuery<'static> {
    EnrichedQuery {
        target: "a",
        query_id: "42",
        fingerprint: Some("f1"),
        delta: QueryCounters::default().with_calls(7),
        ..EnrichedQuery::default()
    }
}

fn run(config: Config, rows: &[Row<'_>]) -> Vec<Value> {
    let output = Output::default();
    let mut sink = Debug::new(config, Box::new(output.clone()));
    let (now, mut texts) = (clock::now(), Texts::default());
    texts.insert("a", "f1", Some("select $1"));
    for row in rows {
        let arrival = Arrival { ticket: Ticket::SETTLED_BEFORE, partition: 0, fresh: true, now };
        assert_eq!(sink.take(row, arrival, &mut texts), Taken::Settled(Outcome::Accepted));
    }
    sink.tick(now + PERIOD);
    output.lines()
}

#[test]
fn the_first_rows_of_each_second_are_printed_and_then_each_nth() {
    let rows = [Row::Query(query()); 10];
    for (initial, thereafter, expected) in [(5, 0, 5), (2, 1, 10), (2, 4, 4), (0, 0, 0), (20, 0, 10)] {
        let config = Config {
            verbosity: Verbosity::Normal,
            sampling_initial: initial,
            sampling_thereafter: thereafter,
            ..Config::default()
        };
        assert_eq!(run(config, &rows).len(), expected, "{initial} {thereafter}");
    }
}

#[test]
fn basic_tells_how_many_rows_came() {
    let rows = [Row::Query(query()), Row::Session(EnrichedSession::default()), Row::Query(query())];
    let lines = run(Config::default(), &rows);
    assert_eq!(lines, [serde_json::json!({"rows": {"enriched.queries": 2, "enriched.sessions": 1}})]);
}

#[test]
fn detailed_tells_all_that_a_row_holds() {
    let config = Config { verbosity: Verbosity::Detailed, ..Config::default() };
    let point = [MetricPoint { name: "postgresql.db_size", int_value: Some(1), ..MetricPoint::default() }];
    let rows = [
        Row::Query(query()),
        Row::Session(EnrichedSession { session_id: "7", ..EnrichedSession::default() }),
        Row::Metrics(EnrichedMetrics { points: List::from_slice(&point), ..EnrichedMetrics::default() }),
        Row::Event(Event { attributes: TextMap::from_slice(&[("before", "3")]), ..Event::default() }),
    ];
    let lines = run(config, &rows);
    assert_eq!((&lines[0]["text"], &lines[0]["delta"]), (&"select $1".into(), &serde_json::json!({"calls": 7})));
    assert_eq!(lines[1]["session_id"], "7");
    assert_eq!(lines[2]["points"][0]["name"], "postgresql.db_size");
    assert_eq!(lines[3]["attributes"]["before"], "3");
    let topics: Vec<&str> = lines.iter().filter_map(|line| line["topic"].as_str()).collect();
    assert_eq!(topics, ["enriched.queries", "enriched.sessions", "enriched.metrics", "events"]);
}
