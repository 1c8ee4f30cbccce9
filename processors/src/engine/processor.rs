//! What a processor is. This is the trait that a newcomer implements to add one.

use bumpalo::Bump;
use dbintel_schemas::{List, Record};

use super::outbox::Outbox;
use super::row::Row;
use super::state::{StateError, StateTable};

/// A step of a pipeline: pure, synchronous logic over the rows of one partition.
///
/// It never sees the bus, awaits, reads a clock or draws randomness that is not a hash of the row: the same code runs
/// live, in replay and in simulation. Everything that a decision uses is in the row, in its tables, or in the context.
/// One instance exists per partition and pipeline.
pub trait Processor: Send {
    /// The tables that hold its state. The engine commits, rolls back, logs and restores them.
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        Vec::new()
    }

    /// Sees a batch of rows before they are processed one by one, to bring their state into memory together.
    fn prefetch(&mut self, rows: &[&Row<'_>]) -> Result<(), StateError> {
        let _ = rows;
        Ok(())
    }

    /// Decides about one row. It may change the row or replace it by another kind; what it forwards goes to the next
    /// processor of the pipeline and, after the last one, to the topic of its kind.
    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError>;

    /// Width of its ticks in µs, when it wants any.
    fn tick_interval(&self) -> Option<i64> {
        None
    }

    /// The time of a target passed a multiple of the tick interval. Called before the row that moved the time.
    fn tick(&mut self, tick: Tick<'_>, context: &mut Context<'_, '_>) -> Result<(), StateError> {
        let _ = (tick, context);
        Ok(())
    }
}

/// What becomes of a row, in one pipeline. Exactly one per row; the reason is counted in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It goes on to the next processor, and after the last one to its topic.
    Forwarded,
    /// It was used, and nothing comes out for it: a baseline, unchanged, context.
    Absorbed(&'static str),
    /// The sampler did not keep it.
    SampledOut(&'static str),
    /// It cannot be processed; it goes to `quarantine` with its bytes.
    Quarantined {
        /// Which kind of trouble, from a small fixed set.
        reason: &'static str,
        /// What happened, without values of the row.
        detail: String,
    },
}

impl Disposition {
    /// Name in the ledger.
    pub fn name(&self) -> &'static str {
        match self {
            Disposition::Forwarded => "forwarded",
            Disposition::Absorbed(_) => "absorbed",
            Disposition::SampledOut(_) => "sampled_out",
            Disposition::Quarantined { .. } => "quarantined",
        }
    }

    /// Reason in the ledger; empty for forwarded rows.
    pub fn reason(&self) -> &'static str {
        match self {
            Disposition::Forwarded => "",
            Disposition::Absorbed(reason) | Disposition::SampledOut(reason) => reason,
            Disposition::Quarantined { reason, .. } => reason,
        }
    }
}

/// A boundary that the time of a target has passed.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    /// The target.
    pub target: &'a str,
    /// The boundary, a multiple of the interval, in µs since the epoch.
    pub boundary: i64,
}

/// What a processor may use besides the row and its tables. `'a` is the life of the row.
pub struct Context<'a, 'c> {
    /// Event time of the row's target in µs since the epoch; it never goes back.
    pub now: i64,
    /// The row's timestamp was too far ahead and was not believed.
    pub time_clamped: bool,
    /// Name of the pipeline.
    pub pipeline: &'a str,
    /// Offset of the row in its input topic.
    pub offset: i64,
    /// Partition of all inputs and outputs.
    pub partition: u32,
    pub(super) arena: &'a Bump,
    pub(super) outbox: &'c mut Outbox,
}

impl<'a> Context<'a, '_> {
    /// Where the rows of this batch live.
    pub fn arena(&self) -> &'a Bump {
        self.arena
    }

    /// A copy of the text that lives as long as the row.
    pub fn text(&self, text: &str) -> &'a str {
        self.arena.alloc_str(text)
    }

    /// A copy of the texts that lives as long as the row.
    pub fn texts(&self, texts: &[Box<str>]) -> List<'a, &'a str> {
        let arena = self.arena;
        List::from_slice(arena.alloc_slice_fill_iter(texts.iter().map(|text| &*arena.alloc_str(text))))
    }

    /// Writes a derived record (an event, a residual, a text of the dictionary): it is not counted as the row's output.
    pub fn emit<'r, R: Record<'r>>(&mut self, record: &R, key: &str) {
        self.outbox.derived(record, key, self.partition, self.now / 1000);
    }
}
