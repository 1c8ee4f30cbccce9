//! Tokens that only MySQL and MariaDB have: backticks, `#` comments, conditional comments, variables.

use super::strings::{Quoted, contains_comment_mark, fault_of_word};
use super::{Escapes, Kind, Lexer};
use crate::Withheld;
use crate::bytes::{Class, class_of, continues_word, find};
use crate::words::TABLE;

const OPERATORS: [&[u8]; 12] = [b"->>", b"<=>", b"->", b"<=", b">=", b"<>", b"!=", b"||", b"&&", b"<<", b">>", b":="];

impl Lexer<'_> {
    pub(super) fn mysql_token(&mut self, class: Class, start: usize) -> Kind {
        match class {
            Class::Backtick => {
                let how = Quoted { quote: b'`', escapes: Escapes::No, unterminated: Withheld::UnterminatedName };
                self.quoted(start, how, Kind::Name)
            }
            Class::Hash => self.mysql_line_comment(start),
            Class::Minus if self.is_mysql_line_comment(start) => self.mysql_line_comment(start),
            Class::Slash if self.at(start + 1) == b'*' => self.mysql_comment(start),
            Class::QuestionMark => self.single(Kind::Parameter),
            Class::Percent if self.percent_parameter(start).is_some() => {
                self.place = self.percent_parameter(start).unwrap_or(start + 1);
                Kind::Parameter
            }
            Class::At => self.variable(start),
            Class::Dollar => self.mysql_dollar(start),
            Class::Backslash if self.at(start + 1) == b'N' => {
                self.place += 2;
                Kind::Literal
            }
            Class::Backslash => self.withhold(Withheld::ForeignByte),
            _ => self.mysql_operator(start),
        }
    }

    /// Two minus signs begin a comment only before white space, a control character, or the end.
    fn is_mysql_line_comment(&self, start: usize) -> bool {
        self.at(start + 1) == b'-' && (self.at(start + 2) <= b' ' || self.at(start + 2) == 0x7f)
    }

    fn mysql_line_comment(&mut self, start: usize) -> Kind {
        self.place = find(self.sql, start, b'\n');
        if self.in_conditional && contains_comment_mark(&self.sql[start..self.place]) {
            return self.withhold(Withheld::AmbiguousComment);
        }
        Kind::Comment
    }

    /// A comment, or the beginning of one that the server may run: `/*!50101 … */`, `/*M! … */`.
    fn mysql_comment(&mut self, start: usize) -> Kind {
        let mark = match (self.at(start + 2), self.at(start + 3)) {
            (b'!', _) => 3,
            (b'M', b'!') => 4,
            _ => return self.mysql_plain_comment(start),
        };
        if self.in_conditional {
            return self.withhold(Withheld::AmbiguousComment);
        }
        self.in_conditional = true;
        self.place = start + mark;
        while self.at(self.place).is_ascii_digit() {
            self.place += 1;
        }
        Kind::Conditional
    }

    fn mysql_plain_comment(&mut self, start: usize) -> Kind {
        let mut place = find(self.sql, start + 2, b'*');
        while place < self.sql.len() && self.at(place + 1) != b'/' {
            place = find(self.sql, place + 1, b'*');
        }
        if place >= self.sql.len() {
            return self.withhold(Withheld::UnterminatedComment);
        }
        self.place = place + 2;
        Kind::Comment
    }

    /// `@@variable` is a name; `@variable`, and the host of an account, is a value.
    fn variable(&mut self, start: usize) -> Kind {
        if self.at(start + 1) == b'@' {
            self.place += 2;
            return Kind::Prefix;
        }
        let name = self.end_of_spaces(start + 1);
        self.place = name;
        match class_of(self.at(name)) {
            Class::Quote => self.string(name),
            Class::DoubleQuote => as_value(self.double_quote(name)),
            Class::Backtick => as_value(self.mysql_token(Class::Backtick, name)),
            Class::QuestionMark => self.single(Kind::Parameter),
            Class::Word | Class::Digit | Class::Dollar | Class::Dot => {
                self.place = self.end_of_variable(name);
                Kind::Parameter
            }
            _ => {
                self.place = start + 1;
                Kind::Operator
            }
        }
    }

    fn end_of_variable(&self, start: usize) -> usize {
        let mut place = start;
        loop {
            let end = self.end_of_word(place);
            if self.at(end) != b'.' {
                return end;
            }
            place = end + 1;
        }
    }

    /// A string in dollar quotes from MySQL 9 on, before that a name; with digits behind the dollar sign, a parameter of
    /// another dialect.
    fn mysql_dollar(&mut self, start: usize) -> Kind {
        let tag_end = self.end_of_tag(start);
        if self.at(tag_end) == b'$' {
            return self.mysql_dollar_quoted(start, tag_end + 1);
        }
        self.place = self.end_of_word(start);
        if let Some(fault) = fault_of_word(&self.sql[start..self.place], self.place == self.sql.len()) {
            return self.withhold(fault);
        }
        let is_number = self.sql[start + 1..self.place].iter().all(u8::is_ascii_digit);
        if is_number && self.place > start + 1 { Kind::Parameter } else { Kind::Word }
    }

    /// If quotes are in it, the readings part at its end.
    fn mysql_dollar_quoted(&mut self, start: usize, body: usize) -> Kind {
        let kind = self.dollar_quoted(start, body);
        let has_quotes =
            self.sql[body..self.place].iter().any(|byte| matches!(byte, b'\'' | b'"' | b'`' | b'*' | b'#' | b'-'));
        let is_last = self.sql[self.place..].iter().all(u8::is_ascii_whitespace);
        let may_go_on = has_quotes || continues_word(self.at(self.place));
        if kind == Kind::Literal && may_go_on && !is_last {
            return self.withhold(Withheld::AmbiguousDollarQuote);
        }
        kind
    }

    fn mysql_operator(&mut self, start: usize) -> Kind {
        if self.in_conditional && self.has(start, b"*/") {
            self.in_conditional = false;
            self.place += 2;
            return Kind::Conditional;
        }
        let known = OPERATORS.iter().find(|operator| self.has(start, operator));
        self.place += known.map_or(1, |operator| operator.len());
        Kind::Operator
    }

    pub(super) fn mysql_prefixed_string(&mut self, start: usize, end: usize) -> Option<Kind> {
        let quote = self.at(end);
        match &self.sql[start..end] {
            b"n" | b"N" if quote == b'\'' => Some(self.string(end)),
            b"x" | b"X" | b"b" | b"B" if quote == b'\'' => Some(self.string(end)),
            [b'_', ..] if quote == b'\'' => Some(self.string(end)),
            [b'_', ..] if quote == b'"' && self.rules.ansi_quotes == Some(false) => Some(self.double_quote(end)),
            _ => None,
        }
    }

    /// A name may begin with digits. Where a literal may stand as well, it is taken for one.
    pub(super) fn is_mysql_name(&self, start: usize) -> bool {
        let end = self.end_of_word(start);
        let word = &self.sql[start..end];
        let place_of_name = self.last_was_dot || self.last_word.has(TABLE);
        let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let looks_like_number = match word[digits..] {
            [b'x' | b'X' | b'b' | b'B', ..] => digits == 1,
            [b'e' | b'E', next, ..] => next.is_ascii_digit(),
            [b'e' | b'E'] => matches!(self.at(end), b'+' | b'-'),
            _ => false,
        };
        let has_letter = word.iter().any(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        place_of_name && has_letter && !looks_like_number
    }
}

fn as_value(kind: Kind) -> Kind {
    if kind == Kind::Name { Kind::Parameter } else { kind }
}
