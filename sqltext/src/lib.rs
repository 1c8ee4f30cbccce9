//! Statement text: one identity for a statement wherever it is seen, and no literal that gets past it.
//!
//! A statement is seen in the statistics of its server, where the server has normalised it, in the sessions, as it was
//! sent, in logs and in plans. [`Normalizer::normalize`] makes of each of them the same [`Fingerprint`], and a text for
//! people that holds no literal, no comment and no secret. There is no parser behind it: a lexer per dialect reads any
//! bytes, valid or not, of any length and cut anywhere, in linear time and without recursion, and never fails. What it
//! is not sure of is hidden to the end of the text, and [`Withheld`] says why.
//!
//! ```
//! use dbintel_sqltext::{Dialect, Normalizer, Options};
//!
//! let mut normalizer = Normalizer::new(Dialect::PostgreSql, Options::default());
//! let sent = normalizer.normalize(b"select * from Users where mail = 'a@example.com' -- who?");
//! assert_eq!(sent.text, "select * from Users where mail = ?");
//! assert_eq!(sent.tables().collect::<Vec<_>>(), ["Users"]);
//! let fingerprint = sent.fingerprint;
//! let seen_in_statistics = normalizer.normalize(b"SELECT * FROM users WHERE mail = $1");
//! assert_eq!(seen_in_statistics.fingerprint, fingerprint);
//! ```
//!
//! Nothing here does I/O, reads a clock or keeps anything between two statements but its buffers.

mod bytes;
mod facts;
mod hash;
mod lexer;
mod names;
mod normalize;
mod output;
pub mod partial;
mod tags;
mod traceparent;
mod utility;
mod words;

use std::fmt;

use lexer::{Kind, Lexer, Rules};
use normalize::{Buffers, Ending, Pass};

/// Whose rules the text is read by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL of any version.
    PostgreSql,
    /// MySQL and MariaDB of any version.
    MySql(SqlMode),
}

/// The parts of `sql_mode` that decide where a string ends in MySQL and MariaDB.
///
/// `None` is "not known": then what either reading takes for a literal is hidden, and where the readings would part, the
/// text is hidden to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SqlMode {
    /// `ANSI_QUOTES`: text in double quotes is a name, not a string.
    pub ansi_quotes: Option<bool>,
    /// `NO_BACKSLASH_ESCAPES`: a backslash in a string is an ordinary character.
    pub no_backslash_escapes: Option<bool>,
}

/// What a user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Names of temporary tables, partitions, shards, savepoints and cursors that differ in digits alone are one name for
    /// the fingerprint. The text keeps them as they are.
    pub generalise_names: bool,
}

/// Identity of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    /// Hash of the normalised tokens. The same for the same version, for ever.
    pub hash: u128,
    /// Which algorithm made it; only fingerprints of one version can be compared.
    pub version: u16,
}

/// The version of the algorithm that this crate computes.
pub const FINGERPRINT_VERSION: u16 = 1;

impl fmt::Display for Fingerprint {
    /// 32 hexadecimal digits, without the version.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.hash)
    }
}

/// Why the rest of a text is hidden. The names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Withheld {
    /// A string has no end.
    UnterminatedString,
    /// A dollar-quoted string has no end.
    UnterminatedDollarQuote,
    /// A quoted name has no end.
    UnterminatedName,
    /// A comment has no end.
    UnterminatedComment,
    /// A backslash stands before a quote, and whether it escapes it depends on a setting that is not known.
    AmbiguousEscape,
    /// A backslash may be the second half of a character of another encoding.
    AmbiguousEncoding,
    /// A dollar sign begins a string or a name, and which depends on the version of the server.
    AmbiguousDollarQuote,
    /// Where a conditional comment ends depends on whether the server runs it.
    AmbiguousComment,
    /// A quotation mark that is none in SQL, so that what it encloses would be taken for names.
    ForeignQuote,
    /// A byte that no statement has outside of strings.
    ForeignByte,
    /// It begins with no word that a statement begins with: a password in the wrong window, perhaps.
    UnknownStatement,
    /// A statement that may hold a secret: only its verb and its object are shown. Its fingerprint is a whole one.
    SecretStatement,
    /// Rows that follow `COPY … FROM STDIN`.
    CopyData,
}

