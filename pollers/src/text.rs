//! Texts of statements: what of them leaves the server, and as which statement they are known.
//!
//! Each text goes through `dbintel_sqltext` before it is published, so that no literal reaches the bus. Only a target with
//! `text: raw` keeps the text as it was sent beside it, for the topic `raw.verbatim` and nothing else.

use dbintel_config::Section;
use dbintel_sqltext::partial::{self, Found};
use dbintel_sqltext::{Dialect, Fingerprint, Normalizer, Options, Statement, Traceparent};

/// Longest beginning of a text that is read, in bytes; a longer one counts as cut.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Most bytes that a target's known statements take, for the search by prefix.
const KNOWN_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The server did not give a text: no privilege, or the entry is gone.
pub const UNAVAILABLE: &str = "unavailable";

/// Reasons for which a text, or a part of it, is hidden; for metrics that exist from the start.
pub fn withheld_reasons() -> impl Iterator<Item = &'static str> {
    dbintel_sqltext::Withheld::ALL.iter().map(|reason| reason.name()).chain([UNAVAILABLE])
}

/// What is published of the texts of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TextConfig {
    /// Beside the normalised text, the text as it was sent, with its literals.
    pub raw: bool,
    /// How texts are normalised.
    pub options: Options,
}

impl TextConfig {
    /// Reads the keys of a poller's section.
    pub fn read(section: &mut Section) -> TextConfig {
        let text = section.doc(
            "What is published of texts of statements: without literals, or also as they were sent (raw.verbatim).",
        );
        let raw = text.choice("text", &["normalised", "raw"], "normalised") == "raw";
        if raw {
            section.warning(
                "text",
                "statements are published with their literals, passwords among them, to raw.verbatim: let nobody read it \
                 who may not read the database",
            );
        }
        let generalise_names = section
            .doc("Names of temporary tables, partitions and shards that differ in digits alone are one name.")
            .boolean("generalise_names", false);
        TextConfig { raw, options: Options { generalise_names } }
    }
}

/// How the identity of a statement was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// By its whole text.
    Text,
    /// It is the only known statement that begins like the text, which is cut.
    Prefix,
    /// The text is not whole: this identity is never that of a whole one.
    Partial,
}

impl Source {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Source::Text => "text",
            Source::Prefix => "prefix",
            Source::Partial => "partial",
        }
    }
}

/// What is known of a statement from its text. The fields are those of the records, documented in `raw.texts.avsc` and
/// `raw.sessions.avsc`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementText {
    /// The normalised text; none if there is nothing to show.
    pub text: Option<String>,
    /// The identity; none if there is no text.
    pub fingerprint: Option<(Fingerprint, Source)>,
    pub verb: &'static str,
    pub tables: Vec<String>,
    pub tables_certain: bool,
    pub truncated: bool,
    pub withheld: Option<&'static str>,
    pub traceparent: Option<Traceparent>,
    pub tags: Vec<(&'static str, String)>,
    /// Length of the text on the server in bytes, as far as it was read.
    pub length: i64,
    /// The text as it was sent, where the target asks for it.
    pub verbatim: Option<Box<str>>,
}

impl StatementText {
    /// There is no text, and why.
    pub fn withheld(reason: &'static str) -> StatementText {
        StatementText { withheld: Some(reason), ..StatementText::default() }
    }
}

/// Reads the texts of one target.
#[derive(Debug)]
pub struct TextReader {
    normalizer: Normalizer,
    keeps_verbatim: bool,
    known: Option<KnownStatements>,
}

impl TextReader {
    /// A reader that knows no statement yet.
    pub fn new(dialect: Dialect, options: Options, keeps_verbatim: bool) -> TextReader {
        TextReader { normalizer: Normalizer::new(dialect, options), keeps_verbatim, known: None }
    }

    /// Remembers the statements that it reads, to find those that cut texts come from; or no longer.
    pub fn remember(&mut self, remember: bool) {
        if self.known.is_some() != remember {
            self.known = remember.then(KnownStatements::default);
        }
    }

    /// Forgets the statements.
    pub fn forget(&mut self) {
        if let Some(known) = &mut self.known {
            *known = KnownStatements::default();
        }
    }

