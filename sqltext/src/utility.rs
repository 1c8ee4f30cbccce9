//! Statements that may hold secrets, told by their first words.
//!
//! Of accounts, servers, subscriptions and replication only the verb and the object are shown, whatever follows. Of a
//! setting in PostgreSQL the name is shown and no value.

use crate::lexer::Kind;
use crate::words::{self, Word};

/// What to do with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write,
    /// Write it; the rest of the statement is a value.
    WriteThenValue,
    /// Hide it and all that follows.
    Hide,
    /// The same; it begins no statement that we know.
    HideUnknown,
    /// The same; what follows are rows.
    HideRows,
}

/// Where in a statement we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Utility {
    /// At its beginning.
    Start,
    /// After `BEGIN`, which may begin a block.
    Block,
    /// After `EXPLAIN`, before the statement that is to be explained.
    Explain,
    /// In one that has nothing to hide but literals.
    Plain,
    /// After `CREATE` or `ALTER`.
    Define,
    /// After `CREATE FOREIGN`.
    DefineForeign,
    /// In the name of an account or a server; how many names may come.
    Object {
        names: u8,
    },
    /// After `ALTER SYSTEM` or `ALTER DATABASE`.
    Alter,
    /// In the name of a setting; whether it looks like that of a secret.
    Set {
        secret: bool,
    },
    /// After `CHANGE`.
    Change,
    /// After `START`.
    Begin,
    Copy,
    /// In `COPY … FROM STDIN`.
    CopyStdin,
    /// Behind it.
    CopyRows,
    Grant,
    /// Whatever comes is hidden.
    HideNext,
}

/// Parts of names of settings whose values are secrets.
const SECRET_PARTS: [&[u8]; 8] =
    [b"passw", b"pwd", b"secret", b"token", b"credential", b"api_key", b"apikey", b"private"];

impl Utility {
    /// Takes the next token into account.
    pub(crate) fn step(&mut self, kind: Kind, word: &'static Word, bytes: &[u8], is_mysql: bool) -> Action {
        if kind == Kind::Semicolon {
            // Rows may hold semicolons.
            *self = if matches!(self, Self::CopyStdin | Self::CopyRows) { Self::CopyRows } else { Self::Start };
            return Action::Write;
        }
        match *self {
            Self::Start => self.start(kind, word),
            Self::Explain if word.has(words::VERB) && !word.is_one_of(&["ANALYZE", "ANALYSE"]) => {
                self.start(kind, word)
            }
            Self::Explain => Action::Write,
            Self::Block if word.has(words::VERB) => self.start(kind, word),
            Self::Block => self.to(if word.is_one_of(&["NOT", "ATOMIC"]) { Self::Block } else { Self::Plain }),
            Self::Plain => Action::Write,
            Self::Define => self.define(kind, word),
            Self::DefineForeign => self.to(if word.is("DATA") { Self::Object { names: 1 } } else { Self::Plain }),
            Self::Object { names } => self.object(kind, word, names, bytes),
            Self::Alter if word.is("SET") => self.to(Self::Set { secret: false }),
            Self::Alter => Action::Write,
            Self::Set { secret } => self.set(kind, word, bytes, secret, is_mysql),
            Self::Change if word.is("TO") || word.is("FILTER") => self.to(Self::HideNext),
            Self::Change => self.only_words(kind),
            Self::Begin if word.is_one_of(&["SLAVE", "REPLICA", "GROUP_REPLICATION"]) => self.to(Self::HideNext),
            Self::Begin => self.to(Self::Plain),
            Self::Copy if word.is("PROGRAM") => self.to(Self::HideNext),
            Self::Copy if word.is("STDIN") || ends_with_stdin(bytes) => self.to(Self::CopyStdin),
            Self::Copy | Self::CopyStdin => Action::Write,
            Self::CopyRows => Action::HideRows,
            Self::Grant if word.is("IDENTIFIED") => Action::Hide,
            Self::Grant => Action::Write,
            Self::HideNext => Action::Hide,
        }
    }

