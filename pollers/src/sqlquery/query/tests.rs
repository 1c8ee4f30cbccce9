use dbintel_config::{Document, Environment};

use super::*;
use crate::rows::LogRow;

const CALLS: &str = "
sql: 'SELECT 1;  '
metrics:
  - {metric_name: db.query.calls, value_column: calls, attribute_columns: [query_id], value_type: int, monotonic: true}
  - {metric_name: db.query.mean_time, value_column: mean, attribute_columns: [query_id], value_type: double, unit: ms}
  - {metric_name: db.queries, value_column: calls, static_attributes: {kind: all}}
timeout: 3s
";

fn read(text: &str) -> Result<Query, String> {
    let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
    let document = Document::from_text("t.yaml", text, &Environment::from_iter::<[(&str, &str); 0]>([]));
    let loaded = document.unwrap().read(|section| Query::read(1, section, minute, second));
    loaded.map(|loaded| loaded.config.into_iter().next().unwrap()).map_err(|problems| problems.to_string())
}

fn table(rows: &[[Option<&str>; 3]]) -> Table {
    let columns = ["query_id", "calls", "mean"].map(str::to_owned).to_vec();
    Table { columns, rows: rows.iter().map(|row| row.map(|text| text.map(str::to_owned)).to_vec()).collect() }
}

/// The metrics of a result; else what is wrong with it.
fn metrics(query: &Query, table: &Table) -> Result<Vec<MetricRow>, String> {
    match query.rows(table, &mut reader()) {
        Ok(Rows::Metrics(rows)) => Ok(rows),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure.message),
    }
}

fn reader() -> TextReader {
    TextReader::new(dbintel_sqltext::Dialect::PostgreSql, dbintel_sqltext::Options::default(), false)
}

#[test]
fn rows_become_metrics_with_the_attributes_that_are_declared() {
    let query = read(CALLS).unwrap();
    assert_eq!(
        (query.sql.as_str(), query.interval, query.timeout),
        ("SELECT 1", Duration::from_secs(60), Duration::from_secs(3))
    );
    let rows = metrics(&query, &table(&[[Some("7"), Some("12.000"), Some("0.5")], [None, Some("3"), None]])).unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let points = row.points.iter().map(|point| (point.series.metric, point.series.kind, point.value));
            (row.object.clone(), points.collect::<Vec<_>>())
        })
        .collect();
    let calls = |value| ("db.query.calls", Kind::Counter, Value::Integer(value));
    let all = |value| (vec![], vec![("db.queries", Kind::Gauge, Value::Integer(value))]);
    let mean = ("db.query.mean_time", Kind::Gauge, Value::Double(0.5));
    let expected =
        vec![(vec![("query_id", "7".to_owned())], vec![calls(12), mean]), (vec![], vec![calls(3)]), all(12), all(3)];
    assert_eq!(shown, expected);
    assert_eq!(rows[2].points[0].series.attributes, [("kind", "all")]);
}

