//! A mapping that is being read by the component it configures.
//!
//! An accessor names its key, and gives the value or, if it is missing or wrong, the default: a
//! reader needs no error handling, and every mistake of a file is found in one go. When a section
//! is dropped, each key that nobody asked for is reported as unknown.

mod collections;
mod scalars;

use std::ops::{Bound, RangeBounds};

use crate::document::{Entry, Node, Position, Value};
use crate::effective::{Kind, Printable, Setting};
use crate::problem::{Path, Report, Severity};
use crate::suggest::way_out;

pub(crate) use self::collections::Item;
pub use self::scalars::Integer;

/// A mapping of the file, and who asked for what in it. See the [crate documentation](crate).
#[derive(Debug)]
pub struct Section {
    path: Path,
    /// Where the section begins: its key, or its first key if it is an item of a list.
    position: Position,
    entries: Vec<Entry>,
    /// Keys that were asked for, in that order.
    known: Vec<String>,
    /// Keys that were asked for only to refuse them.
    refused: Vec<String>,
    /// The documentation of the setting that is asked for next.
    doc: Option<&'static str>,
    report: Report,
    finished: bool,
}

impl Section {
    /// The section at `path`. Nothing is an empty section; what is no mapping is reported.
    pub(crate) fn open(node: Node, position: Position, path: Path, report: Report) -> Section {
        let found = node.described_without_text();
        let excused = node.is_null() || node.is_unresolved();
        let entries = match node.value {
            Value::Mapping(entries) => entries,
            _ => {
                if !excused {
                    let message = format!("expected a mapping, found {found}");
                    report.error(node.position, path.clone(), message);
                }
                Vec::new()
            }
        };
        let (known, refused) = (Vec::new(), Vec::new());
        Section { path, position, entries, known, refused, doc: None, report, finished: false }
    }

    /// Where this section stands in the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Documents the setting that is asked for next:
    /// `section.doc("Longest wait for an answer.").duration("timeout", "10s")`.
    pub fn doc(&mut self, doc: &'static str) -> &mut Section {
        self.doc = Some(doc);
        self
    }

    /// Whether the file gives this key a value. Does not make the key known.
    pub fn is_set(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| !entry.value.is_null())
    }

    /// Reports a mistake in the meaning of a key, at its value.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        self.complain(Severity::Error, key, message.into());
    }

    /// Reports something about a key that a person should look at, but that stops nothing.
    pub fn warning(&self, key: &str, message: impl Into<String>) {
        self.complain(Severity::Warning, key, message.into());
    }

    /// Reports a mistake in one entry of a mapping such as [`Section::text_map`] gives, at its value.
    pub fn problem_in(&self, key: &str, name: &str, message: impl Into<String>) {
        let Some(Value::Mapping(entries)) = self.entry(key).map(|entry| &entry.value.value) else { return };
        if let Some(entry) = entries.iter().find(|entry| entry.key.text() == name) {
            self.report.error(entry.value.position, self.path.key(key).entry(&entry.key), message);
        }
    }

    /// Reports a mistake in the section as a whole.
    pub fn problem_here(&self, message: impl Into<String>) {
        self.report.error(self.position, self.path.clone(), message);
    }

    /// Reports a mistake in one item of a list.
    pub(crate) fn problem_at(&self, item: &Item, message: String) {
        self.report.error(item.position, item.path.clone(), message);
    }

    /// Warns about the section as a whole.
    pub fn warning_here(&self, message: impl Into<String>) {
        self.report.add(Severity::Warning, self.position, self.path.clone(), message.into());
    }

    /// Refuses a key that users are likely to write, with a better message than "unknown key".
    pub fn refuse(&mut self, key: &str, message: impl Into<String>) {
        if let Some(entry) = self.entry(key) {
            self.report.error(entry.key_position, self.path.key(key), message);
        }
        self.refused.push(key.to_owned());
    }

    /// Reports every key that nobody asked for, now instead of when the section is dropped.
    pub fn finish(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        for entry in &self.entries {
            let key = entry.key.text();
            let was_asked_for = known.contains(&key) || self.refused.iter().any(|refused| refused == key);
            if was_asked_for || entry.key.is_unresolved() {
                continue;
            }
            let shown = entry.key.shown();
            let message = format!("unknown key `{shown}`{}", way_out(shown, &known));
            self.report.error(entry.key_position, self.path.entry(&entry.key), message);
        }
    }

    /// Lets the section go unread: whatever it holds is somebody else's to judge.
    pub fn skip(mut self) {
        self.finished = true;
    }

    fn complain(&self, severity: Severity, key: &str, message: String) {
        let position = self.entry(key).map_or(self.position, |entry| entry.value.position);
        self.report.add(severity, position, self.path.key(key), message);
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key.text() == key)
    }

    /// The entry of a key, which is known from now on.
    fn ask(&mut self, key: &str) -> Option<Entry> {
        if !self.known.iter().any(|known| known == key) {
            self.known.push(key.to_owned());
        }
        self.entry(key).cloned()
    }

    fn record(&mut self, key: &str, kind: Kind, wanted: &str, default: Option<&str>, value: Printable) {
        let (path, doc) = (self.path.key(key), self.doc.take());
        let (wanted, default) = (wanted.to_owned(), default.map(str::to_owned));
        self.report.setting(Setting { path, kind, wanted, default, doc, value });
    }

    /// Reports that the value of a key is not what it should be, unless that is known already.
    fn mismatch(&self, node: &Node, path: Path, wanted: &str, hint: &str) {
        if !node.is_unresolved() {
            let message = format!("expected {wanted}, found {}{hint}", node.described());
            self.report.error(node.position, path, message);
        }
    }

    /// The same where a mapping should be: what stands there instead is not quoted.
    fn no_mapping(&self, node: &Node, path: Path, wanted: &str) {
        if !node.is_unresolved() {
            let message = format!("expected {wanted}, found {}", node.described_without_text());
            self.report.error(node.position, path, message);
        }
    }
}

impl Drop for Section {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.finish();
        }
    }
}

/// A range in words, after the noun: ` from 1 to 10`, ` of at least 1`, or nothing.
fn range_in_words<T: std::fmt::Display>(range: &impl RangeBounds<T>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Unbounded, Bound::Unbounded) => String::new(),
        (Bound::Included(low), Bound::Unbounded) => format!(" of at least {low}"),
        (Bound::Unbounded, Bound::Included(high)) => format!(" of at most {high}"),
        (Bound::Unbounded, Bound::Excluded(high)) => format!(" below {high}"),
        (Bound::Included(low), Bound::Included(high)) => format!(" from {low} to {high}"),
        (Bound::Included(low), Bound::Excluded(high)) => {
            format!(" of at least {low} and below {high}")
        }
        (Bound::Excluded(low), Bound::Unbounded) => format!(" above {low}"),
        (Bound::Excluded(low), Bound::Included(high)) => format!(" above {low}, at most {high}"),
        (Bound::Excluded(low), Bound::Excluded(high)) => format!(" above {low} and below {high}"),
    }
}

#[cfg(test)]
mod tests;
