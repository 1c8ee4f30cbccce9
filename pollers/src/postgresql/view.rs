//! Reading views of PostgreSQL.

use std::fmt::Write as _;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::transaction::{Parameter, Transaction};
use super::value::Columns;
use crate::failure::Failure;
use crate::metric::{Number, Value};
use crate::poll::Capability;
use crate::rows::{MetricRow, Point};
use crate::view::{Catalog, Selection, Spelling, View, beyond};

/// Reads one row per object. A value that is null is no point; an object without points is there all the same.
pub async fn read(
    view: &View,
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    parameters: &[Parameter<'_>],
) -> Result<Vec<MetricRow>, Failure> {
    if view.only_on_standby && !transaction.facts().in_recovery {
        return Ok(Vec::new());
    }
    let Some(selection) = view.select(catalog, Spelling::PostgreSql) else { return Ok(Vec::new()) };
    let rows = transaction.query(&selection.sql, parameters).await?;
    rows.iter().map(|row| metric_row(view, &selection, row)).collect()
}

/// As [`read`], but at most `max` objects; with what is missing if there are more.
pub async fn read_first(
    view: &View,
    max: usize,
    transaction: &Transaction<'_>,
    catalog: &Catalog,
) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
    let Some(mut selection) = view.select(catalog, Spelling::PostgreSql) else { return Ok((Vec::new(), None)) };
    let _ = write!(selection.sql, " LIMIT {}", max + 1);
    let rows = transaction.query(&selection.sql, &[]).await?;
    let mut rows: Vec<_> = rows.iter().map(|row| metric_row(view, &selection, row)).collect::<Result<_, _>>()?;
    let missing = beyond(view.name, max, &mut rows);
    Ok((rows, missing))
}

/// Asks a server for the columns of its views, and which functions we may call, in one statement.
pub async fn catalog(transaction: &Transaction<'_>, views: &[&View]) -> Result<Catalog, Failure> {
    let names: Vec<&str> = views.iter().filter_map(|view| view.relation()).collect();
    let functions: Vec<&str> = names.iter().copied().filter(|name| name.ends_with(')')).collect();
    let sql = "SELECT c.relname::text AS view, a.attname::text AS name
               FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
               WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname::text = ANY($1) AND a.attnum > 0
                   AND NOT a.attisdropped
               UNION ALL SELECT name, '' FROM unnest($2) AS f (name)
               WHERE has_function_privilege(to_regprocedure(name), 'EXECUTE')";
    let mut catalog = Catalog::new();
    for row in &transaction.query(sql, &[(&names, Type::TEXT_ARRAY), (&functions, Type::TEXT_ARRAY)]).await? {
        let row = Columns(row);
        if let (Some(view), Some(column)) = (row.text("view")?, row.text("name")?) {
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
    let first = view.identity.len() + 1;
    for (place, series) in selection.series.iter().enumerate() {
        let value = match series.number {
            Number::Integer => row.try_get::<_, Option<i64>>(first + place)?.map(Value::Integer),
            Number::Double => row.try_get::<_, Option<f64>>(first + place)?.map(Value::Double),
        };
        points.extend(value.map(|value| Point::new(series, value)));
    }
    let statistics_reset_at = columns.micros("stats_reset")?;
    Ok(MetricRow { object_type: view.object_type, view: view.name, object, statistics_reset_at, points })
}
