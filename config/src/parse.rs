//! YAML text to a tree of nodes, on the events of `saphyr-parser`.
//!
//! One document per file. Aliases and merge keys (`<<`) work, bounded by [`NODES_MAX`] and
//! [`DEPTH_MAX`]; tags and keys that are not scalars are refused. References such as `${env:VAR}`
//! can stand unquoted anywhere a scalar can, also in `[${env:VAR}]`, which plain YAML refuses.

use std::collections::{BTreeMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::document::{Entry, Node, Position, Scalar, Value};
use crate::expand::{hide_references, reveal_references};
use crate::problem::{Path, Report};

/// A configuration has at most this many keys and values, aliases followed; each KiB of a long text
/// counts as one more. So aliases of aliases cannot blow a small file up.
pub const NODES_MAX: usize = 100_000;

/// Lists and mappings are nested at most this deep.
pub const DEPTH_MAX: usize = 64;

/// Reads a file's bytes. None if there is no tree; what is wrong is in the report either way.
pub(crate) fn parse(bytes: &[u8], report: &Report) -> Option<Node> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let position = end_of(&bytes[..error.valid_up_to()]);
            report.error(position, Path::default(), "not UTF-8 text; save the file as UTF-8");
            return None;
        }
    };
    let text = hide_references(text);
    let mut builder = Builder::new(report);
    for event in Parser::new_from_str(&text) {
        let outcome = match event {
            Ok((event, span)) => builder.take(event, position_of(span.start)),
            Err(error) => Err((position_of(*error.marker()), reveal_references(error.info()))),
        };
        if let Err((position, message)) = outcome {
            report.error(position, Path::default(), message);
            return None;
        }
    }
    Some(builder.root.unwrap_or_else(|| Node::empty_mapping(Position::START)))
}

/// What the parser calls the anchor of a value that has none.
const NO_ANCHOR: usize = 0;

/// What makes it impossible to go on, and where.
type Fatal = (Position, String);

struct Builder<'a> {
    report: &'a Report,
    /// The lists and mappings that are still open, outermost first.
    open: Vec<Frame>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

struct Frame {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<Key> },
}

/// A key whose value is still to come.
enum Key {
    Scalar(Scalar, Position),
    /// Not a scalar: reported, and skipped with its value.
    Refused,
}

impl<'a> Builder<'a> {
    fn new(report: &'a Report) -> Builder<'a> {
        let (open, anchors) = (Vec::new(), BTreeMap::new());
        Builder { report, open, anchors, nodes: 0, documents: 0, root: None }
    }

    fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), Fatal> {
        match event {
            Event::DocumentStart(_) => self.start_document(position),
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), position);
                let quoted = style != ScalarStyle::Plain;
                let scalar = Scalar::literal(reveal_references(&text), quoted);
                self.count(scalar.nodes(), 1, position)?;
                let node = Node { value: Value::Scalar(scalar), position };
                self.place(node, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, position),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), position);
                self.open(position, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), position);
                let content = Content::Mapping { entries: Vec::new(), key: None };
                self.open(position, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn start_document(&mut self, position: Position) -> Result<(), Fatal> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err((position, "a second document begins here; a configuration is one document".to_owned()))
    }

    fn open(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), Fatal> {
        self.count(1, 1, position)?;
        self.open.push(Frame { position, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fatal> {
        let Some(Frame { position, anchor, content }) = self.open.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::Sequence(items) => Value::Sequence(items),
            Content::Mapping { entries, .. } => Value::Mapping(merged(entries, self.report)),
        };
        self.place(Node { value, position }, anchor)
    }

    fn alias(&mut self, anchor: usize, position: Position) -> Result<(), Fatal> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return Err((position, "an alias cannot stand inside what it refers to".to_owned()));
        };
        let (nodes, depth) = node.measure();
        self.count(nodes, depth, position)?;
        self.place(node, NO_ANCHOR)
    }

    /// Counts nodes that are about to be added below the open ones.
    fn count(&mut self, nodes: usize, depth: usize, position: Position) -> Result<(), Fatal> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err((position, format!("more than {NODES_MAX} keys and values, aliases followed")));
        }
        if self.open.len() + depth > DEPTH_MAX {
            return Err((position, format!("nested more than {DEPTH_MAX} levels deep")));
        }
        Ok(())
    }

    /// Puts a finished node where it belongs: the top, a list, a key or the value of a key.
    /// One with an anchor is kept for its aliases, and that copy counts.
    fn place(&mut self, node: Node, anchor: usize) -> Result<(), Fatal> {
        if anchor != NO_ANCHOR {
            self.count(node.measure().0, 0, node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|frame| &mut frame.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(items)) => items.push(node),
            Some(Content::Mapping { entries, key }) => match key.take() {
                None => *key = Some(key_of(node, self.report)),
                Some(Key::Refused) => {}
                Some(Key::Scalar(key, key_position)) => {
                    entries.push(Entry { key, key_position, value: node });
                }
            },
        }
        Ok(())
    }

    fn refuse_tag(&self, tag: Option<&Tag>, position: Position) {
        let Some(tag) = tag else { return };
        let shown = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        let message = format!("tags such as `{shown}` are not supported; leave it out, types follow from the key");
        self.report.error(position, Path::default(), message);
    }
}

fn key_of(node: Node, report: &Report) -> Key {
    let found = node.described();
    match node.value {
        Value::Scalar(scalar) => Key::Scalar(scalar, node.position),
        Value::Sequence(_) | Value::Mapping(_) => {
            report.error(node.position, Path::default(), format!("a key must be text, found {found}"));
            Key::Refused
        }
    }
}

/// Follows merge keys: what they bring is added after the mapping's own keys, which win, as do
/// earlier merges over later ones.
fn merged(entries: Vec<Entry>, report: &Report) -> Vec<Entry> {
    let (merges, mut own): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.key.is_merge_key());
    if merges.is_empty() {
        return own;
    }
    let mut present: HashSet<String> = own.iter().map(|entry| entry.key.text().to_owned()).collect();
    for entry in merges.into_iter().flat_map(|merge| merge_sources(merge.value, report)) {
        if present.insert(entry.key.text().to_owned()) {
            own.push(entry);
        }
    }
    own
}

/// The entries that a merge key brings: those of a mapping, or of each mapping in a list.
fn merge_sources(value: Node, report: &Report) -> Vec<Entry> {
    let sources = match value.value {
        Value::Sequence(items) => items,
        _ => vec![value],
    };
    let mut brought = Vec::new();
    for source in sources {
        let found = source.described_without_text();
        match source.value {
            Value::Mapping(entries) => brought.extend(entries),
            _ => {
                let message = format!("`<<` takes in a mapping or a list of mappings, found {found}");
                report.error(source.position, Path::default(), message);
            }
        }
    }
    brought
}

/// The parser counts columns from 0.
fn position_of(marker: Marker) -> Position {
    Position { line: marker.line().max(1), column: marker.col() + 1 }
}

/// The place right after `bytes`, which are UTF-8.
fn end_of(bytes: &[u8]) -> Position {
    let text = String::from_utf8_lossy(bytes);
    let line = text.matches('\n').count() + 1;
    let last_line = text.rsplit('\n').next().unwrap_or_default();
    Position { line, column: last_line.chars().count() + 1 }
}

#[cfg(test)]
mod tests;
