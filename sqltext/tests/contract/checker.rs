//! An independent judge of what a text shows: which parts of a statement a server reads as names and key words, and
//! which as values and comments.
//!
//! Written from the manuals (PostgreSQL 18, chapter 4.1 "Lexical Structure"; MySQL 9, chapter 11 "Language Structure",
//! 13 "Server SQL Modes"; MariaDB "Comment Syntax"), slow and plain on purpose. It shares no code and no idea with the
//! lexer under test. Where a text has several meanings (a setting is unknown, a versioned comment may or may not run)
//! each meaning is one [`Reading`], and a text may show only what all of them call code.

use std::collections::HashMap;

/// One way in which a server would read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// `escapes`: `standard_conforming_strings` is off, so that a backslash escapes in a plain string.
    PostgreSql { escapes: bool },
    /// `versioned_runs`: what stands in `/*!99999 .. */` is executed, not skipped.
    MySql { ansi_quotes: bool, no_backslash_escapes: bool, versioned_runs: bool },
}

impl Reading {
    pub const STANDARD: Reading = Reading::PostgreSql { escapes: false };
    pub const OLD_STRINGS: Reading = Reading::PostgreSql { escapes: true };

    /// Both meanings of versioned comments under one `sql_mode`.
    pub fn mysql(ansi_quotes: bool, no_backslash_escapes: bool) -> [Reading; 2] {
        [true, false].map(|versioned_runs| Reading::MySql { ansi_quotes, no_backslash_escapes, versioned_runs })
    }
}

/// What one reading makes of a text.
#[derive(Debug, Default)]
pub struct Seen {
    /// Ranges that are code, in order.
    pub code: Vec<(usize, usize)>,
    /// Ranges that are values or comments, in order.
    pub hidden: Vec<(usize, usize)>,
    /// The text ends within a string, a comment in brackets or a quoted name.
    pub open: bool,
}

impl Seen {
    fn hide(&mut self, from: usize, to: usize) {
        self.hidden.push((from, to));
    }

    fn show(&mut self, from: usize, to: usize) {
        self.code.push((from, to));
    }
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn continues_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// Index after the byte that `text[from..]` has first of `any`, or the end.
fn to_line_end(text: &[u8], from: usize) -> usize {
    (from..text.len()).find(|&at| matches!(text[at], b'\n' | b'\r')).unwrap_or(text.len())
}

/// End of a quoted run that begins at `from` with its opening quote, and whether it was closed.
fn quoted(text: &[u8], from: usize, backslash: bool) -> (usize, bool) {
    let quote = text[from];
    let mut at = from + 1;
    while at < text.len() {
        if backslash && text[at] == b'\\' {
            at += 2;
        } else if text[at] != quote {
            at += 1;
        } else if text.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return (at + 1, true);
        }
    }
    (text.len(), false)
}

/// Whether `text[at..]` has `what`, in any case.
fn has(text: &[u8], at: usize, what: &str) -> bool {
    text.len() >= at + what.len() && text[at..at + what.len()].eq_ignore_ascii_case(what.as_bytes())
}

