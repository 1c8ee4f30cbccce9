//! Records out to other systems.
//!
//! A sink is a consumer group of its own: [`delivery`] reads the enriched topics and commits what is settled, at least
//! once; [`otlp`], [`prometheus`], [`debug`] and [`console`] say what happens to a row. [`start`] runs one.

mod clock;
pub mod console;
pub mod debug;
mod delivery;
mod handle;
pub mod otlp;
pub mod prometheus;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dbintel_bus::registry::Registry;
use dbintel_bus::{Bus, Framings, Slot};
use dbintel_config::Section;
use dbintel_schemas::Topic;
use tokio::runtime;

pub use delivery::{FirstStart, Metrics, Selection};
pub use handle::Handle;

use delivery::{Pump, Settings, Sink, Sources};

/// Topics that a sink reads.
const TOPICS: [Topic; 5] =
    [Topic::EnrichedMetrics, Topic::EnrichedQueries, Topic::EnrichedSessions, Topic::EnrichedLogs, Topic::Events];

/// Settings of a sink of any kind.
#[derive(Debug, Clone)]
pub enum SinkConfig {
    /// OTLP over gRPC or HTTP.
    Otlp(Box<otlp::Config>),
    /// A page for Prometheus.
    Prometheus(prometheus::Config),
    /// JSON lines.
    Debug(debug::Config),
    /// The live table of `dbintel up`.
    Console,
}

/// Types of sinks, as they stand in a configuration.
pub const TYPES: [&str; 7] = ["otlp", "otlp_grpc", "otlp_http", "otlphttp", "prometheus", "debug", "console"];

/// Reads the settings of a sink of this type; none if there is no such type.
pub fn read_config(sink_type: &str, section: &mut Section) -> Option<SinkConfig> {
    let otlp = |section: &mut Section, protocol| SinkConfig::Otlp(Box::new(otlp::Config::read(section, protocol)));
    Some(match sink_type {
        "otlp" | "otlp_grpc" => otlp(section, otlp::Protocol::Grpc),
        "otlphttp" | "otlp_http" => otlp(section, otlp::Protocol::Http),
        "prometheus" => SinkConfig::Prometheus(prometheus::Config::read(section)),
        "debug" => SinkConfig::Debug(debug::Config::read(section)),
        "console" => SinkConfig::Console,
        _ => return None,
    })
}

/// Where a sink runs.
pub struct Context {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// The schema registry, if there is one.
    pub schema_registry: Option<Arc<Registry>>,
    /// Number of partitions of the co-partitioned topics.
    pub partitions: u32,
    /// How records are framed.
    pub framings: Framings,
    /// Name of this member of the group, stable over restarts.
    pub slot: Slot,
    /// Where its metrics are shown.
    pub metrics: ::prometheus::Registry,
    /// Where its requests run.
    pub runtime: runtime::Handle,
    /// Where a debug sink writes.
    pub output: Box<dyn Write + Send>,
}

/// A sink cannot be started with these settings.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The receiver cannot be spoken to.
    #[error("sink {id}: {source}")]
    Transport {
        /// Component id.
        id: String,
        /// What is wrong.
        source: Box<otlp::TransportError>,
    },
    /// There is no thread to be had.
    #[error("sink {id}: could not start its thread: {source}")]
    Thread {
        /// Component id.
        id: String,
        /// Why not.
        source: std::io::Error,
    },
}

/// Starts the sink `id`, which takes the selected rows.
pub fn start(id: &str, config: SinkConfig, selection: Selection, context: Context) -> Result<Handle, StartError> {
    let metrics = Metrics::new(&context.metrics, id);
    let (mut router, mut screen, mut texts, mut start_at) = (None, None, true, FirstStart::default());
    let sink: Box<dyn Sink> = match config {
        SinkConfig::Otlp(config) => {
            start_at = config.start_at;
            let started = otlp::Otlp::start(id, *config, context.partitions, &metrics, &context.runtime);
            Box::new(started.map_err(|source| StartError::Transport { id: id.to_owned(), source: Box::new(source) })?)
        }
        SinkConfig::Prometheus(config) => {
            let sink = prometheus::Prometheus::new(config, &metrics);
            (router, texts) = (Some(sink.router()), false);
            Box::new(sink)
        }
        SinkConfig::Debug(config) => {
            start_at = config.start_at;
            Box::new(debug::Debug::new(config, context.output))
        }
        SinkConfig::Console => {
            let sink = console::Console::default();
            screen = Some(sink.screen());
            Box::new(sink)
        }
    };
    let settings = Settings {
        id: id.to_owned(),
        topics: TOPICS.to_vec(),
        selection,
        slot: context.slot,
        texts,
        framings: context.framings,
        start_at,
    };
    let (stop, ready) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let sources = Sources { bus: context.bus, registry: context.schema_registry };
    let pump = Pump::new(settings, sources, sink, metrics.clone(), Arc::clone(&stop), Arc::clone(&ready));
    let thread = std::thread::Builder::new()
        .name(format!("sink-{id}"))
        .spawn(move || pump.run())
        .map_err(|source| StartError::Thread { id: id.to_owned(), source })?;
    Ok(Handle { id: id.to_owned(), stop, ready, thread: Some(thread), router, screen, metrics })
}

#[cfg(test)]
mod tests;
