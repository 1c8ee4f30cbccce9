//! The changelog: what a commit changed, packed into few records, so that state can be rebuilt anywhere.
//!
//! One commit of one task writes one or more *parts* of at most [`PART_BYTES_MAX`], in one transaction. The last part
//! ends the commit with a [`Marker`]: the input positions that the state belongs to, and from where the changelog has to
//! be read to rebuild all of it. Besides the changed entries, commits rewrite a slice of the state now and then (the
//! rolling checkpoint); when a cycle of slices has passed over all tables, everything before its start may be deleted.
//!
//! Part: version (1 byte) | commit_seq | entries.
//! Entry: kind (1 byte), then for 0 put: key, value; 1 delete: key; 2 difference: key, [difference](super::state::numbers);
//! 3 table (8 bytes): of the entries that follow; 4 marker: the last entry of the last part; 5 rewritten: key, value.
//! Bytes have their length in front. Numbers are LEB128 varints.

use super::state::{read_unsigned, write_unsigned};
use super::store::{TableId, split_key};

/// Bytes of entries after which a part is closed; well below what topics allow.
pub const PART_BYTES_MAX: usize = 512 * 1024;

const VERSION: u8 = 3;
const PUT: u8 = 0;
const DELETE: u8 = 1;
const DIFFERENCE: u8 = 2;
const TABLE: u8 = 3;
const MARKER: u8 = 4;
const REWRITTEN: u8 = 5;

/// End of a commit in the changelog.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marker {
    /// Commits of the task, dense.
    pub commit_seq: u64,
    /// For each input topic (full name): the offset to read next.
    pub positions: Vec<(String, i64)>,
    /// The rolling checkpoint after this commit.
    pub checkpoint: Checkpoint,
}

/// Where the rolling checkpoint stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Reading from this offset of the changelog rebuilds all state.
    pub restore_from: i64,
    /// Offset at which the running cycle began; none when it begins with the next commit.
    pub cycle_start: Option<i64>,
    /// Full key after which the next slice starts; empty at the beginning of a cycle.
    pub cursor: Vec<u8>,
}

/// A part cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChangelogError {
    /// Written by a release that this one does not know.
    #[error("version {0} of the changelog is not known to this release")]
    Version(u8),
    /// Not what a changelog holds.
    #[error("a changelog record is cut or damaged")]
    Damaged,
}

