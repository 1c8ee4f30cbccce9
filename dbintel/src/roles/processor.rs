//! The role that turns raw records into enriched ones.

use std::sync::Arc;
use std::thread::available_parallelism;

use dbintel_bus::{Bus, BusError, Producer, announce_all};
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics, Pipeline};
use dbintel_schemas::records::DEFINITIONS;

use super::Ground;
use crate::clock;
use crate::failure::Failure;
use crate::health::Said;
use crate::sampler_metrics::SamplerMetrics;
use crate::settings::ProcessorGroup;

/// Part of the memory that waits between the log and the processors; the others are for stores and sinks.
const BUFFER_SHARE: usize = 4;
/// Kind of the processors that are counted.
const SAMPLER: &str = "adaptive_sampler";

/// The groups of processors, as far as this process carries them.
pub struct Processors {
    groups: Vec<Group>,
}

impl Processors {
    /// Starts the workers. They join the group by themselves.
    pub fn start<'g>(groups: impl Iterator<Item = &'g ProcessorGroup>, ground: &Ground) -> Result<Processors, Failure> {
        let samplers = SamplerMetrics::register(&ground.metrics).map_err(Failure::runtime)?;
        let groups: Vec<&ProcessorGroup> = groups.collect();
        let share = ground.memory_bytes / BUFFER_SHARE / groups.len().max(1);
        let mut started = Processors { groups: Vec::new() };
        for group in groups {
            match Self::start_one(group, &samplers, share, ground) {
                Ok(group) => started.groups.push(group),
                Err(failure) => {
                    started.stop();
                    return Err(failure);
                }
            }
        }
        Ok(started)
    }

    fn start_one(
        group: &ProcessorGroup,
        samplers: &SamplerMetrics,
        share: usize,
        ground: &Ground,
    ) -> Result<Group, Failure> {
        let metrics = Metrics::register(&ground.metrics, &group.name).map_err(Failure::runtime)?;
        let pipelines = group.pipelines.iter().map(|pipeline| counted(pipeline, samplers)).collect();
        let mut config = GroupConfig::new(&group.name, pipelines, ground.directory.join("processors"));
        config.inputs.clone_from(&group.inputs);
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        config.workers = cores.min(ground.partitions as usize);
        config.slot.clone_from(&ground.slot);
        config.framings = ground.framings.clone();
        config.schema_registry.clone_from(&ground.schema_registry);
        config.buffer_bytes = config.buffer_bytes.min(share);
        // What is not in the store yet stays in memory.
        config.flush_bytes = config.flush_bytes.min(share);
        let stores = StoreMemory::new(share).stores();
        Group::start(config, Arc::clone(&ground.bus), metrics, stores).map_err(Failure::runtime)
    }

    /// Asks whether all workers have joined their groups and restored what they were assigned.
    pub fn readiness(&self) -> impl Fn() -> Said + Send + Sync + 'static {
        let groups: Vec<_> = self.groups.iter().map(|group| (group.readiness(), group.restoring())).collect();
        move || match groups.iter().find(|(ready, _)| !ready()) {
            None => Ok(None),
            Some((_, restoring)) => {
                let percent = restoring.percent();
                Err(match percent.is_empty() {
                    true => "it waits for its partitions".to_owned(),
                    false => format!("it restores the state of partitions (per cent done): {percent:?}"),
                })
            }
        }
    }

    /// Some worker has ended by itself.
    pub fn failed(&self) -> bool {
        self.groups.iter().any(Group::failed)
    }

    /// Commits what is done, leaves the groups, and returns when all is closed. All groups are told at once.
    pub fn stop(self) {
        self.groups.iter().for_each(Group::ask_to_stop);
        self.groups.into_iter().for_each(Group::stop);
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
