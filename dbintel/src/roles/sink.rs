//! The role that brings enriched records to other systems.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dbintel_bus::BusError;
use dbintel_schemas::Topic;
use dbintel_schemas::topics::PREFIX;
use dbintel_sinks::console::{Flow, Screen};
use dbintel_sinks::{Context, Handle, Selection, SinkConfig};

use super::Ground;
use crate::failure::Failure;
use crate::health::Said;
use crate::listen::{self, Address, Pages};
use crate::settings::Sink;

/// Id of the live table's sink.
const CONSOLE: &str = "console";
/// Topics that sinks read.
const INPUTS: [Topic; 5] =
    [Topic::EnrichedMetrics, Topic::EnrichedQueries, Topic::EnrichedSessions, Topic::EnrichedLogs, Topic::Events];

/// Sinks that run.
#[derive(Default)]
pub struct Sinks {
    handles: Arc<Mutex<Vec<Handle>>>,
    screen: Option<Screen>,
    /// Where `prometheus` sinks are scraped.
    pub exports: Vec<(String, SocketAddr)>,
}

impl Sinks {
    /// Starts a sink. `export_address` wins over the endpoint of a `prometheus` sink, which answers on `pages`.
    pub async fn start(
        &mut self,
        sink: &Sink,
        ground: &Ground,
        export_address: Option<&Address>,
        pages: &mut Pages,
    ) -> Result<(), Failure> {
        let listening = match &sink.config {
            SinkConfig::Prometheus(config) => {
                let address = export_address.cloned().unwrap_or_else(|| config.endpoint.into());
                Some(listen::bind(listen::EXPORT, &address).await.map_err(Failure::runtime)?)
            }
            _ => None,
        };
        let id = sink.id.to_string();
        let handle = start(&id, sink.config.clone(), sink.selection.clone(), ground)?;
        if let (Some((listener, address)), Some(router)) = (listening, handle.router()) {
            self.exports.push((id, address));
            pages.answer(listen::EXPORT, listener, router);
        }
        self.lock().push(handle);
        Ok(())
    }

    /// Starts the live table.
    pub fn start_console(&mut self, pipelines: Vec<String>, ground: &Ground) -> Result<(), Failure> {
        let handle = start(CONSOLE, SinkConfig::Console, Selection::of_pipelines(pipelines), ground)?;
        self.screen = handle.screen();
        self.lock().push(handle);
        Ok(())
    }

    /// The live table.
    pub fn screen(&self) -> Option<Screen> {
        self.screen.clone()
    }

    /// Asks whether all sinks deliver. Cheap to clone and call.
    pub fn readiness(&self, id: &str) -> impl Fn() -> Said + Send + Sync + 'static {
        let (handles, id) = (Arc::clone(&self.handles), id.to_owned());
        move || {
            let handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
            match handles.iter().find(|handle| handle.id() == id) {
                Some(handle) if handle.ended() => Err("it has ended".to_owned()),
                Some(handle) if !handle.ready() => Err("it waits for its partitions".to_owned()),
                _ => Ok(None),
            }
        }
    }

    /// What was delivered, and how far the slowest is behind.
    pub fn delivered(&self) -> Flow {
        let handles = self.lock();
        let exporting = handles.iter().filter(|handle| handle.id() != CONSOLE || handles.len() == 1);
        let lag = handles.iter().map(|handle| handle.metrics().lag.get()).fold(0.0, f64::max);
        Flow {
            records_in: 0,
            records_out: exporting.map(|handle| handle.metrics().accepted.get()).sum(),
            lag: Duration::try_from_secs_f64(lag).unwrap_or_default(),
        }
    }

    /// Why a sink has ended by itself, if one has.
    pub fn failure(&self) -> Option<BusError> {
        let mut handles = self.lock();
        let ended = handles.iter().position(Handle::ended)?;
        let handle = handles.swap_remove(ended);
        let id = handle.id().to_owned();
        let fault =
            || BusError::Fatal { operation: format!("run the sink {id}"), message: "it ended by itself".to_owned() };
        Some(handle.join().err().unwrap_or_else(fault))
    }

    /// Delivers what is open, for a bounded time, and ends. Blocks.
    pub fn stop(&self) {
        let handles = std::mem::take(&mut *self.lock());
        handles.iter().for_each(Handle::stop);
        for handle in handles {
            let id = handle.id().to_owned();
            if let Err(error) = handle.join() {
                tracing::warn!(sink = id, %error, "a sink did not end in order");
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name of the consumer group of a sink.
pub fn group(id: &str) -> String {
    format!("{PREFIX}sink.{id}")
}

/// Full names of the topics that sinks read.
pub fn inputs() -> Vec<String> {
    INPUTS.iter().map(|topic| dbintel_bus::topic_name(*topic)).collect()
}

fn start(id: &str, config: SinkConfig, selection: Selection, ground: &Ground) -> Result<Handle, Failure> {
    let context = Context {
        bus: Arc::clone(&ground.bus),
        partitions: ground.partitions,
        framings: ground.framings.clone(),
        schema_registry: ground.schema_registry.clone(),
        slot: ground.slot.clone(),
        metrics: ground.metrics.clone(),
        runtime: tokio::runtime::Handle::current(),
        output: Box::new(io::stdout()),
    };
    dbintel_sinks::start(id, config, selection, context).map_err(Failure::runtime)
}
