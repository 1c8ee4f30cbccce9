//! A view of the catalog as metrics: what its columns mean, on whatever version of the server. Columns that a server does
//! not have are left out, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::failure::Failure;
use crate::metric::{Number, Series, Value};
use crate::poll::Capability;
use crate::rows::MetricRow;

use super::transaction::{Parameter, Transaction};
use super::value::Columns;

/// Columns of the views of a server, by the name of the view.
pub type Catalog = BTreeMap<String, BTreeSet<String>>;

/// A kind of object and what is read about it.
#[derive(Debug)]
pub struct View {
    /// Name in the records; that of the relation, where there is one.
    pub name: &'static str,
    /// What it is read from.
    pub source: Source,
    /// server, database, table, index, replica …
    pub object_type: &'static str,
    /// Attributes that identify the object, with the expressions that give them.
    pub identity: &'static [(&'static str, &'static str)],
    /// FROM clause, in which the relation is called `v`.
    pub from: &'static str,
    /// What follows it.
    pub rest: &'static str,
    /// Expression for the last reset of these statistics; `NULL` when they are never reset.
    pub reset: &'static str,
    /// Values.
    pub series: &'static [Series],
}

/// What a view is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The relation of its name. Its columns are asked for; series name them as they are, or as `v.column` in expressions.
    Relation,
    /// Something made of this relation, which a version may not have.
    MadeOf(&'static str),
    /// What every version has.
    Any,
}

/// A view whose fields are to be filled.
pub const VIEW: View = View {
    name: "",
    source: Source::Relation,
    object_type: "server",
    identity: &[],
    from: "",
    rest: "",
    reset: "NULL",
    series: &[],
};

/// What a server gives of a view.
#[derive(Debug)]
pub struct Selection {
    series: Vec<&'static Series>,
    sql: String,
}

impl View {
    /// What a server with these columns gives; none when it has no such view, or none of its columns.
    pub fn select(&self, catalog: &Catalog) -> Option<Selection> {
        let columns = match self.relation() {
            Some(relation) => Some(catalog.get(relation)?),
            None => None,
        };
        let is_relation = self.source == Source::Relation;
        let has = |column: &str| !is_relation || columns.is_some_and(|columns| columns.contains(column));
        let series: Vec<_> = self.series.iter().filter(|series| needed(is_relation, series).all(has)).collect();
        let sql = self.sql(&series, needed_by(self.reset).all(has));
        (!series.is_empty()).then_some(Selection { series, sql })
    }

    fn relation(&self) -> Option<&'static str> {
        match self.source {
            Source::Relation => Some(self.name),
            Source::MadeOf(relation) => Some(relation),
            Source::Any => None,
        }
    }

    /// What a server with these columns does not give.
    pub fn absent(&self, catalog: &Catalog) -> Option<Capability> {
        let given: BTreeSet<_> = self
            .select(catalog)
            .map_or_else(BTreeSet::new, |selection| selection.series.into_iter().map(name).collect());
        let mut absent: Vec<_> = self.series.iter().map(name).filter(|name| !given.contains(name)).collect();
        absent.dedup();
        (!absent.is_empty()).then(|| Capability {
            name: self.name.to_owned(),
            consequence: format!("this version of the server does not count {}", list(&absent)),
            remedy: "none: another major version may".to_owned(),
        })
    }

    /// Reads one row per object. A value that is null is no point; an object without points is there all the same.
    pub async fn read(
        &self,
        transaction: &Transaction<'_>,
        catalog: &Catalog,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<MetricRow>, Failure> {
        let Some(selection) = self.select(catalog) else { return Ok(Vec::new()) };
        let rows = transaction.query(&selection.sql, parameters).await?;
        rows.iter().map(|row| self.metric_row(&selection, row)).collect()
    }

    /// As [`View::read`], but at most `max` objects; with what is missing if there are more.
    pub async fn read_first(
        &self,
        max: usize,
        transaction: &Transaction<'_>,
        catalog: &Catalog,
    ) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
        let Some(mut selection) = self.select(catalog) else { return Ok((Vec::new(), None)) };
        let _ = write!(selection.sql, " LIMIT {}", max + 1);
        let rows = transaction.query(&selection.sql, &[]).await?;
        let mut rows: Vec<_> = rows.iter().map(|row| self.metric_row(&selection, row)).collect::<Result<_, _>>()?;
        let missing = beyond(self.name, max, &mut rows);
        Ok((rows, missing))
    }

    /// The row of an object that is not read from a view.
    pub fn row(&self, object: Vec<(&'static str, String)>, points: Vec<(&'static Series, Value)>) -> MetricRow {
        let (object_type, view) = (self.object_type, self.name);
        MetricRow { object_type, view, object, statistics_reset_at: None, points }
    }

    fn sql(&self, series: &[&Series], is_reset: bool) -> String {
        let mut columns: Vec<String> =
            self.identity.iter().map(|(name, expression)| format!("({expression})::text AS \"{name}\"")).collect();
        let reset = if is_reset { self.reset } else { "NULL" };
        columns.push(format!("({reset})::timestamptz AS stats_reset"));
        columns.extend(series.iter().map(|series| {
            let kind = match series.number {
                Number::Integer => "int8",
                Number::Double => "float8",
            };
            match is_column(series.column) && self.source == Source::Relation {
                true => format!("v.{}::{kind}", series.column),
                false => format!("({})::{kind}", series.column),
            }
        }));
        let from = if self.from.is_empty() { String::new() } else { format!(" FROM {}", self.from) };
        format!("SELECT {}{from} {}", columns.join(", "), self.rest)
    }

    fn metric_row(&self, selection: &Selection, row: &Row) -> Result<MetricRow, Failure> {
        let columns = Columns(row);
        let mut object = Vec::with_capacity(self.identity.len());
        for (name, _) in self.identity {
            object.push((*name, columns.text(name)?.unwrap_or_default()));
        }
        let mut points = Vec::with_capacity(selection.series.len());
        let first = self.identity.len() + 1;
        for (place, series) in selection.series.iter().enumerate() {
            let value = match series.number {
                Number::Integer => row.try_get::<_, Option<i64>>(first + place)?.map(Value::Integer),
                Number::Double => row.try_get::<_, Option<f64>>(first + place)?.map(Value::Double),
            };
            points.extend(value.map(|value| (*series, value)));
        }
        let statistics_reset_at = columns.micros("stats_reset")?;
        Ok(MetricRow { object_type: self.object_type, view: self.name, object, statistics_reset_at, points })
    }
}

