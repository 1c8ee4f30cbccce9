//! The role that reads servers.

use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_pollers::Handle;
use tokio::sync::watch;

use super::Ground;
use crate::failure::Failure;
use crate::health::Said;
use crate::settings::Poller;

/// Pollers that run.
pub struct Pollers {
    handle: Handle,
    stop: watch::Sender<bool>,
}

/// Longest wait for pollers; their own limits are shorter.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

impl Pollers {
    /// Starts all pollers.
    pub fn start(pollers: &[Poller], ground: &Ground) -> Result<Pollers, Failure> {
        let producer = ground.bus.producer().map_err(Failure::runtime)?;
        let publisher = Publisher::new(producer, ground.framings.clone(), ground.partitions);
        let (stop, stopped) = watch::channel(false);
        let components = pollers.iter().map(|poller| (poller.id.clone(), poller.config.clone())).collect();
        let handle =
            dbintel_pollers::start(components, publisher, &ground.metrics, stopped).map_err(Failure::runtime)?;
        Ok(Pollers { handle, stop })
    }

    /// Asks whether a poller runs. It does while its server is away; that is told beside it.
    pub fn readiness(&self, target: &str) -> impl Fn() -> Said + Send + Sync + 'static {
        let (alive, trouble) = (self.handle.lanes_alive(target), self.handle.trouble(target));
        move || match trouble.as_ref().and_then(|trouble| trouble.borrow().clone()) {
            _ if !alive() => Err("a part of it has ended".to_owned()),
            Some(class) => Ok(Some(format!("the last poll failed: {class}"))),
            None => Ok(None),
        }
    }

    /// Target of a poller a part of which has ended by itself, which only a fault of ours can cause.
    pub fn failed(&self) -> Option<&str> {
        self.handle.targets().find(|target| !self.handle.lanes_alive(target)())
    }

    /// Stops them, and waits until the log has what they read.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, self.handle.join()).await.is_err() {
            tracing::warn!("the pollers did not stop in time");
        }
    }
}
