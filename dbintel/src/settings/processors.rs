//! The section `processors`, one match per kind, and what the pipelines make of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dbintel_config::{Component, ComponentId, Pipeline};
use dbintel_processors::adaptive_sampler::{self, AdaptiveSampler};
use dbintel_processors::delta::Delta;
use dbintel_processors::engine::{self, ProcessorFactory};
use dbintel_processors::text::Text;

/// Kinds that exist.
pub const KNOWN: [&str; 1] = ["adaptive_sampler"];
/// Kinds that users know from the Collector and that a later version brings.
const LATER: [&str; 8] = [
    "circuit_breaker",
    "plan_extractor",
    "verification",
    "memory_limiter",
    "batch",
    "resource",
    "attributes",
    "transform",
];
/// First in each pipeline: the others decide about what happened in an interval.
const DELTA: &str = "delta";
/// Second in each pipeline: the others know which statement a row is about.
const TEXT: &str = "text";

/// Reads all processors, and makes the chain of each pipeline.
pub fn read(components: Vec<Component>, pipelines: &[Pipeline]) -> Vec<engine::Pipeline> {
    let factories: BTreeMap<ComponentId, ProcessorFactory> = components.into_iter().filter_map(factory).collect();
    pipelines.iter().map(|pipeline| chain(pipeline, &factories)).collect()
}

fn factory(mut component: Component) -> Option<(ComponentId, ProcessorFactory)> {
    let id = component.id.clone();
    match id.kind.as_str() {
        "adaptive_sampler" => {
            let config = Arc::new(adaptive_sampler::Config::read(&mut component.section));
            Some((id, Arc::new(move || Box::new(AdaptiveSampler::new(Arc::clone(&config))))))
        }
        DELTA | TEXT => {
            component.section.problem_here(format!(
                "`{}` is in every pipeline by itself and has no settings: leave it out",
                component.id
            ));
            component.section.skip();
            None
        }
        kind if LATER.contains(&kind) => {
            super::not_yet(component);
            None
        }
        _ => {
            component.refuse_kind(&KNOWN);
            None
        }
    }
}

fn chain(pipeline: &Pipeline, factories: &BTreeMap<ComponentId, ProcessorFactory>) -> engine::Pipeline {
    let delta: ProcessorFactory = Arc::new(|| Box::new(Delta::new()));
    let text: ProcessorFactory = Arc::new(|| Box::new(Text::new()));
    let configured = pipeline.processors.iter();
    let configured = configured.filter_map(|id| Some((id.to_string(), Arc::clone(factories.get(id)?))));
    engine::Pipeline {
        name: pipeline.name.to_string(),
        pollers: pipeline.pollers.iter().map(ToString::to_string).collect(),
        processors: [(DELTA.to_owned(), delta), (TEXT.to_owned(), text)].into_iter().chain(configured).collect(),
        next: None,
    }
}
