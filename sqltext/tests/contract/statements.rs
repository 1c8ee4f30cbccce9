//! Statements made from parts whose kinds are known, so that a test can change one kind and leave the others.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::subject::Server;

/// A part of a statement, by what changing it does to the fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Written in any case.
    Keyword(&'static str),
    /// Changing it makes another statement.
    Table(String),
    Column(String),
    /// Changing it makes another statement.
    Operator(&'static str),
    /// Any value, in any notation, or a parameter.
    Value,
    /// `( .. )` of one or more values, for `IN`.
    Values,
    /// One or more rows of as many values, for `VALUES`.
    Rows(usize),
    /// Written as it is, and never followed by white space that matters.
    Mark(&'static str),
}

use Part::{Column, Keyword, Mark, Operator, Table, Value, Values};

/// What a rendering may choose freely.
#[derive(Debug, Clone)]
pub struct Style {
    pub literals: Vec<Index>,
    pub gaps: Vec<Index>,
    pub cases: Vec<bool>,
    pub lengths: Vec<Index>,
    pub parameters: Option<Parameters>,
    pub quoted_names: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameters {
    Dollar,
    Question,
    Colon,
    Percent,
}

const NAMES: [&str; 12] = [
    "account",
    "b_log",
    "customer",
    "item",
    "order_line",
    "payments",
    "region",
    "stock",
    "tenant",
    "users",
    "visit",
    "zone",
];
const OPERATORS: [&str; 7] = ["=", "<", ">", "<=", ">=", "<>", "+"];
const POSTGRESQL_OPERATORS: [&str; 12] = ["=", "<", ">", "<=", ">=", "<>", "||", "@>", "->>", "~*", "&&", "?|"];

fn table() -> impl Strategy<Value = Part> {
    select(&NAMES[..]).prop_map(|name| Table(format!("{name}_t")))
}

fn column() -> impl Strategy<Value = Part> {
    select(&NAMES[..]).prop_map(|name| Column(format!("{name}_c")))
}

fn operator(server: Server) -> BoxedStrategy<Part> {
    match server {
        Server::PostgreSql => select(&POSTGRESQL_OPERATORS[..]).prop_map(Operator).boxed(),
        Server::MySql => select(&OPERATORS[..]).prop_map(Operator).boxed(),
    }
}

/// `column operator value`, `column IN (..)`, `column BETWEEN value AND value`, `column IS NOT NULL`, a call.
fn condition(server: Server) -> BoxedStrategy<Vec<Part>> {
    prop_oneof![
        4 => (column(), operator(server)).prop_map(|(column, operator)| vec![column, operator, Value]),
        1 => (column(), operator(server), column()).prop_map(|(left, operator, right)| vec![left, operator, right]),
        2 => column().prop_map(|column| vec![column, Keyword("IN"), Values]),
        1 => column().prop_map(|column| vec![column, Keyword("BETWEEN"), Value, Keyword("AND"), Value]),
        1 => column().prop_map(|column| vec![column, Keyword("IS"), Keyword("NOT"), Keyword("NULL")]),
        1 => (column(), operator(server)).prop_map(|(column, operator)| {
            vec![Keyword("COALESCE"), Mark("("), column, Mark(","), Value, Mark(")"), operator, Value]
        }),
    ]
    .boxed()
}

fn joined(parts: Vec<Vec<Part>>, between: &[Part]) -> Vec<Part> {
    parts.join(between)
}

fn filter(server: Server) -> impl Strategy<Value = Vec<Part>> {
    (prop::collection::vec(condition(server), 0..4), any::<bool>()).prop_map(|(conditions, either)| {
        if conditions.is_empty() {
            return Vec::new();
        }
        let between = [Keyword(if either { "OR" } else { "AND" })];
        [vec![Keyword("WHERE")], joined(conditions, &between)].concat()
    })
}

fn query(server: Server) -> BoxedStrategy<Vec<Part>> {
    let columns = prop::collection::vec(column(), 1..4);
    let join = prop::option::of((table(), column(), column()));
    (columns, table(), join, filter(server), prop::option::of(column()), any::<bool>())
        .prop_map(|(columns, table, join, filter, order, limit)| {
            let columns = columns.into_iter().map(|column| vec![column]).collect();
            let mut parts = vec![Keyword("SELECT")];
            parts.extend(joined(columns, &[Mark(",")]));
            parts.extend([Keyword("FROM"), table]);
            if let Some((table, left, right)) = join {
                parts.extend([Keyword("LEFT"), Keyword("JOIN"), table, Keyword("ON"), left, Operator("="), right]);
            }
            parts.extend(filter);
            if let Some(column) = order {
                parts.extend([Keyword("ORDER"), Keyword("BY"), column, Keyword("DESC")]);
            }
            if limit {
                parts.extend([Keyword("LIMIT"), Value]);
            }
            parts
        })
        .boxed()
}

fn list(columns: &[Part]) -> Vec<Part> {
    let columns = columns.iter().map(|column| vec![column.clone()]).collect();
    [vec![Mark("(")], joined(columns, &[Mark(",")]), vec![Mark(")")]].concat()
}

/// A statement for `server`, as parts.
pub fn statement(server: Server) -> BoxedStrategy<Vec<Part>> {
    let insert = (table(), prop::collection::vec(column(), 1..5)).prop_map(|(table, columns)| {
        let rows = Part::Rows(columns.len());
        [vec![Keyword("INSERT"), Keyword("INTO"), table], list(&columns), vec![Keyword("VALUES"), rows]].concat()
    });
    let update =
        (table(), prop::collection::vec(column(), 1..4), filter(server)).prop_map(|(table, columns, filter)| {
            let sets = columns.into_iter().map(|column| vec![column, Operator("="), Value]).collect();
            [vec![Keyword("UPDATE"), table, Keyword("SET")], joined(sets, &[Mark(",")]), filter].concat()
        });
    let delete = (table(), filter(server))
        .prop_map(|(table, filter)| [vec![Keyword("DELETE"), Keyword("FROM"), table], filter].concat());
    let nested = (query(server), column(), query(server)).prop_map(|(outer, column, inner)| {
        let inside = [vec![Keyword("SELECT"), Mark("*"), Keyword("FROM"), Mark("(")], outer, vec![Mark(")")]].concat();
        let name = vec![Keyword("AS"), Table("inner_t".into()), Keyword("WHERE"), column, Keyword("IN"), Mark("(")];
        [inside, name, inner, vec![Mark(")")]].concat()
    });
    prop_oneof![4 => query(server), 2 => insert, 2 => update, 1 => delete, 1 => nested].boxed()
}

pub fn style(server: Server) -> impl Strategy<Value = Style> {
    let parameters = match server {
        Server::PostgreSql => vec![Parameters::Dollar, Parameters::Question, Parameters::Colon, Parameters::Percent],
        Server::MySql => vec![Parameters::Question, Parameters::Colon, Parameters::Percent],
    };
    (
        prop::collection::vec(any::<Index>(), 1..12),
        prop::collection::vec(any::<Index>(), 1..12),
        prop::collection::vec(any::<bool>(), 1..12),
        prop::collection::vec(any::<Index>(), 1..6),
        prop::option::of(select(parameters)),
        any::<bool>(),
    )
        .prop_map(|(literals, gaps, cases, lengths, parameters, quoted_names)| Style {
            literals,
            gaps,
            cases,
            lengths,
            parameters,
            quoted_names,
        })
}

const POSTGRESQL_VALUES: [&str; 29] = [
    "1",
    "42",
    "0",
    "3.14",
    ".5",
    "7.",
    "1e10",
    "2.5E-3",
    "1_000_000",
    "0xDEADBEEF",
    "0o17",
    "0b1011",
    "-5",
    "'hush'",
    "''",
    "'it''s hush'",
    r"E'it\'s hush\\'",
    "e'hush'",
    "'hush' \n 'hush'",
    "U&'hush\\0041'",
    "B'101'",
    "X'BEEF'",
    "N'hush'",
    "$$hush 'hush' -- hush$$",
    "$tag$ hush $$ /* $tag$",
    "'/* hush'",
    "'-- hush'",
    "'%s $1 :hush ?'",
    "'\u{1f600}\u{5d0}'",
];

const MYSQL_VALUES: [&str; 23] = [
    "1",
    "42",
    "0",
    "3.14",
    ".5",
    "7.",
    "1e10",
    "2.5E-3",
    "0xDEADBEEF",
    "0b1011",
    "-5",
    "'hush'",
    "''",
    "'it''s hush'",
    "x'BEEF'",
    "X'BEEF'",
    "b'101'",
    "N'hush'",
    "_utf8mb4'hush'",
    "'/* hush'",
    "'-- hush'",
    "'%s $1 :hush ?'",
    "'\u{1f600}\u{5d0}'",
];

const GAPS: [&str; 8] = [" ", "  ", "\n", "\t \r\n", " /* hush */ ", "\n-- hush\n", "/* 'hush */", " /*hush-- */\n\n"];

/// The text of `parts`. Values hold the word `hush` or digits; so do comments.
pub fn render(server: Server, parts: &[Part], style: &Style) -> String {
    let mut out = String::new();
    let mut numbers = 0..;
    let mut next = || numbers.next().expect("a range without end");
    let mut parameter = 0;
    let mut value = |turn: usize| match style.parameters {
        None => {
            let index = style.literals[turn % style.literals.len()];
            match server {
                Server::PostgreSql => (*index.get::<&str>(&POSTGRESQL_VALUES)).to_owned(),
                Server::MySql => (*index.get::<&str>(&MYSQL_VALUES)).to_owned(),
            }
        }
        Some(parameters) => {
            parameter += 1;
            match parameters {
                Parameters::Dollar => format!("${parameter}"),
                Parameters::Question => "?".to_owned(),
                Parameters::Colon => format!(":name{parameter}"),
                Parameters::Percent => "%s".to_owned(),
            }
        }
    };
    for (turn, part) in parts.iter().enumerate() {
        let lengths = |turn: usize| 1 + style.lengths[turn % style.lengths.len()].index(4);
        let text = match part {
            Keyword(word) if style.cases[turn % style.cases.len()] => word.to_lowercase(),
            Keyword(word) => (*word).to_owned(),
            Table(name) | Column(name) => match server {
                Server::PostgreSql if style.quoted_names => format!("\"{name}\""),
                Server::MySql if style.quoted_names => format!("`{name}`"),
                _ => name.clone(),
            },
            Operator(text) | Mark(text) => (*text).to_owned(),
            Value => value(next()),
            Values => {
                let values: Vec<String> = (0..lengths(turn)).map(|_| value(next())).collect();
                format!("({})", values.join(", "))
            }
            Part::Rows(width) => {
                let rows: Vec<String> = (0..lengths(turn))
                    .map(|_| format!("({})", (0..*width).map(|_| value(next())).collect::<Vec<_>>().join(",")))
                    .collect();
                rows.join(", ")
            }
        };
        if turn > 0 {
            out.push_str(style.gaps[turn % style.gaps.len()].get::<&str>(&GAPS));
        }
        out.push_str(&text);
    }
    out
}
