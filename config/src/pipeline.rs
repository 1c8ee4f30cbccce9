//! The shape that every configuration has: `pollers`, `processors` and `sinks` declare components,
//! `pipelines` connect them, `bus` and `service` configure the process.

use std::collections::BTreeSet;

use crate::component::{ComponentId, ComponentIdError};
use crate::problem::Segment;
use crate::section::{Item, Section};
use crate::suggest::way_out;

/// The three kinds of component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads databases.
    Poller,
    /// Turns records into records.
    Processor,
    /// Brings records to other systems.
    Sink,
}

impl Role {
    /// The word for one of them: `poller`.
    pub fn noun(self) -> &'static str {
        match self {
            Role::Poller => "poller",
            Role::Processor => "processor",
            Role::Sink => "sink",
        }
    }

    /// The section that declares them, and the key that lists them in a pipeline: `pollers`.
    pub fn key(self) -> &'static str {
        match self {
            Role::Poller => "pollers",
            Role::Processor => "processors",
            Role::Sink => "sinks",
        }
    }
}

/// A declared component, still to be read by the crate that knows its kind.
#[derive(Debug)]
pub struct Component {
    /// Whether it is a poller, processor or sink.
    pub role: Role,
    /// Its kind and name.
    pub id: ComponentId,
    /// Its settings.
    pub section: Section,
}

impl Component {
    /// Reports a kind that the role does not know, with those it knows, and lets the settings go
    /// unread.
    pub fn refuse_kind(self, known: &[&str]) {
        let (noun, kind) = (self.role.noun(), written(&self.section).unwrap_or(&self.id.kind));
        self.section.problem_here(format!("unknown {noun} type `{kind}`{}", way_out(kind, known)));
        self.section.skip();
    }
}

/// What flows where. Each id is one of a declared component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// The name, of the same form as the id of a component: `metrics/queries`.
    pub name: ComponentId,
    /// Where its records come from; at least one.
    pub pollers: Vec<ComponentId>,
    /// What its records go through, in this order.
    pub processors: Vec<ComponentId>,
    /// Where its records go; none if other consumers read the enriched topics.
    pub sinks: Vec<ComponentId>,
}

/// A configuration, cut into the parts that the roles read.
#[derive(Debug)]
pub struct Topology {
    /// Declared pollers, in the order of the file.
    pub pollers: Vec<Component>,
    /// Declared processors, in the order of the file.
    pub processors: Vec<Component>,
    /// Declared sinks, in the order of the file.
    pub sinks: Vec<Component>,
    /// The pipelines, in the order of the file.
    pub pipelines: Vec<Pipeline>,
    /// How to reach the bus.
    pub bus: Section,
    /// How the process runs: logs, ports.
    pub service: Section,
}

/// Sections of an OpenTelemetry Collector configuration, and what they are called here.
const COLLECTOR_NAMES: [(&str, &str); 3] =
    [("receivers", "pollers"), ("exporters", "sinks"), ("extensions", "service")];

impl Topology {
    /// Reads the top of a configuration. A component that no pipeline uses gives a warning.
    pub fn read(root: &mut Section) -> Topology {
        refuse_collector_names(root);
        let pollers = declared(root, Role::Poller);
        let processors = declared(root, Role::Processor);
        let sinks = declared(root, Role::Sink);
        let mut pipelines = Vec::new();
        for (name, mut section) in root.sections("pipelines") {
            refuse_collector_names(&mut section);
            let references = [
                references(&mut section, Role::Poller, &pollers),
                references(&mut section, Role::Processor, &processors),
                references(&mut section, Role::Sink, &sinks),
            ];
            pipelines.extend(pipeline(&name, &section, references));
        }
        warn_of_unused(&pipelines, pollers.iter().chain(&processors).chain(&sinks));
        let (bus, mut service) = (root.section_or_word("bus"), root.section("service"));
        service.refuse("pipelines", "`pipelines` stand at the top of the file, not under `service`");
        Topology { pollers, processors, sinks, pipelines, bus, service }
    }
}

