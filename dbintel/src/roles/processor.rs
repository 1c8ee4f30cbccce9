//! The role that turns raw records into enriched ones.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use dbintel_bus::{Bus, BusError, announce_all};
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics, Pipeline, group};
use dbintel_schemas::Definition;
use dbintel_schemas::records::DEFINITIONS;

use super::Ground;
use crate::clock;
use crate::failure::Failure;
use crate::sampler_metrics::SamplerMetrics;
use crate::settings::PROCESSOR_GROUP;

/// Longest wait until the schemas of what is written are on the log.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Part of the memory that waits between the log and the processors; the others are for stores and sinks.
const BUFFER_SHARE: usize = 4;
/// Kind of the processors that are counted.
const SAMPLER: &str = "adaptive_sampler";

/// The group of processors, as far as this process carries it.
pub struct Processors {
    group: Group,
}

impl Processors {
    /// Starts the workers. They join the group by themselves.
    pub fn start(pipelines: &[Pipeline], ground: &Ground) -> Result<Processors, Failure> {
        let metrics = Metrics::register(&ground.metrics, PROCESSOR_GROUP).map_err(Failure::runtime)?;
        let samplers = SamplerMetrics::register(&ground.metrics).map_err(Failure::runtime)?;
        let pipelines = pipelines.iter().map(|pipeline| counted(pipeline, &samplers)).collect();
        let mut config = GroupConfig::new(PROCESSOR_GROUP, pipelines, ground.directory.join("processors"));
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        config.workers = cores.min(ground.partitions as usize);
        config.slot.clone_from(&ground.slot);
        config.framings = ground.framings.clone();
        config.schema_registry.clone_from(&ground.schema_registry);
        config.buffer_bytes = ground.memory_bytes / BUFFER_SHARE;
        let stores = StoreMemory::new(ground.memory_bytes / BUFFER_SHARE);
        let group = Group::start(config, Arc::clone(&ground.bus), metrics, stores).map_err(Failure::runtime)?;
        Ok(Processors { group })
    }

    /// Some worker has ended by itself.
    pub fn failed(&self) -> bool {
        self.group.failed()
    }

    /// Commits what is done, leaves the group, and returns when all is closed.
    pub fn stop(self) {
        self.group.stop();
    }
}

/// The pipeline with samplers that count.
fn counted(pipeline: &Pipeline, samplers: &SamplerMetrics) -> Pipeline {
    let mut pipeline = pipeline.clone();
    for (name, factory) in &mut pipeline.processors {
        if name.split('/').next() == Some(SAMPLER) {
            let (samplers, uncounted) = (samplers.clone(), Arc::clone(factory));
            *factory = Arc::new(move || samplers.around(uncounted()));
        }
    }
    pipeline
}

/// Leaves the schemas of everything that processors write on the log, before the first record.
pub fn announce(bus: &dyn Bus) -> Result<(), BusError> {
    let written: Vec<Definition> = DEFINITIONS.to_vec();
    announce_all(bus, &written, clock::wall_ms(), ANNOUNCE_TIMEOUT)
}

/// Full names of the topics that the group reads.
pub fn inputs() -> Vec<String> {
    group::INPUTS.iter().map(|topic| dbintel_bus::topic_name(*topic)).collect()
}
