//! The configuration as it was understood: every setting that a component asked for, defaults
//! filled in, secrets masked. `config print` shows it; a reference or a schema can be made of it.
//!
//! The printed YAML loads again: a value that came from a variable or a file is printed as the
//! reference, never as what the reference gave.

use crate::document::{Entry, Node, Scalar, Value, without_credentials};
use crate::problem::{Path, Segment, json_text};
use crate::secret::MASK;

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A duration with a unit.
    Duration,
    /// A size with a unit.
    Bytes,
    /// One of a few words.
    Choice,
    /// A text that is never printed.
    Secret,
    /// A list of texts.
    TextList,
    /// Names with a text each.
    TextMap,
    /// Names with a secret each.
    SecretMap,
    /// A group of settings.
    Section,
    /// Names with a group of settings each.
    Sections,
    /// A list of groups of settings.
    SectionList,
    /// Whatever the component makes of it.
    Raw,
}

/// One setting that was asked for.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where it stands.
    pub path: Path,
    /// What it holds.
    pub kind: Kind,
    /// What is accepted, in words: `a whole number from 1 to 65535`.
    pub wanted: String,
    /// The default, if there is one, as it would be written.
    pub default: Option<String>,
    /// What it means, if the component said so.
    pub doc: Option<&'static str>,
    /// What is in effect, fit to be printed.
    pub value: Printable,
}

/// A value that can be printed: references unexpanded, secrets masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Printable {
    /// Not set.
    Nothing,
    /// A number, boolean, duration or size.
    Plain(String),
    /// Text, as it is meant; escaped when printed.
    Text(String),
    /// Text that holds references, as it is written in the file.
    Reference(String),
    /// A secret.
    Masked,
    /// A list.
    List(Vec<Printable>),
    /// A mapping; its keys as they are written in a file.
    Map(Vec<(String, Printable)>),
}

/// Every setting of a configuration in the order in which it was asked for.
#[derive(Clone, Debug)]
pub struct Effective(Vec<Setting>);

impl Effective {
    pub(crate) fn new(settings: Vec<Setting>) -> Effective {
        Effective(settings)
    }

    /// The settings, sections included.
    pub fn settings(&self) -> &[Setting] {
        &self.0
    }

    /// The configuration as YAML. An optional section that is missing is left out: an empty one
    /// would mean something.
    pub fn to_yaml(&self) -> String {
        let mut tree = Printable::Map(Vec::new());
        let is_missing = |setting: &&Setting| setting.kind == Kind::Section && setting.value == Printable::Nothing;
        for setting in self.0.iter().filter(|setting| !is_missing(setting)) {
            tree.insert(setting.path.segments(), &setting.value);
        }
        match tree.layout() {
            Layout::Inline(text) => text + "\n",
            Layout::Block(lines) => lines.join("\n") + "\n",
        }
    }
}

enum Layout {
    Inline(String),
    Block(Vec<String>),
}

impl Printable {
    /// A scalar of the file.
    pub(crate) fn of_scalar(scalar: &Scalar) -> Printable {
        match scalar.written() {
            Some(written) => Printable::Reference(without_credentials(written).into_owned()),
            None if scalar.is_null() => Printable::Nothing,
            None => Printable::Text(without_credentials(scalar.text()).into_owned()),
        }
    }

    /// Any value of the file.
    pub(crate) fn of_node(node: &Node) -> Printable {
        match &node.value {
            Value::Scalar(scalar) => Printable::of_scalar(scalar),
            Value::Sequence(items) => Printable::List(items.iter().map(Printable::of_node).collect()),
            Value::Mapping(entries) => Printable::of_entries(entries, |entry| Printable::of_node(&entry.value)),
        }
    }

    /// The entries of a mapping of the file, each with what is printed of its value.
    pub(crate) fn of_entries(entries: &[Entry], value: impl Fn(&Entry) -> Printable) -> Printable {
        let key = |key: &Scalar| key.written().map_or_else(|| escaped(key.text()), str::to_owned);
        Printable::Map(entries.iter().map(|entry| (key(&entry.key), value(entry))).collect())
    }

