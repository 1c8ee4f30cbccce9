//! Records that kill the process. A panic is caught; an abort, a stack that overflows or a system that runs out of memory is
//! not, and after a restart the same record comes again.
//!
//! Beside the store lies a note: how often the task was started at the same commit without an orderly end, and at which record
//! it was when it died. The first start looks at nothing. From the second on, the task says before each record that it comes
//! to it, until a commit is made. A record at which two such starts ended goes to quarantine unread; that is remembered until
//! the task is past it, since the next such record may come before the next commit.

use std::sync::Arc;

use crate::engine::state::{read_unsigned, write_unsigned};
use crate::engine::store::Store;

/// Starts at one commit from which on each record is noted.
const CAREFUL_FROM: u32 = 2;

/// Deaths at one record after which it is refused.
const DEATHS_MAX: u32 = 2;

/// Records that are remembered.
const BLAMED_MAX: usize = 1000;

const VERSION: u8 = 1;

/// Rank of an input topic, and offset.
pub type Place = (usize, i64);

/// What is known of the starts of a task.
pub struct Attempts {
    store: Arc<dyn Store>,
    note: Note,
    /// Where the last start died, and how often.
    died: Option<(Place, u32)>,
    careful: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Note {
    commit_seq: u64,
    starts: u32,
    /// The record that is being processed, and at how many starts it was the last.
    at: Option<(Place, u32)>,
    /// Records that are to blame.
    blamed: Vec<Place>,
}

impl Attempts {
    /// The task starts at a commit, with these offsets to read next, by the rank of the topic.
    pub fn begin(store: Arc<dyn Store>, commit_seq: u64, positions: &[Option<i64>]) -> Self {
        let last = store.note().as_deref().and_then(Note::decode).unwrap_or_default();
        let starts = if last.commit_seq == commit_seq { last.starts + 1 } else { 1 };
        let mut blamed = last.blamed;
        blamed.extend(last.at.filter(|(_, deaths)| *deaths >= DEATHS_MAX).map(|(place, _)| place));
        let to_come =
            |topic: usize, offset: i64| positions.get(topic).is_some_and(|next| next.is_none_or(|next| offset >= next));
        blamed.retain(|(topic, offset)| to_come(*topic, *offset));
        blamed.truncate(BLAMED_MAX);
        let note = Note { commit_seq, starts, at: None, blamed };
        let attempts = Self { store, note, died: last.at, careful: starts >= CAREFUL_FROM };
        attempts.store.set_note(&attempts.note.encode());
        attempts
    }

    /// The records that are to blame.
    pub fn blamed(&self) -> &[Place] {
        &self.note.blamed
    }

    /// Records go one by one.
    pub fn careful(&self) -> bool {
        self.careful
    }

    /// The task comes to a record.
    pub fn at(&mut self, place: Place) {
        if self.careful {
            let before = self.died.filter(|(died, _)| *died == place).map_or(0, |(_, deaths)| deaths);
            self.note.at = Some((place, before + 1));
            self.store.set_note(&self.note.encode());
        }
    }

    /// It got past the record.
    pub fn past(&mut self) {
        if self.careful {
            self.note.at = None;
            self.store.set_note(&self.note.encode());
        }
    }

    /// A commit was made: there is progress.
    pub fn committed(&mut self) {
        self.careful = false;
    }

    /// The task ends in order.
    pub fn end(&self) {
        self.store.set_note(&Note::default().encode());
    }
}

impl Note {
    /// Version, then numbers: commit, starts, deaths, the place of the record, how many are to blame, and their places. A
    /// shorter note may stand before the rest of a longer one.
    fn encode(&self) -> Vec<u8> {
        let ((topic, offset), deaths) = self.at.unwrap_or_default();
        let mut out = vec![VERSION];
        write_unsigned(&mut out, self.commit_seq);
        let mut number = |number: u64| write_unsigned(&mut out, number);
        [u64::from(self.starts), u64::from(deaths), topic as u64, offset as u64].into_iter().for_each(&mut number);
        number(self.blamed.len() as u64);
        self.blamed
            .iter()
            .for_each(|(topic, offset)| [*topic as u64, *offset as u64].into_iter().for_each(&mut number));
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, mut rest) = bytes.split_first()?;
        let mut number = || read_unsigned(&mut rest);
        let (commit_seq, starts, deaths) = (number()?, number()? as u32, number()? as u32);
        let at = (number()? as usize, number()? as i64);
        let many = number()?.min(BLAMED_MAX as u64);
        let mut blamed = Vec::new();
        for _ in 0..many {
            blamed.push((number()? as usize, number()? as i64));
        }
        (*version == VERSION).then_some(Self { commit_seq, starts, at: (deaths > 0).then_some((at, deaths)), blamed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::MemoryStore;

    const RECORDS: [Place; 4] = [(1, 41), (1, 42), (1, 43), (1, 44)];

    /// A start that dies at the first record among these that it is not told to leave out. Gives those that it is.
    fn die(store: &Arc<MemoryStore>, commit_seq: u64, deadly: &[Place]) -> Vec<Place> {
        let positions = [None, Some(41)];
        let mut attempts = Attempts::begin(Arc::clone(store) as Arc<dyn Store>, commit_seq, &positions);
        for record in RECORDS.into_iter().filter(|record| !attempts.blamed().contains(record)).collect::<Vec<_>>() {
            attempts.at(record);
            if deadly.contains(&record) {
                break;
            }
            attempts.past();
        }
        attempts.blamed().to_vec()
    }

    #[test]
    fn records_are_blamed_after_each_was_the_last_of_two_careful_starts() {
        let store = Arc::default();
        let deadly = [RECORDS[1], RECORDS[3]];
        let blamed: Vec<usize> = (0..7).map(|_| die(&store, 7, &deadly).len()).collect();
        assert_eq!(blamed, [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(die(&store, 7, &deadly), deadly);
        let past = Attempts::begin(store, 8, &[None, Some(44)]);
        assert_eq!(past.blamed(), [RECORDS[3]], "the task is past the first one");
    }

    #[test]
    fn progress_an_orderly_end_and_another_last_record_blame_nobody() {
        let store = Arc::<MemoryStore>::default();
        for commit_seq in [1, 1, 2, 2, 3] {
            assert!(die(&store, commit_seq, &RECORDS[1..2]).is_empty());
        }
        let begin = || Attempts::begin(Arc::clone(&store) as Arc<dyn Store>, 3, &[None, None]);
        let mut careful = begin();
        assert!(careful.careful());
        careful.committed();
        assert!(!careful.careful(), "after a commit all is well");
        careful.end();
        assert!(!begin().careful(), "it had ended in order");
        for offset in 0..5 {
            let mut attempts = begin();
            assert!(attempts.blamed().is_empty());
            attempts.at((0, offset));
        }
    }

    #[test]
    fn notes_read_back_and_others_are_none() {
        let note = Note { commit_seq: 1 << 40, starts: 3, at: Some(((2, -1), 4)), blamed: vec![(0, 5), (4, i64::MAX)] };
        let encoded = note.encode();
        assert_eq!(Note::decode(&[&encoded[..], b"of a longer one"].concat()), Some(note));
        assert_eq!(Note::decode(&Note::default().encode()), Some(Note::default()));
        assert_eq!((Note::decode(&[9; 29]), Note::decode(&encoded[..encoded.len() - 1])), (None, None));
    }
}
