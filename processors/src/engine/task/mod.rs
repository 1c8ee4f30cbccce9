//! A task: one partition number over all inputs of the group, with its pipelines, state and books.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bumpalo::Bump;
use dbintel_bus::{Position, Start};
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{ReadError, WriterSchema};

use self::attempts::Attempts;
use self::batch::Batch;
use self::pipeline::{Scope, TaskPipeline};
use super::books::{Books, Tally};
use super::changelog::{ChangeWriter, Marker};
use super::group::GroupConfig;
use super::inbox::{Entry, Inbox};
use super::outbox::Outbox;
use super::processor::Disposition;
use super::restore::Restored;
use super::row::{Origin, Row};
use super::schema_lookup::SchemaLookup;
use super::staged::{self, Way};
use super::state::{StateError, StateTable};
use super::store::{Slice, Store, TableId};
use super::targets::Targets;

mod attempts;
mod batch;
mod commit;
mod pipeline;

/// Rows that are decoded before the first of them is processed.
pub const BATCH_ROWS: usize = 32;

/// The checkpoint rewrites this many bytes of state for each changed byte: when a cycle is over, as much was logged as there is
/// state, and the changelog holds at most four times the state.
const CHECKPOINT_FACTOR: usize = 1;

/// Most bytes of state that one commit rewrites.
const SLICE_BYTES_MAX: usize = 8 << 20;

/// Records that made a processor panic, remembered until their commit.
const POISONED_MAX: usize = 1000;

/// One partition of a group.
pub struct Task {
    group: String,
    partition: u32,
    inputs: Vec<Topic>,
    names: Vec<String>,
    /// What waits to be processed.
    pub inbox: Inbox,
    pipelines: Vec<TaskPipeline>,
    targets: Targets,
    books: Books,
    arena: Bump,
    store: Arc<dyn Store>,
    cached_values: usize,
    flush_bytes: usize,
    /// Offset to read next of each input, as processed; none before the first record and the first commit.
    positions: Vec<Option<i64>>,
    committed: Committing,
    /// The commit on its way.
    pending: Option<Pending>,
    changes: ChangeWriter,
    unflushed_bytes: usize,
    attempts: Attempts,
    poisoned: BTreeMap<(usize, i64), Poison>,
    current: Option<(usize, i64)>,
}

/// A commit that is prepared and not yet visible.
struct Pending {
    marker: Marker,
    tallies: Vec<Tally>,
    changed_bytes: usize,
}

/// The state as of the last commit.
struct Committing {
    marker: Marker,
    changelog_next: i64,
    positions: Vec<Option<i64>>,
    /// Logged by the next commit, ahead of its changes.
    slice: Slice,
    slice_ends_cycle: bool,
}

#[derive(Clone, Copy)]
struct Poison {
    reason: &'static str,
    detail: &'static str,
    /// Its bytes are too many for the quarantine, too.
    without_bytes: bool,
}

/// What came of a call to [`Task::process`].
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many rows were processed; 0 when nothing can be.
    Rows(usize),
    /// The next row has a writer schema that is not known yet.
    UnknownSchema(WriterSchema),
}

/// A task cannot go on in this transaction.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// State failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A processor panicked; the record is remembered and goes to quarantine when it comes again.
    #[error("a processor panicked at {topic} offset {offset}")]
    Panicked {
        /// Input topic.
        topic: &'static str,
        /// Offset.
        offset: i64,
    },
}

impl Task {
    /// A task on restored state.
    pub fn new(config: &GroupConfig, partition: u32, store: Arc<dyn Store>, restored: Restored) -> Self {
        let pipelines: Vec<TaskPipeline> = config.pipelines.iter().map(TaskPipeline::new).collect();
        let pipeline_names: Vec<String> = config.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        let restored_seq = restored.marker.commit_seq;
        let positions: Vec<Option<i64>> = restored.positions.iter().map(offset_of).collect();
        let committed = Committing {
            marker: restored.marker,
            changelog_next: restored.changelog_next,
            positions: positions.clone(),
            slice: Slice::default(),
            slice_ends_cycle: false,
        };
        let attempts = Attempts::begin(Arc::clone(&store), restored_seq, &positions);
        let mut task = Self {
            group: config.name.clone(),
            partition,
            inputs: config.inputs.clone(),
            names: config.input_names(),
            inbox: Inbox::new(config.inputs.len()),
            pipelines,
            targets: Targets::new(),
            books: Books::new(&config.inputs, &pipeline_names),
            arena: Bump::new(),
            store: Arc::clone(&store),
            cached_values: config.cached_values,
            flush_bytes: config.flush_bytes,
            positions,
            committed,
            pending: None,
            changes: ChangeWriter::new(config.part_bytes),
            unflushed_bytes: 0,
            attempts,
            poisoned: BTreeMap::new(),
            current: None,
        };
        task.attach_tables();
        task.refuse_what_kills();
        task
    }

