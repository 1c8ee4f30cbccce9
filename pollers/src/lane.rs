//! One connection and the polls that take turns on it. The loop owns everything that the polls remember.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use crate::backoff::{Backoff, fraction};
use crate::engine::Engine;
use crate::failure::Failure;
use crate::link::{Connected, Link};
use crate::poll::{Class, Identity, Outcome, Poll};
use crate::schedule::{Next, Schedule, Turn};
use crate::target::Target;

/// Time that a poll as a whole may take beyond the limit of its statements. Then its connection is given up.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);
/// Time that a poll in flight has when the process stops.
const STOP_GRACE: Duration = Duration::from_millis(700);
/// Time for the request to cancel what is in flight after that.
const STOP_CANCEL_TIMEOUT: Duration = Duration::from_millis(300);
/// First polls are spread over this time, so that a fleet does not start in step.
const SPREAD: Duration = Duration::from_secs(1);
/// Time until the lease is looked at again, once it has ended.
const LEASE_INTERVAL: Duration = Duration::from_millis(50);
/// Time after which a poll that waited too long for a lock is tried again, if its turn is later.
const LOCK_RETRY: Duration = Duration::from_secs(10);

/// What a lane runs: a class, for the server or for a database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// The class.
    pub class: Class,
    /// The database; none for the server.
    pub database: Option<Arc<str>>,
    /// The place of a statement of the configuration.
    pub query: Option<usize>,
}

impl Job {
    /// A class for the server as a whole.
    pub fn of_server(class: Class) -> Job {
        Job { class, database: None, query: None }
    }

    /// A class for a database.
    pub fn of_database(class: Class, database: Arc<str>) -> Job {
        Job { class, database: Some(database), query: None }
    }

    /// A statement of the configuration, by its place.
    pub fn of_query(place: usize) -> Job {
        Job { class: Class::Queries, database: None, query: Some(place) }
    }
}

/// What is read in a lane.
pub trait Reader<E: Engine>: Send {
    /// Adjusts the jobs to what changed outside. Returns after the change that makes another call necessary.
    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Adds and drops jobs.
    fn adjust(&mut self, lane: &mut Jobs<'_, E>);

    /// The server, if another lane has asked it what it offers.
    fn known(&self) -> Option<Arc<E::Server>> {
        None
    }

    /// There is a new connection, or the server was asked again what it offers.
    fn connected(&mut self, _target: &Target<E>, _connected: &Connected<E>) {}

    /// The connection is gone.
    fn disconnected(&mut self) {}

    /// Reads what a job wants into its poll. Each statement may take as long as `limit`.
    fn read(
        &mut self,
        target: &Target<E>,
        job: &Job,
        connected: &mut Connected<E>,
        limit: Duration,
        poll: &mut Poll,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A poll ended well after so long. Returns another class to run at a time.
    fn ended(&mut self, _target: &Target<E>, _job: &Job, _took: Duration) -> Option<(Class, Duration)> {
        None
    }

    /// A poll failed. True if the server has to be asked again what it offers.
    fn failed(&mut self, _job: &Job, _failure: &Failure) -> bool {
        false
    }
}

/// The jobs of a lane, to add and to drop.
pub struct Jobs<'a, E: Engine> {
    target: &'a Target<E>,
    schedule: &'a mut Schedule<Job>,
    memory: &'a mut Memory,
}

/// What is remembered of jobs, as long as they are there.
#[derive(Default)]
struct Memory {
    /// When the last good poll of each job began.
    polled_at: HashMap<Job, Duration>,
    /// Jobs whose last poll failed, with the class of the error: each kind of failure is logged once.
    failing: HashMap<Job, String>,
    /// Databases that do not let us in.
    refusals: HashMap<Arc<str>, Refusal>,
}

/// A database that does not let us in, while the server as a whole does.
struct Refusal {
    backoff: Backoff,
    /// Class of the error.
    class: String,
}

/// One connection and its polls.
pub struct Lane<E: Engine, R> {
    target: Arc<Target<E>>,
    link: Link<E>,
    schedule: Schedule<Job>,
    reader: R,
    memory: Memory,
    /// Who the server was when it was last seen.
    identity: Arc<Identity>,
}

impl<E: Engine, R: Reader<E>> Lane<E, R> {
    /// A lane that has not begun.
    pub fn new(target: Arc<Target<E>>, name: &str, reader: R) -> Lane<E, R> {
        let (link, identity) = (Link::new(&target.name, name), target.identity(None));
        Lane { target, link, schedule: Schedule::default(), reader, memory: Memory::default(), identity }
    }