impl Withheld {
    /// All reasons.
    pub const ALL: [Self; 13] = [
        Self::UnterminatedString,
        Self::UnterminatedDollarQuote,
        Self::UnterminatedName,
        Self::UnterminatedComment,
        Self::AmbiguousEscape,
        Self::AmbiguousEncoding,
        Self::AmbiguousDollarQuote,
        Self::AmbiguousComment,
        Self::ForeignQuote,
        Self::ForeignByte,
        Self::UnknownStatement,
        Self::SecretStatement,
        Self::CopyData,
    ];

    /// The name for records and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnterminatedString => "unterminated_string",
            Self::UnterminatedDollarQuote => "unterminated_dollar_quote",
            Self::UnterminatedName => "unterminated_name",
            Self::UnterminatedComment => "unterminated_comment",
            Self::AmbiguousEscape => "ambiguous_escape",
            Self::AmbiguousEncoding => "ambiguous_encoding",
            Self::AmbiguousDollarQuote => "ambiguous_dollar_quote",
            Self::AmbiguousComment => "ambiguous_comment",
            Self::ForeignQuote => "foreign_quote",
            Self::ForeignByte => "foreign_byte",
            Self::UnknownStatement => "unknown_statement",
            Self::SecretStatement => "secret_statement",
            Self::CopyData => "copy_data",
        }
    }

    /// Whether the hidden part is hidden by design and always in the same place, so that the fingerprint is a whole one.
    #[must_use]
    pub fn keeps_identity(self) -> bool {
        matches!(self, Self::SecretStatement | Self::CopyData)
    }
}

/// What a text is about. It borrows from the [`Normalizer`] and lives until the next text.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Statement<'n> {
    /// The text for people: literals and parameters are `?`, white space is single, comments are gone. A text that was cut
    /// or hidden ends with `...`.
    pub text: &'n str,
    /// The identity. That of a cut or withheld text is never equal to that of a whole one.
    pub fingerprint: Fingerprint,
    /// The main verb in upper case (`SELECT` for `WITH … SELECT`), empty where there is none that is known.
    pub verb: &'static str,
    /// Whether [`tables`](Self::tables) are all of them and nothing else, as far as the text can tell.
    pub tables_certain: bool,
    /// Whether the text ends in the middle of a statement.
    pub cut: bool,
    /// Why a part of the text is hidden, if one is.
    pub withheld: Option<Withheld>,
    /// The trace that a comment names.
    pub traceparent: Option<Traceparent>,
    /// The normalised tokens that the fingerprint is made of, in a form that sorts; for [`partial`]. A cut text has here
    /// what every whole text that it may come from begins with.
    pub canonical: &'n [u8],
    buffers: &'n Buffers,
}

/// The trace context of a statement, as W3C Trace Context level 1 defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent {
    /// Identity of the trace, never 0.
    pub trace_id: u128,
    /// Identity of the span that sent the statement, never 0.
    pub parent_id: u64,
    /// The flags; bit 0 is "sampled".
    pub flags: u8,
}

/// A tag that a comment carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'n> {
    /// One of the names that are let through; others stay in the comment.
    pub key: &'static str,
    /// The value, decoded.
    pub value: &'n str,
}

impl<'n> Statement<'n> {
    /// The main tables as the text names them (`schema.table`, quotes kept), each once, in order of appearance.
    pub fn tables(&self) -> impl Iterator<Item = &'n str> + use<'n> {
        let text = self.text;
        self.buffers.facts.tables().iter().filter_map(move |(start, end)| text.get(*start..*end))
    }

    /// The tags of SQLCommenter and of ORMs, in order of appearance.
    pub fn tags(&self) -> impl Iterator<Item = Tag<'n>> + use<'n> {
        self.buffers.tags.iter()
    }

    /// Whether text and fingerprint are those of a whole statement.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.cut && self.withheld.is_none_or(Withheld::keeps_identity)
    }
}

