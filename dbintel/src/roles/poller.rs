//! The role that reads servers.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_config::ComponentId;
use dbintel_pollers::sharing::{Sharing, Terms};
use dbintel_pollers::{Fares, Fleet, Lease};

use super::Ground;
use super::search::Searches;
use crate::failure::Failure;
use crate::health::Said;
use crate::settings::{Bus, Poller};

/// Pollers that run.
pub struct Pollers {
    fleet: Arc<Fleet>,
    /// Absent where nobody else could poll.
    sharing: Option<Sharing>,
    searches: Searches,
}

/// Most failing targets that are named.
const SHOWN_MAX: usize = 5;
/// Longest wait for pollers; their own limits are shorter.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

impl Pollers {
    /// Starts all pollers; on Kafka those whose targets this process owns.
    pub fn start(pollers: &[Poller], bus: &Bus, ground: &Ground) -> Result<Pollers, Failure> {
        let producer = ground.bus.producer().map_err(Failure::runtime)?;
        let publisher = Publisher::new(producer, ground.framings.clone(), ground.partitions);
        let named = pollers.iter().filter(|poller| poller.discovery.is_none());
        let components = named.map(|poller| (poller.id.clone(), poller.config.clone())).collect();
        let Some(session_timeout) = bus.session_timeout() else {
            let fleet = dbintel_pollers::start(components, publisher, &ground.metrics).map_err(Failure::runtime)?;
            let fleet = Arc::new(fleet);
            return Ok(Pollers { searches: Searches::of(pollers, &fleet), fleet, sharing: None });
        };
        let lease = Lease::until_still_for(session_timeout / 2);
        let fleet = Fleet::new(components, publisher, &ground.metrics, lease).map_err(Failure::runtime)?;
        let fleet = Arc::new(fleet);
        let terms = Terms {
            bus: Arc::clone(&ground.bus),
            framings: ground.framings.clone(),
            partitions: ground.partitions,
            slot: ground.slot.clone(),
            name: format!("{}/{}", host_name(), ground.slot.name),
            session_timeout,
        };
        let searches = Searches::of(pollers, &fleet);
        let sharing = Sharing::start(Arc::clone(&fleet), terms).map_err(Failure::runtime)?;
        Ok(Pollers { fleet, sharing: Some(sharing), searches })
    }

    /// Asks whether the targets of a poller are polled, here or elsewhere. They are while their servers are away, and while
    /// nobody tells which they are; that is told beside it.
    pub fn readiness(&self, poller: &ComponentId) -> impl Fn() -> Said + Send + Sync + 'static {
        let (fleet, poller) = (Arc::clone(&self.fleet), poller.clone());
        let has_share = self.sharing.as_ref().map(Sharing::readiness);
        let search = self.searches.outcome(&poller);
        move || {
            let share_is_known = has_share.as_ref().is_none_or(|has_share| has_share());
            if !share_is_known && fleet.polled().is_empty() {
                return Err("the pollers have not shared out the targets yet".to_owned());
            }
            let fares = fleet.fares_of(&poller);
            if let Some((target, _)) = fares.iter().find(|(_, fares)| *fares == Fares::Ended) {
                return Err(format!("a part of what polls {target} has ended"));
            }
            let trouble = search.as_ref().and_then(|search| search.borrow().clone());
            Ok(trouble.or_else(|| note(&fares)))
        }
    }

    /// What has ended by itself, which only a fault of ours can cause.
    pub fn failed(&self) -> Option<String> {
        let sharing = self.sharing.as_ref().filter(|sharing| sharing.failed());
        sharing.map(|_| "the sharing of targets".to_owned()).or_else(|| self.fleet.failed())
    }

    /// Stops them, and waits until the log has what they read.
    pub async fn stop(mut self) {
        self.searches.end().await;
        let stopped = async {
            self.fleet.stop().await;
            if let Some(sharing) = self.sharing {
                drop(tokio::task::spawn_blocking(move || sharing.leave()).await);
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, stopped).await.is_err() {
            tracing::warn!("the pollers did not stop in time");
        }
    }
}

/// What a person may want to know of the targets of a poller: the worst of it.
fn note(fares: &[(String, Fares)]) -> Option<String> {
    let all = fares.len();
    let failing: Vec<String> = fares
        .iter()
        .filter_map(|(target, fares)| match fares {
            Fares::Failing(class) => Some(format!("{target}: {class}")),
            _ => None,
        })
        .collect();
    if !failing.is_empty() {
        let shown = failing[..failing.len().min(SHOWN_MAX)].join(", ");
        return Some(format!("the last poll failed: {} of {all} targets: {shown}", failing.len()));
    }
    let lacking: Vec<String> = fares
        .iter()
        .filter_map(|(target, fares)| match fares {
            Fares::Well(missing) if !missing.is_empty() => {
                let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
                Some(format!("{target} lacks {}", missing.join(" and ")))
            }
            _ => None,
        })
        .collect();
    if !lacking.is_empty() {
        let shown = lacking[..lacking.len().min(SHOWN_MAX)].join(", ");
        let count = lacking.len();
        return Some(format!(
            "{count} of {all} targets: {shown}; `dbintel doctor` says what that costs and what mends it"
        ));
    }
    let elsewhere = fares.iter().filter(|(_, fares)| *fares == Fares::Elsewhere).count();
    (elsewhere > 0).then(|| format!("other processes poll {elsewhere} of {all} targets"))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
