//! How far a query has come: a value of its result that its next run begins after.

use dbintel_sqltext::{Dialect, SqlMode, TokenKind};

use super::query::{Query, Table};
use crate::failure::Failure;

/// How a server reads statements, and where the value stands in them.
#[derive(Debug, Clone, Copy)]
pub struct Syntax {
    /// Rules of texts.
    pub dialect: Dialect,
    /// What stands for the value.
    pub placeholder: &'static str,
    /// What begins a string in which a backslash needs another one.
    string: &'static str,
}

/// `$1` stands for the value.
pub const POSTGRESQL: Syntax = Syntax { dialect: Dialect::PostgreSql, placeholder: "$1", string: "E'" };
/// `?` stands for the value. Our sessions have no `sql_mode`.
pub const MYSQL: Syntax = Syntax {
    dialect: Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) }),
    placeholder: "?",
    string: "'",
};

/// The values of the queries of a poller, by their place.
#[derive(Debug)]
pub struct Tracking {
    syntax: Syntax,
    values: Vec<Option<String>>,
}

impl Tracking {
    /// Each query is at its start.
    pub fn new(queries: &[Query], syntax: Syntax) -> Tracking {
        let starts = queries.iter().map(|query| Some(query.tracking.as_ref()?.start.clone()));
        Tracking { syntax, values: starts.collect() }
    }

    /// The statement to run, with the value in its place.
    pub fn statement(&self, place: usize, sql: &str) -> String {
        match self.values.get(place) {
            Some(Some(value)) => self.syntax.filled(sql, value),
            _ => sql.to_owned(),
        }
    }

    /// Takes the value of the last row, which has to be there. Without rows the query stays where it is.
    pub fn advance(&mut self, place: usize, query: &Query, table: &Table) -> Result<(), Failure> {
        let Some(tracking) = &query.tracking else { return Ok(()) };
        let column = query.place(tracking.column, table)?;
        let last = table.rows.iter().rev().find_map(|row| row[column].clone());
        if let (Some(last), Some(value)) = (last, self.values.get_mut(place)) {
            *value = Some(last);
        }
        Ok(())
    }
}

impl Syntax {
    /// Whether there is a place for the value.
    pub fn has_place(&self, sql: &str) -> bool {
        self.filled(sql, "") != sql
    }

    /// The statement with the value in place of each placeholder.
    fn filled(&self, sql: &str, value: &str) -> String {
        let literal = self.quoted(value);
        let (mut out, mut done) = (String::with_capacity(sql.len() + literal.len()), 0);
        for token in dbintel_sqltext::tokens(self.dialect, sql.as_bytes()) {
            let is_it = token.kind == TokenKind::Parameter && sql.get(token.start..token.end) == Some(self.placeholder);
            if let Some(before) = sql.get(done..token.start).filter(|_| is_it) {
                out.push_str(before);
                out.push_str(&literal);
                done = token.end;
            }
        }
        out.push_str(&sql[done..]);
        out
    }

    /// As a literal whose type the server finds out.
    fn quoted(&self, value: &str) -> String {
        format!("{}{}'", self.string, value.replace('\\', "\\\\").replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_stands_where_the_placeholder_does() {
        let cases = [
            ("SELECT * FROM log WHERE id > $1", "SELECT * FROM log WHERE id > E'7'"),
            ("SELECT '$1', \"$1\" -- $1\n, /* $1 */ $1", "SELECT '$1', \"$1\" -- $1\n, /* $1 */ E'7'"),
            ("SELECT 'it''s $1' || $1 || $12", "SELECT 'it''s $1' || E'7' || $12"),
            ("SELECT $x$ $1 $x$, E'\\' $1', $1", "SELECT $x$ $1 $x$, E'\\' $1', E'7'"),
            ("SELECT 'open $1", "SELECT 'open $1"),
        ];
        for (sql, expected) in cases {
            assert_eq!(POSTGRESQL.filled(sql, "7"), expected);
        }
        let sql = "SELECT `a?`, '\\'?', \"?\" # ?\n, t WHERE t > ?";
        assert_eq!(MYSQL.filled(sql, "x"), "SELECT `a?`, '\\'?', \"?\" # ?\n, t WHERE t > 'x'");
    }

    #[test]
    fn a_value_stays_one_literal() {
        assert_eq!(POSTGRESQL.quoted("it's \\"), "E'it''s \\\\'");
        assert_eq!(MYSQL.quoted("it's \\"), "'it''s \\\\'");
    }
}
