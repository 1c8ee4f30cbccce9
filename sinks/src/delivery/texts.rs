//! The dictionary of statement texts: read from the compacted topic `enriched.texts`, outside of the group, and kept in
//! memory within bounds. A statement that is not in it has no text; nothing waits for one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use dbintel_bus::{BusError, Isolation, Position, Reader, ReaderSpec, Receive, Record, Start, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{EnrichedQuery, EnrichedText};

use super::decoder::{Decoder, Lookup, Sources};
use crate::clock;

/// Texts that are kept, in bytes. Past it the ones that came first are forgotten.
const TEXTS_BYTES_MAX: usize = 16 << 20;
/// A longer text is cut, at a character.
pub const TEXT_BYTES_MAX: usize = 16 << 10;
/// What an entry costs besides its text.
const ENTRY_BYTES: usize = 96;
/// Longest time to read the dictionary when it is opened; the rest comes with the rows.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a record meanwhile.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// Records taken from the topic at once.
const READ_RECORDS_MAX: usize = 1000;

/// Identity of a statement within the fleet, as its server counts it.
pub type StatementKey = [u8; 16];
/// Identity of a text within the fleet: of a target and a fingerprint.
type TextKey = [u8; 16];

/// The texts of statements.
#[derive(Default)]
pub struct Texts {
    source: Option<Source>,
    dictionary: Dictionary,
    /// The topic was read to its end since the last poll: a text that is missing now is not there yet.
    caught_up: bool,
}

struct Source {
    reader: Box<dyn Reader>,
    decoder: Decoder,
    /// Partitions that were read to their end once.
    ended: HashSet<u32>,
    /// Values that were read while it could not be found out how to decode them; what comes after one waits too.
    undecoded: VecDeque<Vec<u8>>,
}

#[derive(Default)]
struct Dictionary {
    known: HashMap<TextKey, Option<Box<str>>>,
    order: VecDeque<TextKey>,
    bytes: usize,
}

impl Texts {
    /// Reads the texts of these partitions from the beginning to where they end now, for a bounded time.
    pub fn open(sources: &Sources, partitions: &[u32]) -> Result<Texts, BusError> {
        let mut texts = Texts::default();
        if partitions.is_empty() {
            return Ok(texts);
        }
        let at_start = |partition: &u32| Position {
            topic: topic_name(Topic::EnrichedTexts),
            partition: *partition,
            start: Start::Beginning,
        };
        let count = partitions.len();
        let partitions = partitions.iter().map(at_start).collect();
        let reader = sources.bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
        let (ended, undecoded) = (HashSet::new(), VecDeque::new());
        texts.source = Some(Source { reader, decoder: Decoder::new(sources.clone()), ended, undecoded });
        let started = clock::now();
        while texts.ended() < count && clock::now().duration_since(started) < OPEN_LIMIT {
            texts.read(READ_TIMEOUT)?;
        }
        Ok(texts)
    }

    /// Reads some of what arrived since the last call, without waiting.
    pub fn refresh(&mut self) -> Result<(), BusError> {
        self.caught_up = false;
        self.read(Duration::ZERO).map(|_| ())
    }

    /// The text of a statement, if it is known and not withheld. At the first statement of a poll that is not found, the
    /// topic is read to its end: texts are written before the rows that need them.
    pub fn find(&mut self, target: &str, fingerprint: Option<&str>) -> Option<&str> {
        let key = text_key(target, fingerprint?);
        if !self.caught_up && self.source.is_some() && !self.dictionary.known.contains_key(&key) {
            self.caught_up = true;
            while matches!(self.read(Duration::ZERO), Ok(READ_RECORDS_MAX)) {}
        }
        self.dictionary.known.get(&key)?.as_deref()
    }

    /// Remembers a text; none when it is withheld.
    pub fn insert(&mut self, target: &str, fingerprint: &str, text: Option<&str>) {
        self.dictionary.insert(text_key(target, fingerprint), text);
    }

    /// Partitions that were read to their end.
    fn ended(&self) -> usize {
        self.source.as_ref().map_or(0, |source| source.ended.len())
    }

    fn read(&mut self, timeout: Duration) -> Result<usize, BusError> {
        let Some(Source { reader, decoder, ended, undecoded }) = &mut self.source else { return Ok(0) };
        let mut intake = Intake { decoder, ended, undecoded, dictionary: &mut self.dictionary };
        intake.catch_up()?;
        let count = reader.read(timeout, READ_RECORDS_MAX, &mut intake)?;
        intake.catch_up().map(|()| count)
    }
}

