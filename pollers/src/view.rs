//! A view of the catalog as metrics: what its columns mean, on whatever version of the server. Columns that a server does
//! not have are left out, and said.

use std::collections::{BTreeMap, BTreeSet};

use crate::metric::{Number, Series};
use crate::poll::Capability;

/// Columns of the views of a server, by the name of the view.
pub type Catalog = BTreeMap<String, BTreeSet<String>>;

/// A kind of object and what is read about it.
#[derive(Debug)]
pub struct View {
    /// Name in the records; that of the relation, where there is one.
    pub name: &'static str,
    /// What it is read from.
    pub source: Source,
    /// It says nothing on a primary, and is not read there.
    pub only_on_standby: bool,
    /// server, database, table, index, replica …
    pub object_type: &'static str,
    /// Attributes that identify the object, with the expressions that give them.
    pub identity: &'static [(&'static str, &'static str)],
    /// FROM clause, in which the relation is called `v`.
    pub from: &'static str,
    /// What follows it.
    pub rest: &'static str,
    /// Most objects that are read.
    pub max: usize,
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
    /// What this function gives, which not everybody may call.
    Function(&'static str),
    /// What every version has.
    Any,
}

/// A view whose fields are to be filled.
pub const VIEW: View = View {
    name: "",
    source: Source::Relation,
    only_on_standby: false,
    object_type: "server",
    identity: &[],
    from: "",
    rest: "",
    max: usize::MAX,
    reset: "NULL",
    series: &[],
};

/// How a kind of server spells what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// PostgreSQL.
    PostgreSql,
    /// MySQL and MariaDB.
    MySql,
}

/// What a server gives of a view: the attributes of its object, the last reset (of PostgreSQL alone), and then the series.
#[derive(Debug)]
pub struct Selection {
    /// The statement that reads it.
    pub sql: String,
    /// Series, in the order of their columns.
    pub series: Vec<&'static Series>,
}

impl View {
    /// What a server with these columns gives, one object more than [`View::max`]; none when it has no such view, or none of
    /// its columns.
    pub fn select(&self, catalog: &Catalog, spelling: Spelling) -> Option<Selection> {
        let series = self.given(catalog);
        let has_reset = needed_by(self.reset).all(|column| self.has(catalog, column));
        let sql = self.sql(&series, has_reset, spelling);
        (!series.is_empty()).then_some(Selection { sql, series })
    }

    /// Series of which the server has all columns; none without those that identify the object.
    fn given(&self, catalog: &Catalog) -> Vec<&'static Series> {
        let has_relation = self.relation().is_none_or(|relation| catalog.contains_key(relation));
        let mut of_identity = self.identity.iter().flat_map(|(_, expression)| needed_by(expression));
        if !has_relation || !of_identity.all(|column| self.has(catalog, column)) {
            return Vec::new();
        }
        let is_relation = self.source == Source::Relation;
        let is_given = |series: &&Series| needed(is_relation, series.column).all(|column| self.has(catalog, column));
        self.series.iter().filter(is_given).collect()
    }

    fn has(&self, catalog: &Catalog, column: &str) -> bool {
        self.source != Source::Relation || catalog.get(self.name).is_some_and(|columns| columns.contains(column))
    }

    /// What is missing if we may not call the function that the view comes from. `remedy` lets us.
    pub fn forbidden(&self, catalog: &Catalog, remedy: impl FnOnce(&str) -> String) -> Option<Capability> {
        let Source::Function(function) = self.source else { return None };
        (!catalog.contains_key(function)).then(|| Capability {
            name: self.name.to_owned(),
            consequence: format!(
                "its metrics are missing: {}",
                list(&self.series.iter().map(name).collect::<Vec<_>>())
            ),
            remedy: remedy(function),
        })
    }

    /// The relation or function that has to be there.
    pub fn relation(&self) -> Option<&'static str> {
        match self.source {
            Source::Relation => Some(self.name),
            Source::MadeOf(relation) | Source::Function(relation) => Some(relation),
            Source::Any => None,
        }
    }

    /// What a server with these columns does not give.
    pub fn absent(&self, catalog: &Catalog) -> Option<Capability> {
        if let Source::Function(_) = self.source {
            return None;
        }
        let given: BTreeSet<_> = self.given(catalog).into_iter().map(name).collect();
        let mut absent: Vec<_> = self.series.iter().map(name).filter(|name| !given.contains(name)).collect();
        absent.dedup();
        (!absent.is_empty()).then(|| Capability {
            name: self.name.to_owned(),
            consequence: format!("this version of the server does not count {}", list(&absent)),
            remedy: "none: another major version may".to_owned(),
        })
    }

    fn sql(&self, series: &[&Series], has_reset: bool, spelling: Spelling) -> String {
        let mut columns: Vec<String> =
            self.identity.iter().map(|(name, expression)| spelling.text(expression, name)).collect();
        if spelling == Spelling::PostgreSql {
            let reset = if has_reset { self.reset } else { "NULL" };
            columns.push(format!("({reset})::timestamptz AS stats_reset"));
        }
        columns.extend(series.iter().map(|series| {
            let expression = match is_column(series.column) && self.source == Source::Relation {
                true => format!("v.{}", series.column),
                false => format!("({})", series.column),
            };
            spelling.number(&expression, series.number)
        }));
        let from = if self.from.is_empty() { String::new() } else { format!(" FROM {}", self.from) };
        let limit = match self.max {
            usize::MAX => String::new(),
            max => format!(" LIMIT {}", max + 1),
        };
        format!("SELECT {}{from} {}{limit}", columns.join(", "), self.rest)
    }
}