#[test]
fn what_does_not_fit_names_query_column_and_row() {
    let query = read(CALLS).unwrap();
    let cases = [
        (
            table(&[[None, Some("1"), None], [None, Some("1.5"), None]]),
            "query 1 (db.query.calls): column `calls` of row 2 holds `1.5`, and is declared as a whole number (`value_type: int`)",
        ),
        (
            table(&[[None, Some("SELECT 'secret'"), None]]),
            "query 1 (db.query.calls): column `calls` of row 1 holds a text, and is declared as a whole number (`value_type: int`)",
        ),
        (
            table(&[[None, Some("1"), Some("Infinity")]]),
            "query 1 (db.query.calls): column `mean` of row 1 holds a text, and is declared as a number (`value_type: double`)",
        ),
        (
            Table { columns: vec!["calls".to_owned()], rows: vec![] },
            "query 1 (db.query.calls): the result has no column `query_id`, it has calls",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(metrics(&query, &table).unwrap_err(), expected);
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let cases = [
        ("metrics: [{metric_name: a, value_column: b}]", "sql: missing"),
        ("sql: x", "declares no metrics and no logs"),
        ("sql: x\nlogs: [{severity_column: b}]", "body_column: missing"),
        ("sql: x\ntracking_column: a\nlogs: [{body_column: b}]", "needs a `tracking_start_value`"),
        ("sql: x\ntracking_start_value: '1'\nlogs: [{body_column: b}]", "is of a `tracking_column`"),
        ("sql: x\nmetrics: [{metric_name: a}]", "value_column: missing"),
        ("sql: x\nmetrics: [{metric_name: a, value_column: b, value_type: text}]", "value_type: expected"),
        ("sql: x\nmetrics: [{metric_name: a, value_column: b, monotonic: true, data_type: gauge}]", "is of sums"),
        (
            "sql: x\nmetrics: [{metric_name: a, value_column: b, aggregation: delta}]",
            "only values that count from a start",
        ),
    ];
    for (text, expected) in cases {
        let problems = read(text).unwrap_err();
        assert!(problems.contains(expected), "{text}: {problems}");
    }
}

#[test]
fn a_missing_column_names_the_polls_that_give_the_same() {
    let query = Query { sql: "SELECT cpu_time FROM pg_stat_statements".to_owned(), ..read(CALLS).unwrap() };
    let failure = Failure { class: "42703".to_owned(), ..failure("column \"cpu_time\" does not exist".to_owned()) };
    let message = query.explain(failure).message;
    assert!(
        message.starts_with("query 1 (db.query.calls): column \"cpu_time\" does not exist; `statements`"),
        "{message}"
    );
}

#[test]
fn rows_become_log_records() {
    let logs = "
sql: SELECT 1
logs:
  - {body_column: said, severity_column: level, timestamp_column: at, attribute_columns: [who], static_attributes: {kind: x}}
";
    let query = read(logs).unwrap();
    let columns = ["said", "level", "at", "who"].map(str::to_owned).to_vec();
    let row = |row: [Option<&str>; 4]| row.map(|text| text.map(str::to_owned)).to_vec();
    let first = row([Some("SELECT 'secret', 7"), Some("ERROR"), Some("2026-06-01T12:00:00+00:00"), Some("shop")]);
    let table = Table { columns, rows: vec![first, row([None, Some("busy"), None, None])] };
    let Ok(Rows::Logs(rows)) = query.rows(&table, &mut reader()) else { panic!("no logs") };
    let body = rows[0].body.as_ref().unwrap();
    assert_eq!(body.text.as_deref(), Some("SELECT ?, ?"));
    assert_eq!((rows[0].occurred_at, rows[0].severity_number), (Some(1_780_315_200_000_000), Some(17)));
    assert_eq!(rows[0].attributes, [("who", "shop".to_owned()), ("kind", "x".to_owned())]);
    let LogRow { query: name, occurred_at, severity, severity_number, body, attributes } = &rows[1];
    assert_eq!(
        (*name, *occurred_at, severity.as_deref(), *severity_number),
        ("query 1 (logs)", None, Some("busy"), None)
    );
    assert!(body.is_none() && *attributes == [("kind", "x".to_owned())]);

    let text = read("sql: x\nlogs: [{body_column: said, body: text}]").unwrap();
    let said = Table { columns: vec!["said".to_owned()], rows: vec![vec![Some("order '7' is late".to_owned())]] };
    let Ok(Rows::Logs(rows)) = text.rows(&said, &mut reader()) else { panic!("no logs") };
    assert_eq!(rows[0].body.as_ref().unwrap().text.as_deref(), Some("order '7' is late"));

    let late = Table { columns: table.columns, rows: vec![row([None, None, Some("'a' at noon"), None])] };
    assert_eq!(
        query.rows(&late, &mut reader()).unwrap_err().message,
        "query 1 (logs): column `at` of row 1 holds a text, and is declared as a time (`timestamp_column`)"
    );
}

#[test]
fn what_gives_both_counts_as_two() {
    let text = "sql: x\nlogs: [{body_column: b}]\nmetrics: [{metric_name: a, value_column: b}]\ntracking_column: id\ntracking_start_value: '0'";
    let document = Document::from_text("t.yaml", text, &Environment::from_iter::<[(&str, &str); 0]>([])).unwrap();
    let second = Duration::from_secs(1);
    let queries = document.read(|section| Query::read(3, section, second, second)).unwrap().config;
    assert_eq!(queries.iter().map(|query| query.name).collect::<Vec<_>>(), ["query 3 (a)", "query 3 (logs)"]);
    assert!(queries.iter().all(|query| query.window('`') == "ORDER BY q.`id` LIMIT 1000"));
    assert!(queries.iter().all(|query| query.tracking.as_ref().is_some_and(|tracking| tracking.column == "id")));
}