/// Takes what a read brings.
struct Intake<'t> {
    decoder: &'t mut Decoder,
    ended: &'t mut HashSet<u32>,
    undecoded: &'t mut VecDeque<Vec<u8>>,
    dictionary: &'t mut Dictionary,
}

impl Intake<'_> {
    /// Takes what waits for its schema.
    fn catch_up(&mut self) -> Result<(), BusError> {
        while let Some(value) = self.undecoded.pop_front() {
            if let Lookup::Unavailable(message) = self.take(&value) {
                self.undecoded.push_front(value);
                return Err(BusError::Unavailable { operation: "look up the schema of a text".to_owned(), message });
            }
        }
        Ok(())
    }

    fn take(&mut self, value: &[u8]) -> Lookup {
        let lookup = self.decoder.prepare(value);
        if !matches!(lookup, Lookup::Unavailable(_)) {
            match self.decoder.decode::<EnrichedText<'_>>(value) {
                Ok(text) => {
                    let key = text.fingerprint.map(|fingerprint| text_key(text.target, fingerprint));
                    key.into_iter().for_each(|key| self.dictionary.insert(key, text.text));
                }
                Err(error) => tracing::debug!(%error, "a text could not be decoded"),
            }
        }
        lookup
    }
}

impl Receive for Intake<'_> {
    fn record(&mut self, record: Record<'_>) {
        let Some(value) = record.value else { return };
        if !self.undecoded.is_empty() || matches!(self.take(value), Lookup::Unavailable(_)) {
            self.undecoded.push_back(value.to_vec());
        }
    }

    fn at_end(&mut self, _topic: usize, partition: u32, _next_offset: i64) {
        self.ended.insert(partition);
    }
}

impl Dictionary {
    fn insert(&mut self, key: TextKey, text: Option<&str>) {
        let text = text.map(|text| Box::from(cut(text, TEXT_BYTES_MAX)));
        self.bytes += cost(&text);
        match self.known.insert(key, text) {
            Some(previous) => self.bytes -= cost(&previous),
            None => self.order.push_back(key),
        }
        while self.bytes > TEXTS_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(text) = self.known.remove(&oldest)
        {
            self.bytes -= cost(&text);
        }
    }
}

/// Identity of the statement of a row.
pub fn statement_key(query: &EnrichedQuery<'_>) -> StatementKey {
    let toplevel = match query.toplevel {
        None => "",
        Some(false) => "f",
        Some(true) => "t",
    };
    hash128(&[query.target, query.database_id, query.user_id, query.query_id, toplevel].map(str::as_bytes))
}

fn text_key(target: &str, fingerprint: &str) -> TextKey {
    hash128(&[target, fingerprint].map(str::as_bytes))
}

fn cost(text: &Option<Box<str>>) -> usize {
    ENTRY_BYTES + text.as_ref().map_or(0, |text| text.len())
}

/// At most this many bytes of a text, ending at a character.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max.min(text.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_belongs_to_one_statement_of_a_target_and_the_newest_wins() {
        let mut texts = Texts::default();
        texts.insert("a", "1", Some("select 1"));
        texts.insert("a", "2", None);
        assert_eq!(texts.find("a", Some("1")), Some("select 1"));
        assert_eq!(texts.find("b", Some("1")), None);
        assert_eq!(texts.find("a", Some("2")), None);
        assert_eq!(texts.find("a", None), None);
        texts.insert("a", "1", Some("select $1"));
        assert_eq!(texts.find("a", Some("1")), Some("select $1"));
    }

    #[test]
    fn the_dictionary_forgets_the_oldest_text_when_it_is_full() {
        let mut texts = Texts::default();
        let long = "x".repeat(TEXT_BYTES_MAX + 5);
        let keys: Vec<TextKey> = (0..2000u32).map(|index| hash128(&[&index.to_le_bytes()])).collect();
        for key in &keys {
            texts.dictionary.insert(*key, Some(&long));
        }
        assert!(
            texts.dictionary.bytes <= TEXTS_BYTES_MAX && texts.dictionary.bytes > TEXTS_BYTES_MAX / 2,
            "{}",
            texts.dictionary.bytes
        );
        assert_eq!(texts.dictionary.known.len(), texts.dictionary.order.len());
        assert!(!texts.dictionary.known.contains_key(&keys[0]));
        assert_eq!(texts.dictionary.known[&keys[1999]].as_deref().map(str::len), Some(TEXT_BYTES_MAX));
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!([cut("aé", 2), cut("aé", 3), cut("aé", 9)], ["a", "aé", "aé"]);
    }
}
