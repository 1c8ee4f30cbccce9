//! Which statement texts may leave the server before there is a normaliser: only those that cannot hold a literal.
//!
//! PostgreSQL replaces the constants of a planned statement by `$n`, but keeps utility statements verbatim
//! (`ALTER ROLE … PASSWORD '…'`), keeps comments, and keeps constants in places that its normaliser does not
//! reach. So a text passes only if it begins with SELECT, INSERT, UPDATE, DELETE, MERGE or WITH and holds no
//! quote, no dollar tag, no comment mark, and no digit outside of an identifier or `$n`. In doubt it is withheld.

/// Longest text that is looked at, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Why a text is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Withheld {
    /// It does not begin with one of the six words.
    Kind,
    /// It holds a single or a double quote.
    Quote,
    /// It holds a dollar sign that begins no `$n`: a dollar-quoted string, or something we do not know.
    DollarTag,
    /// It holds `--` or `/*`.
    Comment,
    /// It holds a digit outside of an identifier or `$n`.
    Digit,
    /// It is no valid UTF-8, or holds a control character other than white space.
    Bytes,
    /// It is longer than [`TEXT_BYTES_MAX`].
    Length,
    /// The server did not give it: no privilege, or the entry is gone.
    Unavailable,
}

impl Withheld {
    /// All reasons, for metrics that exist from the start.
    pub const ALL: [Withheld; 8] = [
        Withheld::Kind,
        Withheld::Quote,
        Withheld::DollarTag,
        Withheld::Comment,
        Withheld::Digit,
        Withheld::Bytes,
        Withheld::Length,
        Withheld::Unavailable,
    ];

    /// The reason as it stands in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Withheld::Kind => "kind",
            Withheld::Quote => "quote",
            Withheld::DollarTag => "dollar_tag",
            Withheld::Comment => "comment",
            Withheld::Digit => "digit",
            Withheld::Bytes => "bytes",
            Withheld::Length => "length",
            Withheld::Unavailable => "unavailable",
        }
    }
}

/// The words that a text may begin with, in lower case.
const FIRST_WORDS: [&str; 6] = ["select", "insert", "update", "delete", "merge", "with"];

/// What the server shows instead of the text of another role's statement.
const INSUFFICIENT_PRIVILEGE: &[u8] = b"<insufficient privilege>";

/// The text if it may be published, else the reason why not. Total: defined for all bytes, linear in their number.
pub fn check(text: &[u8]) -> Result<&str, Withheld> {
    if text == INSUFFICIENT_PRIVILEGE {
        return Err(Withheld::Unavailable);
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(Withheld::Length);
    }
    let text = std::str::from_utf8(text).map_err(|_| Withheld::Bytes)?;
    if !begins_with_known_word(text.as_bytes()) {
        return Err(Withheld::Kind);
    }
    check_tokens(text.as_bytes())?;
    Ok(text)
}

fn begins_with_known_word(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let length = text.iter().position(|byte| !continues_identifier(*byte)).unwrap_or(text.len());
    let word = &text[..length];
    FIRST_WORDS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

fn check_tokens(text: &[u8]) -> Result<(), Withheld> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1).copied().unwrap_or(b' ');
        at += match byte {
            b'\'' | b'"' => return Err(Withheld::Quote),
            b'-' if next == b'-' => return Err(Withheld::Comment),
            b'/' if next == b'*' => return Err(Withheld::Comment),
            b'$' => parameter_length(&text[at..]).ok_or(Withheld::DollarTag)?,
            b'0'..=b'9' => return Err(Withheld::Digit),
            _ if begins_identifier(byte) => identifier_length(&text[at..]),
            _ if byte.is_ascii_control() && !byte.is_ascii_whitespace() => return Err(Withheld::Bytes),
            _ => 1,
        };
    }
    Ok(())
}

/// Length of `$n`; none if there is no digit, or if a letter follows without a space.
fn parameter_length(text: &[u8]) -> Option<usize> {
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let follows = text.get(1 + digits).copied().unwrap_or(b' ');
    (digits > 0 && !continues_identifier(follows)).then_some(1 + digits)
}

fn identifier_length(text: &[u8]) -> usize {
    text.iter().position(|byte| !continues_identifier(*byte)).unwrap_or(text.len())
}

/// PostgreSQL's `ident_start`: letters, underscore and every byte outside of ASCII.
fn begins_identifier(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

/// PostgreSQL's `ident_cont`: also digits and the dollar sign.
fn continues_identifier(byte: u8) -> bool {
    begins_identifier(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests;
