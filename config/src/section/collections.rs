//! Accessors for lists, maps and nested sections.

use std::collections::BTreeMap;

use super::Section;
use crate::document::{Entry, Node, Position, Scalar, Value};
use crate::effective::{Kind, Printable};
use crate::problem::Path;
use crate::secret::Secret;

const WANTED_MAP: &str = "a mapping of names to texts";
const WANTED_SECTION: &str = "a mapping";

/// One text of a list, and where it stands.
pub(crate) struct Item {
    pub(crate) text: String,
    /// The text as it can be printed.
    pub(crate) shown: String,
    pub(crate) position: Position,
    pub(crate) path: Path,
}

impl Section {
    /// A list of texts.
    pub fn list_of_text(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        match self.items(key, default) {
            Some(items) => items.into_iter().map(|item| item.text).collect(),
            None => default.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    /// The texts of a list with their places, or none if the key is missing or is no list.
    pub(crate) fn items(&mut self, key: &str, default: &[&str]) -> Option<Vec<Item>> {
        let (kind, wanted) = (Kind::TextList, "a list of texts such as `[a, b]`");
        let list = self.list(key, wanted);
        let shown = match &list {
            Some(nodes) => Printable::List(nodes.iter().map(Printable::of_node).collect()),
            None => Printable::List(default.iter().map(|text| Printable::Text((*text).to_owned())).collect()),
        };
        let written = format!("[{}]", default.join(", "));
        self.record(key, kind, wanted, Some(&written), shown);
        let path = self.path.key(key);
        let item = |(index, node): (usize, Node)| {
            let (position, path) = (node.position, path.index(index));
            let scalar = self.text_of(&node, &path)?;
            Some(Item { text: scalar.text().to_owned(), shown: scalar.shown().to_owned(), position, path })
        };
        Some(list?.into_iter().enumerate().filter_map(item).collect())
    }

    /// A mapping of names to texts, such as labels; empty if the key is missing.
    pub fn text_map(&mut self, key: &str) -> BTreeMap<String, String> {
        let entries = self.mapping(key, WANTED_MAP);
        let shown = Printable::of_entries(&entries, |entry| Printable::of_node(&entry.value));
        self.record(key, Kind::TextMap, WANTED_MAP, None, shown);
        let texts = self.texts_of(key, entries);
        texts.map(|(name, scalar)| (name, scalar.text().to_owned())).collect()
    }

    /// A mapping of names to secrets, such as the headers of a request; empty if the key is
    /// missing.
    pub fn secret_map(&mut self, key: &str) -> BTreeMap<String, Secret> {
        let entries = self.mapping(key, WANTED_MAP);
        let shown = Printable::of_entries(&entries, |_| Printable::Masked);
        self.record(key, Kind::SecretMap, WANTED_MAP, None, shown);
        let texts = self.texts_of(key, entries);
        texts.map(|(name, scalar)| (name, Secret::new(scalar.text()))).collect()
    }

    /// A nested section; empty if the key is missing, so that its defaults hold.
    pub fn section(&mut self, key: &str) -> Section {
        let (node, position) = match self.ask(key) {
            Some(entry) => (entry.value, entry.key_position),
            None => (Node::empty_mapping(self.position), self.position),
        };
        self.record(key, Kind::Section, WANTED_SECTION, None, Printable::Map(Vec::new()));
        Section::open(node, position, self.path.key(key), self.report.clone())
    }

    /// A nested section that can be written as one word, for a choice with settings: `bus: kafka` is
    /// `bus: {kafka: {}}`.
    pub fn section_or_word(&mut self, key: &str) -> Section {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key.text() == key) {
            word_to_mapping(&mut entry.value);
        }
        self.section(key)
    }

    /// A nested section, or none if the key is missing: for parts whose presence means something.
    pub fn optional_section(&mut self, key: &str) -> Option<Section> {
        if self.entry(key).is_some() {
            return Some(self.section(key));
        }
        self.ask(key);
        self.record(key, Kind::Section, WANTED_SECTION, None, Printable::Nothing);
        None
    }

    /// Named sections under a key, in the order of the file:
    /// `databases: {orders: {…}, billing: {…}}`.
    pub fn sections(&mut self, key: &str) -> Vec<(String, Section)> {
        let wanted = "a mapping of names to settings";
        let entries = self.mapping(key, wanted);
        self.record(key, Kind::Sections, wanted, None, Printable::Map(Vec::new()));
        let mut sections = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.key.text().to_owned();
            let path = self.path.key(key).entry(&entry.key);
            self.placeholder(&path);
            let section = Section::open(entry.value, entry.key_position, path, self.report.clone());
            sections.push((name, section));
        }
        sections
    }

