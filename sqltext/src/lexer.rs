//! From bytes to lexemes: places of tokens with what the normaliser has to know about them.
//!
//! Each call of [`Lexer::next`] moves on by at least a byte and looks at each byte a bounded number of times. What a byte
//! means may depend on whether an operand stands before it: a `?` after one is an operator of PostgreSQL.

mod mysql;
mod postgresql;
mod strings;

use crate::bytes::{self, Class, class_of, continues_word};
use crate::words::{self, OTHER, Word};
use crate::{Dialect, SqlMode, Withheld};

/// What a lexeme is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A key word or a name without quotes.
    Word,
    /// A name in quotes.
    Name,
    /// A string, a number, or another constant.
    Literal,
    /// A parameter in any style.
    Parameter,
    Operator,
    Dot,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    /// `::`
    Cast,
    Semicolon,
    /// An operator that belongs to the name behind it: `@@`.
    Prefix,
    Comment,
    /// The beginning of a conditional comment with its version, or its end.
    Conditional,
    /// Three dots: more of what stood before.
    More,
    /// The rest of the text is hidden.
    Withheld(Withheld),
    /// The end of the text.
    End,
}

/// A token by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexeme {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// For a word: what is known about it.
    pub(crate) word: &'static Word,
    /// For a word: whether all of it is ASCII.
    pub(crate) is_ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escapes {
    Yes,
    No,
    Unknown,
}

/// The rules of a dialect in the form that the lexer needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) is_mysql: bool,
    ansi_quotes: Option<bool>,
    /// Of strings without a prefix. In PostgreSQL it depends on `standard_conforming_strings`.
    escapes: Escapes,
}

impl From<Dialect> for Rules {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::PostgreSql => Self { is_mysql: false, ansi_quotes: Some(true), escapes: Escapes::Unknown },
            Dialect::MySql(SqlMode { ansi_quotes, no_backslash_escapes }) => {
                let escapes = match no_backslash_escapes {
                    None => Escapes::Unknown,
                    Some(true) => Escapes::No,
                    Some(false) => Escapes::Yes,
                };
                Self { is_mysql: true, ansi_quotes, escapes }
            }
        }
    }
}

/// Reads the tokens of a text, one after the other.
#[derive(Debug)]
pub(crate) struct Lexer<'s> {
    sql: &'s [u8],
    place: usize,
    rules: Rules,
    /// Whether the last token ends an operand.
    after_operand: bool,
    /// The last word, if it was the last token.
    last_word: &'static Word,
    /// Where the last token ends.
    last_end: usize,
    last_was_dot: bool,
    last_was_name: bool,
    brackets: usize,
    in_conditional: bool,
    /// Up to here each sign is an operator of its own.
    single_signs_end: usize,
}

