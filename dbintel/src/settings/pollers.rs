//! The section `pollers`, one match per kind.

use std::collections::BTreeMap;

use dbintel_config::{Component, ComponentId, Pipeline};
use dbintel_pollers::{Config, mysql, postgresql};

/// Kinds that exist.
const KNOWN: [&str; 3] = ["postgresql", "mysql", "mariadb"];
/// Kinds that users look for and that a later version brings.
const LATER: [&str; 1] = ["sqlquery"];

/// A poller that some pipeline names.
#[derive(Debug, Clone)]
pub struct Poller {
    /// Its id.
    pub id: ComponentId,
    /// Its settings.
    pub config: Config,
}

impl Poller {
    /// Name of the server that it polls.
    pub fn target(&self) -> String {
        self.config.target_name(&self.id)
    }
}

/// Reads all pollers; gives those that pipelines name.
pub fn read(components: Vec<Component>, pipelines: &[Pipeline]) -> Vec<Poller> {
    let mut pollers = Vec::new();
    let mut targets: BTreeMap<String, ComponentId> = BTreeMap::new();
    for mut component in components {
        let config: Config = match component.id.kind.as_str() {
            "postgresql" => postgresql::Config::read(&mut component.section).into(),
            "mysql" | "mariadb" => mysql::Config::read(&mut component.section).into(),
            kind if LATER.contains(&kind) => {
                super::not_yet(component);
                continue;
            }
            _ => {
                component.refuse_kind(&KNOWN);
                continue;
            }
        };
        let poller = Poller { id: component.id.clone(), config };
        if let Some(first) = targets.insert(poller.target(), component.id.clone()) {
            let target = poller.target();
            component.section.problem_here(format!(
                "`{first}` polls the target `{target}` already; give one of them another `target:`"
            ));
        }
        pollers.push(poller);
    }
    pollers.retain(|poller| pipelines.iter().any(|pipeline| pipeline.pollers.contains(&poller.id)));
    pollers
}
