//! Starts the pollers of a process, and stops them.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_config::ComponentId;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::failure::Failure;
use crate::found::Found;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::settings::Endpoint;
use crate::target::{Place, Target};
use crate::{mysql, postgresql};

/// Time for what the bus accepted to become durable when the pollers stop.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(400);

/// The pollers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two components have one target.
    #[error("{first} and {second} both poll the target {target}: give one of them another `target:`")]
    SameTarget {
        /// The target.
        target: String,
        /// One component.
        first: String,
        /// The other component.
        second: String,
    },
    /// The registry has metrics of this role already.
    #[error("could not register the metrics of the pollers: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Settings of one poller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// Of a `postgresql` poller.
    PostgreSql(postgresql::Config),
    /// Of a `mysql` poller.
    MySql(mysql::Config),
}

impl Config {
    /// Name of the server that it polls.
    pub fn target_name(&self, component: &ComponentId) -> String {
        match self {
            Config::PostgreSql(config) => config.target_name(component),
            Config::MySql(config) => config.target_name(component),
        }
    }

    /// Where the server listens.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Config::PostgreSql(config) => &config.endpoint,
            Config::MySql(config) => &config.endpoint,
        }
    }

    /// Statements that set our account up on a server that does not let us in yet.
    pub fn setup(&self) -> String {
        match self {
            Config::PostgreSql(config) => postgresql::setup::sql(config),
            Config::MySql(config) => mysql::setup::sql_of_stranger(config),
        }
    }

    /// Connects as the poller would, asks the server what it offers, and disconnects.
    pub async fn probe(&self) -> Result<Found, Failure> {
        match self {
            Config::PostgreSql(config) => postgresql::probe(config).await,
            Config::MySql(config) => mysql::probe(config).await,
        }
    }
}

impl From<postgresql::Config> for Config {
    fn from(config: postgresql::Config) -> Config {
        Config::PostgreSql(config)
    }
}

impl From<mysql::Config> for Config {
    fn from(config: mysql::Config) -> Config {
        Config::MySql(config)
    }
}

/// Pollers that run.
pub struct Handle {
    lanes: JoinSet<()>,
    feeds: JoinSet<()>,
    /// What runs for each target, to be asked whether it still does.
    alive: BTreeMap<String, Vec<AbortHandle>>,
    trouble: BTreeMap<String, watch::Receiver<Option<String>>>,
    limits: BTreeMap<String, watch::Sender<Limits>>,
    bus: Publisher,
}

/// Starts to poll the servers of all components, on the current tokio runtime, until `stop` is true or its sender is gone.
pub fn start(
    components: Vec<(ComponentId, Config)>,
    bus: Publisher,
    registry: &Registry,
    stop: watch::Receiver<bool>,
) -> Result<Handle, StartError> {
    check_targets(&components)?;
    let metrics = Metrics::register(registry)?;
    let targets = components.len();
    let (lanes, feeds) = (JoinSet::new(), JoinSet::new());
    let mut handle =
        Handle { lanes, feeds, alive: BTreeMap::new(), trouble: BTreeMap::new(), limits: BTreeMap::new(), bus };
    for (component, config) in components {
        let name = config.target_name(&component);
        let (outlet, feed) = Outlet::open(&name, targets, handle.bus.clone(), metrics.clone());
        let mut alive = vec![handle.feeds.spawn(feed)];
        let (limits, limits_receiver) = watch::channel(Limits::default());
        handle.limits.insert(name.clone(), limits);
        let (trouble, told) = watch::channel(None);
        handle.trouble.insert(name.clone(), told);
        let place = Place { component: component.to_string(), name: name.clone(), outlet, metrics: metrics.clone() };
        let steering = (limits_receiver, trouble);
        alive.extend(match config {
            Config::PostgreSql(config) => {
                postgresql::spawn(Target::new(place, config, steering), &mut handle.lanes, &stop)
            }
            Config::MySql(config) => mysql::spawn(Target::new(place, config, steering), &mut handle.lanes, &stop),
        });
        handle.alive.insert(name, alive);
    }
    Ok(handle)
}

fn check_targets(components: &[(ComponentId, Config)]) -> Result<(), StartError> {
    let mut known = BTreeMap::new();
    for (component, config) in components {
        let target = config.target_name(component);
        if let Some(first) = known.insert(target.clone(), component.to_string()) {
            return Err(StartError::SameTarget { target, first, second: component.to_string() });
        }
    }
    Ok(())
}

impl Handle {
    /// Names of the targets.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.limits.keys().map(String::as_str)
    }

    /// Asks whether everything that polls a target still runs. It does until the stop, unless it panicked.
    pub fn lanes_alive(&self, target: &str) -> impl Fn() -> bool + Send + Sync + 'static {
        let alive = self.alive.get(target).cloned().unwrap_or_default();
        move || !alive.iter().any(AbortHandle::is_finished)
    }

    /// Class of the error of the last poll of a target, if that failed.
    pub fn trouble(&self, target: &str) -> Option<watch::Receiver<Option<String>>> {
        self.trouble.get(target).cloned()
    }

    /// Steers a target; it obeys within one poll. False if there is no such target.
    pub fn steer(&self, target: &str, limits: Limits) -> bool {
        let Some(sender) = self.limits.get(target) else { return false };
        sender.send_replace(limits);
        true
    }

    /// Waits until all pollers have stopped and the bus has what they read: less than two seconds after `stop` is true.
    pub async fn join(mut self) {
        while self.lanes.join_next().await.is_some() {}
        while self.feeds.join_next().await.is_some() {}
        let flushed = tokio::task::spawn_blocking(move || self.bus.flush(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = flushed {
            warn!(%error, "stopped before the bus had everything");
        }
    }
}