    /// Records at which the process died again and again are not read once more.
    fn refuse_what_kills(&mut self) {
        for (topic, offset) in self.attempts.blamed().to_vec() {
            let (partition, topic_name) = (self.partition, self.inputs[topic].name());
            tracing::error!(
                topic = topic_name,
                partition,
                offset,
                "the process died at this record again and again; it goes to quarantine"
            );
            let detail = "the process died at this record again and again";
            self.poison(topic, offset, Poison { reason: "crash", detail, without_bytes: false });
        }
    }

    fn attach_tables(&mut self) {
        let store = Arc::clone(&self.store);
        self.targets.table().attach(TableId::of("engine/targets"), Arc::clone(&store));
        for pipeline in &mut self.pipelines {
            pipeline.each_table(&mut |name, table| table.attach(TableId::of(name), Arc::clone(&store)));
        }
    }

    fn each_table(&mut self, mut visit: impl FnMut(&mut dyn StateTable)) {
        visit(self.targets.table());
        for pipeline in &mut self.pipelines {
            pipeline.each_table(&mut |_, table| visit(table));
        }
    }

    /// Rows were processed since the last commit.
    pub fn dirty(&self) -> bool {
        self.positions != self.committed.positions
    }

    /// Processes the next batch of rows in order, at most `limit`.
    pub fn process(
        &mut self,
        lookup: &SchemaLookup,
        limit: usize,
        unknown_heads: bool,
        outbox: &mut Outbox,
    ) -> Result<Progress, TaskError> {
        let batch_rows = if self.attempts.careful() { 1 } else { BATCH_ROWS };
        let Some(run) = self.inbox.next_run(limit.min(batch_rows), unknown_heads) else {
            return Ok(Progress::Rows(0));
        };
        let segment = self.inbox.take(run);
        let mut arena = std::mem::take(&mut self.arena);
        let names = self.pipelines.iter().map(|pipeline| &*arena.alloc_str(&pipeline.name)).collect();
        let entries = segment.waiting(run.records);
        let topic = self.inputs[run.topic];
        let batch = Batch { rank: run.topic, topic, segment: &segment, entries, arena: &arena, names };
        if let Some(first) = entries.first() {
            self.attempts.at((run.topic, first.offset));
        }
        let processed = catch_unwind(AssertUnwindSafe(|| self.process_batch(&batch, lookup, outbox)));
        self.attempts.past();
        arena.reset();
        self.arena = arena;
        let outcome = match processed {
            Ok(outcome) => outcome,
            Err(_) => return Err(self.panicked()),
        };
        let rows = match &outcome {
            Ok(Progress::Rows(rows)) => *rows,
            _ => 0,
        };
        self.inbox.put_back(run.topic, segment, rows);
        outcome
    }

    fn process_batch(
        &mut self,
        batch: &Batch<'_>,
        lookup: &SchemaLookup,
        outbox: &mut Outbox,
    ) -> Result<Progress, TaskError> {
        let mut decoded = Vec::with_capacity(batch.entries.len());
        for entry in batch.entries {
            if self.poisoned.contains_key(&(batch.rank, entry.offset)) {
                decoded.push(Err(ReadError::Resolve("it is not read again".to_owned())));
                continue;
            }
            match batch.decode(entry, lookup.schemas()) {
                Err(ReadError::UnknownSchema(writer)) if !lookup.given_up(&writer) => {
                    if decoded.is_empty() {
                        return Ok(Progress::UnknownSchema(writer));
                    }
                    break;
                }
                outcome => decoded.push(outcome),
            }
        }
        // A panic while state is prefetched is put down to the first record.
        self.current = batch.entries.first().map(|entry| (batch.rank, entry.offset));
        let rows: Vec<&Row<'_>> = decoded.iter().filter_map(|outcome| Some(&outcome.as_ref().ok()?.1)).collect();
        for pipeline in &mut self.pipelines {
            pipeline.prefetch(&rows)?;
        }
        let processed = decoded.len();
        for (entry, decoded) in batch.entries.iter().zip(decoded) {
            self.current = Some((batch.rank, entry.offset));
            self.process_entry(batch, entry, decoded, outbox)?;
            self.positions[batch.rank] = Some(entry.offset + 1);
        }
        self.current = None;
        Ok(Progress::Rows(processed))
    }