impl<'s> Lexer<'s> {
    pub(crate) fn new(sql: &'s [u8], rules: Rules) -> Self {
        const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
        Self {
            sql,
            place: if sql.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 },
            rules,
            after_operand: false,
            last_word: &OTHER,
            last_end: 0,
            last_was_dot: false,
            last_was_name: false,
            brackets: 0,
            in_conditional: false,
            single_signs_end: 0,
        }
    }

    /// Whether the text ended inside a conditional comment.
    pub(crate) fn ended_in_conditional(&self) -> bool {
        self.in_conditional
    }

    /// The next token; [`Kind::End`] or [`Kind::Withheld`] for ever, once there is no other.
    #[inline]
    pub(crate) fn next(&mut self) -> Lexeme {
        self.place += usize::from(self.at(self.place) == b' ');
        while let Some(byte) = self.sql.get(self.place)
            && class_of(*byte) == Class::Space
        {
            self.place += 1;
        }
        let start = self.place;
        let Some(byte) = self.sql.get(start) else { return self.lexeme(Kind::End, start) };
        let class = class_of(*byte);
        if class == Class::Word {
            return self.word(start);
        }
        let kind = self.token(class, start);
        self.place = self.place.clamp(start + 1, self.sql.len());
        self.lexeme_of(kind, start)
    }

    #[inline]
    fn token(&mut self, class: Class, start: usize) -> Kind {
        match class {
            Class::Comma => self.single(Kind::Comma),
            Class::Open => self.open(start),
            Class::Close => self.single(Kind::Close),
            Class::Dot => self.dot(start),
            Class::Quote => self.string(start),
            Class::Digit => self.number(start),
            Class::Semicolon => self.single(Kind::Semicolon),
            Class::DoubleQuote => self.double_quote(start),
            Class::OpenBracket => {
                self.brackets += 1;
                self.single(Kind::OpenBracket)
            }
            Class::CloseBracket => {
                self.brackets = self.brackets.saturating_sub(1);
                self.single(Kind::CloseBracket)
            }
            Class::Colon => self.colon(start),
            Class::Foreign | Class::Space | Class::Word => self.withhold(Withheld::ForeignByte),
            _ if self.rules.is_mysql => self.mysql_token(class, start),
            _ => self.postgresql_token(class, start),
        }
    }

    #[inline(always)]
    fn single(&mut self, kind: Kind) -> Kind {
        self.place += 1;
        kind
    }

    /// An introducer of a character set in a digest of MySQL is nothing.
    #[inline(always)]
    fn open(&mut self, start: usize) -> Kind {
        const INTRODUCER: &[u8] = b"(_charset)";
        if self.at(start + 1) == b'_' && self.rules.is_mysql && self.has(start, INTRODUCER) {
            self.place += INTRODUCER.len();
            return Kind::Conditional;
        }
        self.single(Kind::Open)
    }

    #[inline]
    fn lexeme_of(&mut self, kind: Kind, start: usize) -> Lexeme {
        let is_between = matches!(kind, Kind::Comment | Kind::Conditional);
        if !is_between {
            self.after_operand = ends_operand(kind);
            self.last_word = &OTHER;
            self.last_was_dot = kind == Kind::Dot;
            self.last_was_name = matches!(kind, Kind::Word | Kind::Name);
            self.last_end = self.place;
        }
        self.lexeme(kind, start)
    }

    fn lexeme(&self, kind: Kind, start: usize) -> Lexeme {
        Lexeme { kind, start, end: self.place, word: &OTHER, is_ascii: false }
    }

    /// The byte at a place, 0 past the end.
    #[inline(always)]
    fn at(&self, place: usize) -> u8 {
        self.sql.get(place).copied().unwrap_or(0)
    }

    fn has(&self, place: usize, expected: &[u8]) -> bool {
        self.sql.get(place..).is_some_and(|rest| rest.starts_with(expected))
    }

    fn withhold(&mut self, reason: Withheld) -> Kind {
        self.place = self.sql.len();
        Kind::Withheld(reason)
    }

    fn end_of_word(&self, start: usize) -> usize {
        let mut place = start;
        while continues_word(self.at(place)) {
            place += 1;
        }
        place
    }

    fn end_of_spaces(&self, start: usize) -> usize {
        let mut place = start;
        while class_of(self.at(place)) == Class::Space {
            place += 1;
        }
        place
    }

    #[inline(always)]
    fn word(&mut self, start: usize) -> Lexeme {
        let chunk = self.sql.get(start..).and_then(|rest| rest.first_chunk::<8>());
        let (length, first) = chunk.map_or_else(|| self.last_word_in(start), |chunk| bytes::word_in(*chunk));
        let mut end = start + length;
        let mut bits = u8::from(first & 0x8080_8080_8080_8080 != 0) << 7;
        while length == 8
            && let Some(byte) = self.sql.get(end)
            && continues_word(*byte)
        {
            bits |= byte;
            end += 1;
        }
        self.place = end;
        if let Some(kind) = self.word_that_is_more(start, end, bits) {
            self.place = self.place.max(end);
            return self.lexeme_of(kind, start);
        }
        let word = words::look_up_from(&self.sql[start..end], first);
        let is_name = std::mem::replace(&mut self.last_was_dot, false);
        self.after_operand = is_name || !word.has(words::STARTS | words::INFIX) || word.is("END");
        self.last_was_name = true;
        self.last_word = word;
        self.last_end = end;
        Lexeme { kind: Kind::Word, start, end, word: if is_name { &OTHER } else { word }, is_ascii: bits < 0x80 }
    }

    /// Where fewer than eight bytes are left.
    #[cold]
    fn last_word_in(&self, start: usize) -> (usize, u64) {
        let rest = self.sql.get(start..).unwrap_or_default();
        let mut chunk = [0; 8];
        chunk[..rest.len()].copy_from_slice(rest);
        bytes::word_in(chunk)
    }

    /// Prefixes of strings, and words that hide something else.
    #[inline]
    fn word_that_is_more(&mut self, start: usize, end: usize, bits: u8) -> Option<Kind> {
        let kind = match self.at(end) {
            b'\'' | b'"' | b'&' => self.prefixed_string(start, end),
            _ => None,
        };
        if bits >= 0x80 && kind.is_none() {
            return strings::fault_of_word(&self.sql[start..end], end == self.sql.len())
                .map(|fault| self.withhold(fault));
        }
        kind
    }

    fn prefixed_string(&mut self, start: usize, end: usize) -> Option<Kind> {
        if self.rules.is_mysql {
            return self.mysql_prefixed_string(start, end);
        }
        self.postgresql_prefixed_string(start, end)
    }

    fn dot(&mut self, start: usize) -> Kind {
        if self.has(start, b"...") {
            self.place += 3;
            return Kind::More;
        }
        let belongs_to_name = self.last_was_name && self.last_end == start;
        if self.at(start + 1).is_ascii_digit() && !belongs_to_name {
            return self.number(start);
        }
        self.single(Kind::Dot)
    }

    /// Everything that may belong to a number does: underscores, letters, points, and the sign of an exponent.
    fn number(&mut self, start: usize) -> Kind {
        if self.rules.is_mysql && self.is_mysql_name(start) {
            self.place = self.end_of_word(start);
            return Kind::Word;
        }
        self.digits(start)
    }

    fn digits(&mut self, start: usize) -> Kind {
        let mut end = start;
        while self.at(end).is_ascii_digit() {
            end += 1;
        }
        if !continues_word(self.at(end)) && self.at(end) != b'.' && end > start {
            self.place = end;
            return Kind::Literal;
        }
        let is_hexadecimal = matches!(self.at(start + 1), b'x' | b'X');
        let mut place = start;
        loop {
            let byte = self.at(place);
            let is_sign = matches!(byte, b'+' | b'-')
                && !is_hexadecimal
                && place > start
                && matches!(self.at(place - 1), b'e' | b'E')
                && self.at(place + 1).is_ascii_digit();
            let is_point = byte == b'.' && self.at(place + 1) != b'.';
            if !(continues_word(byte) || is_sign || is_point) {
                break;
            }
            place += 1;
        }
        self.place = place;
        self.end_of_number(start)
    }

    /// A dollar sign behind a number opens a string in PostgreSQL; behind a letter or an underscore it may also go on a name.
    fn end_of_number(&mut self, start: usize) -> Kind {
        let token = &self.sql[start..self.place];
        let Some(dollar) = token.iter().skip(1).position(|byte| *byte == b'$').map(|place| place + 1) else {
            return if token[0].is_ascii_digit() || token[0] == b'.' { Kind::Literal } else { Kind::Parameter };
        };
        if self.rules.is_mysql {
            return Kind::Literal;
        }
        let is_plain = token[1..dollar].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        self.place = start + dollar;
        if is_plain { Kind::Literal } else { self.withhold(Withheld::ForeignByte) }
    }

    fn colon(&mut self, start: usize) -> Kind {
        match self.at(start + 1) {
            b':' => {
                self.place += 2;
                Kind::Cast
            }
            b'=' => {
                self.place += 2;
                Kind::Operator
            }
            _ if self.brackets > 0 => self.single(Kind::Operator),
            b'\'' | b'"' if !self.rules.is_mysql => self.quoted_variable(start),
            next if class_of(next) == Class::Word => {
                self.place = self.end_of_word(start + 1);
                Kind::Parameter
            }
            next if next.is_ascii_digit() => match self.digits(start + 1) {
                Kind::Literal => Kind::Parameter,
                fault => fault,
            },
            _ => self.single(Kind::Operator),
        }
    }

    /// A variable of psql: `:'name'` or `:"name"`.
    fn quoted_variable(&mut self, start: usize) -> Kind {
        let kind = if self.at(start + 1) == b'"' { self.double_quote(start + 1) } else { self.string(start + 1) };
        if matches!(kind, Kind::Withheld(_)) { kind } else { Kind::Parameter }
    }

    /// Parameters of client libraries after a percent sign: `%s`, `%d`, `%(name)s`.
    fn percent_parameter(&self, start: usize) -> Option<usize> {
        if self.after_operand {
            return None;
        }
        let mut place = start + 1;
        if self.at(place) == b'(' {
            let end = self.end_of_word(place + 1);
            place = if self.at(end) == b')' { end + 1 } else { return None };
        }
        let is_conversion = matches!(self.at(place), b's' | b'd' | b'i' | b'f' | b'b' | b't');
        (is_conversion && !continues_word(self.at(place + 1))).then_some(place + 1)
    }
}

fn ends_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Word | Kind::Name | Kind::Literal | Kind::Parameter | Kind::Close | Kind::CloseBracket | Kind::More
    )
}
