//! Reading views of MySQL and MariaDB.

use mysql_async::Row;

use super::connection::Connection;
use super::value::Columns;
use crate::failure::Failure;
use crate::metric::{Number, Value};
use crate::poll::Capability;
use crate::rows::{MetricRow, Point};
use crate::view::{Catalog, Selection, Spelling, View, beyond};

/// Reads one row per object. A value that is null is no point. With what is missing if there are more than are read.
pub async fn read(
    view: &View,
    connection: &mut Connection,
    catalog: &Catalog,
) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
    let Some(selection) = view.select(catalog, Spelling::MySql) else { return Ok((Vec::new(), None)) };
    let rows = connection.query(&selection.sql).await?;
    let mut rows: Vec<_> = rows.iter().map(|row| metric_row(view, &selection, row)).collect::<Result<_, _>>()?;
    let missing = beyond(view.name, view.max, &mut rows);
    Ok((rows, missing))
}

/// Asks a server for the columns of its views, in one statement.
pub async fn catalog(
    connection: &mut Connection,
    views: impl Iterator<Item = &'static View>,
) -> Result<Catalog, Failure> {
    let names: Vec<String> = views.filter_map(View::relation).map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SELECT LOWER(TABLE_NAME) AS name, LOWER(COLUMN_NAME) AS column_name FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA IN ('performance_schema', 'information_schema') AND LOWER(TABLE_NAME) IN ({})",
        names.join(", ")
    );
    let mut catalog = Catalog::new();
    for row in &connection.query(&sql).await? {
        let row = Columns(row);
        if let (Some(view), Some(column)) = (row.text("name")?, row.text("column_name")?) {
            catalog.entry(view).or_default().insert(column);
        }
    }
    Ok(catalog)
}

fn metric_row(view: &View, selection: &Selection, row: &Row) -> Result<MetricRow, Failure> {
    let columns = Columns(row);
    let mut object = Vec::with_capacity(view.identity.len());
    for (name, _) in view.identity {
        object.push((*name, columns.text(name)?.unwrap_or_default()));
    }
    let mut points = Vec::with_capacity(selection.series.len());
    for (place, series) in selection.series.iter().enumerate() {
        let place = view.identity.len() + place;
        let value = match series.number {
            Number::Integer => columns.at::<i64>(place)?.map(Value::Integer),
            Number::Double => columns.at::<f64>(place)?.map(Value::Double),
        };
        points.extend(value.map(|value| Point::new(series, value)));
    }
    Ok(MetricRow { object_type: view.object_type, view: view.name, object, statistics_reset_at: None, points })
}
