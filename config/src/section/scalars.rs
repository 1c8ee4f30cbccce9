//! Accessors for single values.

use std::fmt::Display;
use std::ops::{RangeBounds, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use super::{Section, range_in_words};
use crate::document::{Scalar, Value, without_credentials};
use crate::effective::{Kind, Printable};
use crate::secret::Secret;
use crate::units::{parse_bytes, parse_duration};

/// What happens if a key is missing.
#[derive(Clone, Copy)]
enum Otherwise<'a> {
    Default(&'a str),
    Absent,
    Problem,
}

const WANTED_TEXT: &str = "text";
const WANTED_DURATION: &str = "a duration such as `10s`";
const WANTED_BYTES: &str = "a size such as `16MiB`";

impl Section {
    /// Text.
    pub fn text(&mut self, key: &str, default: &str) -> String {
        let otherwise = Otherwise::Default(default);
        let text = self.scalar(key, Kind::Text, WANTED_TEXT, otherwise, as_text);
        text.unwrap_or_else(|| default.to_owned())
    }

    /// Text, or none if the key is missing.
    pub fn optional_text(&mut self, key: &str) -> Option<String> {
        self.scalar(key, Kind::Text, WANTED_TEXT, Otherwise::Absent, as_text)
    }

    /// Text that must be there and not be empty. Gives empty text after a mistake.
    pub fn required_text(&mut self, key: &str) -> String {
        let wanted = "text that is not empty";
        let not_empty = |text: &str| {
            if text.is_empty() { Err(String::new()) } else { as_text(text) }
        };
        self.scalar(key, Kind::Text, wanted, Otherwise::Problem, not_empty).unwrap_or_default()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &str, default: bool) -> bool {
        let otherwise = Otherwise::Default(if default { "true" } else { "false" });
        let parse = |text: &str| text.parse::<bool>().map_err(|_| String::new());
        self.scalar(key, Kind::Boolean, "`true` or `false`", otherwise, parse).unwrap_or(default)
    }

    /// A whole number within `range`.
    pub fn integer<I: Integer>(&mut self, key: &str, default: I, range: impl RangeBounds<I>) -> I {
        let written = default.to_string();
        self.ranged(key, Kind::Integer, Otherwise::Default(&written), range).unwrap_or(default)
    }

    /// A whole number within `range`, or none if the key is missing.
    pub fn optional_integer<I: Integer>(&mut self, key: &str, range: impl RangeBounds<I>) -> Option<I> {
        self.ranged(key, Kind::Integer, Otherwise::Absent, range)
    }

    /// A number within `range`.
    pub fn number(&mut self, key: &str, default: f64, range: impl RangeBounds<f64>) -> f64 {
        let written = default.to_string();
        self.ranged(key, Kind::Number, Otherwise::Default(&written), range).unwrap_or(default)
    }

    /// A number within `range`, or none if the key is missing.
    pub fn optional_number(&mut self, key: &str, range: impl RangeBounds<f64>) -> Option<f64> {
        self.ranged(key, Kind::Number, Otherwise::Absent, range)
    }

    /// A duration with units, as in `10s` or `1h30m`; see [`parse_duration`]. Zero is accepted:
    /// where it makes no sense, use [`Section::duration_within`].
    pub fn duration(&mut self, key: &str, default: &str) -> Duration {
        let parse = |text: &str| parse_duration(text).ok_or_else(String::new);
        let duration = self.scalar(key, Kind::Duration, WANTED_DURATION, Otherwise::Default(default), parse);
        duration.unwrap_or_else(|| known_duration(default))
    }

    /// A duration with units, or none if the key is missing.
    pub fn optional_duration(&mut self, key: &str) -> Option<Duration> {
        let parse = |text: &str| parse_duration(text).ok_or_else(String::new);
        self.scalar(key, Kind::Duration, WANTED_DURATION, Otherwise::Absent, parse)
    }

    /// A duration within limits: `section.duration_within("interval", "10s", "100ms"..="1h")`.
    pub fn duration_within(&mut self, key: &str, default: &str, range: RangeInclusive<&str>) -> Duration {
        let wanted = format!("{WANTED_DURATION}{}", range_in_words(&range));
        let limits = known_duration(range.start())..=known_duration(range.end());
        let parse = |text: &str| match parse_duration(text) {
            Some(duration) if limits.contains(&duration) => Ok(duration),
            _ => Err(String::new()),
        };
        let duration = self.scalar(key, Kind::Duration, &wanted, Otherwise::Default(default), parse);
        duration.unwrap_or_else(|| known_duration(default))
    }

    /// A size in bytes with a unit, as in `16MiB`; see [`parse_bytes`].
    pub fn bytes(&mut self, key: &str, default: &str) -> u64 {
        let parse = |text: &str| parse_bytes(text).ok_or_else(String::new);
        let bytes = self.scalar(key, Kind::Bytes, WANTED_BYTES, Otherwise::Default(default), parse);
        bytes.unwrap_or_else(|| known_bytes(default))
    }

    /// A size within limits: `section.bytes_within("buffer", "16MiB", "64KiB"..="1GiB")`.
    pub fn bytes_within(&mut self, key: &str, default: &str, range: RangeInclusive<&str>) -> u64 {
        let wanted = format!("{WANTED_BYTES}{}", range_in_words(&range));
        let limits = known_bytes(range.start())..=known_bytes(range.end());
        let parse = |text: &str| match parse_bytes(text) {
            Some(bytes) if limits.contains(&bytes) => Ok(bytes),
            _ => Err(String::new()),
        };
        let bytes = self.scalar(key, Kind::Bytes, &wanted, Otherwise::Default(default), parse);
        bytes.unwrap_or_else(|| known_bytes(default))
    }

    /// A text that is never printed, or none if the key is missing.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        self.scalar(key, Kind::Secret, "a secret", Otherwise::Absent, |text| Ok(Secret::new(text)))
    }

    /// One of a few words.
    pub fn choice<'a>(&mut self, key: &str, words: &[&'a str], default: &'a str) -> &'a str {
        let variants: Vec<(&'a str, &'a str)> = words.iter().map(|word| (*word, *word)).collect();
        self.variant(key, &variants, default)
    }

    /// What one of a few words stands for:
    /// `section.variant("compression", &[("gzip", Gzip), ("none", Uncompressed)], "gzip")`.
    pub fn variant<T: Clone>(&mut self, key: &str, variants: &[(&str, T)], default: &str) -> T {
        let words: Vec<String> = variants.iter().map(|(word, _)| format!("`{word}`")).collect();
        let wanted = format!("one of {}", words.join(", "));
        let find = |text: &str| variants.iter().find(|(word, _)| *word == text).map(|(_, value)| value.clone());
        let parse = |text: &str| find(text).ok_or_else(|| did_you_mean(text, variants));
        let chosen = self.scalar(key, Kind::Choice, &wanted, Otherwise::Default(default), parse);
        chosen.unwrap_or_else(|| find(default).expect("the default is one of the variants"))
    }

    /// Text that a type reads for itself, such as an address. `wanted` says what that is:
    /// `an address such as 127.0.0.1:8888`.
    pub fn parsed<T>(&mut self, key: &str, default: &str, wanted: &str) -> T
    where
        T: FromStr<Err: Display>,
    {
        let value = self.scalar(key, Kind::Text, wanted, Otherwise::Default(default), as_parsed);
        value.unwrap_or_else(|| {
            as_parsed(default).unwrap_or_else(|error| panic!("the default of `{key}` is refused{error}"))
        })
    }

    /// Text that a type reads for itself, or none if the key is missing.
    pub fn optional_parsed<T>(&mut self, key: &str, wanted: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.scalar(key, Kind::Text, wanted, Otherwise::Absent, as_parsed)
    }

    fn ranged<T: FromStr + Display + PartialOrd>(
        &mut self,
        key: &str,
        kind: Kind,
        otherwise: Otherwise<'_>,
        range: impl RangeBounds<T>,
    ) -> Option<T> {
        let noun = if kind == Kind::Integer { "a whole number" } else { "a number" };
        let wanted = format!("{noun}{}", range_in_words(&range));
        let is_number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
        let parse = |text: &str| match text.parse::<T>() {
            Ok(number) if is_number(text) && range.contains(&number) => Ok(number),
            _ => Err(String::new()),
        };
        self.scalar(key, kind, &wanted, otherwise, parse)
    }

    /// Reads one value. `parse` gives what is added to the message if the text is refused.
    fn scalar<T>(
        &mut self,
        key: &str,
        kind: Kind,
        wanted: &str,
        otherwise: Otherwise<'_>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.ask(key);
        let path = self.path.key(key);
        if entry.is_none() && matches!(otherwise, Otherwise::Problem) {
            self.report.error(self.position, path.clone(), format!("missing; expected {wanted}"));
        }
        let mut outcome = None;
        match entry.map(|entry| entry.value) {
            None => {}
            Some(node) if node.is_null() && matches!(otherwise, Otherwise::Absent) => {}
            Some(node) => match &node.value {
                Value::Scalar(scalar) if !node.is_null() && !node.is_unresolved() => match parse(scalar.text()) {
                    Ok(value) => outcome = Some((value, printable(scalar, kind))),
                    Err(hint) => self.mismatch(&node, path, wanted, &hint_of(scalar, hint)),
                },
                _ => self.mismatch(&node, path, wanted, &null_hint(node.is_null(), otherwise)),
            },
        }
        let default = if let Otherwise::Default(text) = otherwise { Some(text) } else { None };
        let (value, shown) = outcome.unzip();
        let shown = shown.unwrap_or_else(|| default.map_or(Printable::Nothing, |text| text_of_kind(text, kind)));
        self.record(key, kind, wanted, default, shown);
        value
    }
}

