//! Statements out of a stream of bytes, one after the other.
//!
//! A statement ends with a semicolon that is a token of its own: one in a string, a name or a comment ends nothing. What
//! is read stays in memory until its statement has ended, so a statement has a length that it may not pass, and the input
//! has none. Rows that follow `COPY … FROM STDIN`, up to the line `\.`, are passed over and belong to no statement.

use std::io::{self, ErrorKind, Read};

use dbintel_sqltext::{Dialect, TokenKind, Withheld, tokens};

/// The longest statement: 1 GiB, as much as PostgreSQL takes.
pub const STATEMENT_BYTES_MAX: usize = 1 << 30;
/// As much is read at a time, or as much as there is already of a statement that goes on.
const CHUNK_BYTES: usize = 256 << 10;

/// What ends a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// A semicolon outside of strings, read by the rules of the dialect.
    Semicolon(Dialect),
    /// A NUL byte.
    Null,
    /// The end of the input.
    End,
}

/// Why a statement could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input cannot be read.
    #[error("could not read {name}")]
    Read {
        /// The input.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A statement does not end.
    #[error("the statement that begins at byte {start} of {name} is longer than {longest} bytes, which is the most")]
    TooLong {
        /// The input.
        name: String,
        /// Where the statement begins.
        start: u64,
        /// How long it may be.
        longest: usize,
    },
}

/// A statement in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'s> {
    /// Its text, with the semicolon that ends it.
    pub sql: &'s [u8],
    /// Where it begins in the input.
    pub start: u64,
    /// Why and from where on all the rest of the input is in it and hidden, if that is so.
    pub hides_rest: Option<(u64, Withheld)>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'s> {
    /// A statement.
    Piece(Piece<'s>),
    /// More has to be read: [`Source::fill`].
    More,
    /// Nothing.
    End,
}

/// Reads statements.
#[derive(Debug)]
pub struct Source<R> {
    name: String,
    input: R,
    separator: Separator,
    /// [`STATEMENT_BYTES_MAX`], but for tests.
    longest: usize,
    buffer: Vec<u8>,
    /// Where in the buffer the next statement begins.
    place: usize,
    /// Where the buffer begins in the input.
    base: u64,
    at_end: bool,
    rows: Option<Rows>,
}

/// Rows that are passed over.
#[derive(Debug, Clone, Copy)]
struct Rows {
    /// Where they begin in the input.
    start: u64,
    are_blank: bool,
}

/// A statement in the buffer.
struct Found {
    /// Where its first token begins.
    start: usize,
    /// Where it ends.
    end: usize,
    is_empty: bool,
    rows_follow: bool,
    /// From where on it is hidden, and why.
    hidden: Option<(usize, Withheld)>,
}

impl<R: Read> Source<R> {
    /// Reads from an input that has this name in messages.
    pub fn new(name: String, input: R, separator: Separator) -> Self {
        let longest = STATEMENT_BYTES_MAX;
        Self { name, input, separator, longest, buffer: Vec::new(), place: 0, base: 0, at_end: false, rows: None }
    }

    /// How many bytes were read.
    pub fn bytes_read(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Where the rows begin that have no end, so that the rest of the input was taken for rows.
    pub fn rows_without_end(&self) -> Option<u64> {
        self.rows.filter(|rows| self.at_end && !rows.are_blank).map(|rows| rows.start)
    }

    /// The next statement, as far as it has been read. Those that hold nothing but comments are left out.
    pub fn next(&mut self) -> Next<'_> {
        let (from, found) = loop {
            let rows_go_on = self.rows.is_some_and(|rows| !self.pass(rows));
            let found = if rows_go_on { None } else { self.find(&self.buffer[self.place..]) };
            let Some(found) = found else { return if self.at_end { Next::End } else { Next::More } };
            let from = self.place;
            self.place += found.end;
            let rows = Rows { start: self.base + self.place as u64, are_blank: true };
            self.rows = found.rows_follow.then_some(rows);
            if !found.is_empty {
                break (from, found);
            }
        };
        let sql = from + found.start..self.place;
        let ends_with_null = self.separator == Separator::Null && self.place < self.buffer.len();
        self.place += usize::from(ends_with_null);
        let hides_rest = found.hidden.map(|(place, reason)| (self.base + (from + place) as u64, reason));
        Next::Piece(Piece { start: self.base + sql.start as u64, sql: &self.buffer[sql], hides_rest })
    }

