//! The section `sinks`: each kind is read by the crate that knows it.

use dbintel_config::{Component, ComponentId, Pipeline};
use dbintel_sinks::{SinkConfig, TYPES, read_config};

/// The live table is for `up` to start, not for a configuration to name.
const CONSOLE: &str = "console";

/// A sink that some pipeline names.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its id.
    pub id: ComponentId,
    /// Its settings.
    pub config: SinkConfig,
    /// Pipelines that name it.
    pub pipelines: Vec<String>,
}

/// Reads all sinks; gives those that pipelines name.
pub fn read(components: Vec<Component>, pipelines: &[Pipeline]) -> Vec<Sink> {
    let known: Vec<&str> = TYPES.into_iter().filter(|kind| *kind != CONSOLE).collect();
    let mut sinks = Vec::new();
    for mut component in components {
        let kind = component.id.kind.clone();
        let config = (kind != CONSOLE).then(|| read_config(&kind, &mut component.section)).flatten();
        let Some(config) = config else {
            component.refuse_kind(&known);
            continue;
        };
        let naming = pipelines.iter().filter(|pipeline| pipeline.sinks.contains(&component.id));
        let pipelines: Vec<String> = naming.map(|pipeline| pipeline.name.to_string()).collect();
        if !pipelines.is_empty() {
            sinks.push(Sink { id: component.id, config, pipelines });
        }
    }
    sinks
}