/// Makes statements of texts, one after the other, in buffers that it keeps.
#[derive(Debug)]
pub struct Normalizer {
    rules: Rules,
    options: Options,
    buffers: Buffers,
}

/// Stand behind the canonical tokens of a text that is not whole, before they are hashed. No token is like them.
const CUT: &[u8] = b"...";
const WITHHELD: &[u8] = b"...!";

impl Normalizer {
    /// One for texts of a dialect.
    #[must_use]
    pub fn new(dialect: Dialect, options: Options) -> Self {
        let buffers =
            Buffers { output: output::Output::new(), facts: facts::Facts::new(), tags: tags::Tags::default() };
        Self { rules: Rules::from(dialect), options, buffers }
    }

    /// Reads a text. It never fails, takes time in proportion to the length, and keeps nothing of the text before.
    ///
    /// Whether it was cut is seen from the text as well as can be; who knows that it was calls
    /// [`normalize_cut`](Self::normalize_cut).
    pub fn normalize<'n>(&'n mut self, sql: &[u8]) -> Statement<'n> {
        self.read(sql, false)
    }

    /// Reads a text that the server is known to have cut, as one of exactly `track_activity_query_size - 1` bytes.
    pub fn normalize_cut<'n>(&'n mut self, sql: &[u8]) -> Statement<'n> {
        self.read(sql, true)
    }

    fn read<'n>(&'n mut self, sql: &[u8], is_known_cut: bool) -> Statement<'n> {
        let Ending { cut, withheld } = Pass::new(sql, self.rules, self.options, &mut self.buffers).run(is_known_cut);
        let is_whole = !cut && withheld.is_none_or(Withheld::keeps_identity);
        let hash = hash_of(
            &mut self.buffers.output.canonical,
            if is_whole {
                b""
            } else if cut {
                CUT
            } else {
                WITHHELD
            },
        );
        let buffers = &self.buffers;
        Statement {
            text: std::str::from_utf8(&buffers.output.text).unwrap_or_default(),
            fingerprint: Fingerprint { hash, version: FINGERPRINT_VERSION },
            verb: buffers.facts.verb,
            tables_certain: is_whole && withheld.is_none() && buffers.facts.are_tables_certain(),
            cut,
            withheld,
            traceparent: buffers.tags.traceparent,
            canonical: &buffers.output.canonical,
            buffers,
        }
    }
}

fn hash_of(canonical: &mut Vec<u8>, mark: &[u8]) -> u128 {
    let length = canonical.len();
    canonical.extend_from_slice(mark);
    let hash = hash::hash128(canonical);
    canonical.truncate(length);
    hash
}

/// A token of a text, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenKind {
    /// A key word or a name without quotes.
    Word,
    /// A name in quotes.
    QuotedName,
    /// A string, a number, or another constant.
    Literal,
    /// A parameter in any style.
    Parameter,
    /// An operator or a sign.
    Operator,
    /// A comment.
    Comment,
    /// The beginning or the end of a conditional comment, whose text is code.
    ConditionalComment,
    /// The hidden rest of the text.
    Withheld(Withheld),
}

/// The tokens of a text, white space left out, in order. Never fails and always ends.
pub fn tokens(dialect: Dialect, sql: &[u8]) -> impl Iterator<Item = Token> + use<'_> {
    let mut lexer = Some(Lexer::new(sql, Rules::from(dialect)));
    std::iter::from_fn(move || {
        let lexeme = lexer.as_mut()?.next();
        let kind = match lexeme.kind {
            Kind::End => return None,
            Kind::Word => TokenKind::Word,
            Kind::Name => TokenKind::QuotedName,
            Kind::Literal => TokenKind::Literal,
            Kind::Parameter | Kind::More => TokenKind::Parameter,
            Kind::Comment => TokenKind::Comment,
            Kind::Conditional => TokenKind::ConditionalComment,
            Kind::Withheld(reason) => {
                lexer = None;
                TokenKind::Withheld(reason)
            }
            _ => TokenKind::Operator,
        };
        Some(Token { kind, start: lexeme.start, end: lexeme.end })
    })
}

#[cfg(test)]
mod tests;
