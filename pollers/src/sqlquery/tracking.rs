//! How far a query has come: a value of its result that its next run begins after.

use super::query::{Query, Table};
use crate::failure::Failure;

/// Where the value stands in a statement, by the kind of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// `$1`, of PostgreSQL.
    Dollar,
    /// `?`, of MySQL.
    Question,
}

impl Placeholder {
    fn text(self) -> &'static str {
        match self {
            Placeholder::Dollar => "$1",
            Placeholder::Question => "?",
        }
    }
}

/// The values of the queries of a poller, by their place.
#[derive(Debug)]
pub struct Tracking {
    placeholder: Placeholder,
    values: Vec<Option<String>>,
}

impl Tracking {
    /// Each query is at its start.
    pub fn new(queries: &[Query], placeholder: Placeholder) -> Tracking {
        let starts = queries.iter().map(|query| Some(query.tracking.as_ref()?.start.clone()));
        Tracking { placeholder, values: starts.collect() }
    }

    /// The statement to run, with the value in its place.
    pub fn statement(&self, place: usize, sql: &str) -> String {
        match self.values.get(place) {
            Some(Some(value)) => filled(sql, self.placeholder.text(), &quoted(value, self.placeholder)),
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

/// As a literal whose type the server finds out.
fn quoted(value: &str, placeholder: Placeholder) -> String {
    let doubled = value.replace('\'', "''");
    match placeholder {
        Placeholder::Dollar => format!("'{doubled}'"),
        // A backslash is itself in PostgreSQL's standard strings, and not in MySQL's.
        Placeholder::Question => format!("'{}'", doubled.replace('\\', "\\\\")),
    }
}

/// The statement with the value in place of each placeholder that stands outside of strings, names and comments.
fn filled(sql: &str, placeholder: &str, value: &str) -> String {
    let mut out = String::with_capacity(sql.len() + value.len());
    let mut rest = sql;
    while let Some(character) = rest.chars().next() {
        let length = if let Some(length) = opaque(rest) {
            out.push_str(&rest[..length]);
            length
        } else if rest.starts_with(placeholder)
            && !rest[placeholder.len()..].starts_with(|next: char| next.is_ascii_digit())
        {
            out.push_str(value);
            placeholder.len()
        } else {
            out.push(character);
            character.len_utf8()
        };
        rest = &rest[length..];
    }
    out
}

/// Length of the string, quoted name or comment that begins here.
fn opaque(sql: &str) -> Option<usize> {
    let through = |start: usize, end: &str| sql[start..].find(end).map_or(sql.len(), |at| start + at + end.len());
    match sql.as_bytes() {
        // A doubled quote ends one string and begins the next.
        [quote @ (b'\'' | b'"' | b'`'), ..] => Some(through(1, std::str::from_utf8(&[*quote]).unwrap_or("'"))),
        [b'-', b'-', ..] => Some(through(2, "\n")),
        [b'/', b'*', ..] => Some(through(2, "*/")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_stands_where_the_placeholder_does() {
        let cases = [
            ("SELECT * FROM log WHERE id > $1", "SELECT * FROM log WHERE id > '7'"),
            ("SELECT '$1', \"$1\" -- $1\n, /* $1 */ $1", "SELECT '$1', \"$1\" -- $1\n, /* $1 */ '7'"),
            ("SELECT 'it''s $1' || $1 || $12", "SELECT 'it''s $1' || '7' || $12"),
            ("SELECT 'open $1", "SELECT 'open $1"),
        ];
        for (sql, expected) in cases {
            assert_eq!(filled(sql, "$1", "'7'"), expected);
        }
        assert_eq!(filled("SELECT `a?`, '?' WHERE t > ?", "?", "'x'"), "SELECT `a?`, '?' WHERE t > 'x'");
    }

    #[test]
    fn a_value_stays_one_literal() {
        assert_eq!(quoted("it's \\", Placeholder::Dollar), "'it''s \\'");
        assert_eq!(quoted("it's \\", Placeholder::Question), "'it''s \\\\'");
    }
}
