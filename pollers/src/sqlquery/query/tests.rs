use dbintel_config::{Document, Environment};

use super::*;

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
    loaded.map(|loaded| loaded.config).map_err(|problems| problems.to_string())
}

fn table(rows: &[[Option<&str>; 3]]) -> Table {
    let columns = ["query_id", "calls", "mean"].map(str::to_owned).to_vec();
    Table { columns, rows: rows.iter().map(|row| row.map(|text| text.map(str::to_owned)).to_vec()).collect() }
}

#[test]
fn rows_become_metrics_with_the_attributes_that_are_declared() {
    let query = read(CALLS).unwrap();
    assert_eq!(
        (query.sql.as_str(), query.interval, query.timeout),
        ("SELECT 1", Duration::from_secs(60), Duration::from_secs(3))
    );
    let rows = query.rows(&table(&[[Some("7"), Some("12.000"), Some("0.5")], [None, Some("3"), None]])).unwrap();
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
        assert_eq!(query.rows(&table).unwrap_err().message, expected);
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let cases = [
        ("metrics: [{metric_name: a, value_column: b}]", "sql: missing"),
        ("sql: x", "declares no metrics"),
        ("sql: x\nmetrics: [{metric_name: a}]", "value_column: missing"),
        ("sql: x\nmetrics: [{metric_name: a, value_column: b, value_type: text}]", "value_type: expected"),
        ("sql: x\nmetrics: [{metric_name: a, value_column: b, monotonic: true, data_type: gauge}]", "is of sums"),
        (
            "sql: x\nmetrics: [{metric_name: a, value_column: b, aggregation: delta}]",
            "only values that count from a start",
        ),
        (
            "sql: x\nlogs: [{body_column: b}]\nmetrics: [{metric_name: a, value_column: b}]",
            "is not part of this version",
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