/// Asks a server for the columns of its views, in one statement.
pub async fn catalog(transaction: &Transaction<'_>, views: &[&View]) -> Result<Catalog, Failure> {
    let names: Vec<&str> = views.iter().filter_map(|view| view.relation()).collect();
    let sql = "SELECT c.relname::text AS view, a.attname::text AS name
               FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
               WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relname::text = ANY($1) AND a.attnum > 0
                   AND NOT a.attisdropped";
    let mut catalog = Catalog::new();
    for row in &transaction.query(sql, &[(&names, Type::TEXT_ARRAY)]).await? {
        let row = Columns(row);
        if let (Some(view), Some(column)) = (row.text("view")?, row.text("name")?) {
            catalog.entry(view).or_default().insert(column);
        }
    }
    Ok(catalog)
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

/// Metric and attributes: a series of which a server has one form or another.
fn name(series: &'static Series) -> (&'static str, &'static [(&'static str, &'static str)]) {
    (series.metric, series.attributes)
}

fn list(names: &[(&str, &[(&str, &str)])]) -> String {
    let texts = names.iter().map(|(metric, attributes)| {
        let attributes: Vec<_> = attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if attributes.is_empty() { (*metric).to_owned() } else { format!("{metric} ({})", attributes.join(", ")) }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn is_column(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
}

/// Columns of the relation that a series needs.
fn needed(is_relation: bool, series: &'static Series) -> impl Iterator<Item = &'static str> {
    let whole = (is_relation && is_column(series.column)).then_some(series.column);
    whole.into_iter().chain(needed_by(series.column))
}

/// Columns that an expression names as `v.column`.
fn needed_by(expression: &'static str) -> impl Iterator<Item = &'static str> {
    let part_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    expression.match_indices("v.").filter_map(move |(place, found)| {
        let begins = !expression[..place].ends_with(part_of_name);
        let rest = &expression[place + found.len()..];
        let end = rest.find(|character| !part_of_name(character)).unwrap_or(rest.len());
        begins.then_some(&rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgresql::mapping::{NONE, counter, double};

    const IO: View = View {
        name: "pg_stat_io",
        object_type: "io",
        identity: &[("object", "v.object")],
        from: "pg_stat_io AS v",
        rest: "ORDER BY 1",
        reset: "v.stats_reset",
        series: &[
            counter("read_bytes", "io.bytes", "By", NONE),
            counter("v.reads * v.op_bytes", "io.bytes", "By", NONE),
            double(counter("read_time", "io.duration", "ms", NONE)),
        ],
        ..VIEW
    };

    fn catalog(columns: &[&str]) -> Catalog {
        [("pg_stat_io".to_owned(), columns.iter().map(|column| (*column).to_owned()).collect())].into()
    }

    #[test]
    fn what_a_server_has_is_asked_for_and_the_rest_is_said() {
        let new = catalog(&["object", "read_bytes", "reads", "read_time", "stats_reset"]);
        assert_eq!(
            IO.select(&new).unwrap().sql,
            "SELECT (v.object)::text AS \"object\", (v.stats_reset)::timestamptz AS stats_reset, v.read_bytes::int8, \
             v.read_time::float8 FROM pg_stat_io AS v ORDER BY 1"
        );
        assert!(IO.absent(&new).is_none());
        let old = catalog(&["object", "reads", "op_bytes"]);
        assert_eq!(
            IO.select(&old).unwrap().sql,
            "SELECT (v.object)::text AS \"object\", (NULL)::timestamptz AS stats_reset, (v.reads * v.op_bytes)::int8 \
             FROM pg_stat_io AS v ORDER BY 1"
        );
        assert!(IO.absent(&old).unwrap().consequence.ends_with("does not count io.duration"));
        assert!(IO.select(&Catalog::new()).is_none());
        assert!(IO.absent(&Catalog::new()).unwrap().consequence.ends_with("does not count io.bytes, io.duration"));
    }

    #[test]
    fn columns_of_expressions_are_found() {
        let of = |expression| needed_by(expression).collect::<Vec<_>>();
        assert_eq!(of("v.reads * v.op_bytes"), ["reads", "op_bytes"]);
        assert_eq!(of("greatest(v.last_vacuum, v.last_autovacuum)"), ["last_vacuum", "last_autovacuum"]);
        assert_eq!(of("priv.reads"), Vec::<&str>::new());
        assert_eq!(of("count(*)"), Vec::<&str>::new());
    }

    #[test]
    fn rows_beyond_a_limit_are_left_out_and_said() {
        let cases = [(0, 0, None), (3, 3, None), (4, 3, Some("only the first 3 rows are read, and there are more"))];
        for (read, kept, consequence) in cases {
            let mut rows: Vec<usize> = (0..read).collect();
            let missing = beyond("pg_database", 3, &mut rows);
            assert_eq!((rows.len(), missing.as_ref().map(|it| it.consequence.as_str())), (kept, consequence));
        }
    }
}
