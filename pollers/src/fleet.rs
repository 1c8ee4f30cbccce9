//! The targets of a process, and those of them that it polls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dbintel_bus::Publisher;
use dbintel_config::ComponentId;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tracing::warn;

use crate::config::Config;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::target::{Condition, Place, Target};
use crate::{mysql, postgresql, sqlquery};

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

/// How a target fares in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fares {
    /// It is not polled here.
    Elsewhere,
    /// It is polled, and its last poll went well; with the names of what is missing on its server.
    Well(BTreeSet<String>),
    /// It is polled, and its last poll failed with an error of this class.
    Failing(String),
    /// A part of what polls it has ended by itself, which only a fault of ours can cause.
    Ended,
}

/// Targets by their names, with the component that polls each, and its settings.
pub type Targets = BTreeMap<String, (ComponentId, Config)>;

/// The targets of a process.
pub struct Fleet {
    targets: Mutex<Targets>,
    /// Counts how often they changed.
    generation: AtomicU64,
    /// Components whose targets were not found yet.
    awaited: Mutex<BTreeSet<ComponentId>>,
    /// Nothing begins any more.
    is_stopped: AtomicBool,
    running: Mutex<BTreeMap<String, Running>>,
    bus: Publisher,
    metrics: Metrics,
    lease: Lease,
    runtime: Handle,
}

/// What runs for a target.
struct Running {
    owner_epoch: i64,
    lanes: JoinSet<()>,
    feed: JoinSet<()>,
    /// Of all of it, to be asked whether it still runs.
    alive: Vec<AbortHandle>,
    stop: watch::Sender<bool>,
    limits: watch::Sender<Limits>,
    condition: watch::Receiver<Condition>,
}

/// Polls the servers of all components, on the current tokio runtime, for nobody else does.
pub fn start(components: Vec<(ComponentId, Config)>, bus: Publisher, registry: &Registry) -> Result<Fleet, StartError> {
    let fleet = Fleet::new(components, bus, registry, Lease::forever())?;
    fleet.begin_all();
    Ok(fleet)
}

impl Fleet {
    /// A fleet of which nothing is polled yet. Whatever will be runs on the current tokio runtime, while the lease holds.
    pub fn new(
        components: Vec<(ComponentId, Config)>,
        bus: Publisher,
        registry: &Registry,
        lease: Lease,
    ) -> Result<Fleet, StartError> {
        let mut targets = Targets::new();
        for (component, config) in components {
            let target = config.target_name(&component);
            if let Some((first, _)) = targets.get(&target) {
                let (first, second) = (first.to_string(), component.to_string());
                return Err(StartError::SameTarget { target, first, second });
            }
            targets.insert(target, (component, config));
        }
        let metrics = Metrics::register(registry)?;
        Ok(Fleet {
            targets: Mutex::new(targets),
            generation: AtomicU64::new(0),
            awaited: Mutex::default(),
            is_stopped: AtomicBool::new(false),
            running: Mutex::default(),
            bus,
            metrics,
            lease,
            runtime: Handle::current(),
        })
    }

    /// All targets, polled here or not.
    pub fn targets(&self) -> Targets {
        lock(&self.targets).clone()
    }

    /// The targets of this component have still to be found, for [`Fleet::replace`].
    pub fn await_targets_of(&self, component: &ComponentId) {
        lock(&self.awaited).insert(component.clone());
    }

    /// Whether the targets of all components were found, once.
    pub fn is_complete(&self) -> bool {
        lock(&self.awaited).is_empty()
    }

    /// A number that is another one after the targets have changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Gives a component these targets and no others. What is not the same as before is no longer polled; whoever polls alone
    /// begins with the new ones at once. Returns the targets that other components have already: theirs go on.
    pub async fn replace(&self, component: &ComponentId, mut found: BTreeMap<String, Config>) -> Vec<String> {
        let (mut ended, mut refused) = (Vec::new(), Vec::new());
        {
            let mut targets = lock(&self.targets);
            targets.retain(|target, (owner, config)| {
                if owner != component {
                    if found.remove(target).is_some() {
                        refused.push(target.clone());
                    }
                    return true;
                }
                let is_same = found.get(target) == Some(config);
                if !is_same {
                    ended.push(target.clone());
                }
                is_same
            });
            found.into_iter().for_each(|(target, config)| {
                targets.entry(target).or_insert_with(|| (component.clone(), config));
            });
        }
        self.end(ended.iter().map(String::as_str)).await;
        lock(&self.awaited).remove(component);
        // Last: whoever looks at the targets because of it finds nothing that is about to end.
        self.generation.fetch_add(1, Ordering::AcqRel);
        if self.lease.is_for_ever() {
            self.begin_all();
        }
        refused
    }

    fn begin_all(&self) {
        self.targets().keys().for_each(|target| self.begin(target, 0));
    }

