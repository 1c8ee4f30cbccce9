//! From a file to a configuration.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path as FilePath;

use crate::document::{Entry, Node, Position, Scalar, Value};
use crate::effective::Effective;
use crate::environment::Environment;
use crate::expand::expand;
use crate::parse::parse;
use crate::problem::{Path, Problems, Report, Severity};
use crate::section::Section;

/// What a process exits with if its configuration is refused (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: i32 = 78;

/// A configuration file has at most this many bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file that was parsed and expanded, ready to be read by components.
#[derive(Debug)]
pub struct Document {
    root: Node,
    report: Report,
}

/// A configuration that was accepted.
#[derive(Debug)]
pub struct Loaded<T> {
    /// What the reader made of the file.
    pub config: T,
    /// Every setting with its value in effect.
    pub effective: Effective,
    /// What a person should look at.
    pub warnings: Problems,
}

/// Loads a configuration file. It fails only if the file cannot be read or is not YAML; all other
/// mistakes, such as a missing variable, are found together by [`Document::read`].
pub fn load(path: &FilePath, environment: &Environment) -> Result<Document, Problems> {
    let file = path.display().to_string();
    match read_bounded(path) {
        Ok(bytes) => Document::from_bytes(&file, &bytes, environment),
        Err(error) => Err(Problems::with_file(&file, format!("could not read the configuration: {error}"))),
    }
}

impl Document {
    /// Makes a document of YAML at hand; `file` is the name that problems show.
    pub fn from_text(file: &str, text: &str, environment: &Environment) -> Result<Document, Problems> {
        Document::from_bytes(file, text.as_bytes(), environment)
    }

    /// Makes a document of what somebody else wrote, in YAML or JSON: references in it are mistakes, and nothing is expanded.
    pub fn from_stranger(origin: &str, bytes: &[u8]) -> Result<Document, Problems> {
        let report = Report::new(origin);
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Problems::with_file(origin, format!("it has more than {FILE_BYTES_MAX} bytes")));
        }
        if let Some(at) = bytes.windows(2).position(|pair| pair == b"${") {
            let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            return Err(Problems::with_file(
                origin,
                format!("line {line}: nothing is expanded here; remove the `${{`"),
            ));
        }
        match parse(bytes, &report) {
            Some(root) => Ok(Document { root, report }),
            None => Err(report.take().0),
        }
    }

    /// As [`Document::read`], of a document that is a list of mappings: `read` gets each of them.
    ///
    /// # Panics
    /// If `read` lets a [`Section`] outlive it: its unknown keys would go unseen.
    pub fn read_list<T>(self, read: impl FnMut(Section) -> T) -> Result<Vec<T>, Problems> {
        let Document { root, report } = self;
        let key = Scalar::literal("list".to_owned(), false);
        let entry = Entry { key_position: root.position, key, value: root };
        let node = Node { position: Position::START, value: Value::Mapping(vec![entry]) };
        let wrapped = Document { root: node, report };
        let loaded = wrapped.read(|section| section.list_of_sections("list").into_iter().map(read).collect())?;
        Ok(loaded.config)
    }

    fn from_bytes(file: &str, bytes: &[u8], environment: &Environment) -> Result<Document, Problems> {
        let report = Report::new(file);
        let Some(tree) = parse(bytes, &report) else {
            return Err(report.take().0);
        };
        let root = expand(tree, environment, &report);
        Ok(Document { root, report })
    }

    /// Hands the top of the document to `read`, and gives what that made of it, unless anything is
    /// wrong: then every mistake of the file.
    ///
    /// # Panics
    /// If `read` lets a [`Section`] outlive it: its unknown keys would go unseen.
    pub fn read<T>(self, read: impl FnOnce(&mut Section) -> T) -> Result<Loaded<T>, Problems> {
        let Document { root, report } = self;
        let position = root.position;
        let mut section = Section::open(root, position, Path::default(), report.clone());
        let config = read(&mut section);
        drop(section);
        assert!(!report.is_shared(), "every section is read before the document is done");
        let (problems, settings) = report.take();
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(problems);
        }
        Ok(Loaded { config, effective: Effective::new(settings), warnings: problems })
    }
}

fn read_bounded(path: &FilePath) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
