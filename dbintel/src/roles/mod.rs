//! The roles of a process: what each needs, how it starts, how it stops.

pub mod poller;
pub mod processor;
mod search;
pub mod sink;

use std::path::PathBuf;
use std::sync::Arc;

use dbintel_bus::registry::Registry as SchemaRegistry;
use dbintel_bus::{Bus, Framings, Slot};
use prometheus::Registry;

/// Which roles a process carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Reads servers.
    pub poller: bool,
    /// Turns raw records into enriched ones.
    pub processor: bool,
    /// Brings enriched records to other systems.
    pub sink: bool,
}

impl Roles {
    /// All.
    pub const ALL: Roles = Roles { poller: true, processor: true, sink: true };
    /// The poller only.
    pub const POLLER: Roles = Roles { poller: true, processor: false, sink: false };
    /// The processor only.
    pub const PROCESSOR: Roles = Roles { poller: false, processor: true, sink: false };
    /// The sink only.
    pub const SINK: Roles = Roles { poller: false, processor: false, sink: true };

    /// Names for people.
    pub fn names(self) -> String {
        let names = [(self.poller, "poller"), (self.processor, "processor"), (self.sink, "sink")];
        let names: Vec<&str> = names.into_iter().filter(|(carried, _)| *carried).map(|(_, name)| name).collect();
        names.join(", ")
    }
}

/// What every role works on.
pub struct Ground {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Partitions of the co-partitioned topics.
    pub partitions: u32,
    /// How records are framed.
    pub framings: Framings,
    /// The registry of schemas, if there is one.
    pub schema_registry: Option<Arc<SchemaRegistry>>,
    /// Name of the process in its groups.
    pub slot: Slot,
    /// Where this process alone keeps state.
    pub directory: PathBuf,
    /// Where metrics are registered.
    pub metrics: Registry,
    /// Bytes that may wait in memory.
    pub memory_bytes: usize,
}