    /// The right to poll, on which all lanes depend.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What the pollers say about themselves.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Targets that are polled here, with the epoch of their owner.
    pub fn polled(&self) -> BTreeMap<String, i64> {
        lock(&self.running).iter().map(|(target, running)| (target.clone(), running.owner_epoch)).collect()
    }

    /// Begins to poll a target, unless it is polled already.
    pub fn begin(&self, target: &str, owner_epoch: i64) {
        let (known, found) = {
            let targets = lock(&self.targets);
            (targets.len(), targets.get(target).cloned())
        };
        let Some((component, config)) = found else { return };
        let mut running = lock(&self.running);
        if !running.contains_key(target) && !self.is_stopped.load(Ordering::Acquire) {
            running.insert(target.to_owned(), self.run(target, &component, config, owner_epoch, known));
        }
        self.metrics.targets_polled.set(running.len() as i64);
    }

    fn run(&self, target: &str, component: &ComponentId, config: Config, owner_epoch: i64, targets: usize) -> Running {
        let _context = self.runtime.enter();
        let (outlet, task) = Outlet::open(target, targets, self.bus.clone(), self.metrics.clone());
        let (mut lanes, mut feed) = (JoinSet::new(), JoinSet::new());
        let mut alive = vec![feed.spawn(task)];
        let (stop, stopped) = watch::channel(false);
        let (limits, limits_receiver) = watch::channel(Limits::default());
        let (condition, told) = watch::channel(Condition::default());
        let place = Place {
            component: component.to_string(),
            name: target.to_owned(),
            owner_epoch,
            outlet,
            metrics: self.metrics.clone(),
            lease: self.lease.clone(),
        };
        let steering = (limits_receiver, condition);
        alive.extend(match config {
            Config::PostgreSql(config) => postgresql::spawn(Target::new(place, config, steering), &mut lanes, &stopped),
            Config::MySql(config) => mysql::spawn(Target::new(place, config, steering), &mut lanes, &stopped),
            Config::SqlQuery(sqlquery::Config { server, queries }) => match server {
                sqlquery::Server::PostgreSql(config) => {
                    let target = Target::new(place, config, steering);
                    sqlquery::spawn_on_postgresql(target, queries, &mut lanes, &stopped)
                }
                sqlquery::Server::MySql(config) => {
                    let target = Target::new(place, config, steering);
                    sqlquery::spawn_on_mysql(target, queries, &mut lanes, &stopped)
                }
            },
        });
        Running { owner_epoch, lanes, feed, alive, stop, limits, condition: told }
    }

    /// Ends to poll these targets, all at once; returns when their connections are closed, less than two seconds later.
    pub async fn end(&self, targets: impl IntoIterator<Item = &str>) {
        let ended: Vec<Running> = {
            let mut running = lock(&self.running);
            let ended = targets.into_iter().filter_map(|target| running.remove(target)).collect();
            self.metrics.targets_polled.set(running.len() as i64);
            ended
        };
        for running in &ended {
            running.stop.send_replace(true);
        }
        for mut running in ended {
            while running.lanes.join_next().await.is_some() {}
            while running.feed.join_next().await.is_some() {}
        }
    }

    /// Ends all for good, and waits until the bus has what was read.
    pub async fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        let polled = self.polled();
        self.end(polled.keys().map(String::as_str)).await;
        let bus = self.bus.clone();
        let flushed = self.runtime.spawn_blocking(move || bus.flush(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = flushed {
            warn!(%error, "stopped before the bus had everything");
        }
    }

    /// Waits on a thread that is none of the runtime's.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// How each target of a component fares.
    pub fn fares_of(&self, component: &ComponentId) -> Vec<(String, Fares)> {
        let targets = lock(&self.targets);
        let own = targets.iter().filter(|(_, (owner, _))| owner == component);
        own.map(|(target, _)| (target.clone(), self.fares(target))).collect()
    }

    fn fares(&self, target: &str) -> Fares {
        let running = lock(&self.running);
        let Some(running) = running.get(target) else { return Fares::Elsewhere };
        if running.alive.iter().any(AbortHandle::is_finished) {
            return Fares::Ended;
        }
        let condition = running.condition.borrow();
        match &condition.error_class {
            Some(class) => Fares::Failing(class.clone()),
            None => Fares::Well(condition.missing.values().flatten().cloned().collect()),
        }
    }

    /// A target a part of whose poller has ended by itself.
    pub fn failed(&self) -> Option<String> {
        self.polled().into_keys().find(|target| self.fares(target) == Fares::Ended)
    }

    /// Steers a target; it obeys within one poll. False if it is not polled here.
    pub fn steer(&self, target: &str, limits: Limits) -> bool {
        lock(&self.running).get(target).map(|running| running.limits.send_replace(limits)).is_some()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
