//! Looks for the schemas of writers that are not known: in the registry, or on the `schemas` topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dbintel_bus::Bus;
use dbintel_bus::registry::Registry;
use dbintel_schemas::wire::WriterSchema;

use super::writers::Writers;

/// Time until a schema that was not found is looked for again.
const RETRY: Duration = Duration::from_secs(5);
/// Writers whose last search is remembered; past it all are forgotten.
const SEARCHED_MAX: usize = 1000;

/// Where schemas are, and when they were looked for.
pub struct Lookup<'b> {
    bus: &'b dyn Bus,
    registry: Option<Registry>,
    searched: BTreeMap<WriterSchema, Instant>,
}

impl<'b> Lookup<'b> {
    /// Nothing was looked for yet.
    pub fn new(bus: &'b dyn Bus, registry: Option<Registry>) -> Lookup<'b> {
        Lookup { bus, registry, searched: BTreeMap::new() }
    }

    /// Teaches `writers` the schema of a writer, if it is found; it is not looked for if it was a moment ago. The error says
    /// why the answer is not known, or that the registry has no such schema.
    pub fn look(&mut self, writer: WriterSchema, writers: &mut Writers, now: Instant) -> Result<(), String> {
        if self.searched.get(&writer).is_some_and(|at| now.saturating_duration_since(*at) < RETRY) {
            return Ok(());
        }
        if self.searched.len() >= SEARCHED_MAX {
            self.searched.clear();
        }
        self.searched.insert(writer, now);
        match (writer, &self.registry) {
            (WriterSchema::RegistryId(id), Some(registry)) => {
                let schema = registry.schema(id).map_err(|error| error.to_string())?;
                writers.learn(writer, &schema);
                Ok(())
            }
            _ => writers.read_log(self.bus).map_err(|error| error.to_string()),
        }
    }
}
