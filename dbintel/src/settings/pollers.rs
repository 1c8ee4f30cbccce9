//! The section `pollers`, one match per kind.

use std::collections::BTreeMap;

use dbintel_config::{Component, ComponentId, Pipeline, Section};
use dbintel_pollers::discovery::{self, Discovery};
use dbintel_pollers::{Config, mysql, postgresql, sqlquery};

/// Kinds that exist.
const KNOWN: [&str; 4] = ["postgresql", "mysql", "mariadb", "sqlquery"];

/// A poller that some pipeline names.
#[derive(Debug, Clone)]
pub struct Poller {
    /// Its id.
    pub id: ComponentId,
    /// Its settings; with a discovery those of each server that is found.
    pub config: Config,
    /// Where its servers are found, if it names none itself.
    pub discovery: Option<Discovery>,
}

impl Poller {
    /// The servers that it polls, by the names of their targets. Looks for them, if need be, and blocks then.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn targets(&self) -> Result<BTreeMap<String, Config>, String> {
        match &self.discovery {
            None => Ok([(self.config.target_name(&self.id), self.config.clone())].into()),
            Some(discovery) => Ok(discovery::targets(&self.id, &self.config, &discovery.look()?).0),
        }
    }
}

/// Reads where the servers of a poller are found. Then it names none itself.
fn read_discovery(section: &mut Section) -> Option<Discovery> {
    let mut nested =
        section.doc("Where its servers are found, if it names none itself.").optional_section("discovery")?;
    for key in ["endpoint", "target"] {
        if section.is_set(key) {
            section.problem(key, "is of one server, and `discovery` finds them: leave out one of both");
        }
    }
    Some(Discovery::read(&mut nested))
}

/// Reads all pollers; gives those that pipelines name.
pub fn read(components: Vec<Component>, pipelines: &[Pipeline]) -> Vec<Poller> {
    let mut pollers = Vec::new();
    let mut targets: BTreeMap<String, ComponentId> = BTreeMap::new();
    for mut component in components {
        let config: Config = match component.id.kind.as_str() {
            "postgresql" => postgresql::Config::read(&mut component.section).into(),
            "mysql" | "mariadb" => mysql::Config::read(&mut component.section).into(),
            "sqlquery" => sqlquery::Config::read(&mut component.section).into(),
            _ => {
                component.refuse_kind(&KNOWN);
                continue;
            }
        };
        // A source of its own says where the server of a `sqlquery` poller is.
        let discovery = match config {
            Config::SqlQuery(_) => None,
            _ => read_discovery(&mut component.section),
        };
        let target = config.target_name(&component.id);
        if discovery.is_none()
            && let Some(first) = targets.insert(target.clone(), component.id.clone())
        {
            component.section.problem_here(format!(
                "`{first}` polls the target `{target}` already; give one of them another `target:`"
            ));
        }
        pollers.push(Poller { id: component.id, config, discovery });
    }
    pollers.retain(|poller| pipelines.iter().any(|pipeline| pipeline.pollers.contains(&poller.id)));
    pollers
}
