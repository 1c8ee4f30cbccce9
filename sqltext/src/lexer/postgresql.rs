//! Tokens that only PostgreSQL has: dollar quotes, nested comments, operators made of many signs.

use super::{Escapes, Kind, Lexer, strings::Quoted};
use crate::Withheld;
use crate::bytes::{Class, class_of, continues_word, find, find_either, is_postgresql_operator};
use crate::words::{self, INFIX, TYPE};

/// The server refuses longer operators.
const OPERATOR_BYTES_MAX: usize = 63;

impl Lexer<'_> {
    pub(super) fn postgresql_token(&mut self, class: Class, start: usize) -> Kind {
        match class {
            Class::Dollar => self.dollar(start),
            Class::Minus if self.at(start + 1) == b'-' => self.line_comment(start),
            Class::Slash if self.at(start + 1) == b'*' => self.nested_comment(start),
            Class::QuestionMark if self.is_parameter(start) => self.single(Kind::Parameter),
            Class::Percent if self.percent_parameter(start).is_some() => self.percent(start),
            Class::At if self.is_at_parameter(start) => self.at_parameter(start),
            Class::Backslash => self.withhold(Withheld::ForeignByte),
            _ => self.postgresql_operator(start),
        }
    }

    fn percent(&mut self, start: usize) -> Kind {
        self.place = self.percent_parameter(start).unwrap_or(start + 1);
        Kind::Parameter
    }

    /// `@name` of client libraries; after an operand it is an operator.
    fn is_at_parameter(&self, start: usize) -> bool {
        !self.after_operand && class_of(self.at(start + 1)) == Class::Word
    }

    fn at_parameter(&mut self, start: usize) -> Kind {
        self.place = self.end_of_word(start + 1);
        Kind::Parameter
    }

    /// `$1`, or a string in dollar quotes.
    fn dollar(&mut self, start: usize) -> Kind {
        if self.at(start + 1).is_ascii_digit() {
            self.place = self.end_of_word(start + 1);
            return self.end_of_number(start);
        }
        let tag_end = self.end_of_tag(start);
        if self.at(tag_end) == b'$' {
            return self.dollar_quoted(start, tag_end + 1);
        }
        let is_cut = tag_end >= self.sql.len();
        self.withhold(if is_cut { Withheld::UnterminatedDollarQuote } else { Withheld::ForeignByte })
    }

    /// Where the second dollar sign of `$tag$` has to be.
    pub(super) fn end_of_tag(&self, start: usize) -> usize {
        let mut end = start + 1;
        while continues_word(self.at(end)) && self.at(end) != b'$' {
            end += 1;
        }
        end
    }

    pub(super) fn dollar_quoted(&mut self, start: usize, body: usize) -> Kind {
        let tag = &self.sql[start..body];
        let mut place = find(self.sql, body, b'$');
        while place < self.sql.len() {
            if self.has(place, tag) {
                self.place = place + tag.len();
                return Kind::Literal;
            }
            place = find(self.sql, place + 1, b'$');
        }
        self.withhold(Withheld::UnterminatedDollarQuote)
    }

    fn line_comment(&mut self, start: usize) -> Kind {
        self.place = find_either(self.sql, start, b'\n', b'\r');
        Kind::Comment
    }

    fn nested_comment(&mut self, start: usize) -> Kind {
        let mut depth = 1_usize;
        let mut place = start + 2;
        while depth > 0 {
            place = find_either(self.sql, place, b'*', b'/');
            match (self.at(place), self.at(place + 1)) {
                _ if place >= self.sql.len() => return self.withhold(Withheld::UnterminatedComment),
                (b'*', b'/') => depth -= 1,
                (b'/', b'*') => depth += 1,
                _ => {
                    place += 1;
                    continue;
                }
            }
            place += 2;
        }
        self.place = place;
        Kind::Comment
    }

    /// Whether a `?` is a parameter, and not an operator on JSON.
    fn is_parameter(&self, start: usize) -> bool {
        if !self.after_operand || self.last_word.has(TYPE) {
            return true;
        }
        if is_postgresql_operator(self.at(start + 1)) && self.at(start + 1) != b'?' {
            return !matches!(self.at(start + 1), b'|' | b'&') || self.at(start + 2) == self.at(start + 1);
        }
        let next = self.end_of_spaces(start + 1);
        match class_of(self.at(next)) {
            _ if next >= self.sql.len() => true,
            Class::Word => words::look_up(&self.sql[next..self.end_of_word(next)]).has(INFIX),
            Class::Quote | Class::DoubleQuote | Class::Dollar | Class::Open | Class::QuestionMark => false,
            Class::Colon => class_of(self.at(next + 1)) == Class::Colon,
            Class::Percent | Class::At => is_postgresql_operator(self.at(next + 1)) || self.at(next + 1) == b' ',
            _ => true,
        }
    }

    /// The longest run of operator signs that begins no comment. One of more than a sign ends with `+` or `-` only if it
    /// has a sign that standard SQL does not use, so that `=-1` is two operators.
    fn postgresql_operator(&mut self, start: usize) -> Kind {
        let mut end = start + 1;
        if !is_postgresql_operator(self.at(end)) || start < self.single_signs_end {
            return self.single(Kind::Operator);
        }
        while is_postgresql_operator(self.at(end)) && end - start < OPERATOR_BYTES_MAX {
            let begins_comment = matches!((self.at(end), self.at(end + 1)), (b'-', b'-') | (b'/', b'*'));
            if begins_comment {
                break;
            }
            end += 1;
        }
        let run = &self.sql[start..end];
        let is_special =
            run.iter().any(|byte| matches!(byte, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%'));
        let mut length = run.len();
        while length > 1 && !is_special && matches!(run[length - 1], b'+' | b'-') {
            length -= 1;
        }
        if length < run.len() {
            self.single_signs_end = end;
        }
        self.place = start + self.without_parameter(&run[..length]);
        Kind::Operator
    }

    /// A comparison that touches a parameter of a client library: `=?`, `=@name`, `=%s`.
    fn without_parameter(&self, run: &[u8]) -> usize {
        let [comparison @ .., b'?' | b'@' | b'%'] = run else { return run.len() };
        let is_comparison = matches!(
            comparison,
            b"=" | b"<" | b">" | b"<=" | b">=" | b"<>" | b"!=" | b"||" | b"+" | b"-" | b"*" | b"/"
        );
        if is_comparison { comparison.len() } else { run.len() }
    }

    pub(super) fn postgresql_prefixed_string(&mut self, start: usize, end: usize) -> Option<Kind> {
        match (&self.sql[start..end], self.at(end), self.at(end + 1)) {
            (b"e" | b"E", b'\'', _) => Some(self.escape_string(end)),
            (b"b" | b"B" | b"x" | b"X" | b"n" | b"N", b'\'', _) => Some(self.string(end)),
            (b"u" | b"U", b'&', _) if end + 1 >= self.sql.len() => Some(self.withhold(Withheld::UnterminatedString)),
            (b"u" | b"U", b'&', b'\'') => Some(self.string(end + 1)),
            (b"u" | b"U", b'&', b'"') => {
                let how = Quoted { quote: b'"', escapes: Escapes::No, unterminated: Withheld::UnterminatedName };
                Some(self.quoted(end + 1, how, Kind::Name))
            }
            _ => None,
        }
    }

    /// A string with escapes, and the parts on the next lines that continue it and are read by the same rules.
    fn escape_string(&mut self, quote: usize) -> Kind {
        let mut kind = self.string_with(quote, Escapes::Yes);
        while kind == Kind::Literal
            && let Some(next) = self.continuation()
        {
            kind = self.string_with(next, Escapes::Yes);
        }
        kind
    }

    /// The quote with which a string goes on after white space that has the end of a line, and comments in it.
    fn continuation(&self) -> Option<usize> {
        let mut place = self.place;
        let mut has_line_end = false;
        loop {
            let next = self.end_of_spaces(place);
            has_line_end |= self.sql[place..next].iter().any(|byte| matches!(byte, b'\n' | b'\r'));
            match (self.at(next), self.at(next + 1)) {
                (b'\'', _) => return has_line_end.then_some(next),
                (b'-', b'-') => place = find_either(self.sql, next, b'\n', b'\r'),
                _ => return None,
            }
        }
    }
}
