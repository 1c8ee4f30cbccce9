//! A statement with what its columns mean, and how rows become metrics or log records.

use std::time::Duration;

use dbintel_config::Section;

use self::log::Log;
use super::interned;
use crate::failure::Failure;
use crate::metric::{Kind, NONE, Number, Series, Value};
use crate::poll::Outcome;
use crate::rows::{MetricRow, Point, Rows};
use crate::text::TextReader;

mod log;

/// Class of failures whose cause is a result that is not what is declared.
const UNFIT: &str = "result";
/// Most bytes of an attribute; what is longer is cut.
const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Most characters of a value that a message quotes.
const QUOTED_MAX: usize = 40;

/// A statement that is run again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What people call it: its number, and its first metric if it has one.
    pub name: &'static str,
    /// The statement.
    pub sql: String,
    /// Time between two runs.
    pub interval: Duration,
    /// Longest time for a run.
    pub timeout: Duration,
    /// Most rows that are taken.
    pub rows_max: usize,
    /// How far it has come is told by a column.
    pub tracking: Option<TrackingColumn>,
    /// What each row gives.
    pub gives: Gives,
}

/// What the rows of a statement are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gives {
    /// Values of metrics.
    Metrics(Vec<Metric>),
    /// Log records.
    Logs(Vec<Log>),
}

/// The column whose last value the next run begins after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackingColumn {
    /// Its name.
    pub column: &'static str,
    /// The value of the first run.
    pub start: String,
}

/// One metric of each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    series: &'static Series,
    /// Columns whose values are attributes.
    attribute_columns: Vec<&'static str>,
}

