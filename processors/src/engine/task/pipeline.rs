//! A pipeline within a task: the rows of its pollers go through its chain of processors, one by one.
//!
//! One row passes the whole chain before the next one starts. That, and ticks between the rows that cause them, is what
//! makes the outputs independent of how rows are split into batches.

use bumpalo::Bump;
use dbintel_schemas::topics::Topic;

use crate::engine::group::Pipeline;
use crate::engine::outbox::Outbox;
use crate::engine::processor::{Context, Disposition, Processor, Tick};
use crate::engine::row::{Origin, Row, Source};
use crate::engine::state::{StateError, StateTable};
use crate::engine::targets::Observed;

/// One pipeline of one task.
pub struct TaskPipeline {
    pub name: String,
    pollers: Vec<String>,
    chain: Vec<(String, Box<dyn Processor>)>,
    /// Where its rows go on, if not to the topics of their kinds.
    pub next: Option<Topic>,
}

/// What surrounds a row.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub pipeline: &'a str,
    pub arena: &'a Bump,
    pub partition: u32,
    pub offset: i64,
}

impl TaskPipeline {
    /// New instances of the pipeline's processors.
    pub fn new(pipeline: &Pipeline) -> Self {
        let chain = pipeline.processors.iter().map(|(name, factory)| (name.clone(), factory())).collect();
        Self { name: pipeline.name.clone(), pollers: pipeline.pollers.clone(), chain, next: pipeline.next }
    }

    /// Each table with its full name.
    pub fn each_table(&mut self, visit: &mut dyn FnMut(&str, &mut dyn StateTable)) {
        for (processor_name, processor) in &mut self.chain {
            for table in processor.tables() {
                let name = format!("{}/{processor_name}/{}", self.name, table.name());
                visit(&name, table);
            }
        }
    }

    /// Shows the processors what is coming.
    pub fn prefetch(&mut self, rows: &[&Row<'_>]) -> Result<(), StateError> {
        self.chain.iter_mut().try_for_each(|(_, processor)| processor.prefetch(rows))
    }

    /// Takes a row through the chain.
    pub fn run<'a>(
        &mut self,
        scope: &Scope<'a>,
        origin: &Origin<'a>,
        observed: &Observed,
        row: &mut Row<'a>,
        outbox: &mut Outbox,
    ) -> Result<Disposition, StateError> {
        if observed.stale_owner {
            return Ok(Disposition::Absorbed("stale_owner"));
        }
        let mut context = Context {
            now: observed.now,
            time_clamped: observed.clamped,
            pipeline: scope.pipeline,
            offset: scope.offset,
            partition: scope.partition,
            arena: scope.arena,
            outbox,
        };
        self.tick(origin.target, observed, &mut context)?;
        if !self.takes(origin) {
            return Ok(Disposition::Absorbed("other_pipeline"));
        }
        row.enter(scope.pipeline, observed.clamped);
        for (_, processor) in &mut self.chain {
            match processor.process(row, &mut context)? {
                Disposition::Forwarded => {}
                other => return Ok(other),
            }
        }
        Ok(Disposition::Forwarded)
    }

    fn takes(&self, origin: &Origin<'_>) -> bool {
        match origin.source {
            Source::Poller { name, .. } => self.pollers.iter().any(|poller| poller == name),
            Source::Stage { pipeline, .. } => self.name == pipeline,
        }
    }

    fn tick(&mut self, target: &str, observed: &Observed, context: &mut Context<'_, '_>) -> Result<(), StateError> {
        let Some(before) = observed.before else { return Ok(()) };
        for (_, processor) in &mut self.chain {
            let Some(interval) = processor.tick_interval() else { continue };
            let passed = observed.now.div_euclid(interval);
            if before.div_euclid(interval) < passed {
                processor.tick(Tick { target, boundary: passed * interval }, context)?;
            }
        }
        Ok(())
    }
}
