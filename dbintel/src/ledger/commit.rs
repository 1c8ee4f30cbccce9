//! One commit of one pipeline, as the ledger has it.

use dbintel_schemas::offset_set::{OffsetSet, OffsetSetError};
use dbintel_schemas::records::LedgerEntry;

/// A commit.
#[derive(Debug)]
pub struct Commit {
    /// Commits of the task, dense.
    pub seq: i64,
    /// Event time of the partition in µs.
    pub task_time: i64,
    /// Inputs that it read from.
    pub inputs: Vec<Input>,
    /// Output topics: name without prefix, number of records, summed hash.
    pub outputs: Vec<(String, i64, u128)>,
}

/// One input of a commit.
#[derive(Debug)]
pub struct Input {
    /// Topic without prefix.
    pub topic: String,
    /// First offset read.
    pub first_offset: i64,
    /// Offset to read next.
    pub next_offset: i64,
    /// Records read.
    pub records: i64,
    /// Offsets by disposition and reason.
    pub lines: Vec<Line>,
}

/// Offsets with one disposition and reason.
#[derive(Debug)]
pub struct Line {
    /// Disposition.
    pub disposition: String,
    /// Number that the ledger gives.
    pub records: i64,
    /// The offsets.
    pub offsets: OffsetSet,
}

impl Commit {
    /// Copies an entry, with its sets decoded.
    pub fn of(entry: &LedgerEntry<'_>) -> Result<Commit, OffsetSetError> {
        let mut inputs = Vec::new();
        for input in entry.inputs.iter() {
            let line = |disposition: &str, records, offsets: &[u8]| {
                let offsets = OffsetSet::decode(input.first_offset, offsets)?;
                Ok(Line { disposition: disposition.to_owned(), records, offsets })
            };
            let lines = input.dispositions.iter().map(|of| line(of.disposition, of.records, of.offsets));
            inputs.push(Input {
                topic: input.topic.to_owned(),
                first_offset: input.first_offset,
                next_offset: input.next_offset,
                records: input.records,
                lines: lines.collect::<Result<_, _>>()?,
            });
        }
        let output = |topic: &str, records, hash| (topic.to_owned(), records, u128::from_le_bytes(hash));
        let outputs = entry.outputs.iter().map(|of| output(of.topic, of.records, of.hash)).collect();
        Ok(Commit { seq: entry.commit_seq, task_time: entry.task_time, inputs, outputs })
    }
}

impl Input {
    /// Whether a disposition was given to the offset.
    pub fn has(&self, disposition: &str, offset: i64) -> bool {
        self.lines.iter().any(|line| line.disposition == disposition && line.offsets.contains(offset))
    }

    /// Offsets with a disposition, ascending within each reason.
    pub fn with<'i>(&'i self, disposition: &'i str) -> impl Iterator<Item = i64> + 'i {
        self.lines.iter().filter(move |line| line.disposition == disposition).flat_map(|line| line.offsets.iter())
    }
}
