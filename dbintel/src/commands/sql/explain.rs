//! The tokens of a statement beside what its normalised text shows of each.
//!
//! What is shown is found by going through the text and the tokens side by side: a token is shown only if it stands next in
//! the text. So nothing can be shown that the text does not show, and where the two part, a token too little is.

use std::borrow::Cow;
use std::ops::Range;

use dbintel_sqltext::{Dialect, Token, TokenKind, tokens};

/// What stands for a value in a normalised text.
const VALUE: &str = "?";

/// A token with what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained<'s> {
    /// What it is.
    pub kind: &'static str,
    /// Where it is in the statement, in bytes.
    pub range: Range<usize>,
    /// What is shown of it, if anything is.
    pub shown: Option<Cow<'s, str>>,
}

/// The tokens of a statement. `text` is what the normaliser made of it; without one, everything is shown.
pub fn explain<'s>(dialect: Dialect, sql: &'s [u8], text: Option<&'s str>) -> impl Iterator<Item = Explained<'s>> {
    let mut side_by_side = text.map(|text| SideBySide { rest: text });
    tokens(dialect, sql).map(move |token| {
        let spelled = String::from_utf8_lossy(&sql[token.start..token.end]);
        let shown = match &mut side_by_side {
            Some(side_by_side) => side_by_side.shown(token.kind, spelled),
            None => Some(spelled),
        };
        Explained { kind: kind_name(token), range: token.start..token.end, shown }
    })
}

fn kind_name(token: Token) -> &'static str {
    match token.kind {
        TokenKind::Word => "word",
        TokenKind::QuotedName => "quoted_name",
        TokenKind::Literal => "literal",
        TokenKind::Parameter => "parameter",
        TokenKind::Operator => "operator",
        TokenKind::Comment => "comment",
        TokenKind::ConditionalComment => "conditional_comment",
        TokenKind::Withheld(_) => "withheld",
        _ => "token",
    }
}

struct SideBySide<'s> {
    /// What of the text comes after the tokens so far.
    rest: &'s str,
}

impl<'s> SideBySide<'s> {
    fn shown(&mut self, kind: TokenKind, spelled: Cow<'s, str>) -> Option<Cow<'s, str>> {
        self.rest = self.rest.trim_start_matches(' ');
        match kind {
            TokenKind::Literal | TokenKind::Parameter => {
                self.take(VALUE);
                Some(Cow::Borrowed(VALUE))
            }
            TokenKind::Word | TokenKind::QuotedName | TokenKind::Operator => self.code(kind, spelled),
            TokenKind::Withheld(reason) => Some(Cow::Borrowed(reason.name())),
            _ => None,
        }
    }

    /// A token that may be part of a value, as a sign before a number is, or one that was taken back with a list.
    fn code(&mut self, kind: TokenKind, spelled: Cow<'s, str>) -> Option<Cow<'s, str>> {
        if self.take(&spelled) {
            return Some(spelled);
        }
        if kind == TokenKind::QuotedName
            && let Some(dubious) = self.take_dubious_name(&spelled)
        {
            return Some(dubious);
        }
        let rest = self.rest.strip_prefix(VALUE)?;
        let mut behind_value = SideBySide { rest: rest.trim_start_matches(' ') };
        if behind_value.take(&spelled) {
            *self = behind_value;
            return Some(spelled);
        }
        Some(Cow::Borrowed(VALUE))
    }

    /// A name that looks like text in the wrong quotes is a question mark in quotes.
    fn take_dubious_name(&mut self, spelled: &str) -> Option<Cow<'s, str>> {
        let quote = spelled.chars().next_back()?;
        let dubious = format!("{quote}{VALUE}{quote}");
        self.take(&dubious).then_some(Cow::Owned(dubious))
    }

    /// Whether this stands next in the text; then it is passed.
    fn take(&mut self, spelled: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(spelled) else { return false };
        let is_word = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
        if spelled.ends_with(is_word) && rest.starts_with(is_word) {
            return false;
        }
        self.rest = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use dbintel_sqltext::{Normalizer, Options, SqlMode};

    use super::*;

    const MYSQL: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) });

    fn shown(dialect: Dialect, sql: &str) -> String {
        let mut normalizer = Normalizer::new(dialect, Options::default());
        let text = normalizer.normalize(sql.as_bytes()).text.to_owned();
        let tokens = explain(dialect, sql.as_bytes(), Some(&text));
        tokens.map(|token| token.shown.unwrap_or(Cow::Borrowed("-")).into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn check(dialect: Dialect, sql: &str, expected: &str) {
        assert_eq!(shown(dialect, sql), expected, "{sql}");
    }

    #[test]
    fn what_the_text_shows_is_shown() {
        let postgresql = Dialect::PostgreSql;
        check(postgresql, "select a.b, \"C\" from t where x >= 'y'", "select a . b , \"C\" from t where x >= ?");
        check(postgresql, "select /* c */ -1 -- d", "select - ? ? -");
        check(postgresql, "select limit_x from t limit all offset 5", "select limit_x from t limit ? offset ?");
        check(
            postgresql,
            "insert into t values (1, 2), (3, 4) on conflict (a) do nothing",
            "insert into t values ( ? , ? ) - - ? - ? - on conflict ( a ) do nothing",
        );
        check(postgresql, "select \"host=x password=y\" from t", "select \"?\" from t");
        check(
            MYSQL,
            "select `a` from t where b in (1, 2) /*!50000 and c */",
            "select `a` from t where b in ( ? - ? ) - and c -",
        );
    }

    #[test]
    fn what_the_text_hides_is_hidden() {
        let postgresql = Dialect::PostgreSql;
        check(postgresql, "alter role app login password 'x'", "alter role app - - ?");
        check(postgresql, "hunter2 and more", "- - -");
        check(postgresql, "set work_mem = lots, of", "set work_mem = ? ? ?");
        check(postgresql, "select a 'b", "select a unterminated_string");
    }

    #[test]
    fn without_a_text_everything_is_shown() {
        let tokens: Vec<_> = explain(Dialect::PostgreSql, b"select 'x' -- y", None).collect();
        let expected = Explained { kind: "literal", range: 7..10, shown: Some(Cow::Borrowed("'x'")) };
        assert_eq!((tokens.len(), &tokens[1]), (3, &expected));
    }
}