    fn to(&mut self, next: Self) -> Action {
        *self = next;
        Action::Write
    }

    fn only_words(&mut self, kind: Kind) -> Action {
        if kind == Kind::Word { Action::Write } else { Action::Hide }
    }

    fn start(&mut self, kind: Kind, word: &Word) -> Action {
        if matches!(kind, Kind::Open | Kind::More) {
            return Action::Write;
        }
        if !word.has(words::VERB | words::BEGINS) {
            return Action::HideUnknown;
        }
        self.to(match word.text {
            "CREATE" | "ALTER" => Self::Define,
            "SET" => Self::Set { secret: false },
            "CHANGE" => Self::Change,
            "START" => Self::Begin,
            "COPY" => Self::Copy,
            "GRANT" | "REVOKE" => Self::Grant,
            "BEGIN" => Self::Block,
            "EXPLAIN" | "DESCRIBE" | "DESC" => Self::Explain,
            _ => Self::Plain,
        })
    }

    fn define(&mut self, kind: Kind, word: &Word) -> Action {
        let is_word = kind == Kind::Word;
        match word.text {
            // Digests of MySQL call a user `SYSTEM_USER`.
            "USER" | "SYSTEM_USER" | "SESSION_USER" | "ROLE" | "GROUP" | "SUBSCRIPTION" | "SERVER" => {
                self.to(Self::Object { names: 1 })
            }
            "FOREIGN" => self.to(Self::DefineForeign),
            "SYSTEM" | "DATABASE" | "SCHEMA" => self.to(Self::Alter),
            "OR" | "REPLACE" | "IF" | "NOT" | "EXISTS" => Action::Write,
            "" if is_word => Action::Write,
            _ if is_word => self.to(Self::Plain),
            _ => Action::Write,
        }
    }

    fn object(&mut self, kind: Kind, word: &Word, names: u8, bytes: &[u8]) -> Action {
        match kind {
            Kind::Word if word.is("SERVER") => self.to(Self::Object { names: 1 }),
            Kind::Word if word.is_one_of(&["IF", "NOT", "EXISTS", "MAPPING", "FOR", "WRAPPER"]) => Action::Write,
            Kind::Parameter if bytes.first() == Some(&b'@') => Action::Write,
            Kind::Word | Kind::Name | Kind::Literal | Kind::Parameter if names > 0 => {
                self.to(Self::Object { names: names - 1 })
            }
            _ => Action::Hide,
        }
    }

    fn set(&mut self, kind: Kind, word: &Word, bytes: &[u8], secret: bool, is_mysql: bool) -> Action {
        let assigns = kind == Kind::Operator && matches!(bytes, b"=" | b":=") || word.is("TO") || word.is("ZONE");
        match kind {
            Kind::Word if word.is("PASSWORD") => self.to(Self::HideNext),
            _ if assigns && !is_mysql => {
                *self = Self::Plain;
                Action::WriteThenValue
            }
            _ if assigns && secret => self.to(Self::HideNext),
            Kind::Word if word.is_one_of(&["TRANSACTION", "CHARACTERISTICS", "CONSTRAINTS", "STATEMENT"]) => {
                self.to(Self::Plain)
            }
            Kind::Word | Kind::Name | Kind::Parameter if is_secret(bytes) => self.to(Self::Set { secret: true }),
            _ => Action::Write,
        }
    }
}

/// Whether the name of a setting looks like that of a secret.
fn is_secret(name: &[u8]) -> bool {
    SECRET_PARTS.iter().any(|part| name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part)))
}

/// Some versions read `1STDIN` as a number and the word.
fn ends_with_stdin(bytes: &[u8]) -> bool {
    bytes.last_chunk::<5>().is_some_and(|end| end.eq_ignore_ascii_case(b"stdin")) && bytes[0].is_ascii_digit()
}
