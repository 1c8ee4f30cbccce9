//! The verb and the tables of a statement, from the order of its words.

use crate::output::{Frame, Last};
use crate::words::{CLAUSE, TABLE, VERB, Word};

/// More tables are not listed.
const TABLES_MAX: usize = 64;

/// A place in the text.
type Span = (usize, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// The name of a table is next. After `FROM` and `JOIN` it may be that of a function.
    Expected {
        maybe_function: bool,
    },
    Named {
        span: Span,
        maybe_function: bool,
    },
}

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) verb: &'static str,
    tables: Vec<Span>,
    with_names: Vec<Span>,
    last_name: Span,
    /// The last name in front of a parenthesis.
    opened_name: Span,
    /// The name that `AS` follows, with or without a list of columns between.
    named_as: Span,
    state: State,
    is_first_word: bool,
    /// How deep the `WITH` stands whose statement is still to come.
    with_depth: Option<usize>,
    defines_index: bool,
    is_certain: bool,
}

/// What stands before a word.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    pub(crate) last: Last,
    pub(crate) word: &'static Word,
    pub(crate) word_before: &'static Word,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self {
            verb: "",
            tables: Vec::new(),
            with_names: Vec::new(),
            last_name: (0, 0),
            opened_name: (0, 0),
            named_as: (0, 0),
            state: State::Idle,
            is_first_word: true,
            with_depth: None,
            defines_index: false,
            is_certain: true,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.tables.clear();
        self.with_names.clear();
        self.verb = "";
        self.last_name = (0, 0);
        self.opened_name = (0, 0);
        self.named_as = (0, 0);
        self.state = State::Idle;
        self.is_first_word = true;
        self.with_depth = None;
        self.defines_index = false;
        self.is_certain = true;
    }

    pub(crate) fn tables(&self) -> &[Span] {
        &self.tables
    }

    pub(crate) fn are_tables_certain(&self) -> bool {
        const PLAIN: [&str; 9] =
            ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "TRUNCATE", "VALUES", "TABLE"];
        self.is_certain && PLAIN.contains(&self.verb)
    }

    /// A key word was written: `span` is its place in the text.
    #[inline]
    pub(crate) fn word(&mut self, word: &'static Word, before: Before, frame: &mut Frame, depth: usize, span: Span) {
        if word.flags & (VERB | TABLE | CLAUSE) != 0 {
            self.end_name(Last::KeyWord);
            self.verb_word(word, before, depth);
            self.clause_word(word, before, frame, depth);
        } else if word.text.is_empty() {
            self.name(before.last, span);
        } else {
            self.other_word(word, before, span);
        }
        self.is_first_word = false;
    }

    fn verb_word(&mut self, word: &'static Word, before: Before, depth: usize) {
        if self.is_first_word && word.has(VERB) {
            self.verb = word.text;
        }
        if word.is("WITH") && (self.is_first_word || self.verb == "EXPLAIN" || before.last == Last::Open) {
            self.with_depth = self.with_depth.or(self.is_first_word.then_some(depth));
            self.state = State::Idle;
        }
        let is_main = word.is_one_of(&["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "TABLE", "REPLACE"]);
        if is_main && self.with_depth == Some(depth) {
            self.verb = word.text;
            self.with_depth = None;
        }
    }

    fn clause_word(&mut self, word: &'static Word, before: Before, frame: &mut Frame, depth: usize) {
        if word.has(CLAUSE) {
            frame.in_tables = false;
            self.state = State::Idle;
        }
        if word.has(TABLE) && self.names_table(word, before, frame, depth) {
            let maybe_function = word.is_one_of(&["FROM", "JOIN", "USING", "STRAIGHT_JOIN"]);
            self.state = State::Expected { maybe_function };
            frame.in_tables = maybe_function || word.is_one_of(&["UPDATE", "TABLE", "TRUNCATE"]);
        }
    }

    /// Whether a word that may stand before a table does.
    fn names_table(&self, word: &Word, before: Before, frame: &Frame, depth: usize) -> bool {
        match word.text {
            "FROM" => !frame.is_call && !before.word.is("DISTINCT") && (self.verb != "COPY" || depth > 0),
            "UPDATE" => !before.word.is_one_of(&["FOR", "ON", "KEY", "DO", "NO"]),
            "USING" => matches!(self.verb, "DELETE" | "MERGE"),
            "COPY" | "TRUNCATE" => self.verb == word.text && self.tables.is_empty(),
            "TABLE" => !before.word.is_one_of(&["OF"]),
            _ => true,
        }
    }

    /// A word that is known, and may be a name all the same.
    fn other_word(&mut self, word: &'static Word, before: Before, span: Span) {
        if word.is_one_of(&["INDEX"]) && self.verb == "CREATE" {
            self.defines_index = true;
        }
        if word.is("AS") {
            self.named_as = if before.last == Last::Close { self.opened_name } else { self.last_name };
        }
        if word.is("AS") || word.is("ON") {
            self.end_name(Last::KeyWord);
            if word.is("ON") && std::mem::take(&mut self.defines_index) {
                self.state = State::Expected { maybe_function: false };
            }
            return;
        }
        let expected = matches!(self.state, State::Expected { .. });
        let is_noise = word.is_one_of(&[
            "IF",
            "NOT",
            "EXISTS",
            "ONLY",
            "LATERAL",
            "IGNORE",
            "LOW_PRIORITY",
            "DELAYED",
            "HIGH_PRIORITY",
            "QUICK",
            "CONCURRENTLY",
            "VERBOSE",
            "RECURSIVE",
            "MATERIALIZED",
        ]);
        let is_no_table = word.is_one_of(&["OUTFILE", "DUMPFILE", "UNNEST", "JSON_TABLE", "XMLTABLE", "ALL"]);
        if expected && is_no_table {
            self.state = State::Idle;
        } else if !is_noise {
            self.name(before.last, span);
        }
    }

    /// A word that is no key word was written.
    #[inline(always)]
    pub(crate) fn plain_word(&mut self, before: Last, span: Span) {
        self.is_first_word = false;
        if self.state == State::Idle {
            self.last_name = span;
        } else {
            self.name(before, span);
        }
    }

    /// A name was written.
    pub(crate) fn name(&mut self, before: Last, span: Span) {
        match self.state {
            State::Expected { maybe_function } => self.state = State::Named { span, maybe_function },
            State::Named { span: (start, _), maybe_function } if before == Last::Dot => {
                self.state = State::Named { span: (start, span.1), maybe_function };
            }
            State::Named { .. } => self.end_name(Last::Name),
            State::Idle => {}
        }
        self.last_name = span;
    }

    /// Something else was written.
    #[inline(always)]
    pub(crate) fn sign(&mut self, next: Last, before: Before, frame: &Frame) {
        if next == Last::Dot {
            return;
        }
        if next == Last::Open {
            match before.last {
                _ if before.word.is_one_of(&["AS", "MATERIALIZED"]) => drop(push(&mut self.with_names, self.named_as)),
                Last::Name => self.opened_name = self.last_name,
                _ => {}
            }
        }
        if self.state != State::Idle {
            self.end_name(next);
        }
        if next == Last::Comma && frame.in_tables {
            self.state = State::Expected { maybe_function: true };
        }
    }

    /// The name of a table has ended, or none came.
    fn end_name(&mut self, next: Last) {
        if let State::Named { span, maybe_function } = self.state {
            if maybe_function && next == Last::Open {
                self.is_certain = false;
            } else {
                self.is_certain &= push(&mut self.tables, span);
            }
        }
        self.state = State::Idle;
    }

    /// Forgets what was named past the end of the text: the item of a list that was taken back, as it is like the one before.
    #[inline(always)]
    pub(crate) fn forget_past(&mut self, end: usize) {
        for names in [&mut self.tables, &mut self.with_names] {
            while names.last().is_some_and(|name| name.1 > end) {
                names.pop();
            }
        }
    }

    /// Ends the statement: each table once, and those out that `WITH` names.
    pub(crate) fn finish(&mut self, text: &[u8]) {
        self.end_name(Last::Nothing);
        let at = |span: Span| text.get(span.0..span.1).unwrap_or_default();
        let with_names = &self.with_names;
        let mut kept = 0;
        for index in 0..self.tables.len() {
            let table = at(self.tables[index]);
            let is_new = self.tables[..kept].iter().all(|other| at(*other) != table);
            let is_table = with_names.iter().all(|name| !at(*name).eq_ignore_ascii_case(table));
            if is_new && is_table && !table.is_empty() {
                self.tables[kept] = self.tables[index];
                kept += 1;
            }
        }
        self.tables.truncate(kept);
    }

    /// Another statement begins in the same text.
    pub(crate) fn next_statement(&mut self) {
        self.is_certain = false;
    }
}

/// Whether there was room.
fn push(spans: &mut Vec<Span>, span: Span) -> bool {
    let has_room = spans.len() < TABLES_MAX;
    if has_room {
        spans.push(span);
    }
    has_room
}
