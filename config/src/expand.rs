//! References in scalars and keys: `${env:VAR}`, `${env:VAR:-default}`, `${file:/run/secrets/x}`,
//! and `$$` for a dollar sign.
//!
//! They are expanded after parsing, so that a value cannot add keys or lists, and what a reference
//! gives is not expanded again. A default is used if the variable is not set or empty, and can
//! itself hold references. A dollar sign before anything else stands for itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use crate::document::{Entry, Node, Origin, Position, Scalar, Value};
use crate::environment::Environment;
use crate::problem::{Path, Report};

/// A file that `${file:…}` names has at most this many bytes.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A default within a default within a default …, at most this deep.
const REFERENCE_DEPTH_MAX: usize = 8;

/// All references of a configuration give at most this many bytes together.
const EXPANDED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Expands every scalar and key of a tree. What cannot be resolved is reported and marked, so that
/// nobody complains about it again. Also refuses keys that stand twice, as expanded.
pub(crate) fn expand(tree: Node, environment: &Environment, report: &Report) -> Node {
    let mut expander = Expander { environment, report, bytes_left: EXPANDED_BYTES_MAX };
    expander.node(tree, &Path::default())
}

struct Expander<'a> {
    environment: &'a Environment,
    report: &'a Report,
    bytes_left: usize,
}

impl Expander<'_> {
    fn node(&mut self, node: Node, path: &Path) -> Node {
        let position = node.position;
        let value = match node.value {
            Value::Scalar(scalar) => Value::Scalar(self.scalar(scalar, position, path)),
            Value::Sequence(items) => {
                let expand_item = |(index, item)| self.node(item, &path.index(index));
                Value::Sequence(items.into_iter().enumerate().map(expand_item).collect())
            }
            Value::Mapping(entries) => {
                let expanded = entries.into_iter().map(|entry| self.entry(entry, path)).collect();
                Value::Mapping(self.without_duplicates(expanded, path))
            }
        };
        Node { value, position }
    }

    fn entry(&mut self, entry: Entry, path: &Path) -> Entry {
        let Entry { key, key_position, value } = entry;
        let written = path.key(key.text());
        let key = self.scalar(key, key_position, &written);
        let value = self.node(value, &path.entry(&key));
        Entry { key, key_position, value }
    }

    fn without_duplicates(&self, entries: Vec<Entry>, path: &Path) -> Vec<Entry> {
        let mut first_places = HashMap::<String, Position>::new();
        let mut unique = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.text();
            if let Some(first) = first_places.get(key) {
                let message = format!("duplicate key `{}`, first written at {first}", entry.key.shown());
                self.report.error(entry.key_position, path.entry(&entry.key), message);
                continue;
            }
            first_places.insert(key.to_owned(), entry.key_position);
            unique.push(entry);
        }
        unique
    }

    fn scalar(&mut self, scalar: Scalar, position: Position, path: &Path) -> Scalar {
        if !scalar.text().contains('$') {
            return scalar;
        }
        let written = scalar.text().to_owned();
        let mut expansion = Expansion::new(self.environment, self.bytes_left);
        let text = expansion.expand(&written, REFERENCE_DEPTH_MAX);
        self.bytes_left = expansion.bytes_left;
        if expansion.mistakes.is_empty() {
            let origin = if expansion.referred { Origin::Expanded { written } } else { Origin::Literal };
            return scalar.with(text, origin);
        }
        for mistake in expansion.mistakes {
            self.report.error(position, path.clone(), mistake);
        }
        scalar.with(written, Origin::Unresolved)
    }
}

/// The expansion of one scalar.
struct Expansion<'a> {
    environment: &'a Environment,
    /// Whether anything but `$$` was expanded.
    referred: bool,
    bytes_left: usize,
    mistakes: Vec<String>,
}

