//! Classes of bytes, and searches that look at eight bytes at a time.

/// What a byte begins, when it stands outside of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Class {
    /// Nothing that a statement has.
    Foreign,
    Space,
    Word,
    Digit,
    Quote,
    DoubleQuote,
    Backtick,
    Dollar,
    Dot,
    Comma,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Semicolon,
    Colon,
    At,
    Percent,
    QuestionMark,
    Minus,
    Slash,
    Hash,
    Operator,
    Backslash,
}

/// Class of each byte; the same in all dialects, which differ in what they do with it.
pub(crate) static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Foreign; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class(byte as u8);
        byte += 1;
    }
    classes
}

const fn class(byte: u8) -> Class {
    match byte {
        b'\t'..=b'\r' | b' ' => Class::Space,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Class::Word,
        b'0'..=b'9' => Class::Digit,
        b'\'' => Class::Quote,
        b'"' => Class::DoubleQuote,
        b'`' => Class::Backtick,
        b'$' => Class::Dollar,
        b'.' => Class::Dot,
        b',' => Class::Comma,
        b'(' => Class::Open,
        b')' => Class::Close,
        b'[' => Class::OpenBracket,
        b']' => Class::CloseBracket,
        b';' => Class::Semicolon,
        b':' => Class::Colon,
        b'@' => Class::At,
        b'%' => Class::Percent,
        b'?' => Class::QuestionMark,
        b'-' => Class::Minus,
        b'/' => Class::Slash,
        b'#' => Class::Hash,
        b'~' | b'!' | b'^' | b'&' | b'|' | b'+' | b'*' | b'<' | b'>' | b'=' | b'{' | b'}' => Class::Operator,
        b'\\' => Class::Backslash,
        _ => Class::Foreign,
    }
}

#[inline(always)]
pub(crate) fn class_of(byte: u8) -> Class {
    CLASSES[byte as usize]
}

/// Whether a byte goes on a word that has begun.
#[inline(always)]
pub(crate) fn continues_word(byte: u8) -> bool {
    static TABLE: [bool; 256] = word_bytes();
    TABLE[byte as usize]
}

const fn word_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(class(byte as u8), Class::Word | Class::Digit | Class::Dollar);
        byte += 1;
    }
    table
}

/// Whether PostgreSQL makes operators of this byte.
#[inline(always)]
pub(crate) fn is_postgresql_operator(byte: u8) -> bool {
    static TABLE: [bool; 256] = operator_bytes();
    TABLE[byte as usize]
}

const fn operator_bytes() -> [bool; 256] {
    let mut table = [false; 256];
    let signs = b"~!@#^&|`?+-*/%<>=";
    let mut index = 0;
    while index < signs.len() {
        table[signs[index] as usize] = true;
        index += 1;
    }
    table
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where a byte is found first, from a place on; the length if nowhere.
#[inline]
pub(crate) fn find(bytes: &[u8], from: usize, wanted: u8) -> usize {
    find_either(bytes, from, wanted, wanted)
}

/// Where either byte is found first, from a place on; the length if nowhere.
#[inline]
pub(crate) fn find_either(bytes: &[u8], from: usize, first: u8, second: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    let (first_pattern, second_pattern) = (u64::from(first) * LOW, u64::from(second) * LOW);
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ first_pattern) | zero_bytes(word ^ second_pattern);
        if found != 0 {
            return from + index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let in_tail = tail.iter().position(|byte| *byte == first || *byte == second);
    bytes.len().min(from + words.len() * 8 + in_tail.unwrap_or(tail.len()))
}

/// The high bit of each byte that is 0; those above the lowest one may be wrong.
#[inline(always)]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// How many of eight bytes from the first on go on a word, and those bytes with zeros behind them.
#[inline(always)]
pub(crate) fn word_in(chunk: [u8; 8]) -> (usize, u64) {
    let word = u64::from_le_bytes(chunk);
    let low = word & !HIGH;
    let letters = between(low | (0x20 * LOW), b'a', b'z');
    let digits = between(low, b'0', b'9');
    let others = between(low, b'_', b'_') | between(low, b'$', b'$');
    let ends = !(letters | digits | others | word) & HIGH;
    if ends == 0 {
        return (8, word);
    }
    let below = ends & ends.wrapping_neg();
    ((below.trailing_zeros() / 8) as usize, word & ((below >> 7) - 1))
}

/// The high bit of each byte that is in a range; all bytes are below 0x80.
#[inline(always)]
fn between(word: u64, first: u8, last: u8) -> u64 {
    let from_first = word + u64::from(0x80 - first) * LOW;
    let past_last = word + u64::from(0x7f - last) * LOW;
    from_first & !past_last & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_bytes_is_found_wherever_it_is() {
        for length in 0..40 {
            for place in 0..=length {
                let mut bytes = vec![b'a'; length];
                if place < length {
                    bytes[place] = if place % 2 == 0 { b'\'' } else { b'\\' };
                }
                for from in 0..=length + 1 {
                    let expected = if place >= from { place } else { length };
                    assert_eq!(find_either(&bytes, from, b'\'', b'\\'), expected, "{length} {place} {from}");
                }
            }
        }
    }

    #[test]
    fn words_are_the_same_eight_bytes_at_a_time() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let mut chunk = [b'a'; 8];
                chunk[place] = byte;
                let expected = chunk.iter().take_while(|byte| continues_word(**byte)).count();
                let mut kept = [0; 8];
                kept[..expected].copy_from_slice(&chunk[..expected]);
                assert_eq!(word_in(chunk), (expected, u64::from_le_bytes(kept)), "{byte} {place}");
            }
        }
    }
}
