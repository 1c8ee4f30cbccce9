//! The roles of a process while they run.

use std::net::SocketAddr;

use axum::Router;
use dbintel_sinks::console::{Flow, Screen};
use prometheus::Registry;
use tokio::task::JoinSet;

use super::{Display, Launch, ground};
use crate::failure::Failure;
use crate::health::Health;
use crate::lag::{self, Groups, LagWatch};
use crate::listen::{self, Purpose};
use crate::metrics::OwnMetrics;
use crate::roles::poller::Pollers;
use crate::roles::processor::{self, Processors};
use crate::roles::sink::{self, Sinks};
use crate::roles::{Ground, Roles};
use crate::settings::{PROCESSOR_GROUP, Settings};
use crate::slot::Slot;

/// Counter of the pollers: rows that the log took.
const ROWS_PUBLISHED: &str = "poller_rows_published_total";

/// Everything that runs. Parts that were not asked for are absent.
pub struct Running {
    pollers: Option<Pollers>,
    processors: Option<Processors>,
    sinks: Sinks,
    registry: Registry,
    addresses: Vec<String>,
    servers: JoinSet<()>,
    _lag: LagWatch,
    _slot: Slot,
}

impl Running {
    /// Listens, opens the log and starts the roles, from the end of the pipeline to its beginning.
    pub async fn start(launch: &Launch, health: &Health) -> Result<Running, Failure> {
        let Launch { settings, roles, .. } = launch;
        let own = OwnMetrics::new().map_err(Failure::runtime)?;
        let mut servers = JoinSet::new();
        let service = &settings.service;
        let health_at = serve(&mut servers, listen::HEALTH, &service.health_address, health.router()).await?;
        let metrics_at = serve(&mut servers, listen::METRICS, &service.metrics_address, own.router()).await?;
        let (ground, slot) = ground::prepare(settings, &own.registry, health).await?;
        let sinks = if roles.sink { start_sinks(launch, &ground, health).await? } else { Sinks::default() };
        let processors = roles.processor.then(|| Processors::start(&settings.pipelines, &ground)).transpose()?;
        let pollers = roles.poller.then(|| Pollers::start(&settings.pollers, &ground)).transpose()?;
        let lag = lag::watch(ground.bus, groups(*roles, settings), &own.registry).map_err(Failure::runtime)?;
        let mut addresses = vec![
            format!("dbintel {}: {} on {}", env!("CARGO_PKG_VERSION"), roles.names(), settings.bus.place()),
            format!("  health   http://{health_at}/readyz"),
            format!("  metrics  http://{metrics_at}/metrics"),
        ];
        addresses.extend(sinks.exports.iter().map(|(_, address)| format!("  export   http://{address}/metrics")));
        let registry = own.registry;
        Ok(Running { pollers, processors, sinks, registry, addresses, servers, _lag: lag, _slot: slot })
    }

    /// What runs and where it answers, line by line.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The live table, if there is one.
    pub fn screen(&self) -> Option<Screen> {
        self.sinks.screen()
    }

    /// How rows flow through the process.
    pub fn flow(&self) -> Flow {
        let families = self.registry.gather();
        let published = families.iter().filter(|family| family.name() == ROWS_PUBLISHED);
        let rows = published
            .flat_map(|family| family.get_metric())
            .map(|metric| metric.get_counter().get_value())
            .sum::<f64>();
        Flow { records_in: rows as u64, ..self.sinks.delivered() }
    }

    /// Why the process cannot go on, if it cannot.
    pub fn failure(&self) -> Option<Failure> {
        if self.processors.as_ref().is_some_and(Processors::failed) {
            return Some(Failure::Runtime(
                "a worker of the processors has ended by itself; the log says why".to_owned(),
            ));
        }
        self.sinks.failure().map(Failure::runtime)
    }

    /// Stops in the order of the flow: nothing more is read, what was read is processed, what is open is delivered.
    pub async fn stop(mut self) {
        if let Some(pollers) = self.pollers.take() {
            pollers.stop().await;
        }
        let (processors, sinks) = (self.processors.take(), std::mem::take(&mut self.sinks));
        let stopped = tokio::task::spawn_blocking(move || {
            if let Some(processors) = processors {
                processors.stop();
            }
            sinks.stop();
        });
        if let Err(error) = stopped.await {
            tracing::error!(%error, "a role did not stop in order");
        }
        self.servers.shutdown().await;
    }
}

async fn serve(
    servers: &mut JoinSet<()>,
    purpose: Purpose,
    address: &str,
    router: Router,
) -> Result<SocketAddr, Failure> {
    let (listener, bound) = listen::bind(purpose, address).await.map_err(Failure::runtime)?;
    servers.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, purpose = purpose.name, "no longer answers");
        }
    });
    Ok(bound)
}

async fn start_sinks(launch: &Launch, ground: &Ground, health: &Health) -> Result<Sinks, Failure> {
    let mut sinks = Sinks::default();
    for sink in &launch.settings.sinks {
        sinks.start(sink, ground, launch.export_address.as_deref()).await?;
        let id = sink.id.to_string();
        health.watch(&format!("sink {id}"), sinks.readiness(&id));
    }
    if launch.display != Display::None {
        let pipelines = launch.settings.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        sinks.start_console(pipelines, ground)?;
    }
    Ok(sinks)
}

/// Groups that this process takes part in, with what they read.
fn groups(roles: Roles, settings: &Settings) -> Groups {
    let processors = roles.processor.then(|| (PROCESSOR_GROUP.to_owned(), processor::inputs()));
    let sinks = settings.sinks.iter().filter(|_| roles.sink);
    let sinks = sinks.map(|sink| (sink::group(&sink.id.to_string()), sink::inputs()));
    processors.into_iter().chain(sinks).collect()
}