    /// Reads a text of the statistics of statements. `is_cut`: the server, or we, have cut it for certain.
    pub fn statement(&mut self, text: &[u8], is_cut: bool) -> StatementText {
        let statement = read(&mut self.normalizer, text, is_cut);
        if let Some(known) = self.known.as_mut().filter(|_| statement.is_whole()) {
            known.add(&statement);
        }
        found(&statement, None, text, self.keeps_verbatim)
    }

    /// Reads the text of a session. A cut one is that of the only known statement that begins like it, if there is one.
    pub fn session(&mut self, text: &[u8], is_cut: bool) -> StatementText {
        let statement = read(&mut self.normalizer, text, is_cut);
        let known = self.known.as_mut().filter(|_| statement.cut).and_then(|known| known.find(statement.canonical));
        found(&statement, known, text, self.keeps_verbatim)
    }
}

fn read<'n>(normalizer: &'n mut Normalizer, text: &[u8], is_cut: bool) -> Statement<'n> {
    let beginning = &text[..text.len().min(TEXT_BYTES_MAX)];
    if is_cut || beginning.len() < text.len() {
        normalizer.normalize_cut(beginning)
    } else {
        normalizer.normalize(beginning)
    }
}

fn found(statement: &Statement<'_>, known: Option<Fingerprint>, sent: &[u8], keeps_verbatim: bool) -> StatementText {
    let own = if statement.is_whole() { Source::Text } else { Source::Partial };
    let is_empty = statement.canonical.is_empty() && statement.withheld.is_none();
    let fingerprint = known.map(|known| (known, Source::Prefix)).unwrap_or((statement.fingerprint, own));
    StatementText {
        text: (!statement.text.is_empty()).then(|| statement.text.to_owned()),
        fingerprint: (!is_empty).then_some(fingerprint),
        verb: statement.verb,
        tables: statement.tables().map(str::to_owned).collect(),
        tables_certain: statement.tables_certain,
        truncated: statement.cut,
        withheld: statement.withheld.map(dbintel_sqltext::Withheld::name),
        traceparent: statement.traceparent,
        tags: statement.tags().map(|tag| (tag.key, tag.value.to_owned())).collect(),
        length: i64::try_from(sent.len()).unwrap_or(i64::MAX),
        verbatim: keeps_verbatim.then(|| verbatim(sent)),
    }
}

fn verbatim(sent: &[u8]) -> Box<str> {
    String::from_utf8_lossy(&sent[..sent.len().min(TEXT_BYTES_MAX)]).into()
}

/// Whole statements of one target, to find the one that a cut text comes from.
#[derive(Debug, Default)]
struct KnownStatements {
    canonicals: Vec<Box<[u8]>>,
    fingerprints: Vec<Fingerprint>,
    /// Not sorted in yet.
    new: Vec<(Box<[u8]>, Fingerprint)>,
    bytes: usize,
}

impl KnownStatements {
    fn add(&mut self, statement: &Statement<'_>) {
        if self.is_full() || statement.canonical.len() < partial::PREFIX_BYTES_MIN {
            return;
        }
        self.bytes += statement.canonical.len() + size_of::<(Box<[u8]>, Fingerprint)>();
        self.new.push((statement.canonical.into(), statement.fingerprint));
    }

    /// When not all statements are known, nobody can say that one is the only one.
    fn is_full(&self) -> bool {
        self.bytes > KNOWN_BYTES_MAX
    }

    fn find(&mut self, prefix: &[u8]) -> Option<Fingerprint> {
        self.sort_in();
        match partial::find(&self.canonicals, prefix) {
            Found::One(place) if !self.is_full() => self.fingerprints.get(place).copied(),
            _ => None,
        }
    }

    fn sort_in(&mut self) {
        if self.new.is_empty() {
            return;
        }
        let canonicals = std::mem::take(&mut self.canonicals).into_iter();
        let mut all: Vec<_> = canonicals.zip(std::mem::take(&mut self.fingerprints)).collect();
        all.append(&mut self.new);
        all.sort_unstable();
        all.dedup();
        self.bytes = all.iter().map(|(canonical, _)| canonical.len() + size_of::<(Box<[u8]>, Fingerprint)>()).sum();
        (self.canonicals, self.fingerprints) = all.into_iter().unzip();
    }
}

#[cfg(test)]
mod tests;