/// What a statement gave: names of columns, and texts; none is NULL.
#[derive(Debug, Default)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// One text for each column.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Query {
    /// Reads an item of `queries`: one that gives metrics and log records counts as two. `interval` and `timeout` are those of
    /// the poller.
    pub fn read(number: usize, section: &mut Section, interval: Duration, timeout: Duration) -> Vec<Query> {
        let sql = section.doc("The statement: one that selects.").required_text("sql");
        let metrics: Vec<Metric> = section.list_of_sections("metrics").iter_mut().map(Metric::read).collect();
        let logs: Vec<Log> = section.list_of_sections("logs").iter_mut().map(Log::read).collect();
        if metrics.is_empty() && logs.is_empty() {
            section.problem_here("declares no metrics and no logs: what is to become of its rows?");
        }
        let first = metrics.first().map_or("logs", |metric| metric.series.metric);
        let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
        let query = Query {
            name: interned::text(&format!("query {number} ({first})")),
            sql: trimmed(&sql).to_owned(),
            interval: section.doc("Time between two runs; that of the poller if not set.").duration_within(
                "collection_interval",
                &milliseconds(interval),
                "100ms"..="1d",
            ),
            timeout: section.doc("Longest time for a run; that of the poller if not set.").duration_within(
                "timeout",
                &milliseconds(timeout),
                "10ms"..="10m",
            ),
            rows_max: section.doc("Most rows that are taken.").integer("max_rows", 1_000, 1..=100_000),
            tracking: TrackingColumn::read(section),
            gives: Gives::Logs(Vec::new()),
        };
        let of_metrics = (!metrics.is_empty()).then(|| Query { gives: Gives::Metrics(metrics), ..query.clone() });
        let of_logs = (!logs.is_empty()).then(|| {
            let name = interned::text(&format!("query {number} (logs)"));
            Query { name, gives: Gives::Logs(logs), ..query }
        });
        of_metrics.into_iter().chain(of_logs).collect()
    }

    /// Which of the rows are taken, as the end of a statement: one too many, to notice it; of a tracked query the first ones after
    /// those of the run before.
    pub fn window(&self, quote: char) -> String {
        match &self.tracking {
            None => format!("LIMIT {}", self.rows_max + 1),
            Some(TrackingColumn { column, .. }) => {
                let doubled = column.replace(quote, &format!("{quote}{quote}"));
                format!("ORDER BY q.{quote}{doubled}{quote} LIMIT {}", self.rows_max)
            }
        }
    }

    /// What the rows are that a run gave.
    ///
    /// # Errors
    /// What does not fit, with query, column and row. No row counts then.
    pub fn rows(&self, table: &Table, texts: &mut TextReader) -> Result<Rows, Failure> {
        if table.rows.len() > self.rows_max {
            let message = format!("{}: more than {} rows: add a LIMIT, or raise `max_rows`", self.name, self.rows_max);
            return Err(failure(message));
        }
        match &self.gives {
            Gives::Metrics(metrics) => self.metrics(metrics, table).map(Rows::Metrics),
            Gives::Logs(logs) => {
                let mut rows = Vec::new();
                for log in logs {
                    log.rows(self, table, texts, &mut rows)?;
                }
                Ok(Rows::Logs(rows))
            }
        }
    }

    fn metrics(&self, metrics: &[Metric], table: &Table) -> Result<Vec<MetricRow>, Failure> {
        let mut rows = Vec::new();
        for declared in metrics.chunk_by(|one, other| one.attribute_columns == other.attribute_columns) {
            self.rows_of(declared, table, &mut rows)?;
        }
        Ok(rows)
    }

    /// Those of metrics that have the same attributes.
    fn rows_of(&self, declared: &[Metric], table: &Table, rows: &mut Vec<MetricRow>) -> Result<(), Failure> {
        let attributes = &declared[0].attribute_columns;
        let places = attributes.iter().map(|column| self.place(column, table)).collect::<Result<Vec<_>, _>>()?;
        let values: Vec<(&'static Series, usize)> = declared
            .iter()
            .map(|metric| Ok((metric.series, self.place(metric.series.column, table)?)))
            .collect::<Result<_, Failure>>()?;
        for (number, row) in table.rows.iter().enumerate() {
            let object = attributes.iter().zip(&places);
            let object = object.filter_map(|(name, place)| Some((*name, cut(row[*place].as_ref()?)))).collect();
            let mut points = Vec::with_capacity(values.len());
            for (series, place) in &values {
                // NULL is no value.
                let Some(text) = &row[*place] else { continue };
                let value =
                    value(text, series.number).map_err(|wanted| self.unfit(series.column, number, text, wanted))?;
                points.push(Point::new(series, value));
            }
            rows.push(MetricRow { object_type: "query", view: self.name, object, statistics_reset_at: None, points });
        }
        Ok(())
    }

    pub(super) fn place(&self, column: &str, table: &Table) -> Result<usize, Failure> {
        let place = table.columns.iter().position(|name| name == column);
        place.ok_or_else(|| {
            let columns = table.columns.join(", ");
            failure(format!("{}: the result has no column `{column}`, it has {columns}", self.name))
        })
    }

    fn unfit(&self, column: &str, row: usize, text: &str, wanted: &str) -> Failure {
        let quoted: String = text.chars().take(QUOTED_MAX).collect();
        let digits_only = quoted.chars().all(|character| character.is_ascii_digit() || "+-.eE".contains(character));
        // A text may be anything, such as a statement with its literals.
        let quoted = if digits_only { format!("`{quoted}`") } else { "a text".to_owned() };
        failure(format!(
            "{}: column `{column}` of row {} holds {quoted}, and is declared as {wanted}",
            self.name,
            row + 1
        ))
    }

    /// The failure of a run, with what it was that failed and what gives the same.
    pub fn explain(&self, failure: Failure) -> Failure {
        let message = format!("{}: {}{}", self.name, failure.message, self.way_out(&failure));
        Failure { message, ..failure }
    }

    /// Which built-in polls give what the server does not have under this name.
    fn way_out(&self, failure: &Failure) -> &'static str {
        let is_missing = failure.is_missing_capability() || failure.is_missing_on_mysql();
        let sql = self.sql.to_ascii_lowercase();
        let built_in = [
            (
                "pg_stat_statements",
                "; `statements` of a `postgresql` poller read what this server has of calls, times, rows and blocks",
            ),
            (
                "pg_stat_activity",
                "; `sessions` of a `postgresql` poller read what this server has of sessions and waits",
            ),
            (
                "events_statements_summary_by_digest",
                "; `statements` of a `mysql` poller read what this server has of them",
            ),
            ("processlist", "; `sessions` of a `mysql` poller read sessions and waits"),
        ];
        let found = built_in.iter().find(|(view, _)| is_missing && sql.contains(view));
        found.map_or("", |(_, way_out)| way_out)
    }
}

