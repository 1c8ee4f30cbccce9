//! Brings the state of a partition to where the group's committed positions are.
//!
//! The store is at some commit, or empty; the changelog has what came after. The bound of the read is the true end of
//! the changelog: the end that committed readers see may lie below commits of another owner while a dead one's
//! transaction is open, and stopping there would silently resume on old state. That nothing is missing is proven by
//! the last marker: it carries the sequence number that stands beside the group's committed positions.

mod progress;

use std::time::Duration;

use dbintel_bus::{Bus, BusError, Committed, Isolation, Offsets, Position, ReaderSpec, Receive, Record, Start};

use super::changelog::{self, Change, ChangelogError, Marker};
use super::clock;
use super::store::{Place, Slice, Staged, Store, StoreBatch, StoreError, TableId};

pub use self::progress::Progress;

/// Longest wait without a further record of the changelog: longer than any transaction may stay open.
const WAIT_MAX: Duration = Duration::from_secs(90);

/// Bytes of changes that go to the store at once, if nothing else is said: what is in memory for each restore.
pub const BATCH_BYTES: usize = 8 << 20;

/// How often a restore says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A state that belongs to positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// End of the last commit; all zero for a new task.
    pub marker: Marker,
    /// Offset after it in the changelog.
    pub changelog_next: i64,
    /// Where to read each input topic of the group, in the group's order.
    pub positions: Vec<Position>,
}

/// A state could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The log failed; it is worth trying again.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The changelog holds something that is not a changelog record.
    #[error("{changelog} partition {partition} offset {offset}: {source}")]
    Changelog {
        /// Topic.
        changelog: String,
        /// Partition.
        partition: u32,
        /// Offset.
        offset: i64,
        /// What is wrong.
        source: ChangelogError,
    },
    /// The changelog could not be read to its end in time.
    #[error(
        "{changelog} partition {partition}: only read up to offset {reached} of {end}; an open transaction may hold the rest back"
    )]
    Incomplete {
        /// Topic.
        changelog: String,
        /// Partition.
        partition: u32,
        /// Offset reached.
        reached: i64,
        /// Offset wanted.
        end: i64,
    },
    /// The changelog comes from a cluster with other offsets.
    #[error(
        "{changelog} partition {partition} names offsets that are not there: it was copied from another cluster, or its inputs were made anew; stop the \
         processors; `dbintel group seek --to TIME` says what it means to go on at a place of this cluster, and does it with --yes"
    )]
    Copied {
        /// Topic.
        changelog: String,
        /// Partition.
        partition: u32,
    },
    /// State and positions do not belong together, in a way that reading again does not mend.
    #[error(
        "partition {partition}: the state is at commit {state} and the group's positions at commit {positions}; \
         stop the processors; `dbintel group seek --to state` says what it means to go on where the state is, and does it \
         with --yes"
    )]
    Apart {
        /// Partition.
        partition: u32,
        /// Commit of the last marker.
        state: u64,
        /// Commit beside the positions.
        positions: u64,
    },
}

/// What is to be restored.
pub struct Restore<'a> {
    /// The log.
    pub bus: &'a dyn Bus,
    /// Full name of the changelog.
    pub changelog: &'a str,
    /// Partition.
    pub partition: u32,
    /// Full names of the group's input topics.
    pub topics: &'a [String],
    /// Committed positions of the partition.
    pub committed: &'a [Committed],
    /// Bytes of changes that go to the store at once.
    pub batch_bytes: usize,
    /// Where it is said how far it has come.
    pub progress: &'a Progress,
}

/// Text beside a committed position: the commit, and from where to restore.
pub fn metadata(marker: &Marker) -> String {
    format!("{}:{}", marker.commit_seq, marker.checkpoint.restore_from)
}

/// The commit that committed positions of one partition belong to; 0 when there is none.
pub fn committed_seq<'a>(committed: impl IntoIterator<Item = &'a Committed>) -> u64 {
    let marks = committed.into_iter().filter_map(|position| parse_metadata(&position.metadata));
    marks.map(|(commit_seq, _)| commit_seq).max().unwrap_or(0)
}

fn parse_metadata(text: &str) -> Option<(u64, i64)> {
    let (commit_seq, restore_from) = text.split_once(':')?;
    Some((commit_seq.parse().ok()?, restore_from.parse().ok()?))
}

/// The last commit of a partition that its changelog holds, and where it ends; none if there was none.
pub fn last_commit(bus: &dyn Bus, changelog: &str, partition: u32) -> Result<Option<Place>, RestoreError> {
    let restore = Restore {
        bus,
        changelog,
        partition,
        topics: &[],
        committed: &[],
        batch_bytes: BATCH_BYTES,
        progress: &Progress::default(),
    };
    let place = restore.catch_up(&Nowhere)?.0;
    Ok((place.marker.commit_seq > 0).then_some(place))
}

