//! Looks again and again for the servers of pollers that name none themselves, and gives them to the fleet.

use std::collections::BTreeMap;
use std::sync::Arc;

use dbintel_config::ComponentId;
use dbintel_pollers::Fleet;
use dbintel_pollers::discovery::{self, Discovery, Found};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::settings::Poller;

/// What is wrong with the last look, if anything is.
type Outcome = Option<String>;

/// Searches that run.
#[derive(Default)]
pub struct Searches {
    tasks: JoinSet<()>,
    outcomes: BTreeMap<ComponentId, watch::Receiver<Outcome>>,
}

impl Searches {
    /// Those of all pollers that name no server themselves. They look now, and from then on at their intervals.
    pub fn of(pollers: &[Poller], fleet: &Arc<Fleet>) -> Searches {
        let mut searches = Searches::default();
        for poller in pollers {
            if let Some(discovery) = &poller.discovery {
                fleet.await_targets_of(&poller.id);
                searches.begin(poller, discovery.clone(), fleet);
            }
        }
        searches
    }

    fn begin(&mut self, poller: &Poller, discovery: Discovery, fleet: &Arc<Fleet>) {
        let (outcome, receiver) = watch::channel(Some("its targets are being looked for".to_owned()));
        self.outcomes.insert(poller.id.clone(), receiver);
        let search = Search { poller: poller.clone(), discovery, fleet: Arc::clone(fleet), outcome, last: None };
        self.tasks.spawn(search.run());
    }

    /// What the search of a poller says, if it has one.
    pub fn outcome(&self, poller: &ComponentId) -> Option<watch::Receiver<Outcome>> {
        self.outcomes.get(poller).cloned()
    }

    /// Ends all.
    pub async fn end(&mut self) {
        self.tasks.shutdown().await;
    }
}

struct Search {
    poller: Poller,
    discovery: Discovery,
    fleet: Arc<Fleet>,
    outcome: watch::Sender<Outcome>,
    last: Option<Vec<Found>>,
}

impl Search {
    async fn run(mut self) {
        loop {
            self.look().await;
            sleep(self.discovery.refresh_interval).await;
        }
    }

    /// What was found last stays when there is nothing better.
    async fn look(&mut self) {
        let discovery = self.discovery.clone();
        let looked = tokio::task::spawn_blocking(move || discovery.look()).await;
        match looked.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(found) if self.last.as_ref() == Some(&found) => self.say(None),
            Ok(found) => self.take(found).await,
            Err(trouble) => self.say(Some(trouble)),
        }
    }

    async fn take(&mut self, found: Vec<Found>) {
        let (targets, mut refused) = discovery::targets(&self.poller.id, &self.poller.config, &found);
        info!(poller = %self.poller.id, from = self.discovery.place(), targets = targets.len(), "found the targets of a poller");
        refused.extend(self.fleet.replace(&self.poller.id, targets).await);
        self.last = Some(found);
        let said =
            format!("these names stand for more than one server, of which one is polled: {}", refused.join(", "));
        self.say(Some(said).filter(|_| !refused.is_empty()));
    }

    /// Says once what is wrong, until it is something else.
    fn say(&self, trouble: Outcome) {
        let trouble = trouble.map(|trouble| match &self.last {
            None => trouble,
            Some(last) => format!("{trouble}; the {} servers that were found last are polled", last.len()),
        });
        if *self.outcome.borrow() == trouble {
            return;
        }
        if let Some(trouble) = &trouble {
            warn!(poller = %self.poller.id, from = self.discovery.place(), trouble, "the list of targets is not as it should be");
        }
        self.outcome.send_replace(trouble);
    }
}