impl TrackingColumn {
    fn read(section: &mut Section) -> Option<TrackingColumn> {
        let column = section.doc("Column whose last value the next run begins after, as `$1` or `?` of the statement.");
        let column = column.optional_text("tracking_column");
        let start = section.doc("Value for the first run, also after a restart.").optional_text("tracking_start_value");
        match (column, start) {
            (Some(column), Some(start)) => Some(TrackingColumn { column: interned::text(&column), start }),
            (None, None) => None,
            (Some(_), None) => {
                section.problem("tracking_column", "needs a `tracking_start_value`, which the first run begins after");
                None
            }
            (None, Some(_)) => {
                section.problem("tracking_start_value", "is of a `tracking_column`: name one");
                None
            }
        }
    }
}

impl Metric {
    fn read(section: &mut Section) -> Metric {
        let name = section.doc("Name of the metric.").required_text("metric_name");
        let column = section.doc("Column with the value.").required_text("value_column");
        let columns = section.doc("Columns whose values are attributes.").list_of_text("attribute_columns", &[]);
        let number = section.doc("Type of the values.").variant(
            "value_type",
            &[("int", Number::Integer), ("double", Number::Double)],
            "int",
        );
        let monotonic = section.doc("It only grows, until the server forgets it.").boolean("monotonic", false);
        let default = if monotonic { "sum" } else { "gauge" };
        let is_sum = section.doc("How values add up; `sum` where `monotonic` is true.").variant(
            "data_type",
            &[("gauge", false), ("sum", true)],
            default,
        );
        let unit = section.doc("Unit, as UCUM writes it.").text("unit", "1");
        // Only said to readers of the Collector's configuration.
        section.doc("Accepted, and not used.").text("description", "");
        if section.doc("Values count from a start.").choice("aggregation", &["cumulative", "delta"], "cumulative")
            == "delta"
        {
            section.problem(
                "aggregation",
                "only values that count from a start are taken: leave the difference to the processors",
            );
        }
        if monotonic && !is_sum {
            section.problem("monotonic", "is of sums: leave out `data_type`, or set it to `sum`");
        }
        let attributes: Vec<(&'static str, &'static str)> = section
            .doc("Attributes with fixed values.")
            .text_map("static_attributes")
            .iter()
            .map(|(name, value)| (interned::text(name), interned::text(value)))
            .collect();
        let kind = match (is_sum, monotonic) {
            (_, true) => Kind::Counter,
            (true, false) => Kind::Sum,
            (false, false) => Kind::Gauge,
        };
        let [column, metric, unit] = [&column, &name, &unit].map(|name| interned::text(name));
        let series = interned::series(Series { column, metric, unit, kind, number, attributes: NONE }, &attributes);
        Metric { series, attribute_columns: columns.iter().map(|column| interned::text(column)).collect() }
    }
}

fn failure(message: String) -> Failure {
    Failure { outcome: Outcome::Error, class: UNFIT.to_owned(), message, connection_lost: false }
}

/// Without what ends a statement: it stands within another one.
fn trimmed(sql: &str) -> &str {
    sql.trim_end_matches(|character: char| character == ';' || character.is_whitespace())
}

/// The number that a text is; else what it should be.
fn value(text: &str, number: Number) -> Result<Value, &'static str> {
    match number {
        Number::Integer => integer(text).map(Value::Integer).ok_or("a whole number (`value_type: int`)"),
        Number::Double => {
            let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
            value.map(Value::Double).ok_or("a number (`value_type: double`)")
        }
    }
}

/// Sums of whole numbers come as `12.0000` from some servers.
fn integer(text: &str) -> Option<i64> {
    let whole = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    whole.parse().ok()
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(ATTRIBUTE_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