impl Spelling {
    fn text(self, expression: &str, name: &str) -> String {
        match self {
            Spelling::PostgreSql => format!("({expression})::text AS \"{name}\""),
            Spelling::MySql => format!("CAST({expression} AS CHAR) AS `{name}`"),
        }
    }

    fn number(self, expression: &str, number: Number) -> String {
        match (self, number) {
            (Spelling::PostgreSql, Number::Integer) => format!("{expression}::int8"),
            (Spelling::PostgreSql, Number::Double) => format!("{expression}::float8"),
            (Spelling::MySql, Number::Integer) => format!("CAST({expression} AS SIGNED)"),
            (Spelling::MySql, Number::Double) => format!("CAST({expression} AS DOUBLE)"),
        }
    }
}

/// Where a series of a view is read from, for people: the view, and the columns or the expression.
pub fn read_from(view: &View, series: &Series) -> String {
    let columns: Vec<_> = needed(view.source == Source::Relation, series.column).collect();
    match columns.is_empty() || view.source != Source::Relation {
        true => format!("`{}`", view.name),
        false => {
            format!("`{}`: {}", view.name, columns.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "))
        }
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
fn needed(is_relation: bool, column: &'static str) -> impl Iterator<Item = &'static str> {
    let whole = (is_relation && is_column(column)).then_some(column);
    whole.into_iter().chain(needed_by(column))
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
    use crate::metric::{NONE, counter, double};

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
            IO.select(&new, Spelling::PostgreSql).unwrap().sql,
            "SELECT (v.object)::text AS \"object\", (v.stats_reset)::timestamptz AS stats_reset, v.read_bytes::int8, \
             v.read_time::float8 FROM pg_stat_io AS v ORDER BY 1"
        );
        assert!(IO.absent(&new).is_none());
        let old = catalog(&["object", "reads", "op_bytes"]);
        assert_eq!(
            IO.select(&old, Spelling::PostgreSql).unwrap().sql,
            "SELECT (v.object)::text AS \"object\", (NULL)::timestamptz AS stats_reset, (v.reads * v.op_bytes)::int8 \
             FROM pg_stat_io AS v ORDER BY 1"
        );
        assert!(IO.absent(&old).unwrap().consequence.ends_with("does not count io.duration"));
        assert!(IO.select(&Catalog::new(), Spelling::PostgreSql).is_none());
        assert!(IO.absent(&Catalog::new()).unwrap().consequence.ends_with("does not count io.bytes, io.duration"));
    }

    #[test]
    fn each_kind_of_server_is_asked_in_its_own_words() {
        let sql = IO.select(&catalog(&["object", "reads", "op_bytes", "read_time"]), Spelling::MySql).unwrap().sql;
        assert_eq!(
            sql,
            "SELECT CAST(v.object AS CHAR) AS `object`, CAST((v.reads * v.op_bytes) AS SIGNED), \
             CAST(v.read_time AS DOUBLE) FROM pg_stat_io AS v ORDER BY 1"
        );
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
