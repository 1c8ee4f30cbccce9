//! The section `sinks`: each kind is read by the crate that knows it.

use std::collections::BTreeMap;

use dbintel_config::{Component, ComponentId, Pipeline};
use dbintel_sinks::{Selection, SinkConfig, TYPES, read_config};

/// The live table is for `up` to start, not for a configuration to name.
const CONSOLE: &str = "console";

/// A sink that some pipeline names.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its id.
    pub id: ComponentId,
    /// Its settings.
    pub config: SinkConfig,
    /// Rows that it takes.
    pub selection: Selection,
}

/// Reads all sinks; gives those that pipelines name.
pub fn read(components: Vec<Component>, pipelines: &[Pipeline]) -> Vec<Sink> {
    let known: Vec<&str> = TYPES.into_iter().filter(|kind| *kind != CONSOLE).collect();
    let mut sinks = Vec::new();
    for mut component in components {
        let kind = component.id.kind.clone();
        let labels =
            component.section.doc("Labels that a target must have, all of them; those of other targets are left out.");
        let labels = labels.text_map("select");
        let config = (kind != CONSOLE).then(|| read_config(&kind, &mut component.section)).flatten();
        let Some(config) = config else {
            component.refuse_kind(&known);
            continue;
        };
        let naming: Vec<&Pipeline> =
            pipelines.iter().filter(|pipeline| pipeline.sinks.contains(&component.id)).collect();
        if matches!(config, SinkConfig::Prometheus(_) | SinkConfig::Otlp(_)) {
            refuse_rows_twice(&component, &naming);
        }
        let pipelines: Vec<String> = naming.iter().map(|pipeline| pipeline.name.to_string()).collect();
        if !pipelines.is_empty() {
            sinks.push(Sink { id: component.id, config, selection: Selection { pipelines, labels } });
        }
    }
    sinks
}

/// Refuses two ways from one poller to a sink that adds rows up: it would have each row twice.
fn refuse_rows_twice(sink: &Component, naming: &[&Pipeline]) {
    let mut ways: BTreeMap<&ComponentId, &ComponentId> = BTreeMap::new();
    for pipeline in naming {
        for poller in &pipeline.pollers {
            if let Some(first) = ways.insert(poller, &pipeline.name) {
                sink.section.problem_here(format!(
                    "the pipelines `{first}` and `{}` both bring it the rows of `{poller}`, which would count twice; give \
                     each pipeline a sink of its own",
                    pipeline.name
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dbintel_config::{Document, Environment, Topology};

    use super::*;

    /// The problems with two pipelines over one poller, and a third over another one, into this sink.
    fn problems(sink: &str) -> Vec<String> {
        let yaml = format!(
            "pollers: {{postgresql: {{}}, postgresql/b: {{}}}}\nsinks:\n  {sink}: {{endpoint: '127.0.0.1:1'}}\npipelines:\n  \
             all: {{pollers: [postgresql], sinks: [{sink}]}}\n  some: {{pollers: [postgresql], sinks: [{sink}]}}\n  \
             b: {{pollers: [postgresql/b], sinks: [{sink}]}}\n"
        );
        let document = Document::from_text("c.yaml", &yaml, &Environment::from_iter::<[(&str, &str); 0]>([]));
        let loaded = document.unwrap().read(|root| {
            let Topology { pollers, sinks, pipelines, bus, service, .. } = Topology::read(root);
            pollers.into_iter().map(|poller| poller.section).chain([bus, service]).for_each(|section| section.skip());
            read(sinks, &pipelines)
        });
        match loaded {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_sink_that_adds_rows_up_gets_a_poller_through_one_pipeline() {
        for sink in ["prometheus", "otlp", "otlp_http/b"] {
            let expected = "the pipelines `all` and `some` both bring it the rows of `postgresql`";
            let problems = problems(sink);
            let is_told = |problem: &String| problem.starts_with("c.yaml:3:3: ") && problem.contains(expected);
            assert!(problems.len() == 1 && is_told(&problems[0]), "{problems:?}");
        }
    }
}
