//! Starts the pollers of a process, and stops them.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_config::ComponentId;
use prometheus::Registry;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::postgresql::{self, Target};

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

/// Pollers that run.
pub struct Handle {
    lanes: JoinSet<()>,
    feeds: JoinSet<()>,
    limits: BTreeMap<String, watch::Sender<Limits>>,
    bus: Publisher,
}

/// Starts to poll the servers of all components, on the current tokio runtime, until `stop` is true or its sender is gone.
pub fn start(
    components: Vec<(ComponentId, postgresql::Config)>,
    bus: Publisher,
    registry: &Registry,
    stop: watch::Receiver<bool>,
) -> Result<Handle, StartError> {
    check_targets(&components)?;
    let metrics = Metrics::register(registry)?;
    let targets = components.len();
    let (lanes, feeds) = (JoinSet::new(), JoinSet::new());
    let mut handle = Handle { lanes, feeds, limits: BTreeMap::new(), bus };
    for (component, config) in components {
        let name = config.target_name(&component);
        let (outlet, feed) = Outlet::open(&name, targets, handle.bus.clone(), metrics.clone());
        handle.feeds.spawn(feed);
        let (limits, limits_receiver) = watch::channel(Limits::default());
        handle.limits.insert(name.clone(), limits);
        let target = Target::new(component.to_string(), name, config, outlet, metrics.clone(), limits_receiver);
        postgresql::spawn(target, &mut handle.lanes, &stop);
    }
    Ok(handle)
}

fn check_targets(components: &[(ComponentId, postgresql::Config)]) -> Result<(), StartError> {
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
