//! Looks through everything that the product leaves behind for what must not be there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Record, Start};
use dbintel_processors::engine::store::{RocksStore, Store as _, StoreMemory};
use dbintel_tests::wait;

use crate::cli_rig::{LIMIT, text};

/// Bytes of state that are read at once.
const SCAN_BYTES: usize = 1 << 20;
/// Bytes that are shown behind what was found, to tell which one it is.
const SHOWN_BYTES: usize = 12;

/// What was looked for and where it was found.
pub(crate) struct Search<'w> {
    words: &'w [&'w str],
    /// How many places were looked at.
    pub(crate) places: usize,
    /// What was found, and where.
    pub(crate) found: Vec<String>,
}

impl<'w> Search<'w> {
    /// For these words, in any case.
    pub(crate) fn new(words: &'w [&'w str]) -> Self {
        Search { words, places: 0, found: Vec::new() }
    }

    /// Looks at some bytes.
    pub(crate) fn look(&mut self, place: &str, bytes: &[u8]) {
        self.places += 1;
        for word in self.words {
            if let Some(at) = find(bytes, word.as_bytes()) {
                let shown = &bytes[at..bytes.len().min(at + word.len() + SHOWN_BYTES)];
                self.found.push(format!("{} in {place}", shown.escape_ascii()));
            }
        }
    }

    /// Looks at all files below a folder that are chosen.
    pub(crate) fn files(&mut self, folder: &Path, is_chosen: impl Fn(&Path) -> bool + Copy) {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for path in paths.filter(|path| is_chosen(path)) {
            if path.is_dir() {
                self.files(&path, is_chosen);
            } else {
                self.look(text(&path), &fs::read(&path).unwrap());
            }
        }
    }

    /// Looks at every record of every topic that is chosen, keys and aborted ones too: blocks are compressed in the files. Gives their number.
    pub(crate) fn log(&mut self, directory: &Path, is_chosen: impl Fn(&str) -> bool) -> usize {
        let log = Embedded::open(&Config { directory: directory.to_owned(), ..Config::default() }).unwrap();
        let mut records = 0;
        for topic in log.describe_topics("").unwrap().into_iter().filter(|topic| is_chosen(&topic.name)) {
            let end = log.offsets(&topic.name, 0).unwrap().end;
            let partitions = vec![Position { topic: topic.name.clone(), partition: 0, start: Start::Beginning }];
            let mut reader = log.reader(&ReaderSpec { partitions, isolation: Isolation::Uncommitted }).unwrap();
            let mut next = log.offsets(&topic.name, 0).unwrap().start;
            wait::blocking(LIMIT, &format!("the end of {}", topic.name), || {
                let mut look = |record: Record<'_>| {
                    let place = format!("{} offset {}", topic.name, record.offset);
                    self.look(&place, record.key.unwrap_or_default());
                    self.look(&place, record.value.unwrap_or_default());
                    (next, records) = (record.offset + 1, records + 1);
                };
                let read = reader.read(Duration::from_millis(100), 1000, &mut look).unwrap();
                (next >= end || read == 0).then_some(())
            });
        }
        records
    }

    /// Looks at every key and value of every store of the processors below a folder. Gives their number.
    pub(crate) fn state(&mut self, folder: &Path) -> usize {
        let memory = StoreMemory::new(8 << 20);
        let mut entries = 0;
        for directory in stores(folder) {
            let store = RocksStore::open(&directory, &memory).unwrap();
            let mut cursor = Vec::new();
            loop {
                let found = store.scan(&cursor, SCAN_BYTES).unwrap();
                let Some(last) = found.last_key() else { break };
                cursor = last.to_vec();
                entries += found.len();
                for (key, value) in found.iter() {
                    self.look(text(&directory), &[key, value].concat());
                }
            }
        }
        entries
    }
}

fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))
}

/// Databases below the folder, but for the log.
fn stores(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.is_dir() && path.file_name().unwrap() != "log");
    let below = |path: PathBuf| if path.join("CURRENT").exists() { vec![path] } else { stores(&path) };
    folders.flat_map(below).collect()
}
