//! The books: what became of each input offset, counted by the engine and written to the ledger with each commit.
//!
//! For every pipeline, input topic and commit: the offsets by disposition and reason, as compact sets, and for every
//! output topic the number and an order-independent hash of the primary outputs. Somebody who reads raw, enriched,
//! quarantine and ledger can check them without us.

use dbintel_schemas::List;
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{LedgerDisposition, LedgerEntry, LedgerInput, LedgerOutput};
use dbintel_schemas::topics::Topic;

use super::outbox::Outbox;
use super::processor::Disposition;

/// Books of one task between two commits.
pub struct Books {
    topics: Vec<Topic>,
    pipelines: Vec<PipelineBooks>,
}

struct PipelineBooks {
    name: String,
    inputs: Vec<InputBooks>,
    outputs: Vec<OutputBooks>,
}

#[derive(Default)]
struct InputBooks {
    first_offset: Option<i64>,
    next_offset: i64,
    lines: Vec<Line>,
}

struct Line {
    disposition: &'static str,
    reason: &'static str,
    offsets: OffsetSet,
}

struct OutputBooks {
    topic: Topic,
    records: i64,
    hash: u128,
}

/// Who commits, for the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Partition of the task.
    pub partition: u32,
    /// Commits of the task, dense.
    pub commit_seq: u64,
    /// Process and worker.
    pub writer: &'a str,
    /// Event time of the partition in µs.
    pub task_time: i64,
}

/// Rows of a commit with one disposition and reason, for the metrics.
pub struct Tally {
    /// Pipeline.
    pub pipeline: String,
    /// Name of the disposition.
    pub disposition: &'static str,
    /// Its reason.
    pub reason: &'static str,
    /// Number of rows.
    pub rows: u64,
}

impl Books {
    /// Empty books for these input topics (in rank order) and pipelines.
    pub fn new(topics: &[Topic], pipelines: &[String]) -> Self {
        let pipelines = pipelines.iter().map(|name| PipelineBooks {
            name: name.clone(),
            inputs: topics.iter().map(|_| InputBooks::default()).collect(),
            outputs: Vec::new(),
        });
        Self { topics: topics.to_vec(), pipelines: pipelines.collect() }
    }

    /// Counts a row of a pipeline. Offsets of one topic come in order.
    pub fn row(&mut self, pipeline: usize, topic: usize, offset: i64, disposition: &Disposition) {
        let input = &mut self.pipelines[pipeline].inputs[topic];
        input.first_offset.get_or_insert(offset);
        input.next_offset = offset + 1;
        let (name, reason) = (disposition.name(), disposition.reason());
        let known = input.lines.iter().position(|line| line.disposition == name && line.reason == reason);
        let place = known.unwrap_or_else(|| {
            input.lines.push(Line { disposition: name, reason, offsets: OffsetSet::new() });
            input.lines.len() - 1
        });
        let pushed = input.lines[place].offsets.push(offset);
        pushed.expect("offsets of a topic come in order, and a commit has a bounded number of rows");
    }

    /// Counts a primary output of a pipeline.
    pub fn output(&mut self, pipeline: usize, topic: Topic, value: &[u8]) {
        let hash = u128::from_le_bytes(hash128(&[value]));
        let outputs = &mut self.pipelines[pipeline].outputs;
        match outputs.iter_mut().find(|output| output.topic == topic) {
            Some(output) => {
                output.records += 1;
                output.hash = output.hash.wrapping_add(hash);
            }
            None => outputs.push(OutputBooks { topic, records: 1, hash }),
        }
    }

    /// Writes the ledger entries of a commit and starts anew. Gives the sums.
    pub fn close(&mut self, commit: &Commit<'_>, outbox: &mut Outbox) -> Vec<Tally> {
        let mut tallies = Vec::new();
        for pipeline in &self.pipelines {
            pipeline.write(&self.topics, commit, outbox);
            let lines = pipeline.inputs.iter().flat_map(|input| &input.lines);
            tallies.extend(lines.map(|line| Tally {
                pipeline: pipeline.name.clone(),
                disposition: line.disposition,
                reason: line.reason,
                rows: line.offsets.len(),
            }));
        }
        self.clear();
        tallies
    }

    /// Forgets what was counted: the transaction is aborted.
    pub fn clear(&mut self) {
        for pipeline in &mut self.pipelines {
            pipeline.outputs.clear();
            pipeline.inputs.iter_mut().for_each(|input| *input = InputBooks::default());
        }
    }
}

impl PipelineBooks {
    fn write(&self, topics: &[Topic], commit: &Commit<'_>, outbox: &mut Outbox) {
        let sets: Vec<Vec<Vec<u8>>> = self.inputs.iter().map(InputBooks::encoded_sets).collect();
        let dispositions: Vec<Vec<LedgerDisposition<'_>>> =
            self.inputs.iter().zip(&sets).map(|(input, sets)| input.dispositions(sets)).collect();
        let inputs: Vec<LedgerInput<'_>> = self
            .inputs
            .iter()
            .zip(&dispositions)
            .zip(topics)
            .filter_map(|((input, dispositions), topic)| {
                Some(LedgerInput {
                    topic: topic.name(),
                    first_offset: input.first_offset?,
                    next_offset: input.next_offset,
                    records: dispositions.iter().map(|line| line.records).sum(),
                    dispositions: List::from_slice(dispositions),
                })
            })
            .collect();
        let outputs: Vec<LedgerOutput<'_>> = self
            .outputs
            .iter()
            .map(|output| LedgerOutput {
                topic: output.topic.name(),
                records: output.records,
                hash: output.hash.to_le_bytes(),
            })
            .collect();
        if inputs.is_empty() {
            return;
        }
        let entry = LedgerEntry {
            group: commit.group,
            pipeline: &self.name,
            partition: i64::from(commit.partition),
            commit_seq: commit.commit_seq as i64,
            writer: commit.writer,
            task_time: commit.task_time,
            inputs: List::from_slice(&inputs),
            outputs: List::from_slice(&outputs),
        };
        outbox.derived(&entry, commit.group, commit.partition, commit.task_time / 1000);
    }
}

impl InputBooks {
    fn encoded_sets(&self) -> Vec<Vec<u8>> {
        let encode = |line: &Line| {
            let mut bytes = Vec::new();
            line.offsets.encode(self.first_offset.unwrap_or(0), &mut bytes);
            bytes
        };
        self.lines.iter().map(encode).collect()
    }

    fn dispositions<'a>(&'a self, sets: &'a [Vec<u8>]) -> Vec<LedgerDisposition<'a>> {
        let line = |(line, offsets): (&'a Line, &'a Vec<u8>)| LedgerDisposition {
            disposition: line.disposition,
            reason: line.reason,
            records: line.offsets.len() as i64,
            offsets,
        };
        self.lines.iter().zip(sets).map(line).collect()
    }
}
