//! The configuration of a process: every component that its file declares, read by the crate that knows its kind.

mod bus;
mod pollers;
mod processors;
mod service;
mod sinks;
mod source;

use std::path::Path;

use dbintel_config::{Component, Environment, Section, Topology};
use dbintel_processors::engine::Pipeline;

pub use self::bus::Bus;
pub use self::pollers::Poller;
pub use self::service::Service;
pub use self::sinks::Sink;
pub use self::source::{BuiltIn, load, load_text, load_to_look};

/// Consumer group of all processors.
pub const PROCESSOR_GROUP: &str = "dbintel.enrich";

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
        Settings {
            bus: Bus::read(&mut bus, &service.state_directory),
            service,
            pollers: pollers::read(pollers, &pipelines),
            sinks: sinks::read(sinks, &pipelines),
            pipelines: processors::read(processors, &pipelines),
        }
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