/// A store that keeps nothing, for reading a changelog without restoring it.
struct Nowhere;

impl Store for Nowhere {
    fn get(&self, _: TableId, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn write(&self, _: &StoreBatch, _: &Place) -> Result<(), StoreError> {
        Ok(())
    }

    fn place(&self) -> Result<Option<Place>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: &[u8], _: usize) -> Result<Slice, StoreError> {
        Ok(Slice::default())
    }

    fn persist(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn note(&self) -> Option<Vec<u8>> {
        None
    }

    fn set_note(&self, _: &[u8]) {}

    fn wipe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Restore<'_> {
    /// Restores into the store. A store that does not fit the changelog is wiped and filled anew.
    pub fn run(&self, store: &dyn Store) -> Result<Restored, RestoreError> {
        let restored = self.bring_up(store);
        self.progress.ended(self.partition);
        restored
    }

    fn bring_up(&self, store: &dyn Store) -> Result<Restored, RestoreError> {
        let wanted = committed_seq(self.committed);
        let (mut state, fits) = self.catch_up(store)?;
        if state.marker.commit_seq < wanted || !fits {
            tracing::warn!(
                partition = self.partition,
                state = state.marker.commit_seq,
                wanted,
                fits,
                "the state on disk does not fit the changelog, or is behind the group's positions; filling it anew"
            );
            store.wipe()?;
            (state, _) = self.catch_up(store)?;
        }
        if state.marker.commit_seq != wanted && !self.committed.is_empty() {
            return Err(RestoreError::Apart {
                partition: self.partition,
                state: state.marker.commit_seq,
                positions: wanted,
            });
        }
        if state.is_of_a_copy() || self.lies_beyond(&state.marker)? {
            return Err(self.copied());
        }
        Ok(Restored {
            positions: self.positions(&state.marker),
            changelog_next: state.changelog_next,
            marker: state.marker,
        })
    }

    /// Whether the state would go on, as the group has no positions, behind the end of an input.
    fn lies_beyond(&self, marker: &Marker) -> Result<bool, BusError> {
        for (topic, next_offset) in marker.positions.iter().filter(|_| self.committed.is_empty()) {
            if *next_offset > self.bus.offsets(topic, self.partition)?.end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn copied(&self) -> RestoreError {
        RestoreError::Copied { changelog: self.changelog.to_owned(), partition: self.partition }
    }

    fn marks(&self) -> impl Iterator<Item = (u64, i64)> {
        self.committed.iter().filter_map(|position| parse_metadata(&position.metadata))
    }

    /// The group's positions; those of the marker where the group has none (they expire when a group sleeps for long).
    fn positions(&self, marker: &Marker) -> Vec<Position> {
        let start = |topic: &String| {
            let committed = self.committed.iter().find(|position| position.topic == *topic);
            let marked = marker.positions.iter().find(|(name, _)| name == topic);
            match (committed, marked) {
                (Some(position), _) => Start::Offset(position.next_offset),
                (None, Some((_, next_offset))) => Start::Offset(*next_offset),
                (None, None) => Start::Beginning,
            }
        };
        self.topics
            .iter()
            .map(|topic| Position { topic: topic.clone(), partition: self.partition, start: start(topic) })
            .collect()
    }

    /// Brings the store to the end of the changelog. Gives its place, and whether it is a store of this changelog at all, as far
    /// as can be seen: its last commit is in the changelog, and it had the value of each difference after that.
    fn catch_up(&self, store: &dyn Store) -> Result<(Place, bool), RestoreError> {
        let log = self.bus.offsets(self.changelog, self.partition)?;
        let restore_from = self.marks().map(|(_, restore_from)| restore_from).max().unwrap_or(0);
        if restore_from > log.end {
            return Err(self.copied());
        }
        let place = self.usable_place(store, &log)?;
        let from = place.as_ref().map_or(restore_from.max(log.start), |place| place.changelog_next - 1);
        let expected = place.as_ref().map(|place| place.marker.clone());
        let refilled = place.is_none();
        let mut replay = Replay {
            store,
            staged: Staged::default(),
            place: place.unwrap_or(Place { changelog_next: from, marker: Marker::default() }),
            batch_bytes: self.batch_bytes,
            expected,
            refilled,
            position: from,
            failure: None,
        };
        self.read_to(log.end, &mut replay)?;
        if replay.expected.is_some() {
            return Ok((replay.place, false));
        }
        replay.write(true)?;
        let Marker { commit_seq, checkpoint, .. } = &replay.place.marker;
        if refilled && *commit_seq > 0 && checkpoint.restore_from < from {
            tracing::error!(
                changelog = self.changelog,
                partition = self.partition,
                begins_at = from,
                needed_from = checkpoint.restore_from,
                "the beginning of the changelog was deleted, and the state in it is lost: statements begin with a baseline \
                 again; give the topic unlimited retention"
            );
        }
        let fits = refilled || replay.staged.without_value == 0;
        Ok((replay.place, fits))
    }

    /// The store's place, if the changelog can carry on from there; otherwise the store is emptied.
    fn usable_place(&self, store: &dyn Store, log: &Offsets) -> Result<Option<Place>, StoreError> {
        let place = store.place()?;
        let usable = place.as_ref().is_none_or(|place| place.lies_in(log));
        if usable {
            return Ok(place);
        }
        tracing::warn!(partition = self.partition, "the state on disk does not fit the changelog; filling it anew");
        store.wipe()?;
        Ok(None)
    }

    fn read_to(&self, end: i64, replay: &mut Replay<'_>) -> Result<(), RestoreError> {
        if replay.position >= end {
            return Ok(());
        }
        let start = Start::Offset(replay.position);
        let partitions = vec![Position { topic: self.changelog.to_owned(), partition: self.partition, start }];
        let mut reader = self.bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
        let (from, mut told, mut moved) = (replay.position, clock::now(), clock::now());
        while replay.position < end {
            let before = replay.position;
            reader.read(Duration::from_millis(100), 1000, replay)?;
            let percent = self.progress.at(self.partition, from, replay.position, end);
            let now = clock::now();
            if now - told >= TELL_EVERY {
                tracing::info!(changelog = self.changelog, partition = self.partition, percent, "restoring state");
                told = now;
            }
            match replay.failure.take() {
                None => {}
                Some(Failure::Foreign) => return Ok(()),
                Some(Failure::Store(error)) => return Err(error.into()),
                Some(Failure::Changelog(offset, source)) => {
                    let (changelog, partition) = (self.changelog.to_owned(), self.partition);
                    return Err(RestoreError::Changelog { changelog, partition, offset, source });
                }
            }
            if replay.position > before {
                moved = now;
            } else if now - moved > WAIT_MAX {
                let (changelog, reached) = (self.changelog.to_owned(), replay.position);
                return Err(RestoreError::Incomplete { changelog, partition: self.partition, reached, end });
            }
        }
        Ok(())
    }
}

/// What a changelog record ends.
fn marker_of(record: &Record<'_>) -> Option<Marker> {
    let marker = changelog::read(record.value?, |_, _, _| {}).ok()??;
    Some(marker.ends_at(record.offset + 1))
}

/// Applies changelog records to a store.
struct Replay<'a> {
    store: &'a dyn Store,
    staged: Staged,
    batch_bytes: usize,
    place: Place,
    /// Marker of the store's last commit, until it was found in the changelog. A store of another partition or another cluster
    /// may well be at an offset that this changelog has.
    expected: Option<Marker>,
    /// The store was empty: the checkpoint fills it.
    refilled: bool,
    position: i64,
    failure: Option<Failure>,
}

enum Failure {
    /// The store's last commit is not where it should be.
    Foreign,
    Store(StoreError),
    /// At this offset.
    Changelog(i64, ChangelogError),
}

impl Replay<'_> {
    /// Brings what is staged to the store. One that is being filled from nothing has no place before it has everything: after a
    /// crash it is filled from nothing again.
    fn write(&mut self, has_everything: bool) -> Result<(), StoreError> {
        let batch = self.staged.batch(self.store)?;
        let nowhere = Place::default();
        self.store.write(&batch, if has_everything { &self.place } else { &nowhere })
    }

    fn apply(&mut self, part: &[u8], offset: i64) -> Result<Option<Marker>, Failure> {
        let (staged, refilled) = (&mut self.staged, self.refilled);
        let take = |table, key: &[u8], change: Change<'_>| {
            if refilled || !matches!(change, Change::Rewritten(_)) {
                staged.take(table, key, change);
            }
        };
        changelog::read(part, take).map_err(|error| Failure::Changelog(offset, error))
    }
}

impl Receive for Replay<'_> {
    fn record(&mut self, record: Record<'_>) {
        self.position = self.position.max(record.offset + 1);
        if self.failure.is_some() {
            return;
        }
        if let Some(expected) = &self.expected {
            match marker_of(&record) {
                Some(marker) if marker == *expected && record.offset == self.place.changelog_next - 1 => {
                    self.expected = None
                }
                _ => self.failure = Some(Failure::Foreign),
            }
            return;
        }
        match self.apply(record.value.unwrap_or_default(), record.offset) {
            Ok(None) => {}
            Ok(Some(marker)) => {
                let marker = marker.ends_at(record.offset + 1);
                self.place = Place { changelog_next: record.offset + 1, marker };
                // Only whole commits: a difference that is read again after a crash would be applied twice.
                if self.staged.bytes() >= self.batch_bytes {
                    self.failure = self.write(!self.refilled).err().map(Failure::Store);
                }
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, next_offset: i64) {
        self.position = self.position.max(next_offset);
    }
}
