//! The tree of a configuration file: nodes that remember where they were written.
//!
//! Scalars are text; what type they are is decided by the component that asks for them. A scalar
//! whose text came from a variable or a file remembers how it was written, and is never shown
//! otherwise, neither in a message nor in the printed configuration. `Debug` shows no text at all.

use std::borrow::Cow;
use std::fmt;

use crate::secret::MASK;

/// A place in a file: line and column, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// The first character of a file.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

/// A value of the file and the place where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where it begins. A value that came through an alias has the place of its anchor.
    pub position: Position,
}

/// The three shapes a value can have.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text, a number, a boolean or nothing.
    Scalar(Scalar),
    /// A list, in the order of the file.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file; no key stands twice.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key; always a scalar.
    pub key: Scalar,
    /// Where the key begins.
    pub key_position: Position,
    /// What stands under the key.
    pub value: Node,
}

/// A scalar, after expansion.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    text: String,
    quoted: bool,
    origin: Origin,
}

/// Where the text of a scalar came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Written in the file.
    Literal,
    /// From variables or files; `written` is what the configuration file says.
    Expanded { written: String },
    /// A reference could not be resolved, and that has been reported: no further complaints.
    Unresolved,
}

impl Scalar {
    /// A scalar as the file has it. `quoted` also covers block scalars (`|`, `>`).
    pub(crate) fn literal(text: String, quoted: bool) -> Scalar {
        Scalar { text, quoted, origin: Origin::Literal }
    }

    /// The same scalar with another text, and where that came from.
    pub(crate) fn with(self, text: String, origin: Origin) -> Scalar {
        Scalar { text, origin, ..self }
    }

    /// The text. It may be secret: see [`Scalar::shown`] for what can be printed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as it can be printed: a reference such as `${env:PASSWORD}` stays a reference.
    pub fn shown(&self) -> &str {
        self.written().unwrap_or(&self.text)
    }

    /// What the file says, if the text came from variables or files.
    pub(crate) fn written(&self) -> Option<&str> {
        match &self.origin {
            Origin::Expanded { written } => Some(written),
            Origin::Literal | Origin::Unresolved => None,
        }
    }

    /// Nothing was written, or one of YAML's words for it.
    pub fn is_null(&self) -> bool {
        let says_nothing = matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        says_nothing && !self.quoted && self.origin == Origin::Literal
    }

    /// What this counts towards [`crate::NODES_MAX`]: a long text counts more than a short one.
    pub(crate) fn nodes(&self) -> usize {
        1 + self.text.len() / BYTES_PER_NODE
    }

    pub(crate) fn is_unresolved(&self) -> bool {
        self.origin == Origin::Unresolved
    }

    /// `<<`, written without quotes: the merge key.
    pub(crate) fn is_merge_key(&self) -> bool {
        self.text == "<<" && !self.quoted
    }
}

/// Without the text: any scalar may be a secret, also one that is written in the file.
impl fmt::Debug for Scalar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scalar(…)")
    }
}

impl Node {
    /// A mapping without entries.
    pub(crate) fn empty_mapping(position: Position) -> Node {
        Node { value: Value::Mapping(Vec::new()), position }
    }

    /// What this tree counts towards [`crate::NODES_MAX`], and how deep it is (a scalar is 1).
    pub(crate) fn measure(&self) -> (usize, usize) {
        let (mut nodes, mut depth) = (1, 0);
        let mut add = |child: &Node| {
            let (child_nodes, child_depth) = child.measure();
            nodes += child_nodes;
            depth = depth.max(child_depth);
        };
        match &self.value {
            Value::Scalar(scalar) => return (scalar.nodes(), 1),
            Value::Sequence(items) => items.iter().for_each(add),
            Value::Mapping(entries) => {
                entries.iter().for_each(|entry| add(&entry.value));
                nodes += entries.iter().map(|entry| entry.key.nodes()).sum::<usize>();
            }
        }
        (nodes, depth + 1)
    }

    /// What this is, for "expected …, found …".
    pub(crate) fn described(&self) -> String {
        match &self.value {
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
            Value::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Value::Scalar(scalar) => match scalar.written() {
                Some(written) => format!("what `{}` gives", shortened(&without_credentials(written))),
                None => format!("`{}`", shortened(&without_credentials(scalar.text()))),
            },
        }
    }

    /// What this is where a mapping should be. Text is not quoted: it may be the secret that belongs into the mapping.
    pub(crate) fn described_without_text(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) if !scalar.is_null() && scalar.written().is_none() => "text".to_owned(),
            _ => self.described(),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    pub(crate) fn is_unresolved(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_unresolved())
    }
}

/// Text of more than this many bytes counts as several nodes.
const BYTES_PER_NODE: usize = 1024;

/// At most this many characters of a value are quoted in a message.
const QUOTED_CHARACTERS_MAX: usize = 60;

/// The text with `****` for the user name and password of each address in it: `https://user:password@host`.
pub(crate) fn without_credentials(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(scheme) = shown[from..].find("://") {
        from += scheme + "://".len();
        let authority = shown[from..].split(['/', '?', '#', '"', '\'', ' ', '\n']).next().unwrap_or_default();
        if let Some(at) = authority.rfind('@') {
            shown.to_mut().replace_range(from..from + at, MASK);
        }
    }
    shown
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(QUOTED_CHARACTERS_MAX).collect();
    if short.len() == text.len() { short } else { format!("{short}…") }
}
