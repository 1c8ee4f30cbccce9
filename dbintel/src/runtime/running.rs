//! The roles of a process while they run.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::Bus;
use dbintel_sinks::console::{Flow, Screen};
use prometheus::Registry;

use super::{Display, Launch, ground};
use crate::failure::Failure;
use crate::health::Health;
use crate::lag::{self, Groups, LagWatch};
use crate::listen::{self, Pages};
use crate::metrics::{self, OwnMetrics};
use crate::roles::poller::Pollers;
use crate::roles::processor::Processors;
use crate::roles::sink::{self, Sinks};
use crate::roles::{Ground, Roles};
use crate::settings::Settings;
use crate::slot::Slot;

/// Counter of the pollers: rows that the log took.
const ROWS_PUBLISHED: &str = "poller_rows_published_total";
/// Longest wait for what still holds the log after the roles have ended.
const GONE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often that is looked at.
const GONE_INTERVAL: Duration = Duration::from_millis(10);

/// Everything that runs. Parts that were not asked for are absent.
pub struct Running {
    pollers: Option<Pollers>,
    processors: Option<Processors>,
    sinks: Sinks,
    registry: Registry,
    addresses: Vec<String>,
    pages: Pages,
    remains: Remains,
}

/// What is left of roles that have stopped.
pub struct Remains {
    lag: Option<LagWatch>,
    bus: Arc<dyn Bus>,
    slot: Slot,
}

impl Running {
    /// Listens, opens the log and starts the roles. If any of that fails, all is stopped again before it returns.
    pub async fn start(launch: &Launch, health: &Health) -> Result<Running, Failure> {
        let own = OwnMetrics::new().map_err(Failure::runtime)?;
        let mut pages = Pages::new();
        let (addresses, ground, slot) = match prepare(launch, &own, health, &mut pages).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                pages.close().await;
                return Err(failure);
            }
        };
        let mut running = Running {
            pollers: None,
            processors: None,
            sinks: Sinks::default(),
            registry: own.registry,
            addresses,
            pages,
            remains: Remains { lag: None, bus: Arc::clone(&ground.bus), slot },
        };
        match running.start_roles(launch, ground, health).await {
            Ok(()) => Ok(running),
            Err(failure) => {
                running.stop().await.gone().await;
                Err(failure)
            }
        }
    }

    /// Starts the roles from the end of the pipeline to its beginning.
    async fn start_roles(&mut self, launch: &Launch, ground: Ground, health: &Health) -> Result<(), Failure> {
        let Launch { settings, roles, .. } = launch;
        if roles.sink {
            start_sinks(launch, &ground, health, &mut self.sinks, &mut self.pages).await?;
            let exports = self.sinks.exports.iter();
            self.addresses.extend(exports.map(|(_, address)| format!("  export   http://{address}/metrics")));
        }
        if roles.processor {
            ground::check_layout(settings, &ground.bus).await?;
            let processors = self.processors.insert(Processors::start(settings.carried_groups(), &ground)?);
            health.watch("processors", processors.readiness());
        }
        if roles.poller {
            let pollers = self.pollers.insert(Pollers::start(&settings.pollers, &settings.bus, &ground)?);
            for poller in &settings.pollers {
                health.watch(&format!("poller {}", poller.id), pollers.readiness(&poller.id));
            }
        }
        let lag = lag::watch(ground.bus, groups(*roles, settings), &self.registry).map_err(Failure::runtime)?;
        self.remains.lag = Some(lag);
        Ok(())
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
        if let Some(target) = self.pollers.as_ref().and_then(Pollers::failed) {
            return Some(Failure::Runtime(format!(
                "a part of the pollers has ended by itself: {target}; the log says why"
            )));
        }
        self.sinks.failure().map(Failure::runtime)
    }

    /// Stops in the order of the flow: pollers, processors with what they have begun, sinks with what is open. What lies between
    /// them stays in the log, for the next start.
    pub async fn stop(mut self) -> Remains {
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
        self.pages.close().await;
        self.remains
    }
}

impl Remains {
    /// Waits until nobody holds log and slot any more, so that another start can have them.
    pub async fn gone(self) {
        let Remains { lag, bus, slot } = self;
        let gone = async {
            let lag_ended = tokio::task::spawn_blocking(move || lag.into_iter().for_each(LagWatch::end)).await;
            while Arc::strong_count(&bus) > 1 {
                tokio::time::sleep(GONE_INTERVAL).await;
            }
            lag_ended
        };
        if !matches!(tokio::time::timeout(GONE_TIMEOUT, gone).await, Ok(Ok(()))) {
            tracing::warn!("something still holds the log");
        }
        drop(slot);
        if let Err(error) = tokio::task::spawn_blocking(move || drop(bus)).await {
            tracing::error!(%error, "the log was not closed in order");
        }
    }
}

/// Opens the pages of the process and the log; with the lines that say where.
async fn prepare(
    launch: &Launch,
    own: &OwnMetrics,
    health: &Health,
    pages: &mut Pages,
) -> Result<(Vec<String>, Ground, Slot), Failure> {
    let Launch { settings, roles, .. } = launch;
    let health_at = pages.open(listen::HEALTH, &settings.service.health_address, health.router()).await;
    let metrics_at = pages.open(listen::METRICS, &settings.service.metrics_address, own.router()).await;
    let addresses = vec![
        format!("dbintel {}: {} on {}", env!("CARGO_PKG_VERSION"), roles.names(), settings.bus.place()),
        format!("  health   http://{}/readyz", health_at.map_err(Failure::runtime)?),
        format!("  metrics  http://{}/metrics", metrics_at.map_err(Failure::runtime)?),
    ];
    let (ground, slot) = ground::prepare(settings, &own.registry, health).await?;
    Ok((addresses, ground, slot))
}

async fn start_sinks(
    launch: &Launch,
    ground: &Ground,
    health: &Health,
    sinks: &mut Sinks,
    pages: &mut Pages,
) -> Result<(), Failure> {
    for sink in &launch.settings.sinks {
        sinks.start(sink, ground, launch.export_address.as_ref(), pages).await?;
        let id = sink.id.to_string();
        metrics::register_awaited_of_sink(&ground.metrics, &id).map_err(Failure::runtime)?;
        health.watch(&format!("sink {id}"), sinks.readiness(&id));
    }
    if launch.display != Display::None {
        let pipelines = launch.settings.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
        sinks.start_console(pipelines, ground)?;
    }
    Ok(())
}

/// Groups that this process takes part in, with what they read.
pub fn groups(roles: Roles, settings: &Settings) -> Groups {
    let processors = settings.carried_groups().filter(|_| roles.processor);
    let processors = processors.map(|group| (group.name.clone(), group.input_names()));
    let sinks = settings.sinks.iter().filter(|_| roles.sink);
    let sinks = sinks.map(|sink| (sink::group(&sink.id.to_string()), sink::inputs()));
    processors.chain(sinks).collect()
}