    /// Reads on. Waits for no more than there is, unless a statement is long already.
    pub fn fill(&mut self) -> Result<(), Error> {
        self.buffer.drain(..self.place);
        self.base += self.place as u64;
        self.place = 0;
        let pending = self.buffer.len();
        if pending > self.longest {
            return Err(Error::TooLong { name: self.name.clone(), start: self.base, longest: self.longest });
        }
        let wanted = pending.max(CHUNK_BYTES).min(self.longest + 1 - pending);
        let read = if pending < CHUNK_BYTES { self.read_once(wanted) } else { self.read_all(wanted) };
        let read = read.map_err(|source| Error::Read { name: self.name.clone(), source })?;
        self.at_end = read == 0;
        Ok(())
    }

    fn read_once(&mut self, wanted: usize) -> io::Result<usize> {
        let pending = self.buffer.len();
        self.buffer.resize(pending + wanted, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[pending..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(pending + read.as_ref().copied().unwrap_or(0));
        read
    }

    fn read_all(&mut self, wanted: usize) -> io::Result<usize> {
        self.buffer.reserve_exact(wanted);
        self.input.by_ref().take(wanted as u64).read_to_end(&mut self.buffer)
    }

    fn find(&self, rest: &[u8]) -> Option<Found> {
        let whole = |end| Found { start: 0, end, is_empty: false, rows_follow: false, hidden: None };
        let rest_at_end = (self.at_end && !rest.is_empty()).then_some(rest.len());
        match self.separator {
            Separator::Semicolon(dialect) => find_semicolon(dialect, rest, self.at_end),
            Separator::Null => rest.iter().position(|byte| *byte == 0).or(rest_at_end).map(whole),
            Separator::End => rest_at_end.map(whole),
        }
    }

    /// Passes over rows. Whether their end was seen.
    fn pass(&mut self, rows: Rows) -> bool {
        let rest = &self.buffer[self.place..];
        let end = find_end_of_rows(rest, self.at_end);
        let (Ok(passed) | Err(passed)) = end;
        let are_blank = rows.are_blank && rest[..passed].trim_ascii().is_empty();
        self.rows = end.is_err().then_some(Rows { are_blank, ..rows });
        self.place += passed;
        end.is_ok()
    }
}

/// How many bytes of rows there are with their end, which is a line `\.`; if it is not there, how many certainly are before it.
fn find_end_of_rows(bytes: &[u8], at_end: bool) -> Result<usize, usize> {
    const END: &[u8] = b"\n\\.";
    let mut place = 0;
    while let Some(line_end) = bytes[place..].iter().position(|byte| *byte == b'\n') {
        place += line_end;
        let line = &bytes[place..];
        match line.strip_prefix(END) {
            Some([b'\n', ..] | [b'\r', b'\n', ..]) => return Ok(place + END.len()),
            Some([] | [b'\r']) if at_end => return Ok(bytes.len()),
            Some([] | [b'\r']) => return Err(place),
            None if line.len() < END.len() && !at_end => return Err(place),
            _ => place += 1,
        }
    }
    Err(bytes.len())
}

/// Finds the end of the first statement. If it is not among these bytes, that is where they end, if nothing follows them.
fn find_semicolon(dialect: Dialect, sql: &[u8], at_end: bool) -> Option<Found> {
    let mut found = Found { start: sql.len(), end: sql.len(), is_empty: true, rows_follow: false, hidden: None };
    let mut in_conditional = false;
    let mut is_copy = None;
    for token in tokens(dialect, sql) {
        let text = &sql[token.start..token.end];
        found.start = found.start.min(token.start);
        match token.kind {
            TokenKind::Comment => continue,
            TokenKind::ConditionalComment => {
                in_conditional = text.starts_with(b"/*") || in_conditional && text != b"*/";
                continue;
            }
            TokenKind::Operator if text == b";" && !in_conditional => return Some(Found { end: token.end, ..found }),
            TokenKind::Word if is_copy.is_none() => is_copy = Some(text.eq_ignore_ascii_case(b"COPY")),
            TokenKind::Word => found.rows_follow |= is_copy == Some(true) && text.eq_ignore_ascii_case(b"STDIN"),
            TokenKind::Withheld(reason) => found.hidden = Some((token.start, reason)),
            _ => {}
        }
        found.is_empty = false;
    }
    (at_end && !sql.is_empty()).then_some(Found { rows_follow: false, ..found })
}

#[cfg(test)]
mod tests {
    use dbintel_sqltext::SqlMode;

    use super::*;

    const POSTGRESQL: Separator = Separator::Semicolon(Dialect::PostgreSql);
    const MYSQL: Separator =
        Separator::Semicolon(Dialect::MySql(SqlMode { ansi_quotes: None, no_backslash_escapes: None }));

    /// Gives a few bytes at a time.
    struct Drops<'s>(&'s [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buffer.len()));
            buffer[..now.len()].copy_from_slice(now);
            self.0 = later;
            Ok(now.len())
        }
    }

    fn pieces(sql: &str, separator: Separator, size: usize) -> Vec<String> {
        let mut source = Source::new("test".to_owned(), Drops(sql.as_bytes(), size), separator);
        let mut pieces = Vec::new();
        loop {
            match source.next() {
                Next::Piece(piece) => {
                    let start = usize::try_from(piece.start).unwrap();
                    assert_eq!(&sql.as_bytes()[start..start + piece.sql.len()], piece.sql);
                    pieces.push(String::from_utf8(piece.sql.trim_ascii_end().to_vec()).unwrap());
                }
                Next::More => source.fill().unwrap(),
                Next::End => return pieces,
            }
        }
    }

    #[track_caller]
    fn check(sql: &str, separator: Separator, expected: &[&str]) {
        for size in [1, 2, 3, 7, 64, sql.len().max(1)] {
            assert_eq!(pieces(sql, separator, size), expected, "{size} bytes at a time of {sql}");
        }
    }

    #[test]
    fn a_semicolon_ends_a_statement_where_it_is_a_token() {
        check("", POSTGRESQL, &[]);
        check(" ;; -- nothing; here\n ; /* ; */", POSTGRESQL, &[]);
        check("select 1;select 2", POSTGRESQL, &["select 1;", "select 2"]);
        check("a ';' b; c \";\" d; $x$;$x$;", POSTGRESQL, &["a ';' b;", "c \";\" d;", "$x$;$x$;"]);
        check("a -- ;\n; /* ; /* ; */ ; */ b;", POSTGRESQL, &["a -- ;\n;", "/* ; /* ; */ ; */ b;"]);
        check("a E'\\'' -- ;\n ';'; b", POSTGRESQL, &["a E'\\'' -- ;\n ';';", "b"]);
        check("a `;` # ;\n b ';'; c", MYSQL, &["a `;` # ;\n b ';';", "c"]);
        check("/*!40101 set a = 1; set b = 2 */; c", MYSQL, &["/*!40101 set a = 1; set b = 2 */;", "c"]);
    }

    #[test]
    fn what_has_no_certain_end_goes_on_to_the_end() {
        check("a; b 'c; d; e", POSTGRESQL, &["a;", "b 'c; d; e"]);
        check("a 'b\\'; c' ; d;", POSTGRESQL, &["a 'b\\'; c' ; d;"]);
        check("a $x$ b; c;", POSTGRESQL, &["a $x$ b; c;"]);
    }

    #[test]
    fn rows_are_passed_over() {
        let copy = "copy t from stdin;";
        check(&format!("{copy}\n1\t;\n\\.\nselect 1;"), POSTGRESQL, &[copy, "select 1;"]);
        check(&format!("{copy}\r\n\\.1\r\n\\.\r\nselect 1;"), POSTGRESQL, &[copy, "select 1;"]);
        check(&format!("{copy} x\n\n\\.\n{copy}\n\\."), POSTGRESQL, &[copy, copy]);
        check(&format!("{copy}\nselect 1;\nselect 2;\n"), POSTGRESQL, &[copy]);
        check("copy stdin_t to stdout; select 1", POSTGRESQL, &["copy stdin_t to stdout;", "select 1"]);
    }

    #[test]
    fn rows_without_an_end_are_told() {
        for (sql, expected) in [
            ("copy t from stdin;\nselect", Some(18)),
            ("copy t from stdin;\n", None),
            ("copy t from stdin;\n1\n\\.\n", None),
        ] {
            let mut source = Source::new("test".to_owned(), sql.as_bytes(), POSTGRESQL);
            while source.next() != Next::End {
                source.fill().unwrap();
            }
            assert_eq!(source.rows_without_end(), expected, "{sql}");
        }
    }

    #[test]
    fn other_separators_look_into_nothing() {
        check("a;b\0\0'c\0", Separator::Null, &["a;b", "", "'c"]);
        check("a\0b", Separator::Null, &["a", "b"]);
        check("a;b\0'c", Separator::End, &["a;b\0'c"]);
        check("", Separator::End, &[]);
    }

    #[test]
    fn a_statement_has_a_longest_length_and_the_input_none() {
        let mut source = Source::new("test".to_owned(), "select 1;".as_bytes().chain(io::repeat(b' ')), POSTGRESQL);
        source.longest = 2 * CHUNK_BYTES;
        let error = loop {
            if source.next() == Next::More
                && let Err(error) = source.fill()
            {
                break error;
            }
        };
        let expected = format!("the statement that begins at byte 9 of test is longer than {} bytes", source.longest);
        assert!(error.to_string().starts_with(&expected), "{error}");
        let sql = "select 1;".repeat(CHUNK_BYTES);
        assert_eq!(pieces(&sql, POSTGRESQL, 10_000).len(), CHUNK_BYTES);
    }
}