    /// Puts `value` at a place of this tree. A section that is opened again keeps what it has.
    fn insert(&mut self, path: &[Segment], value: &Printable) {
        let Some((segment, rest)) = path.split_first() else {
            if !value.is_empty() || *self == Printable::Nothing {
                *self = value.clone();
            }
            return;
        };
        self.child(segment).insert(rest, value);
    }

    /// The place under `segment`, made if it is missing.
    fn child(&mut self, segment: &Segment) -> &mut Printable {
        match segment {
            Segment::Key(key) => self.under(escaped(key)),
            Segment::Reference(written) => self.under(written.clone()),
            Segment::Index(index) => {
                let items = self.items();
                while items.len() <= *index {
                    items.push(Printable::Nothing);
                }
                &mut items[*index]
            }
        }
    }

    /// The place under a key as it is written, made if it is missing.
    fn under(&mut self, key: String) -> &mut Printable {
        let entries = self.entries();
        let place = entries.iter().position(|(name, _)| *name == key).unwrap_or_else(|| {
            entries.push((key, Printable::Nothing));
            entries.len() - 1
        });
        &mut entries[place].1
    }

    fn entries(&mut self) -> &mut Vec<(String, Printable)> {
        if !matches!(self, Printable::Map(_)) {
            *self = Printable::Map(Vec::new());
        }
        let Printable::Map(entries) = self else { unreachable!("made a map above") };
        entries
    }

    fn items(&mut self) -> &mut Vec<Printable> {
        if !matches!(self, Printable::List(_)) {
            *self = Printable::List(Vec::new());
        }
        let Printable::List(items) = self else { unreachable!("made a list above") };
        items
    }

    fn is_empty(&self) -> bool {
        match self {
            Printable::List(items) => items.is_empty(),
            Printable::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }

    fn layout(&self) -> Layout {
        match self {
            Printable::Nothing => Layout::Inline("null".to_owned()),
            Printable::Plain(text) => Layout::Inline(text.clone()),
            Printable::Text(text) => Layout::Inline(yaml_text(&escaped(text))),
            Printable::Reference(written) => Layout::Inline(yaml_text(written)),
            Printable::Masked => Layout::Inline(json_text(MASK)),
            Printable::List(items) if items.is_empty() => Layout::Inline("[]".to_owned()),
            Printable::Map(entries) if entries.is_empty() => Layout::Inline("{}".to_owned()),
            Printable::List(items) => Layout::Block(items.iter().flat_map(item_lines).collect()),
            Printable::Map(entries) => {
                Layout::Block(entries.iter().flat_map(|(key, value)| entry_lines(key, value)).collect())
            }
        }
    }
}

fn item_lines(item: &Printable) -> Vec<String> {
    match item.layout() {
        Layout::Inline(text) => vec![format!("- {text}")],
        Layout::Block(lines) => {
            let marked = |(place, line)| {
                if place == 0 { format!("- {line}") } else { format!("  {line}") }
            };
            lines.into_iter().enumerate().map(marked).collect()
        }
    }
}

fn entry_lines(key: &str, value: &Printable) -> Vec<String> {
    let key = yaml_text(key);
    match value.layout() {
        Layout::Inline(text) => vec![format!("{key}: {text}")],
        Layout::Block(lines) => {
            let indented = lines.into_iter().map(|line| format!("  {line}"));
            std::iter::once(format!("{key}:")).chain(indented).collect()
        }
    }
}

/// Doubles dollar signs where they would otherwise be taken for a reference.
fn escaped(text: &str) -> String {
    if text.contains("${") || text.contains("$$") { text.replace('$', "$$") } else { text.to_owned() }
}

/// Text as YAML, quoted if any reader could take it for something else.
fn yaml_text(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric() || "/_$".contains(first));
    let is_tame = |character: char| character.is_ascii_alphanumeric() || "/_$-.:{}@+= ".contains(character);
    let has_marks = text.contains(": ") || text.ends_with([':', ' ']);
    let is_other_type = text.parse::<f64>().is_ok() || WORDS.contains(&text.to_lowercase().as_str());
    if begins_well && text.chars().all(is_tame) && !has_marks && !is_other_type {
        text.to_owned()
    } else {
        json_text(text)
    }
}

#[cfg(test)]
mod tests;