impl Expansion<'_> {
    fn new(environment: &Environment, bytes_left: usize) -> Expansion<'_> {
        Expansion { environment, referred: false, bytes_left, mistakes: Vec::new() }
    }

    fn expand(&mut self, text: &str, depth: usize) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            expanded.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                expanded.push('$');
                rest = after;
            } else if let Some(inside) = rest.strip_prefix("${") {
                let Some(length) = closing_brace(inside) else {
                    self.mistakes.push("`${` without a `}`; write `$$` for a dollar sign".to_owned());
                    return expanded;
                };
                expanded.push_str(&self.resolve(&inside[..length], depth));
                rest = &inside[length + 1..];
            } else {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
        expanded + rest
    }

    /// What a reference gives, braces taken off; nothing after a mistake.
    fn resolve(&mut self, reference: &str, depth: usize) -> String {
        self.referred = true;
        let resolved = match reference.split_once(':') {
            _ if depth == 0 => Err(format!("references nested more than {REFERENCE_DEPTH_MAX} deep")),
            Some(("env", variable)) => self.variable(variable, depth - 1),
            Some(("file", path)) => read_secret_file(path),
            _ => Err(unknown_source(reference)),
        };
        let bounded = resolved.and_then(|text| self.take_from_budget(text));
        bounded.unwrap_or_else(|mistake| {
            self.mistakes.push(mistake);
            String::new()
        })
    }

    fn take_from_budget(&mut self, text: String) -> Result<String, String> {
        let too_much = || format!("references give more than {EXPANDED_BYTES_MAX} bytes in all");
        self.bytes_left = self.bytes_left.checked_sub(text.len()).ok_or_else(too_much)?;
        Ok(text)
    }

    fn variable(&mut self, variable: &str, depth: usize) -> Result<String, String> {
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(format!("`{name}` is not the name of an environment variable; write `${{env:VAR}}`"));
        }
        match (self.environment.get(name), default) {
            (Some(""), Some(default)) | (None, Some(default)) => Ok(self.expand(default, depth)),
            (Some(value), _) => Ok(value.to_owned()),
            (None, None) => {
                Err(format!("environment variable `{name}` is not set; set it, or write `${{env:{name}:-default}}`"))
            }
        }
    }
}

/// The message for a reference that is neither `env` nor `file`. It may be part of a password that
/// holds a dollar sign, so only what looks like the name of a variable is repeated.
fn unknown_source(reference: &str) -> String {
    let is_name = |character: char| character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_';
    let name = if reference.chars().all(is_name) { reference } else { "VAR" };
    format!("`${{` without a known source; write `${{env:{name}}}` or `${{file:/path}}`, or `$$` for a dollar sign")
}

/// The text of a file without the line break at its end.
fn read_secret_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("could not read the file `{path}`: {error}"))?;
    if read as u64 > SECRET_FILE_BYTES_MAX {
        return Err(format!("the file `{path}` has more than {SECRET_FILE_BYTES_MAX} bytes"));
    }
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Where the reference that `inside` begins with ends, braces within it skipped.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 1;
    for (place, character) in inside.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(place);
        }
    }
    None
}

/// Characters that mean something to YAML. Within a reference they are replaced before parsing
/// by Unicode noncharacters, one for one, so that places stay true.
const HIDDEN: [char; 7] = ['{', '}', '[', ']', ',', ':', '#'];
const NONCHARACTERS: [char; 7] = ['\u{fdd0}', '\u{fdd1}', '\u{fdd2}', '\u{fdd3}', '\u{fdd4}', '\u{fdd5}', '\u{fdd6}'];

/// Hides the references of a file from the YAML parser, which takes `[${env:VAR}]` for a list with
/// a mapping in it. A reference that does not end on its line is left alone.
pub(crate) fn hide_references(text: &str) -> Cow<'_, str> {
    if !text.contains("${") {
        return Cow::Borrowed(text);
    }
    let mut hidden = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(start) = rest.find("${") {
            let inside = &rest[start + 2..];
            let Some(length) = closing_brace(inside) else {
                break;
            };
            let end = start + 2 + length + 1;
            hidden.push_str(&rest[..=start]);
            hidden.push_str(&translated(&rest[start + 1..end], &HIDDEN, &NONCHARACTERS));
            rest = &rest[end..];
        }
        hidden.push_str(rest);
    }
    Cow::Owned(hidden)
}

/// Undoes [`hide_references`].
pub(crate) fn reveal_references(text: &str) -> String {
    translated(text, &NONCHARACTERS, &HIDDEN)
}

fn translated(text: &str, from: &[char; 7], to: &[char; 7]) -> String {
    let translate = |character| match from.iter().position(|candidate| *candidate == character) {
        Some(place) => to[place],
        None => character,
    };
    text.chars().map(translate).collect()
}

#[cfg(test)]
mod tests;