/// A byte order mark at the beginning is none of the text.
fn text_begin(text: &[u8]) -> usize {
    if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

pub fn read(text: &[u8], reading: Reading) -> Seen {
    match reading {
        Reading::PostgreSql { escapes } => postgresql(text, escapes),
        Reading::MySql { ansi_quotes, no_backslash_escapes, versioned_runs } => {
            MySql { text, ansi_quotes, backslash: !no_backslash_escapes, versioned_runs }.read()
        }
    }
}

fn postgresql(text: &[u8], escapes: bool) -> Seen {
    let mut seen = Seen::default();
    // Words of the statement so far, for COPY .. FROM STDIN, whose data follow its line.
    let mut words: Vec<String> = Vec::new();
    let mut data_follow = false;
    let mut at = text_begin(text);
    while at < text.len() {
        let start = at;
        let byte = text[at];
        if byte == b'\n' && data_follow {
            data_follow = false;
            at = copy_data(text, at + 1);
            seen.hide(start, at);
        } else if byte.is_ascii_whitespace() || byte == 0x0b {
            at += 1;
        } else if has(text, at, "--") {
            at = to_line_end(text, at);
            seen.hide(start, at);
        } else if has(text, at, "/*") {
            let closed;
            (at, closed) = nested_comment(text, at);
            seen.hide(start, at);
            seen.open |= !closed;
        } else if byte == b'\'' {
            at = string(text, at, escapes, &mut seen);
        } else if byte == b'"' {
            let closed;
            (at, closed) = quoted(text, at, false);
            seen.show(start, at);
            seen.open |= !closed;
        } else if byte == b'$' {
            at = dollar(text, at, &mut seen);
        } else if byte.is_ascii_digit() || byte == b'.' && text.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = number(text, at);
            seen.hide(start, at);
        } else if starts_word(byte) {
            while at < text.len() && continues_word(text[at]) {
                at += 1;
            }
            let word = String::from_utf8_lossy(&text[start..at]).to_ascii_uppercase();
            seen.show(start, at);
            if text.get(at) == Some(&b'\'') && word == "E" {
                at = string(text, at, true, &mut seen);
            }
            words.push(word);
        } else if byte == b'\\' {
            // A command of psql, to the end of the line.
            at = to_line_end(text, at);
            seen.hide(start, at);
        } else {
            if byte == b';' {
                let from_stdin = words.windows(2).any(|pair| pair == ["FROM", "STDIN"]);
                data_follow |= words.first().is_some_and(|word| word == "COPY") && from_stdin;
                words.clear();
            }
            at += 1;
        }
    }
    seen
}

/// End of the data lines that begin at `from`: after the line `\.`.
fn copy_data(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < text.len() {
        let end = (at..text.len()).find(|&at| text[at] == b'\n').unwrap_or(text.len());
        let line = &text[at..end];
        at = (end + 1).min(text.len());
        if line == b"\\." || line == b"\\.\r" {
            break;
        }
    }
    at
}

fn nested_comment(text: &[u8], from: usize) -> (usize, bool) {
    let mut depth = 0;
    let mut at = from;
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (at, true);
            }
        } else {
            at += 1;
        }
    }
    (text.len(), false)
}

/// A string, with all of its continuations: a string goes on if only white space with a line end, and comments of one
/// line, stand between two quotes.
fn string(text: &[u8], from: usize, backslash: bool, seen: &mut Seen) -> usize {
    let (mut at, closed) = quoted(text, from, backslash);
    seen.hide(from, at);
    seen.open |= !closed;
    loop {
        let mut next = at;
        let mut line_ended = false;
        while next < text.len() {
            if text[next].is_ascii_whitespace() || text[next] == 0x0b {
                line_ended |= matches!(text[next], b'\n' | b'\r');
                next += 1;
            } else if has(text, next, "--") {
                let end = to_line_end(text, next);
                if end == text.len() {
                    return at;
                }
                seen.hide(next, end);
                next = end;
            } else {
                break;
            }
        }
        if !line_ended || text.get(next) != Some(&b'\'') {
            return at;
        }
        let (end, closed) = quoted(text, next, backslash);
        seen.hide(next, end);
        seen.open |= !closed;
        at = end;
    }
}

/// `$1`, `$tag$ .. $tag$`, or a dollar sign.
fn dollar(text: &[u8], from: usize, seen: &mut Seen) -> usize {
    let mut at = from + 1;
    if text.get(at).is_some_and(u8::is_ascii_digit) {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        seen.hide(from, at);
        return at;
    }
    if text.get(at).is_some_and(|&byte| starts_word(byte)) {
        while text.get(at).is_some_and(|&byte| continues_word(byte) && byte != b'$') {
            at += 1;
        }
    }
    if text.get(at) != Some(&b'$') {
        return from + 1;
    }
    let tag = &text[from..=at];
    let body = at + 1;
    match (body..text.len()).find(|&at| text[at..].starts_with(tag)) {
        Some(end) => {
            seen.hide(from, end + tag.len());
            end + tag.len()
        }
        None => {
            seen.hide(from, text.len());
            seen.open = true;
            text.len()
        }
    }
}

