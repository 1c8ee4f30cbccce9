//! The role that reads servers.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_pollers::sharing::{Sharing, Terms};
use dbintel_pollers::{Fares, Fleet, Lease};

use super::Ground;
use crate::failure::Failure;
use crate::health::Said;
use crate::settings::{Bus, Poller};

/// Pollers that run.
pub struct Pollers {
    fleet: Arc<Fleet>,
    /// Absent where nobody else could poll.
    sharing: Option<Sharing>,
}

/// Longest wait for pollers; their own limits are shorter.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl Pollers {
    /// Starts all pollers; on Kafka those whose targets this process owns.
    pub fn start(pollers: &[Poller], bus: &Bus, ground: &Ground) -> Result<Pollers, Failure> {
        let producer = ground.bus.producer().map_err(Failure::runtime)?;
        let publisher = Publisher::new(producer, ground.framings.clone(), ground.partitions);
        let components = pollers.iter().map(|poller| (poller.id.clone(), poller.config.clone())).collect();
        let Some(session_timeout) = bus.session_timeout() else {
            let fleet = dbintel_pollers::start(components, publisher, &ground.metrics).map_err(Failure::runtime)?;
            return Ok(Pollers { fleet: Arc::new(fleet), sharing: None });
        };
        let lease = Lease::ended(session_timeout / 2);
        let fleet = Fleet::new(components, publisher, &ground.metrics, lease).map_err(Failure::runtime)?;
        let fleet = Arc::new(fleet);
        let terms = Terms {
            bus: Arc::clone(&ground.bus),
            framings: ground.framings.clone(),
            partitions: ground.partitions,
            slot: ground.slot.clone(),
            name: format!("{}/{}", host_name(), ground.slot.name),
        };
        let sharing = Sharing::start(Arc::clone(&fleet), terms).map_err(Failure::runtime)?;
        Ok(Pollers { fleet, sharing: Some(sharing) })
    }

    /// Asks whether a target is polled, here or elsewhere. It is while its server is away; that is told beside it.
    pub fn readiness(&self, target: &str) -> impl Fn() -> Said + Send + Sync + 'static {
        let (fleet, target) = (Arc::clone(&self.fleet), target.to_owned());
        let has_share = self.sharing.as_ref().map(Sharing::readiness);
        move || match fleet.fares(&target) {
            Fares::Ended => Err("a part of it has ended".to_owned()),
            Fares::Failing(class) => Ok(Some(format!("the last poll failed: {class}"))),
            Fares::Well => Ok(None),
            Fares::Elsewhere if has_share.as_ref().is_none_or(|has_share| has_share()) => {
                Ok(Some("another process polls it".to_owned()))
            }
            Fares::Elsewhere => Err("the pollers have not shared out the targets yet".to_owned()),
        }
    }

    /// What has ended by itself, which only a fault of ours can cause.
    pub fn failed(&self) -> Option<&str> {
        let sharing = self.sharing.as_ref().filter(|sharing| sharing.failed());
        sharing.map(|_| "the sharing of targets").or_else(|| self.fleet.failed())
    }

    /// Stops them, and waits until the log has what they read.
    pub async fn stop(self) {
        let stopped = async {
            match self.sharing {
                None => self.fleet.stop().await,
                Some(sharing) => drop(tokio::task::spawn_blocking(move || sharing.stop()).await),
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, stopped).await.is_err() {
            tracing::warn!("the pollers did not stop in time");
        }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
