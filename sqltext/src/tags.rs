//! Tags in comments: SQLCommenter (`key='value',…`, <https://google.github.io/sqlcommenter/spec/>) and the query log tags
//! of Rails and its like (`key:value,…`).
//!
//! A comment may hold anything, so only tags with known keys are read, and only values that look like names of code and
//! services.

use crate::{Tag, Traceparent};

/// The keys that are let through. `traceparent` is not among them: it is validated and carried as a field of its own.
const KEYS: [&str; 22] = [
    "action",
    "application",
    "app",
    "controller",
    "namespaced_controller",
    "db_driver",
    "framework",
    "job",
    "route",
    "service",
    "source_location",
    "file",
    "line",
    "function",
    "package",
    "dddb",
    "dddbs",
    "dde",
    "ddps",
    "ddpv",
    "host_class",
    "query_name",
];

/// Longer comments are not read.
const COMMENT_BYTES_MAX: usize = 4096;
const TAGS_MAX: usize = 16;
const VALUE_BYTES_MAX: usize = 128;

/// The tags of one statement.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    values: String,
    tags: Vec<(&'static str, usize, usize)>,
    pub(crate) traceparent: Option<Traceparent>,
}

impl Tags {
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.tags.clear();
        self.traceparent = None;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Tag<'_>> {
        self.tags.iter().filter_map(|(key, start, end)| Some(Tag { key, value: self.values.get(*start..*end)? }))
    }

    /// Reads a comment with its marks.
    pub(crate) fn read(&mut self, comment: &[u8]) {
        if comment.len() > COMMENT_BYTES_MAX {
            return;
        }
        let mut rest = content(comment);
        while !rest.is_empty() && self.tags.len() < TAGS_MAX {
            let Some((key, raw, after)) = first_pair(rest) else { return };
            self.add(key.trim_ascii(), raw);
            rest = after;
        }
    }

    fn add(&mut self, key: &[u8], raw: &[u8]) {
        let mut value = Vec::with_capacity(raw.len());
        decode(raw, &mut value);
        if key == b"traceparent" {
            self.traceparent = self.traceparent.or_else(|| Traceparent::parse(&value));
            return;
        }
        let known = KEYS.iter().find(|known| known.as_bytes() == key);
        let is_new = |key: &str| self.tags.iter().all(|(other, _, _)| *other != key);
        if let (Some(key), Ok(value)) = (known, std::str::from_utf8(&value))
            && is_harmless(value)
            && is_new(key)
        {
            let start = self.values.len();
            self.values.push_str(value);
            self.tags.push((key, start, self.values.len()));
        }
    }
}

fn content(comment: &[u8]) -> &[u8] {
    let inner = match comment {
        [b'/', b'*', inner @ .., b'*', b'/'] => inner,
        [b'-', b'-', inner @ ..] | [b'#', inner @ ..] => inner,
        other => other,
    };
    inner.trim_ascii()
}

/// The first key with its value, and what follows the comma.
fn first_pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b'=' | b':'))?;
    let (key, value) = (&text[..end], text[end + 1..].trim_ascii_start());
    if !key.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ' | b'%')) {
        return None;
    }
    let Some(quoted) = value.strip_prefix(b"'") else {
        let end = value.iter().position(|byte| *byte == b',').unwrap_or(value.len());
        return Some((key, value[..end].trim_ascii(), value.get(end + 1..).unwrap_or_default()));
    };
    let end = end_of_value(quoted)?;
    let after = quoted[end + 1..].trim_ascii_start();
    Some((key, &quoted[..end], after.strip_prefix(b",").unwrap_or_default()))
}

/// The closing quote; one with a backslash before it is part of the value.
fn end_of_value(quoted: &[u8]) -> Option<usize> {
    let mut place = 0;
    loop {
        match quoted.get(place)? {
            b'\'' => return Some(place),
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
}

/// Takes percent signs and backslashes out.
fn decode(raw: &[u8], value: &mut Vec<u8>) {
    let mut rest = raw;
    loop {
        rest = match rest {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                value.push(digit(*high) << 4 | digit(*low));
                after
            }
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                after
            }
            [] => return,
        }
    }
}

fn digit(hexadecimal: u8) -> u8 {
    match hexadecimal {
        b'0'..=b'9' => hexadecimal - b'0',
        _ => (hexadecimal | 0x20) - b'a' + 10,
    }
}

/// Whether a value looks like the name of code or a service: no words of a sentence, no mail address, no assignment, no long
/// number.
fn is_harmless(value: &str) -> bool {
    const DIGITS_MAX: usize = 5;
    let allowed = |character: char| {
        character.is_alphanumeric()
            || matches!(
                character,
                '_' | '-' | '.' | ':' | '/' | '#' | '<' | '>' | '{' | '}' | '(' | ')' | '^' | '$' | '+' | '*'
            )
    };
    let has_long_number = value.as_bytes().split(|byte| !byte.is_ascii_digit()).any(|digits| digits.len() > DIGITS_MAX);
    !value.is_empty() && value.len() <= VALUE_BYTES_MAX && value.chars().all(allowed) && !has_long_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(comment: &str, expected: &[(&str, &str)]) {
        let mut tags = Tags::default();
        tags.read(comment.as_bytes());
        let found: Vec<_> = tags.iter().map(|tag| (tag.key, tag.value)).collect();
        assert_eq!(found, expected, "{comment}");
    }

    #[test]
    fn known_tags_with_harmless_values_are_read() {
        check("/*action='run',controller='jobs%2Fnightly'*/", &[("action", "run"), ("controller", "jobs/nightly")]);
        check(
            "/* application:Shop,controller:carts,action:show */",
            &[("application", "Shop"), ("controller", "carts"), ("action", "show")],
        );
        check(
            "-- route='/users/<int:id>', framework='django%3A4.2'",
            &[("route", "/users/<int:id>"), ("framework", "django:4.2")],
        );
        check("/*db_driver='it\\'s',action='a'*/", &[("action", "a")]);
        check("/* email=a@b.com */", &[]);
        check("/* action='a@b.com' */", &[]);
        check("/* action='4111111111111111' */", &[]);
        check("/* action='what somebody wrote' */", &[]);
        check("/* action='unterminated */", &[]);
        check("/* select u from User u where u.name = 'x' */", &[]);
        check("/**/", &[]);
        check("/*/", &[]);
    }

    #[test]
    fn a_valid_traceparent_is_read() {
        let mut tags = Tags::default();
        tags.read(b"/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',action='x'*/");
        assert_eq!(tags.traceparent.map(|trace| trace.flags), Some(1));
        assert_eq!(tags.iter().count(), 1);
    }
}
