//! Strings and quoted names.

use super::{Escapes, Kind, Lexer};
use crate::Withheld;
use crate::bytes::{find, find_either};

/// What a quoted text is read by.
#[derive(Clone, Copy)]
pub(super) struct Quoted {
    pub(super) quote: u8,
    pub(super) escapes: Escapes,
    pub(super) unterminated: Withheld,
}

impl Lexer<'_> {
    /// A string in single quotes without a prefix.
    pub(super) fn string(&mut self, start: usize) -> Kind {
        if self.is_escape_character(start) {
            self.place = start + 3;
            return Kind::Literal;
        }
        self.string_with(start, self.rules.escapes)
    }

    /// `ESCAPE '\'`: only a server that takes the backslash for itself runs such a statement, as it has to be one character.
    fn is_escape_character(&self, start: usize) -> bool {
        let is_one = self.has(start, b"'\\'") && self.at(start + 3) != b'\'';
        is_one && !self.rules.is_mysql && self.last_word.is("ESCAPE")
    }

    pub(super) fn string_with(&mut self, quote: usize, escapes: Escapes) -> Kind {
        self.quoted(quote, Quoted { quote: b'\'', escapes, unterminated: Withheld::UnterminatedString }, Kind::Literal)
    }

    /// Text in double quotes: a name, a string, or, where that is not known, what both readings hide.
    pub(super) fn double_quote(&mut self, start: usize) -> Kind {
        let (escapes, kind) = match self.rules.ansi_quotes {
            Some(true) => (Escapes::No, Kind::Name),
            Some(false) => (self.rules.escapes, Kind::Literal),
            None => (if self.rules.escapes == Escapes::No { Escapes::No } else { Escapes::Unknown }, Kind::Literal),
        };
        let unterminated = match kind {
            Kind::Name => Withheld::UnterminatedName,
            _ => Withheld::UnterminatedString,
        };
        self.quoted(start, Quoted { quote: b'"', escapes, unterminated }, kind)
    }

    /// Reads from an opening quote past the closing one, or withholds the rest.
    pub(super) fn quoted(&mut self, start: usize, how: Quoted, kind: Kind) -> Kind {
        match self.end_of_quoted(start + 1, how) {
            Err(reason) => self.withhold(reason),
            Ok(end) if self.in_conditional && contains_comment_mark(&self.sql[start..end]) => {
                self.withhold(Withheld::AmbiguousComment)
            }
            Ok(end) => {
                self.place = end;
                kind
            }
        }
    }

    fn end_of_quoted(&self, start: usize, how: Quoted) -> Result<usize, Withheld> {
        let backslash = if how.escapes == Escapes::No { how.quote } else { b'\\' };
        let mut place = start;
        loop {
            place = find_either(self.sql, place, how.quote, backslash);
            if place >= self.sql.len() {
                return Err(how.unterminated);
            }
            if self.at(place) == b'\\' {
                place = self.end_of_backslashes(place, start, how)?;
            } else if self.at(place + 1) == how.quote {
                place += 2;
            } else {
                self.check_quote(place, start, how)?;
                return Ok(place + 1);
            }
        }
    }

    /// Past a run of backslashes and what it escapes. What counts is whether it escapes a quote.
    fn end_of_backslashes(&self, run: usize, start: usize, how: Quoted) -> Result<usize, Withheld> {
        let mut end = run;
        while self.at(end) == b'\\' {
            end += 1;
        }
        let is_odd = (end - run) % 2 == 1;
        if self.at(end) != how.quote || end >= self.sql.len() {
            return Ok(end);
        }
        if self.rules.is_mysql && !ends_with_whole_character(&self.sql[start..run]) {
            return Err(Withheld::AmbiguousEncoding);
        }
        match (is_odd, how.escapes) {
            (false, _) => Ok(end),
            (true, Escapes::Unknown) => Err(Withheld::AmbiguousEscape),
            (true, _) => Ok(end + 1),
        }
    }

    /// In some encodings of clients a backtick may be the second half of a character.
    fn check_quote(&self, quote: usize, start: usize, how: Quoted) -> Result<(), Withheld> {
        if how.quote == b'`' && !ends_with_whole_character(&self.sql[start..quote]) {
            return Err(Withheld::AmbiguousEncoding);
        }
        Ok(())
    }
}

/// Whether a comment begins or ends in some bytes.
pub(super) fn contains_comment_mark(bytes: &[u8]) -> bool {
    let mut place = find(bytes, 0, b'*');
    while place < bytes.len() {
        let follows_slash = place > 0 && bytes[place - 1] == b'/';
        if follows_slash || bytes.get(place + 1) == Some(&b'/') {
            return true;
        }
        place = find(bytes, place + 1, b'*');
    }
    false
}

/// Whether the last character, if it is not ASCII, is a whole one in UTF-8.
fn ends_with_whole_character(bytes: &[u8]) -> bool {
    const CHARACTER_BYTES_MAX: usize = 4;
    if bytes.last().is_none_or(u8::is_ascii) {
        return true;
    }
    (2..=CHARACTER_BYTES_MAX.min(bytes.len())).any(|length| {
        let last = &bytes[bytes.len() - length..];
        std::str::from_utf8(last).is_ok_and(|text| text.chars().count() == 1)
    })
}

/// What is wrong with a word that is not all ASCII.
///
/// Quotation marks of print enclose what somebody took for a string. Bytes from 0x80 to 0x9f that are not UTF-8 may be such
/// marks in the encoding of Windows.
pub(super) fn fault_of_word(word: &[u8], is_last: bool) -> Option<Withheld> {
    for chunk in word.utf8_chunks() {
        if chunk.valid().chars().any(is_quotation_mark) {
            return Some(Withheld::ForeignQuote);
        }
        let invalid = chunk.invalid();
        let may_be_cut = is_last && invalid.first().is_some_and(|byte| *byte >= 0xc0);
        if !may_be_cut && invalid.iter().any(|byte| matches!(byte, 0x80..=0x9f)) {
            return Some(Withheld::ForeignQuote);
        }
    }
    None
}

fn is_quotation_mark(character: char) -> bool {
    matches!(
        character,
        '\u{ab}' | '\u{bb}' | '\u{b4}' | '\u{2b9}'..='\u{2bd}' | '\u{2018}'..='\u{201f}' | '\u{2032}'..='\u{2037}'
            | '\u{2039}' | '\u{203a}' | '\u{275b}'..='\u{275e}' | '\u{300c}'..='\u{300f}' | '\u{301d}'..='\u{301f}'
            | '\u{ff02}' | '\u{ff07}' | '\u{ff40}'
    )
}