/// The whole numbers of Rust: `u8` to `u64`, `usize`, and the signed ones.
pub trait Integer: FromStr + Display + PartialOrd + Copy + TryInto<i128> {}

impl<T: FromStr + Display + PartialOrd + Copy + TryInto<i128>> Integer for T {}

fn as_text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn as_parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!(": {error}"))
}

fn did_you_mean<T>(text: &str, variants: &[(&str, T)]) -> String {
    let words = variants.iter().map(|(word, _)| *word);
    crate::suggest::nearest(text, words).map_or_else(String::new, |word| format!(", did you mean `{word}`?"))
}

/// What `parse` had to say, unless it could quote a value that is not to be shown.
fn hint_of(scalar: &Scalar, hint: String) -> String {
    if without_credentials(scalar.shown()) == scalar.text() { hint } else { String::new() }
}

fn null_hint(is_null: bool, otherwise: Otherwise<'_>) -> String {
    match otherwise {
        Otherwise::Default(default) if is_null && !default.is_empty() => {
            format!("; leave the key out for the default `{default}`")
        }
        _ => String::new(),
    }
}

fn printable(scalar: &Scalar, kind: Kind) -> Printable {
    match kind {
        Kind::Secret => Printable::Masked,
        Kind::Text => Printable::of_scalar(scalar),
        _ => text_of_kind(scalar.text(), kind),
    }
}

fn text_of_kind(text: &str, kind: Kind) -> Printable {
    match kind {
        Kind::Text | Kind::Choice => Printable::Text(text.to_owned()),
        _ => Printable::Plain(text.to_owned()),
    }
}

fn known_duration(text: &str) -> Duration {
    parse_duration(text).unwrap_or_else(|| panic!("`{text}`, written in code, is not a duration"))
}

fn known_bytes(text: &str) -> u64 {
    parse_bytes(text).unwrap_or_else(|| panic!("`{text}`, written in code, is not a size"))
}