    /// A list of sections, in the order of the file: `rules: [{name: slow, …}, …]`.
    pub fn list_of_sections(&mut self, key: &str) -> Vec<Section> {
        let wanted = "a list of mappings";
        let nodes = self.list(key, wanted).unwrap_or_default();
        self.record(key, Kind::SectionList, wanted, None, Printable::List(Vec::new()));
        let mut sections = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.into_iter().enumerate() {
            let path = self.path.key(key).index(index);
            self.placeholder(&path);
            let position = node.position;
            sections.push(Section::open(node, position, path, self.report.clone()));
        }
        sections
    }

    /// Whatever stands under a key, for a component that understands it by itself.
    pub fn raw(&mut self, key: &str) -> Option<Node> {
        let node = self.ask(key).map(|entry| entry.value);
        let shown = node.as_ref().map_or(Printable::Nothing, Printable::of_node);
        self.record(key, Kind::Raw, "any value", None, shown);
        node
    }

    /// Makes an empty section show in the effective configuration.
    fn placeholder(&self, path: &Path) {
        self.report.setting(crate::effective::Setting {
            path: path.clone(),
            kind: Kind::Section,
            wanted: WANTED_SECTION.to_owned(),
            default: None,
            doc: None,
            value: Printable::Map(Vec::new()),
        });
    }

    /// The items of a list, or none if the key is missing or is no list. Nothing is an empty list.
    fn list(&mut self, key: &str, wanted: &str) -> Option<Vec<Node>> {
        let node = self.ask(key)?.value;
        if node.is_null() {
            return Some(Vec::new());
        }
        let Value::Sequence(items) = &node.value else {
            self.mismatch(&node, self.path.key(key), wanted, "");
            return None;
        };
        Some(items.clone())
    }

    /// The entries of a mapping; none if the key is missing, is empty or is no mapping.
    fn mapping(&mut self, key: &str, wanted: &str) -> Vec<Entry> {
        let Some(node) = self.ask(key).map(|entry| entry.value).filter(|node| !node.is_null()) else {
            return Vec::new();
        };
        let Value::Mapping(entries) = &node.value else {
            self.no_mapping(&node, self.path.key(key), wanted);
            return Vec::new();
        };
        entries.clone()
    }

    fn texts_of(&self, key: &str, entries: Vec<Entry>) -> impl Iterator<Item = (String, Scalar)> {
        let path = self.path.key(key);
        entries.into_iter().filter_map(move |entry| {
            let scalar = self.text_of(&entry.value, &path.entry(&entry.key))?;
            Some((entry.key.text().to_owned(), scalar))
        })
    }

    /// A node that must be text; what is not is reported.
    fn text_of(&self, node: &Node, path: &Path) -> Option<Scalar> {
        match &node.value {
            Value::Scalar(scalar) if !scalar.is_null() && !scalar.is_unresolved() => Some(scalar.clone()),
            _ => {
                self.mismatch(node, path.clone(), "text", "");
                None
            }
        }
    }
}

/// Makes `kafka` the mapping `{kafka: {}}`; leaves everything that is no word.
fn word_to_mapping(node: &mut Node) {
    let Value::Scalar(word) = &node.value else { return };
    if word.is_null() || word.is_unresolved() {
        return;
    }
    let (key, key_position) = (word.clone(), node.position);
    let value = Node::empty_mapping(key_position);
    node.value = Value::Mapping(vec![Entry { key, key_position, value }]);
}