    fn process_entry<'a>(
        &mut self,
        batch: &Batch<'a>,
        entry: &Entry,
        decoded: Result<(Origin<'a>, Row<'a>), ReadError>,
        outbox: &mut Outbox,
    ) -> Result<(), StateError> {
        let poison = self.poisoned.get(&(batch.rank, entry.offset)).copied();
        let decoded = match (decoded, poison) {
            (_, Some(poison)) => Err((poison.reason, poison.detail.to_owned())),
            (Err(error), None) => Err((refusal(&error), chain(&error))),
            (Ok((origin, row)), None) => {
                let observed = self.targets.observe(&origin, entry.timestamp * 1000)?;
                Ok((origin, row, observed))
            }
        };
        for number in 0..self.pipelines.len() {
            let disposition = match &decoded {
                Err((reason, detail)) => Disposition::Quarantined { reason, detail: detail.clone() },
                Ok((origin, row, observed)) => {
                    let mut row = row.for_pipeline(batch.arena);
                    let scope = Scope {
                        pipeline: batch.names[number],
                        arena: batch.arena,
                        partition: self.partition,
                        offset: origin.offset,
                    };
                    match self.pipelines[number].run(&scope, origin, observed, &mut row, outbox)? {
                        Disposition::Forwarded => {
                            let way = Way { pipeline: batch.names[number], origin, observed };
                            self.write_output(number, &row, &way, entry.timestamp, outbox)
                        }
                        other => other,
                    }
                }
            };
            if let Disposition::Quarantined { reason, detail } = &disposition {
                let without_bytes = poison.is_some_and(|poison| poison.without_bytes);
                let refused = batch.refused(entry, reason, detail, without_bytes);
                refused.write(&self.group, batch.names[number], self.partition, outbox);
            }
            self.books.row(number, batch.rank, entry.offset, &disposition);
        }
        Ok(())
    }

    /// Encodes a row that came through its pipeline, and gives its final disposition.
    fn write_output(
        &mut self,
        pipeline: usize,
        row: &Row<'_>,
        way: &Way<'_>,
        timestamp: i64,
        outbox: &mut Outbox,
    ) -> Disposition {
        let written = match self.pipelines[pipeline].next {
            Some(next) => Some((next, staged::write(row, way, next, outbox, self.partition, timestamp))),
            None => row.write(outbox, self.partition, timestamp),
        };
        let Some((topic, encoded)) = written else { return Disposition::Absorbed("context") };
        if encoded.oversize {
            let detail = format!("the record for {} would have {} bytes", topic.name(), encoded.value.len());
            return Disposition::Quarantined { reason: "oversize", detail };
        }
        self.books.output(pipeline, topic, encoded.value);
        Disposition::Forwarded
    }

    fn panicked(&mut self) -> TaskError {
        let (topic, offset) = self.current.take().unwrap_or_default();
        let detail = "a processor panicked on this record";
        self.poison(topic, offset, Poison { reason: "panic", detail, without_bytes: false });
        TaskError::Panicked { topic: self.inputs[topic].name(), offset }
    }

    /// The output of the only row of a transaction was refused by the bus for its size: it goes to quarantine. If that is refused,
    /// too, it goes there without its bytes.
    pub fn refuse_oversize(&mut self) {
        for topic in 0..self.inputs.len() {
            let (committed, processed) = (self.committed.positions[topic], self.positions[topic]);
            if let (true, Some(next)) = (committed != processed, processed) {
                let detail = "the bus refused a record of this transaction for its size";
                let without_bytes = self.poisoned.contains_key(&(topic, next - 1));
                self.poison(topic, next - 1, Poison { reason: "oversize", detail, without_bytes });
            }
        }
    }

    fn poison(&mut self, topic: usize, offset: i64, poison: Poison) {
        if self.poisoned.len() >= POISONED_MAX {
            self.poisoned.pop_first();
        }
        self.poisoned.insert((topic, offset), poison);
    }
}

fn refusal(error: &ReadError) -> &'static str {
    match error {
        ReadError::UnknownSchema(_) | ReadError::WrongRecord { .. } | ReadError::Resolve(_) => "schema",
        _ => "decode",
    }
}

/// The error with its causes, in one line.
fn chain(error: &ReadError) -> String {
    let first: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(first), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn offset_of(position: &Position) -> Option<i64> {
    match position.start {
        Start::Offset(offset) => Some(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