    /// Polls until `stop` is true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut stop_soon = stop.clone();
        let stopped = async move {
            // An error means that whoever could say stop is gone.
            let _ = stop_soon.wait_for(|stop| *stop).await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        let in_flight = tokio::select! {
            () = self.run_until(&mut stop) => false,
            () = stopped => true,
        };
        if in_flight {
            self.link.abandon(&self.target, STOP_CANCEL_TIMEOUT).await;
        }
    }

    async fn run_until(&mut self, stop: &mut watch::Receiver<bool>) {
        let mut limits = self.target.limits.clone();
        loop {
            let (schedule, memory) = (&mut self.schedule, &mut self.memory);
            self.reader.adjust(&mut Jobs { target: &self.target, schedule, memory });
            let now = self.target.clock.monotonic();
            let wait = match self.next(now) {
                Next::Run(turn) => {
                    self.poll(turn).await;
                    if *stop.borrow() { return } else { continue }
                }
                Next::WaitUntil(at) => at.saturating_sub(now),
                Next::Idle => Duration::from_secs(3600),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.reader.changed() => {}
                () = changed(&mut limits) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// What to do now; nothing as long as the server is to be left alone, or may be somebody else's.
    fn next(&mut self, now: Duration) -> Next<Job> {
        match self.link.retry_at() {
            _ if !self.target.lease.holds() => Next::WaitUntil(now + LEASE_INTERVAL),
            Some(at) if at > now => Next::WaitUntil(at),
            _ => {
                self.link.retry();
                self.schedule.next(now)
            }
        }
    }

    async fn poll(&mut self, turn: Turn<Job>) {
        let Turn { job, skipped } = turn;
        let target = self.target.clone();
        let mut run = target.begin(job.class, job.database.as_deref(), skipped, self.identity.clone());
        run.poll.query = job.query;
        let previous = self.memory.polled_at.get(&job);
        let interval = previous.map(|previous| run.began_at().saturating_sub(*previous));
        run.poll.stamp.interval_ns = interval.and_then(|interval| i64::try_from(interval.as_nanos()).ok());
        let allowed = target.limits.borrow().allow(job.class, job.database.as_deref());
        let result = if allowed { self.connect_and_read(&job, &mut run.poll).await } else { Ok(()) };
        let now = target.clock.monotonic();
        self.schedule.finish(&job, now);
        match &result {
            Ok(()) if !allowed => run.poll.outcome = Outcome::Skipped,
            Ok(()) => {
                self.memory.polled_at.insert(job.clone(), run.began_at());
                self.follow_up(&job, run.took(&target));
            }
            Err(failure) => self.handle(&job, failure, now).await,
        }
        target.end(run, result).await;
    }

    fn follow_up(&mut self, job: &Job, took: Duration) {
        self.link.succeed();
        if let Some(database) = &job.database {
            self.memory.refusals.remove(database);
        }
        if self.memory.failing.remove(job).is_some() {
            info!(
                target = self.target.name,
                class = job.class.name(),
                database = job.database.as_deref(),
                "polls succeed again"
            );
        }
        if let Some((class, at)) = self.reader.ended(&self.target, job, took) {
            self.schedule.ask(&Job { class, ..job.clone() }, at);
        }
    }

    async fn handle(&mut self, job: &Job, failure: &Failure, now: Duration) {
        if self.reader.failed(job, failure) {
            self.link.probe_soon();
        }
        let before = self.memory.failing.insert(job.clone(), failure.class.clone());
        match &job.database {
            Some(database) if failure.outcome == Outcome::Refused && !failure.is_of_server() => {
                self.leave_alone(database, failure, now);
            }
            _ if failure.outcome == Outcome::Refused => self.link.back_off(&self.target, failure),
            database if before.as_ref() != Some(&failure.class) => {
                let (class, database, error_class) = (job.class.name(), database.as_deref(), &failure.class);
                warn!(target = self.target.name, class, database, %error_class, error = %failure, "a poll failed");
            }
            _ => {}
        }
        if failure.is_lock_timeout() && self.target.class(job.class).interval > LOCK_RETRY {
            self.schedule.ask(job, now + LOCK_RETRY);
        }
        if failure.connection_lost {
            self.reader.disconnected();
            self.link.give_up(&self.target, failure).await;
        }
    }

    /// A database that does not let us in is not tried again too soon; the others of the lane are read meanwhile.
    fn leave_alone(&mut self, database: &Arc<str>, failure: &Failure, now: Duration) {
        let target = &self.target.name;
        let first = || Refusal { backoff: Backoff::new(format!("{target} {database}")), class: String::new() };
        let refusal = self.memory.refusals.entry(database.clone()).or_insert_with(first);
        self.schedule.postpone(|job| job.database.as_ref() == Some(database), now + refusal.backoff.fail());
        if refusal.class != failure.class {
            refusal.class.clone_from(&failure.class);
            let (class, message) = (&failure.class, &failure.message);
            warn!(target, %database, %class, reason = %message, "a database does not let us in");
        }
    }

    async fn connect_and_read(&mut self, job: &Job, poll: &mut Poll) -> Result<(), Failure> {
        let target = self.target.clone();
        let database = job.database.as_deref().unwrap_or_else(|| E::database(&target.config));
        let is_new = self.link.connect(&target, database, self.reader.known()).await?;
        let was_probed = self.link.probe_if_due(&target).await?;
        let Some(connected) = self.link.connected() else { return Err(Failure::protocol("no connection")) };
        if is_new || was_probed {
            self.reader.connected(&target, connected);
        }
        self.identity = connected.identity.clone();
        poll.stamp.identity = connected.identity.clone();
        let limit = target.class(job.class).timeout;
        let Some(connected) = self.link.connected_mut() else { return Err(Failure::protocol("no connection")) };
        let read = self.reader.read(&target, job, connected, limit, poll);
        tokio::time::timeout(limit + DEADLINE_GRACE, read).await.unwrap_or_else(|_| Err(Failure::deadline()))
    }
}

/// Returns when a value changes; never, when nobody is left to change it.
pub async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl<E: Engine> Jobs<'_, E> {
    /// Adds a job that is run at the interval of its class, unless it is there. Its first run is due soon: at a moment
    /// that depends on the names of target and job. The runs after that are spread over the whole interval, so that those of a
    /// fleet do not come together. All jobs of a database stand on one moment, so that they share a connection to it.
    pub fn every(&mut self, job: Job) {
        let target = self.target;
        let name = job.database.as_deref().unwrap_or(job.class.name());
        let delay = fraction(&[target.name.as_bytes(), name.as_bytes()]);
        let interval = target.class(job.class).interval;
        let spread = SPREAD.min(self.target.class(Class::Tables).interval).min(interval);
        // The heartbeat comes before everything that takes longer.
        let spread = if job.class == Class::Sessions { spread / 4 } else { spread };
        let first_at = target.clock.monotonic() + spread.mul_f64(delay);
        if self.schedule.every(job.clone(), interval, first_at) {
            let grid = if job.database.is_some() { target.class(Class::Tables).interval } else { interval };
            let step = interval + grid.min(interval).mul_f64(delay) - grid.min(interval) / 2;
            self.schedule.begin_grid_after(&job, step);
        }
    }

    /// Adds a job that is run when asked for.
    pub fn on_demand(&mut self, job: Job) {
        self.schedule.on_demand(job);
    }

    /// Gives a job another interval.
    pub fn set_interval(&mut self, job: &Job, interval: Duration) {
        self.schedule.set_interval(job, interval);
    }

    /// Drops the jobs of databases for which `keep` says no, and what is remembered of them.
    pub fn retain(&mut self, keep: impl Fn(&Arc<str>) -> bool) {
        let keeps = |job: &Job| job.database.as_ref().is_none_or(&keep);
        self.schedule.retain(keeps);
        self.memory.polled_at.retain(|job, _| keeps(job));
        self.memory.failing.retain(|job, _| keeps(job));
        self.memory.refusals.retain(|database, _| keep(database));
    }

    /// The target.
    pub fn target(&self) -> &Target<E> {
        self.target
    }
}