/// What an entry does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets the value.
    Put(&'a [u8]),
    /// The value as it has been: for a store that is filled from nothing. One that has the commit before has it already.
    Rewritten(&'a [u8]),
    /// Removes the key.
    Delete,
    /// Moves the numbers of the value.
    Difference(&'a [u8]),
}

/// Collects the parts of one commit.
pub struct ChangeWriter {
    part_bytes: usize,
    commit_seq: u64,
    closed: Vec<Vec<u8>>,
    open: Vec<u8>,
    /// Of the last entry of the open part.
    table: Option<TableId>,
    scratch: Vec<u8>,
    bytes: usize,
}

impl Default for ChangeWriter {
    fn default() -> Self {
        Self::new(PART_BYTES_MAX)
    }
}

impl ChangeWriter {
    /// One that ends a part as soon as it has so many bytes.
    pub fn new(part_bytes: usize) -> Self {
        Self {
            part_bytes,
            commit_seq: 0,
            closed: Vec::new(),
            open: Vec::new(),
            table: None,
            scratch: Vec::new(),
            bytes: 0,
        }
    }

    /// Begins a commit. What an earlier one left is forgotten.
    pub fn begin(&mut self, commit_seq: u64) {
        (self.commit_seq, self.bytes) = (commit_seq, 0);
        self.closed.clear();
        self.open_part();
    }

    fn open_part(&mut self) -> Vec<u8> {
        self.table = None;
        let mut part =
            Vec::with_capacity(if self.closed.is_empty() { 0 } else { self.part_bytes + self.part_bytes / 8 });
        part.push(VERSION);
        write_unsigned(&mut part, self.commit_seq);
        std::mem::replace(&mut self.open, part)
    }

    /// Sets a value; `encode` appends it.
    pub fn put(&mut self, table: TableId, key: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
        let mut value = std::mem::take(&mut self.scratch);
        value.clear();
        encode(&mut value);
        self.entry(table, |out| write_entry(out, key, Change::Put(&value)));
        self.scratch = value;
    }

    /// Removes a key.
    pub fn delete(&mut self, table: TableId, key: &[u8]) {
        self.entry(table, |out| write_entry(out, key, Change::Delete));
    }

    /// Rewrites an entry of the store, for the checkpoint.
    pub fn rewrite(&mut self, full_key: &[u8], value: &[u8]) {
        let (table, key) = split_key(full_key);
        self.entry(table, |out| write_entry(out, key, Change::Rewritten(value)));
    }

    /// Takes an entry that [`write_entry`] wrote.
    pub fn written(&mut self, table: TableId, entry: &[u8]) {
        self.entry(table, |out| out.extend_from_slice(entry));
    }

    fn entry(&mut self, table: TableId, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.open.len();
        if self.table.replace(table) != Some(table) {
            self.open.push(TABLE);
            self.open.extend_from_slice(&table.0.to_be_bytes());
        }
        write(&mut self.open);
        self.bytes += self.open.len() - before;
        if self.open.len() >= self.part_bytes {
            let closed = self.open_part();
            self.closed.push(closed);
        }
    }

    /// Bytes of entries so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The parts of the commit, the last one with its marker.
    pub fn finish(&mut self, marker: &Marker) -> Vec<Vec<u8>> {
        self.open.push(MARKER);
        write_bytes(&mut self.open, &marker.encode());
        let mut parts = std::mem::take(&mut self.closed);
        parts.push(std::mem::take(&mut self.open));
        parts
    }
}

/// Appends an entry.
pub fn write_entry(out: &mut Vec<u8>, key: &[u8], change: Change<'_>) {
    let (kind, bytes) = match change {
        Change::Put(value) => (PUT, Some(value)),
        Change::Rewritten(value) => (REWRITTEN, Some(value)),
        Change::Delete => (DELETE, None),
        Change::Difference(difference) => (DIFFERENCE, Some(difference)),
    };
    out.push(kind);
    write_bytes(out, key);
    if let Some(bytes) = bytes {
        write_bytes(out, bytes);
    }
}

/// Shows the entries of one part, in order; gives the marker when it is the last of its commit. A part that was cut between two
/// entries is read as one that is not the last.
pub fn read(part: &[u8], mut visit: impl FnMut(TableId, &[u8], Change<'_>)) -> Result<Option<Marker>, ChangelogError> {
    let mut input = Input(part);
    match input.byte()? {
        VERSION => {}
        other => return Err(ChangelogError::Version(other)),
    }
    let commit_seq = input.varint()?;
    let mut table = None;
    while !input.0.is_empty() {
        let kind = input.byte()?;
        if kind == TABLE {
            table = Some(input.table()?);
            continue;
        }
        if kind == MARKER {
            let marker = Marker::decode(commit_seq, input.bytes()?)?;
            return if input.0.is_empty() { Ok(Some(marker)) } else { Err(ChangelogError::Damaged) };
        }
        let (table, key) = (table.ok_or(ChangelogError::Damaged)?, input.bytes()?);
        let change = match kind {
            PUT => Change::Put(input.bytes()?),
            REWRITTEN => Change::Rewritten(input.bytes()?),
            DELETE => Change::Delete,
            DIFFERENCE => Change::Difference(input.bytes()?),
            _ => return Err(ChangelogError::Damaged),
        };
        visit(table, key, change);
    }
    Ok(None)
}

impl Marker {
    /// With what is known only once its record has an offset: a cycle of the checkpoint that begins with the next commit
    /// begins here.
    pub fn ends_at(mut self, changelog_next: i64) -> Self {
        self.checkpoint.cycle_start.get_or_insert(changelog_next);
        self
    }

    /// The marker without its commit_seq.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_unsigned(&mut out, self.positions.len() as u64);
        for (topic, next_offset) in &self.positions {
            write_bytes(&mut out, topic.as_bytes());
            write_unsigned(&mut out, *next_offset as u64);
        }
        write_unsigned(&mut out, self.checkpoint.restore_from as u64);
        write_unsigned(&mut out, self.checkpoint.cycle_start.map_or(0, |start| start as u64 + 1));
        write_bytes(&mut out, &self.checkpoint.cursor);
        out
    }

    /// Reads what [`Marker::encode`] wrote.
    pub fn decode(commit_seq: u64, bytes: &[u8]) -> Result<Self, ChangelogError> {
        let mut input = Input(bytes);
        let mut positions = Vec::new();
        for _ in 0..input.varint()? {
            let topic = String::from_utf8(input.bytes()?.to_vec()).map_err(|_| ChangelogError::Damaged)?;
            positions.push((topic, input.varint()? as i64));
        }
        let restore_from = input.varint()? as i64;
        let cycle_start = input.varint()?.checked_sub(1).map(|start| start as i64);
        let cursor = input.bytes()?.to_vec();
        Ok(Self { commit_seq, positions, checkpoint: Checkpoint { restore_from, cycle_start, cursor } })
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_unsigned(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Result<u8, ChangelogError> {
        let (first, rest) = self.0.split_first().ok_or(ChangelogError::Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn table(&mut self) -> Result<TableId, ChangelogError> {
        let (table, rest) = self.0.split_first_chunk::<8>().ok_or(ChangelogError::Damaged)?;
        self.0 = rest;
        Ok(TableId(u64::from_be_bytes(*table)))
    }

    fn varint(&mut self) -> Result<u64, ChangelogError> {
        read_unsigned(&mut self.0).ok_or(ChangelogError::Damaged)
    }

    fn bytes(&mut self) -> Result<&'a [u8], ChangelogError> {
        let length = self.varint()? as usize;
        if length > self.0.len() {
            return Err(ChangelogError::Damaged);
        }
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> Marker {
        Marker {
            commit_seq: 7,
            positions: vec![("dbintel.raw.queries".into(), 41), ("dbintel.raw.polls".into(), 0)],
            checkpoint: Checkpoint { restore_from: 3, cycle_start: Some(0), cursor: vec![1, 2, 3] },
        }
    }

    fn begun() -> ChangeWriter {
        let mut writer = ChangeWriter::default();
        writer.begin(7);
        writer
    }

    #[test]
    fn a_commit_of_several_parts_reads_back_in_order() {
        let mut writer = begun();
        let value = vec![9; PART_BYTES_MAX / 2];
        for key in 0..5u8 {
            writer.put(TableId(1), &[key], |out| out.extend_from_slice(&value));
        }
        writer.delete(TableId(2), &[3]);
        let parts = writer.finish(&marker());
        assert_eq!(parts.len(), 3);
        let mut kinds = Vec::new();
        let mut visit =
            |_: TableId, key: &[u8], change: Change<'_>| kinds.push((key[0], matches!(change, Change::Put(_))));
        let markers: Vec<_> = parts.iter().map(|part| read(part, &mut visit).unwrap()).collect();
        assert_eq!(markers, [None, None, Some(marker())]);
        assert_eq!(kinds, [(0, true), (1, true), (2, true), (3, true), (4, true), (3, false)]);
        writer.put(TableId(1), b"of a commit that was not made", |_| {});
        writer.begin(7);
        let mut nothing = |_: TableId, _: &[u8], _: Change<'_>| panic!("the writer is empty again");
        assert_eq!(read(&writer.finish(&marker())[0], &mut nothing).unwrap(), Some(marker()));
    }

    #[test]
    fn cut_and_foreign_bytes_are_errors() {
        let mut writer = begun();
        writer.put(TableId(1), b"key", |out| out.extend_from_slice(b"value"));
        let part = writer.finish(&marker()).remove(0);
        let marker_length = begun().finish(&marker()).remove(0).len() - 2;
        let between_entries = [2, 11, part.len() - marker_length];
        for length in (0..part.len()).filter(|length| !between_entries.contains(length)) {
            assert_eq!(read(&part[..length], |_, _, _| {}), Err(ChangelogError::Damaged), "cut at {length}");
        }
        assert_eq!(read(&[&part[..], &[DELETE, 0]].concat(), |_, _, _| {}), Err(ChangelogError::Damaged));
        assert_eq!(read(&[1, 0, 0], |_, _, _| {}), Err(ChangelogError::Version(1)));
    }
}
