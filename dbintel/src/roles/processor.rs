//! The role that turns raw records into enriched ones.

use std::sync::Arc;
use std::thread::available_parallelism;

use dbintel_bus::{Bus, BusError, Producer, announce_all};
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics, Pipeline, group};
use dbintel_schemas::records::DEFINITIONS;

use super::Ground;
use crate::clock;
use crate::failure::Failure;
use crate::health::Said;
use crate::sampler_metrics::SamplerMetrics;
use crate::settings::PROCESSOR_GROUP;

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
        // What is not in the store yet stays in memory.
        config.flush_bytes = config.flush_bytes.min(ground.memory_bytes / BUFFER_SHARE);
        let stores = StoreMemory::new(ground.memory_bytes / BUFFER_SHARE).stores();
        let group = Group::start(config, Arc::clone(&ground.bus), metrics, stores).map_err(Failure::runtime)?;
        Ok(Processors { group })
    }

    /// Asks whether all workers have joined the group and restored what they were assigned.
    pub fn readiness(&self) -> impl Fn() -> Said + Send + Sync + 'static {
        let (ready, restoring) = (self.group.readiness(), self.group.restoring());
        move || {
            let percent = restoring.percent();
            match ready() {
                true => Ok(None),
                false if percent.is_empty() => Err("it waits for its partitions".to_owned()),
                false => Err(format!("it restores the state of partitions (per cent done): {percent:?}")),
            }
        }
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

/// Sends the schemas of everything that processors write, before the first record. The log has them once the producer is
/// flushed.
pub fn announce(bus: &dyn Bus) -> Result<Arc<dyn Producer>, BusError> {
    let producer = bus.producer()?;
    announce_all(&*producer, &DEFINITIONS, clock::wall_ms())?;
    Ok(producer)
}

/// Full names of the topics that the group reads.
pub fn inputs() -> Vec<String> {
    group::INPUTS.iter().map(|topic| dbintel_bus::topic_name(*topic)).collect()
}
