//! What is wrong with a configuration: every mistake at its place, all of them at once.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::document::{Position, Scalar};
use crate::effective::Setting;

/// Where a value stands in the tree, printed as `sinks.otlp.rules[2].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Under this key of a mapping.
    Key(String),
    /// Under a key that came from a variable or a file: what is written for it, never what that gave.
    Reference(String),
    /// At this place of a list, counted from 0.
    Index(usize),
}

impl Path {
    /// The path of what stands under `key`.
    pub fn key(&self, key: &str) -> Path {
        self.join(Segment::Key(key.to_owned()))
    }

    /// The path of what stands under a key of the file.
    pub(crate) fn entry(&self, key: &Scalar) -> Path {
        self.join(match key.written() {
            Some(written) => Segment::Reference(written.to_owned()),
            None => Segment::Key(key.text().to_owned()),
        })
    }

    /// The path of the item at `index`.
    pub fn index(&self, index: usize) -> Path {
        self.join(Segment::Index(index))
    }

    /// The steps from the top of the file.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn join(&self, segment: Segment) -> Path {
        let mut segments = self.0.clone();
        segments.push(segment);
        Path(segments)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(formatter, "[{index}]")?,
                Segment::Key(key) if key.contains(['.', ' ', '[', ']', '\n']) => {
                    write!(formatter, "[{key:?}]")?;
                }
                Segment::Key(key) | Segment::Reference(key) if place == 0 => formatter.write_str(key)?,
                Segment::Key(key) | Segment::Reference(key) => write!(formatter, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Whether a problem stops the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is accepted; a person should look at this.
    Warning,
}

/// One mistake, printed as `file:line:column: path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the process.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// The place in the file; none if the file could not be read.
    pub position: Option<Position>,
    /// The place in the tree; empty for a mistake of syntax.
    pub path: Path,
    /// What is wrong and the way out.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(position) = self.position {
            write!(formatter, ":{position}")?;
        }
        if !self.path.segments().is_empty() {
            write!(formatter, ": {}", self.path)?;
        }
        let word = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(formatter, ": {word}{}", self.message)
    }
}

/// Every problem of a configuration, sorted by place. Printed one per line, then a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One problem with a file as a whole.
    pub(crate) fn with_file(file: &str, message: String) -> Problems {
        let severity = Severity::Error;
        let file = file.to_owned();
        Problems(vec![Problem { severity, file, position: None, path: Path::default(), message }])
    }

    /// No problem at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// A JSON list of `{file, line, column, path, severity, message}`; line and column are `null`
    /// if the file could not be read.
    pub fn to_json(&self) -> String {
        let objects: Vec<String> = self.0.iter().map(problem_to_json).collect();
        format!("[{}]", objects.join(","))
    }

    fn count(&self, severity: Severity) -> usize {
        self.0.iter().filter(|problem| problem.severity == severity).count()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(formatter, "{problem}")?;
        }
        let errors = counted(self.count(Severity::Error), "problem");
        let warnings = counted(self.count(Severity::Warning), "warning");
        match (self.count(Severity::Error), self.count(Severity::Warning)) {
            (_, 0) => formatter.write_str(&errors),
            (0, _) => formatter.write_str(&warnings),
            _ => write!(formatter, "{errors}, {warnings}"),
        }
    }
}

impl std::error::Error for Problems {}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn problem_to_json(problem: &Problem) -> String {
    let number = |value: Option<usize>| value.map_or("null".to_owned(), |value| value.to_string());
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    format!(
        r#"{{"file":{},"line":{},"column":{},"path":{},"severity":"{severity}","message":{}}}"#,
        json_text(&problem.file),
        number(problem.position.map(|position| position.line)),
        number(problem.position.map(|position| position.column)),
        json_text(&problem.path.to_string()),
        json_text(&problem.message),
    )
}

/// A JSON string, quotes included. YAML reads it as the same text.
pub(crate) fn json_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            other if needs_escape(other) => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    write!(quoted, "\\u{unit:04x}").expect("writing to a String cannot fail");
                }
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn needs_escape(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The shared collector of one reading: problems and the settings that were asked for. Its size is
/// bounded by the nodes of the file ([`crate::NODES_MAX`]) and the settings that components know.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    file: Arc<str>,
    findings: Arc<Mutex<Findings>>,
}

#[derive(Debug, Default)]
struct Findings {
    problems: Vec<Problem>,
    settings: Vec<Setting>,
}

impl Report {
    pub(crate) fn new(file: &str) -> Report {
        Report { file: file.into(), findings: Arc::default() }
    }

    pub(crate) fn error(&self, position: Position, path: Path, message: impl Into<String>) {
        self.add(Severity::Error, position, path, message.into());
    }

    pub(crate) fn add(&self, severity: Severity, position: Position, path: Path, message: String) {
        let (file, position) = (self.file.to_string(), Some(position));
        self.findings().problems.push(Problem { severity, file, position, path, message });
    }

    pub(crate) fn setting(&self, setting: Setting) {
        self.findings().settings.push(setting);
    }

    /// Whether anybody else can still report.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.findings) > 1
    }

    /// Everything found so far: problems sorted by place, and settings in the order of reading.
    pub(crate) fn take(&self) -> (Problems, Vec<Setting>) {
        let Findings { mut problems, settings } = std::mem::take(&mut *self.findings());
        problems.sort_by(|left, right| (left.position, &left.path).cmp(&(right.position, &right.path)));
        problems.dedup();
        (Problems(problems), settings)
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