/// `42`, `1_000`, `0xFF`, `0o7`, `0b1`, `3.5`, `4.`, `.001`, `5e2`, `1.925e-3`; what follows is not part of it.
fn number(text: &[u8], from: usize) -> usize {
    let digits = |mut at: usize, allowed: fn(u8) -> bool| {
        while at < text.len() && (allowed(text[at]) || text[at] == b'_') {
            at += 1;
        }
        at
    };
    let decimal: fn(u8) -> bool = |byte| byte.is_ascii_digit();
    if has(text, from, "0x") {
        return digits(from + 2, |byte| byte.is_ascii_hexdigit());
    }
    if has(text, from, "0o") || has(text, from, "0b") {
        return digits(from + 2, decimal);
    }
    let mut at = digits(from, decimal);
    if text.get(at) == Some(&b'.') && text.get(at + 1) != Some(&b'.') {
        at = digits(at + 1, decimal);
    }
    if at < text.len() && matches!(text[at], b'e' | b'E') {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        if text.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
            at = digits(at + 1 + sign, decimal);
        }
    }
    at
}

#[derive(Clone, Copy)]
struct MySql<'t> {
    text: &'t [u8],
    ansi_quotes: bool,
    backslash: bool,
    versioned_runs: bool,
}

impl MySql<'_> {
    fn read(&self) -> Seen {
        let text = self.text;
        let mut seen = Seen::default();
        let mut in_versioned = false;
        let if_run = if self.versioned_runs { Vec::new() } else { MySql { versioned_runs: true, ..*self }.read().code };
        let mut at = text_begin(text);
        while at < text.len() {
            let start = at;
            let byte = text[at];
            if byte.is_ascii_whitespace() || byte == 0x0b {
                at += 1;
            } else if byte == b'#' || self.dashes_comment(at) {
                // In this server only a line feed ends it.
                at = (at..text.len()).find(|&at| text[at] == b'\n').unwrap_or(text.len());
                seen.hide(start, at);
            } else if in_versioned && has(text, at, "*/") {
                in_versioned = false;
                at += 2;
            } else if text[at..].starts_with(b"/*!") || text[at..].starts_with(b"/*M!") {
                // The letter is a capital one.
                at += if has(text, at, "/*!") { 3 } else { 4 };
                // The version.
                while text.get(at).is_some_and(u8::is_ascii_digit) {
                    at += 1;
                }
                in_versioned = self.versioned_runs;
                if !self.versioned_runs {
                    at = self.skip(at, &if_run, &mut seen);
                }
            } else if has(text, at, "/*") {
                let end = (at + 2..text.len()).find(|&at| text[at..].starts_with(b"*/"));
                seen.open |= end.is_none();
                at = end.map_or(text.len(), |end| end + 2);
                seen.hide(start, at);
            } else if byte == b'\'' || byte == b'"' && !self.ansi_quotes {
                let closed;
                (at, closed) = quoted(text, at, self.backslash);
                seen.hide(start, at);
                seen.open |= !closed;
            } else if byte == b'"' || byte == b'`' {
                let closed;
                (at, closed) = quoted(text, at, false);
                seen.show(start, at);
                seen.open |= !closed;
            } else if byte == b'.' && text.get(at + 1).is_some_and(u8::is_ascii_digit) {
                at = self.dot(at, &mut seen);
            } else if has(text, at, "\\N") && text[at + 1] == b'N' {
                // NULL.
                at += 2;
                seen.hide(start, at);
            } else if continues_word(byte) {
                at = self.word(at, &mut seen);
            } else {
                at += 1;
            }
        }
        seen.open |= in_versioned;
        seen
    }

    /// Passes a versioned comment that is skipped, with the comments in it; what is in it is judged by the reading that runs it.
    fn skip(&self, body: usize, if_run: &[(usize, usize)], seen: &mut Seen) -> usize {
        let end = self.end_of_skipped(body);
        seen.open |= end.is_none();
        let at = end.map_or(self.text.len(), |end| end + 2);
        seen.code.extend(if_run.iter().filter(|&&(from, to)| body <= from && to <= at));
        at
    }

    /// A dot before a digit: right after a name it begins a name, else a number.
    fn dot(&self, start: usize, seen: &mut Seen) -> usize {
        let text = self.text;
        if start > 0 && seen.code.last().is_some_and(|&(_, end)| end == start) {
            let end = (start + 1..text.len()).find(|&at| !continues_word(text[at])).unwrap_or(text.len());
            seen.show(start, end);
            end
        } else {
            let end = self.number(start + 1);
            seen.hide(start, end);
            end
        }
    }

    /// Where a versioned comment ends, if it is skipped: comments in it are skipped whole, one level deep.
    fn end_of_skipped(&self, from: usize) -> Option<usize> {
        let text = self.text;
        let next = |from: usize, mark: &[u8]| (from..text.len()).find(|&at| text[at..].starts_with(mark));
        let mut at = from;
        loop {
            let end = next(at, b"*/")?;
            match next(at, b"/*") {
                Some(inner) if inner < end => at = next(inner + 2, b"*/")? + 2,
                _ => return Some(end),
            }
        }
    }

    /// Two dashes begin a comment only before white space, a control character, or the end.
    fn dashes_comment(&self, at: usize) -> bool {
        has(self.text, at, "--") && self.text.get(at + 2).is_none_or(|&byte| byte <= b' ' || byte == 0x7f)
    }

    /// End of digits and an exponent.
    fn number(&self, from: usize) -> usize {
        let text = self.text;
        let mut at = from;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if matches!(text.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
            if text.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                at += 1 + sign;
                while text.get(at).is_some_and(u8::is_ascii_digit) {
                    at += 1;
                }
            }
        }
        at
    }

    /// A name or a number: names may begin with digits, but do not consist of them.
    fn word(&self, start: usize, seen: &mut Seen) -> usize {
        let text = self.text;
        let mut at = start;
        while at < text.len() && continues_word(text[at]) {
            at += 1;
        }
        let word = &text[start..at];
        let all = |from: usize, allowed: fn(&u8) -> bool| word.len() > from && word[from..].iter().all(allowed);
        let hex = word.starts_with(b"0x") && all(2, u8::is_ascii_hexdigit);
        let bits = word.starts_with(b"0b") && all(2, |byte| matches!(byte, b'0' | b'1'));
        if hex || bits {
            seen.hide(start, at);
            return at;
        }
        if !text[start].is_ascii_digit() {
            seen.show(start, at);
            return at;
        }
        let digits_end = word.iter().position(|byte| !byte.is_ascii_digit()).map_or(at, |length| start + length);
        let exponent_end = self.number(start);
        if digits_end == at && text.get(at) == Some(&b'.') {
            let end = self.number(at + 1);
            seen.hide(start, end);
            return end;
        }
        if digits_end == at || exponent_end >= at {
            seen.hide(start, exponent_end);
            return exponent_end;
        }
        seen.show(start, at);
        at
    }
}

/// Words with how often each occurs.
pub fn words<'t>(ranges: impl Iterator<Item = &'t [u8]>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for range in ranges {
        let text = String::from_utf8_lossy(range);
        let word_byte = |letter: char| !letter.is_ascii() || continues_word(letter as u8);
        for word in text.split(|letter| !word_byte(letter) || letter == '\u{fffd}') {
            if !word.is_empty() {
                *counts.entry(word.to_owned()).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// Words of `shown` that some reading of `statement` does not have in its code, or has less often.
pub fn leaks(statement: &[u8], shown: &str, readings: &[Reading]) -> Vec<String> {
    let out = words(std::iter::once(shown.as_bytes()));
    let mut found = Vec::new();
    for &reading in readings {
        let code = words(read(statement, reading).code.iter().map(|&(from, to)| &statement[from..to]));
        for (word, count) in &out {
            if code.get(word).copied().unwrap_or(0) < *count {
                found.push(format!("`{word}` ({reading:?})"));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