fn refuse_collector_names(section: &mut Section) {
    for (theirs, ours) in COLLECTOR_NAMES {
        let message = format!(
            "the Collector's `{theirs}` are `{ours}` here; `dbintel config print` shows a configuration with every setting"
        );
        section.refuse(theirs, message);
    }
}

fn declared(root: &mut Section, role: Role) -> Vec<Component> {
    let mut components = Vec::new();
    for (name, section) in root.sections(role.key()) {
        match name.parse() {
            Ok(id) => components.push(Component { role, id, section }),
            Err(error) => {
                section.problem_here(misnamed(written(&section), &error));
                section.skip();
            }
        }
    }
    components
}

/// What the file says for the name of a section, if the name came from variables or files.
fn written(section: &Section) -> Option<&str> {
    match section.path().segments().last() {
        Some(Segment::Reference(written)) => Some(written),
        _ => None,
    }
}

/// What is wrong with a name, without what a variable or a file gave.
fn misnamed(written: Option<&str>, error: &ComponentIdError) -> String {
    written.map_or_else(|| error.to_string(), |written| format!("what `{written}` gives is not a component id"))
}

/// The components that a pipeline names, each declared and named once.
fn references(section: &mut Section, role: Role, declared: &[Component]) -> Vec<ComponentId> {
    let items = section.items(role.key(), &[]);
    let names_none = items.as_ref().map_or(!section.is_set(role.key()), Vec::is_empty);
    if role == Role::Poller && names_none {
        section.problem_here("a pipeline needs at least one of `pollers`");
    }
    let mut found: Vec<ComponentId> = Vec::new();
    for item in items.unwrap_or_default() {
        match resolve(&item, role, declared) {
            Ok(id) if found.contains(&id) => {
                section.problem_at(&item, format!("{} `{}` is named twice", role.noun(), item.shown));
            }
            Ok(id) => found.push(id),
            Err(message) => section.problem_at(&item, message),
        }
    }
    found
}

fn resolve(item: &Item, role: Role, declared: &[Component]) -> Result<ComponentId, String> {
    let reference = (item.shown != item.text).then_some(item.shown.as_str());
    let id: ComponentId = item.text.parse().map_err(|error| misnamed(reference, &error))?;
    if declared.iter().any(|component| component.id == id) {
        return Ok(id);
    }
    let shown = |component: &Component| written(&component.section).map_or(component.id.to_string(), str::to_owned);
    let known: Vec<String> = declared.iter().map(shown).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Err(format!("undeclared {} `{}`{}", role.noun(), item.shown, way_out(&item.shown, &known)))
}

fn pipeline(name: &str, section: &Section, references: [Vec<ComponentId>; 3]) -> Option<Pipeline> {
    let [pollers, processors, sinks] = references;
    match name.parse() {
        Ok(name) => Some(Pipeline { name, pollers, processors, sinks }),
        Err(error) => {
            section.problem_here(misnamed(written(section), &error));
            None
        }
    }
}

fn warn_of_unused<'a>(pipelines: &[Pipeline], components: impl Iterator<Item = &'a Component>) {
    let named = |pipeline: &Pipeline| {
        let role = |role, ids: &[ComponentId]| ids.iter().map(|id| (role, id.clone())).collect::<Vec<_>>();
        let Pipeline { pollers, processors, sinks, .. } = pipeline;
        [role(Role::Poller, pollers), role(Role::Processor, processors), role(Role::Sink, sinks)].concat()
    };
    let used: BTreeSet<(Role, ComponentId)> = pipelines.iter().flat_map(named).collect();
    for component in components {
        if !used.contains(&(component.role, component.id.clone())) {
            component.section.warning_here("declared, but no pipeline uses it");
        }
    }
}

#[cfg(test)]
mod tests;
