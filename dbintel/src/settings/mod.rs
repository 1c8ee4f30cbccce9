//! The configuration of a process: every component that its file declares, read by the crate that knows its kind.

mod bus;
mod groups;
mod pollers;
mod processors;
mod service;
mod sinks;
mod source;

use std::path::Path;

use dbintel_config::{Component, Environment, Section, Topology};
use dbintel_processors::engine::Pipeline;
use dbintel_schemas::topics::PREFIX;

use crate::failure::Failure;

pub use self::bus::Bus;
pub use self::groups::{FIRST, Layout, ProcessorGroup};
pub use self::pollers::Poller;
pub use self::service::Service;
pub use self::sinks::Sink;
pub use self::source::{BuiltIn, load, load_text, load_to_look};

/// All settings.
pub struct Settings {
    /// How the process shows itself, and where it keeps things.
    pub service: Service,
    /// Which log.
    pub bus: Bus,
    /// Pollers that pipelines name.
    pub pollers: Vec<Poller>,
    /// Pipelines with their processors.
    pub pipelines: Vec<Pipeline>,
    /// Consumer groups that carry them.
    pub groups: Vec<ProcessorGroup>,
    /// Sinks that pipelines name.
    pub sinks: Vec<Sink>,
}

impl Settings {
    /// Reads a whole configuration. `state_directory` wins over the file.
    pub fn read(root: &mut Section, environment: &Environment, state_directory: Option<&Path>) -> Settings {
        let topology = Topology::read(root);
        if topology.pipelines.is_empty() {
            root.problem(
                "pipelines",
                "there is nothing to do: declare a pipeline, such as `main: {pollers: [postgresql]}`",
            );
        }
        let Topology { pollers, processors, sinks, pipelines, mut bus, mut service } = topology;
        let mut service = Service::read(&mut service, environment);
        if let Some(state_directory) = state_directory {
            service.state_directory = state_directory.to_owned();
        }
        let chains = processors::read(processors, &pipelines);
        Settings {
            bus: Bus::read(&mut bus, &service.state_directory),
            groups: groups::of(service.layout, &chains, root),
            service,
            pollers: pollers::read(pollers, &pipelines),
            sinks: sinks::read(sinks, &pipelines),
            pipelines: chains,
        }
    }

    /// Names of the groups of processors.
    pub fn group_names(&self) -> Vec<&str> {
        self.groups.iter().map(|group| &*group.name).collect()
    }

    /// Groups of processors that this process takes part in.
    pub fn carried_groups(&self) -> impl Iterator<Item = &ProcessorGroup> {
        let only = &self.service.only_groups;
        self.groups.iter().filter(move |group| only.is_empty() || only.contains(&group.name))
    }

    /// Lets the process take part in these groups only, by their names with or without prefix.
    pub fn carry_only(&mut self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            let is_named =
                |group: &&ProcessorGroup| group.name == *name || group.name.strip_prefix(PREFIX) == Some(name);
            let Some(group) = self.groups.iter().find(is_named) else {
                let all = self.group_names().join(", ");
                return Err(Failure::Usage(format!("--group {name}: the groups of this configuration are {all}")));
            };
            self.service.only_groups.push(group.name.clone());
        }
        Ok(())
    }
}

/// Refuses a component of a kind that the predecessor had and that is still to come.
fn not_yet(component: Component) {
    let (noun, kind) = (component.role.noun(), &component.id.kind);
    component.section.problem_here(format!(
        "the {noun} `{kind}` is not part of this version; remove it here and from the pipelines that name it"
    ));
    component.section.skip();
}
