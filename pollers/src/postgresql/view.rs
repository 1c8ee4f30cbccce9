//! Reading views of PostgreSQL.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::config::Config;
use super::server::Server;
use super::transaction::{Parameter, Transaction};
use super::value::Columns;
use super::views::pg_database::Chosen;
use crate::failure::Failure;
use crate::left_out::LeftOut;
use crate::metric::{Number, Value};
use crate::poll::Poll;
use crate::rows::{MetricRow, Point};
use crate::view::{Catalog, Selection, Spelling, View, beyond};

/// Reads the views that the server has and that are not left out.
pub async fn read_all(
    views: &[&'static View],
    config: &Config,
    left_out: &mut LeftOut,
    transaction: &Transaction<'_>,
    server: &Server,
    poll: &mut Poll,
) -> Result<Vec<MetricRow>, Failure> {
    let chosen = Chosen::of(config);
    let parameters = chosen.parameters();
    let mut rows = Vec::new();
    for view in views {
        if left_out.begin(view.name, poll) {
            let parameters = if view.rest.contains("$1") { parameters.as_slice() } else { &[] };
            rows.extend(read(view, transaction, &server.catalog, parameters, poll).await?);
        }
    }
    left_out.finish();
    Ok(rows)
}

/// What would let us read a view, if the failure says that we may not.
pub fn remedy(failure: &Failure) -> Option<String> {
    let remedy = "GRANT pg_monitor to the poller's role, and SELECT on the view if it was revoked";
    failure.is_missing_capability().then(|| remedy.to_owned())
}

/// Reads one row per object. A value that is null is no point; an object without points is there all the same.
async fn read(
    view: &View,
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    parameters: &[Parameter<'_>],
    poll: &mut Poll,
) -> Result<Vec<MetricRow>, Failure> {
    if view.only_on_standby && !transaction.facts().in_recovery {
        return Ok(Vec::new());
    }
    let Some(selection) = view.select(catalog, Spelling::PostgreSql) else { return Ok(Vec::new()) };
    let rows = transaction.query(&selection.sql, parameters).await?;
    let mut rows: Vec<_> = rows.iter().map(|row| metric_row(view, &selection, row)).collect::<Result<_, _>>()?;
    poll.capabilities.extend(beyond(view.name, view.max, &mut rows));
    Ok(rows)
}

/// Asks a server for the columns of its views, and which functions we may call, in one statement.
pub async fn catalog(
    transaction: &Transaction<'_>,
    views: impl Iterator<Item = &'static View>,
) -> Result<Catalog, Failure> {
    let names: Vec<&str> = views.filter_map(View::relation).collect();
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
