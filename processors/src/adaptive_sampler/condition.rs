//! Conditions of rules: comparisons of fields and numbers, joined by `&&` and `||`.
//!
//! ```text
//! any    = all { "||" all }            all  = test { "&&" test }
//! test   = "(" any ")" | sum op sum | field ("==" | "!=") 'text'
//! op     = "==" | "!=" | "<" | "<=" | ">" | ">="
//! sum    = term { ("+" | "-") term }   term = number | field | "(" sum ")"
//! ```
//! A value that the row does not have makes its comparison not true. No allocation happens when a row is tested.

use super::fields::Field;
use crate::engine::Row;

/// Tokens of a condition at most; it bounds depth and time.
const TOKENS_MAX: usize = 200;

/// A condition over a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Test);

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Never,
    All(Vec<Test>),
    Any(Vec<Test>),
    Compare(Sum, Operator, Sum),
    Text { field: Field, equal: bool, text: String },
}

/// Signed terms that are added.
#[derive(Debug, Clone, PartialEq)]
struct Sum(Vec<(f64, Term)>);

#[derive(Debug, Clone, PartialEq)]
enum Term {
    Number(f64),
    Field(Field),
    Sum(Sum),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl Condition {
    /// Reads a condition; the error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, next: 0 };
        let test = parser.any()?;
        match parser.peek() {
            None => Ok(Self(test)),
            Some(token) => {
                Err(format!("expected `&&`, `||` or the end, found `{}` at character {}", token.text, token.at + 1))
            }
        }
    }

    /// A condition that is never true.
    pub fn never() -> Self {
        Self(Test::Never)
    }

    /// The condition holds for the row.
    pub fn is_true(&self, row: &Row<'_>) -> bool {
        self.0.is_true(row)
    }
}

impl Test {
    fn is_true(&self, row: &Row<'_>) -> bool {
        match self {
            Test::Never => false,
            Test::All(tests) => tests.iter().all(|test| test.is_true(row)),
            Test::Any(tests) => tests.iter().any(|test| test.is_true(row)),
            Test::Compare(left, operator, right) => {
                left.value(row).zip(right.value(row)).is_some_and(|(left, right)| operator.holds(left, right))
            }
            Test::Text { field, equal, text } => field.text(row).is_some_and(|value| (value == text) == *equal),
        }
    }
}

impl Sum {
    fn value(&self, row: &Row<'_>) -> Option<f64> {
        let value = |term: &Term| match term {
            Term::Number(number) => Some(*number),
            Term::Field(field) => field.number(row),
            Term::Sum(sum) => sum.value(row),
        };
        self.0.iter().try_fold(0.0, |sum, (sign, term)| Some(sum + sign * value(term)?))
    }

    /// The field of a sum that is nothing else.
    fn lone_field(&self) -> Option<Field> {
        match &*self.0 {
            [(1.0, Term::Field(field))] => Some(*field),
            [(1.0, Term::Sum(sum))] => sum.lone_field(),
            _ => None,
        }
    }

    fn holds_text(&self) -> bool {
        self.0.iter().any(|(_, term)| match term {
            Term::Field(field) => field.holds_text(),
            Term::Sum(sum) => sum.holds_text(),
            Term::Number(_) => false,
        })
    }
}

impl Operator {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            Operator::GreaterOrEqual => left >= right,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    at: usize,
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first.is_alphabetic() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len())
        } else if first.is_ascii_digit() {
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())
        } else if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or_else(|| format!("the text at character {} has no end", at + 1))?;
            end + 2
        } else if ["==", "!=", "<=", ">=", "&&", "||"].iter().any(|two| rest.starts_with(two)) {
            2
        } else if "<>()+-".contains(first) {
            1
        } else {
            return Err(format!("unexpected `{first}` at character {}", at + 1));
        };
        tokens.push(Token { text: &rest[..length], at });
        at += length;
        if tokens.len() > TOKENS_MAX {
            return Err(format!("a condition may have at most {TOKENS_MAX} words and signs"));
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.text == text);
        self.next += usize::from(found);
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(match self.peek() {
            Some(token) => format!("expected {what}, found `{}` at character {}", token.text, token.at + 1),
            None => format!("expected {what} at the end"),
        })
    }

    fn any(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.all()?];
        while self.take("||") {
            tests.push(self.all()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn all(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.test()?];
        while self.take("&&") {
            tests.push(self.test()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::All(tests) })
    }

    /// A parenthesis may hold a sum or a condition: the sum is tried first.
    fn test(&mut self) -> Result<Test, String> {
        let start = self.next;
        let comparison = self.comparison();
        if comparison.is_ok() || self.tokens.get(start).is_none_or(|token| token.text != "(") {
            return comparison;
        }
        self.next = start + 1;
        let test = self.any()?;
        if self.take(")") { Ok(test) } else { self.expected("`)`") }
    }

    fn comparison(&mut self) -> Result<Test, String> {
        let left = self.sum()?;
        let Some(operator) = self.peek().and_then(|token| OPERATORS.iter().find(|(text, _)| *text == token.text))
        else {
            return self.expected("a comparison such as `>`");
        };
        self.next += 1;
        if let Some(token) = self.peek().filter(|token| token.text.starts_with(['\'', '"'])) {
            self.next += 1;
            return text_test(&left, operator.1, &token.text[1..token.text.len() - 1]);
        }
        let right = self.sum()?;
        if left.holds_text() || right.holds_text() {
            return Err("a text field can only be compared with a quoted text".into());
        }
        Ok(Test::Compare(left, operator.1, right))
    }

    fn sum(&mut self) -> Result<Sum, String> {
        let mut sign = if self.take("-") { -1.0 } else { 1.0 };
        let mut terms = Vec::new();
        loop {
            terms.push((sign, self.term()?));
            sign = if self.take("+") {
                1.0
            } else if self.take("-") {
                -1.0
            } else {
                return Ok(Sum(terms));
            };
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        if self.take("(") {
            let sum = self.sum()?;
            return if self.take(")") { Ok(Term::Sum(sum)) } else { self.expected("`)`") };
        }
        let Some(token) = self.peek() else { return self.expected("a field or a number") };
        let term = if token.text.starts_with(|c: char| c.is_ascii_digit()) {
            Term::Number(token.text.parse().map_err(|_| format!("`{}` is not a number", token.text))?)
        } else if token.text.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            Term::Field(Field::find(token.text).ok_or_else(|| unknown_field(token.text))?)
        } else {
            return self.expected("a field or a number");
        };
        self.next += 1;
        Ok(term)
    }
}

fn text_test(left: &Sum, operator: Operator, text: &str) -> Result<Test, String> {
    let equal = match operator {
        Operator::Equal => true,
        Operator::NotEqual => false,
        _ => return Err("texts can only be compared with `==` and `!=`".into()),
    };
    match left.lone_field().filter(|field| field.holds_text()) {
        Some(field) => Ok(Test::Text { field, equal, text: text.to_owned() }),
        None => Err("only a text field can be compared with a quoted text".into()),
    }
}

fn unknown_field(name: &str) -> String {
    let mut names = Field::names();
    names.sort_unstable();
    names.dedup();
    format!("unknown field `{name}`; known: {}", names.join(", "))
}
