//! Reads metrics of objects from a view: the query says where each column comes from, the mapping what it means.

use tokio_postgres::Row;

use crate::metric::{Number, Series, Value};
use crate::poll::Capability;
use crate::rows::MetricRow;

use super::transaction::{Parameter, Transaction};
use super::value::Columns;
use crate::failure::Failure;

/// A kind of object and what is read about it.
#[derive(Debug)]
pub struct View {
    /// Name of the view.
    pub name: &'static str,
    /// server, database, table, index, replica.
    pub object_type: &'static str,
    /// Columns that identify the object.
    pub identity: &'static [&'static str],
    /// Columns with values.
    pub series: &'static [Series],
}

impl View {
    /// Reads one row per object. `from` is a SELECT that gives the identity, `stats_reset` and the columns of the series.
    /// A value that is null is no point; an object without points is there all the same.
    pub async fn read(
        &self,
        transaction: &Transaction<'_>,
        from: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<MetricRow>, Failure> {
        let rows = transaction.query(&self.sql(from), parameters).await?;
        rows.iter().map(|row| self.metric_row(row)).collect()
    }

    /// As [`View::read`], but the first `max` objects only; with what is missing if there are more.
    pub async fn read_first(
        &self,
        max: usize,
        transaction: &Transaction<'_>,
        from: &str,
    ) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
        let mut rows = self.read(transaction, &format!("{from} LIMIT {}", max + 1), &[]).await?;
        let missing = beyond(self.name, max, &mut rows);
        Ok((rows, missing))
    }

    /// The row of an object that is not read from a view.
    pub fn row(&self, object: Vec<(&'static str, String)>, points: Vec<(&'static Series, Value)>) -> MetricRow {
        let (object_type, view) = (self.object_type, self.name);
        MetricRow { object_type, view, object, statistics_reset_at: None, points }
    }

    fn sql(&self, from: &str) -> String {
        let mut columns: Vec<String> = self.identity.iter().map(|column| format!("\"{column}\"")).collect();
        columns.push("stats_reset".to_owned());
        columns.extend(self.series.iter().map(|series| {
            let kind = match series.number {
                Number::Integer => "int8",
                Number::Double => "float8",
            };
            format!("{}::{kind}", series.column)
        }));
        format!("SELECT {} FROM ({from}) AS objects", columns.join(", "))
    }

    fn metric_row(&self, row: &Row) -> Result<MetricRow, Failure> {
        let columns = Columns(row);
        let mut object = Vec::with_capacity(self.identity.len());
        for column in self.identity {
            object.push((*column, columns.text(column)?.unwrap_or_default()));
        }
        let mut points = Vec::with_capacity(self.series.len());
        let first = self.identity.len() + 1;
        for (place, series) in self.series.iter().enumerate() {
            let value = match series.number {
                Number::Integer => row.try_get::<_, Option<i64>>(first + place)?.map(Value::Integer),
                Number::Double => row.try_get::<_, Option<f64>>(first + place)?.map(Value::Double),
            };
            points.extend(value.map(|value| (series, value)));
        }
        let statistics_reset_at = columns.micros("stats_reset")?;
        Ok(MetricRow { object_type: self.object_type, view: self.name, object, statistics_reset_at, points })
    }
}

/// Keeps `max` of the rows of a view, of which one more was asked for; what is missing if there are more.
pub fn beyond<T>(view: &str, max: usize, rows: &mut Vec<T>) -> Option<Capability> {
    if rows.len() <= max {
        return None;
    }
    rows.truncate(max);
    Some(Capability {
        name: view.to_owned(),
        consequence: format!("only the first {max} rows are read, and there are more"),
        remedy: "none".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgresql::mapping;

    #[test]
    fn rows_beyond_a_limit_are_left_out_and_said() {
        let cases = [(0, 0, None), (3, 3, None), (4, 3, Some("only the first 3 rows are read, and there are more"))];
        for (read, kept, consequence) in cases {
            let mut rows: Vec<usize> = (0..read).collect();
            let missing = beyond("pg_database", 3, &mut rows);
            assert_eq!((rows.len(), missing.as_ref().map(|it| it.consequence.as_str())), (kept, consequence));
        }
    }

    #[test]
    fn columns_are_cast_to_what_their_series_holds() {
        let view = View {
            name: "pg_stat_checkpointer",
            object_type: "server",
            identity: &[],
            series: &mapping::PG_STAT_CHECKPOINTER[2..4],
        };
        let sql = "SELECT stats_reset, num_timed::int8, write_time::float8 FROM (SELECT x) AS objects";
        assert_eq!(view.sql("SELECT x"), sql);
        let view = View { identity: &["database", "table"], series: &[], ..view };
        let sql = r#"SELECT "database", "table", stats_reset FROM (SELECT x) AS objects"#;
        assert_eq!(view.sql("SELECT x"), sql);
    }
}
