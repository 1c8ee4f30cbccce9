//! Names: as they are shown, and as the engine folds them.

use crate::bytes::continues_word;
use crate::words::{self, RESERVED, RESERVED_IN_POSTGRESQL};

/// Longer ones are no names, but text in the wrong quotes.
const NAME_BYTES_MAX: usize = 256;

/// Character sets of MySQL, which may stand before a string with an underscore.
const CHARACTER_SETS: [&[u8]; 20] = [
    b"utf8mb4", b"utf8mb3", b"utf8", b"latin1", b"binary", b"ascii", b"ucs2", b"utf16", b"utf16le", b"utf32",
    b"latin2", b"latin5", b"latin7", b"cp1250", b"cp1251", b"cp1256", b"gbk", b"gb18030", b"big5", b"sjis",
];

pub(crate) fn is_character_set(word: &[u8]) -> bool {
    word.strip_prefix(b"_").is_some_and(|name| CHARACTER_SETS.iter().any(|set| set.eq_ignore_ascii_case(name)))
}

/// Writes bytes that came from outside as valid UTF-8.
#[inline]
pub(crate) fn write_text(text: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_ascii() {
        text.extend_from_slice(bytes);
    } else {
        text.extend_from_slice(String::from_utf8_lossy(bytes).as_bytes());
    }
}

/// A name in quotes.
pub(crate) struct Quoted<'s> {
    /// With its quotes, and with a prefix if it has one.
    bytes: &'s [u8],
    inner: &'s [u8],
    quote: u8,
    is_mysql: bool,
}

impl<'s> Quoted<'s> {
    pub(crate) fn new(bytes: &'s [u8], is_mysql: bool) -> Self {
        let quote = bytes.last().copied().unwrap_or(b'"');
        let inner = bytes.get(1..bytes.len().saturating_sub(1)).unwrap_or_default();
        Self { bytes, inner, quote, is_mysql }
    }

    /// Whether it is rather text in the wrong quotes: a connection string, an address, something with line ends.
    fn is_dubious(&self) -> bool {
        let has_control = self.inner.iter().any(|byte| *byte < b' ' || *byte == b'=');
        has_control || self.inner.len() > NAME_BYTES_MAX || self.inner.windows(3).any(|window| window == b"://")
    }

    pub(crate) fn write_text(&self, text: &mut Vec<u8>) {
        if self.is_dubious() {
            text.extend_from_slice(&[self.quote, b'?', self.quote]);
        } else {
            write_text(text, self.bytes);
        }
    }

    /// The name as one without quotes where it could do without, otherwise in double quotes.
    pub(crate) fn write_canonical(&self, canonical: &mut Vec<u8>, is_qualified: bool) {
        let start = canonical.len();
        if self.is_dubious() {
            canonical.extend_from_slice(b"\"?\"");
        } else if self.needs_no_quotes(is_qualified) {
            canonical.extend_from_slice(self.inner);
        } else {
            canonical.push(b'"');
            self.write_inner(canonical);
            canonical.push(b'"');
        }
        if self.is_mysql {
            canonical[start..].make_ascii_lowercase();
        }
    }

    /// What is inside, with a doubled quote as it is in double quotes.
    fn write_inner(&self, canonical: &mut Vec<u8>) {
        if self.quote == b'"' {
            canonical.extend_from_slice(self.inner);
            return;
        }
        let mut rest = self.inner;
        while let Some((byte, after)) = rest.split_first() {
            canonical.push(*byte);
            if *byte == b'"' {
                canonical.push(b'"');
            }
            rest = if *byte == self.quote { after.get(1..).unwrap_or_default() } else { after };
        }
    }

    fn needs_no_quotes(&self, is_qualified: bool) -> bool {
        let is_prefixed = self.bytes.first() != Some(&self.quote);
        let is_word = self.inner.iter().all(|byte| continues_word(*byte)) && !self.inner.is_empty() && !is_prefixed;
        let is_folded = self.is_mysql
            || !self.inner.iter().any(u8::is_ascii_uppercase)
                && !self.inner[..self.inner.len().min(1)].iter().any(u8::is_ascii_digit);
        let reserved = if self.is_mysql { RESERVED } else { RESERVED | RESERVED_IN_POSTGRESQL };
        is_word && is_folded && (is_qualified || !words::look_up(self.inner).has(reserved))
    }
}

/// Words in names of things that there are many of, with a number each.
const MANY: [&[u8]; 6] = [b"tmp", b"temp", b"part", b"shard", b"chunk", b"bucket"];

/// Puts a 0 for digits that tell temporary tables, partitions and shards apart, in the name from `start` on: a number of four
/// digits or more anywhere, of two or more behind an underscore, and any in the name of something that there are many of.
pub(crate) fn generalise(canonical: &mut Vec<u8>, start: usize, all: bool) {
    let name = &canonical[start..];
    if !name.iter().any(u8::is_ascii_digit) {
        return;
    }
    let all = all || MANY.iter().any(|word| name.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)));
    let mut read = start;
    let mut written = start;
    while read < canonical.len() {
        let digits = canonical[read..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let follows_underscore = read > start && canonical[read - 1] == b'_';
        let is_number = digits > 0 && (all || digits >= 4 || follows_underscore && digits >= 2);
        let kept = if is_number { 0 } else { digits.max(1) };
        canonical.copy_within(read..read + kept, written);
        written += kept;
        if is_number {
            canonical[written] = b'0';
            written += 1;
        }
        read += digits.max(1);
    }
    canonical.truncate(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_tell_copies_apart_are_generalised() {
        let cases = [
            ("events_2024_01", "events_0_0"),
            ("events_2025_11", "events_0_0"),
            ("p20240101", "p0"),
            ("orders_p7", "orders_p7"),
            ("part7", "part0"),
            ("tmp_a1b22", "tmp_a0b0"),
            ("address1", "address1"),
            ("utf8mb4", "utf8mb4"),
            ("sha256", "sha256"),
            ("t_10", "t_0"),
            ("name", "name"),
        ];
        for (name, expected) in cases {
            let mut canonical = [b"x ", name.as_bytes()].concat();
            generalise(&mut canonical, 2, false);
            assert_eq!(String::from_utf8_lossy(&canonical[2..]), expected, "{name}");
        }
    }
}
