//! The role that reads servers.

use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_pollers::Handle;
use tokio::sync::watch;

use super::Ground;
use crate::failure::Failure;
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

    /// Stops them, and waits until the log has what they read.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, self.handle.join()).await.is_err() {
            tracing::warn!("the pollers did not stop in time");
        }
    }
}
