//! Variables of the server: `SHOW GLOBAL STATUS` and `SHOW GLOBAL VARIABLES`, and what they mean as metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use super::connection::Connection;
use super::mapping;
use super::server::pairs;
use super::value::Columns;
use crate::failure::Failure;
use crate::metric::{Number, Series, Value};
use crate::rows::{MetricRow, Point};

/// Variables by their names in small letters.
#[derive(Debug, Default)]
pub struct Variables(BTreeMap<String, String>);

/// Most counters of InnoDB that are read.
const INNODB_METRICS_MAX: usize = 500;

/// Variables that are a metric of their own as they are.
static NAMED: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let series = mapping::STATUS.iter().flat_map(|group| group.iter());
    series.map(|series| series.column).collect()
});

impl Variables {
    /// Those that `sql` gives.
    pub async fn read(connection: &mut Connection, sql: &str) -> Result<Variables, Failure> {
        let pairs = pairs(connection, sql).await?;
        Ok(Variables(pairs.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect()))
    }

    /// What these series say, as far as there are variables for them.
    pub fn points(&self, series: impl Iterator<Item = &'static Series>) -> Vec<Point> {
        series.filter_map(|series| Some(Point::new(series, self.value(series)?))).collect()
    }

    /// All that are numbers or switches, but for those of `without`.
    pub fn others(&self, series: &'static Series, without: &BTreeSet<&str>) -> Vec<Point> {
        let others = self.0.iter().filter(|(name, _)| !without.contains(name.as_str()));
        let points = others.filter_map(|(name, value)| {
            Some(Point { label: Some(("variable", name.clone())), ..Point::new(series, Value::Double(number(value)?)) })
        });
        points.collect()
    }

    /// `name`, `name - other` or `name / number`.
    fn value(&self, series: &Series) -> Option<Value> {
        let parts: Vec<&str> = series.column.split(' ').collect();
        let text = |name: &str| self.0.get(name);
        match parts.as_slice() {
            [name] if series.number == Number::Integer => Some(Value::Integer(whole(text(name)?)?)),
            [name] => Some(Value::Double(number(text(name)?)?)),
            [name, "-", other] => Some(Value::Integer(whole(text(name)?)?.checked_sub(whole(text(other)?)?)?)),
            [name, "/", by] => Some(Value::Double(number(text(name)?)? / by.parse::<f64>().ok()?)),
            _ => None,
        }
    }
}

/// All status variables: those with names of their own, and the others.
pub async fn status(connection: &mut Connection) -> Result<Vec<MetricRow>, Failure> {
    let status = Variables::read(connection, "SHOW GLOBAL STATUS").await?;
    let mut points = status.points(mapping::STATUS.iter().flat_map(|group| group.iter()));
    points.push(Point::new(&mapping::HEALTHY, Value::Integer(1)));
    let others = status.others(&mapping::GLOBAL_STATUS, &NAMED);
    Ok(vec![row("global_status", points), row("global_status.others", others)])
}

/// What is read of the settings with the counters.
pub async fn limits(connection: &mut Connection) -> Result<MetricRow, Failure> {
    // SHOW GLOBAL VARIABLES would make all of them first.
    let names = mapping::VARIABLES.iter().map(|series| series.column);
    let columns: Vec<_> = names.clone().map(|name| format!("CAST(@@GLOBAL.{name} AS CHAR) AS {name}")).collect();
    let values = connection.query_one(&format!("SELECT {}", columns.join(", "))).await?;
    let values = Columns(&values);
    let mut variables = Variables::default();
    for name in names {
        variables.0.extend(values.text(name)?.map(|value| (name.to_owned(), value)));
    }
    Ok(row("global_variables", variables.points(mapping::VARIABLES.iter())))
}

/// All settings that are numbers or switches.
pub async fn settings(connection: &mut Connection) -> Result<MetricRow, Failure> {
    let variables = Variables::read(connection, "SHOW GLOBAL VARIABLES").await?;
    Ok(row("global_variables.all", variables.others(&mapping::GLOBAL_VARIABLE, &BTreeSet::new())))
}

/// Counters of InnoDB that are switched on. MySQL and MariaDB call the column for that by different names.
pub async fn innodb_metrics(connection: &mut Connection, columns: &BTreeSet<String>) -> Result<MetricRow, Failure> {
    let is_on = if columns.contains("status") { "status = 'enabled'" } else { "enabled = 1" };
    let sql = format!(
        "SELECT name, CAST(count AS SIGNED) AS value FROM information_schema.innodb_metrics WHERE {is_on} LIMIT {INNODB_METRICS_MAX}"
    );
    let mut points = Vec::new();
    for row in &connection.query(&sql).await? {
        let row = Columns(row);
        if let (Some(name), Some(value)) = (row.text("name")?, row.optional::<i64>("value")?) {
            let point = Point::new(&mapping::INNODB_METRIC, Value::Double(value as f64));
            points.push(Point { label: Some(("name", name)), ..point });
        }
    }
    Ok(row("innodb_metrics.all", points))
}

fn row(view: &'static str, points: Vec<Point>) -> MetricRow {
    MetricRow { object_type: "server", view, object: Vec::new(), statistics_reset_at: None, points }
}

fn whole(text: &str) -> Option<i64> {
    match text {
        "ON" | "YES" => Some(1),
        "OFF" | "NO" => Some(0),
        _ => text.parse().ok(),
    }
}

fn number(text: &str) -> Option<f64> {
    whole(text).map(|number| number as f64).or_else(|| text.parse().ok()).filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{NONE, double, gauge};

    const PLAIN: Series = gauge("threads_running", "threads", "1", NONE);
    const DIFFERENCE: Series = gauge("pages_data - pages_dirty", "clean", "1", NONE);
    const SECONDS: Series = double(gauge("time_ms / 1000", "time", "s", NONE));
    const ABSENT: Series = gauge("nothing", "nothing", "1", NONE);

    fn variables() -> Variables {
        let pairs = [("threads_running", "3"), ("pages_data", "10"), ("pages_dirty", "4"), ("time_ms", "1500")];
        let others = [("super_read_only", "ON"), ("ssl_cipher", ""), ("version", "9.7"), ("nan", "nan")];
        Variables(pairs.into_iter().chain(others).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn variables_are_what_their_series_say() {
        let points = variables().points([&PLAIN, &DIFFERENCE, &SECONDS, &ABSENT].into_iter());
        let values: Vec<_> = points.iter().map(|point| (point.series.metric, point.value)).collect();
        let expected = [("threads", Value::Integer(3)), ("clean", Value::Integer(6)), ("time", Value::Double(1.5))];
        assert_eq!(values, expected);
    }

    #[test]
    fn the_others_are_numbers_and_switches() {
        let without = ["threads_running", "pages_data", "pages_dirty", "time_ms"].into();
        let points = variables().others(&mapping::GLOBAL_STATUS, &without);
        let names: Vec<_> = points.iter().map(|point| point.label.as_ref().unwrap().1.as_str()).collect();
        assert_eq!(names, ["super_read_only", "version"]);
    }
}
