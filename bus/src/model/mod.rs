//! A log in memory that behaves like a broker on its worst days: for the simulation of the engine.
//!
//! What is not committed is in the partitions already and holds their stable end; a transaction leaves a marker; a newer
//! member on a slot fences the older one; a member that is dropped without being closed was killed, and what it has open
//! stays open until its time is over. A [`Script`] decides what becomes of each request: refused, done but unanswered, or
//! late. On a thread that simulates ([`time::simulate`](crate::time::simulate)) nobody waits: the time that would be waited for
//! has passed at once, so that a schedule is played on one thread and is the same each time.

mod cursor;
mod log;
mod member;
mod script;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use script::{Fate, Request, Script, Step};

use crate::groups::Groups;
use crate::time;
use crate::{
    Bus, BusError, Committed, GroupSpec, NewTopic, Offsets, Outgoing, Producer, ReaderSpec, Receive, Retention,
    SendError, TopicDescription,
};
use cursor::Cursors;
use log::{Log, TransactionId};

/// Settings of the model.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a rebalance waits for a member that says nothing.
    pub rebalance_timeout: Duration,
    /// How long a transaction may be open.
    pub transaction_timeout: Duration,
    /// How long a member waits for the positions that a transaction of another has pending.
    pub pending_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let [rebalance_timeout, transaction_timeout, pending_timeout] = [10, 60, 70].map(Duration::from_secs);
        Config { rebalance_timeout, transaction_timeout, pending_timeout }
    }
}

/// The log.
pub struct Model {
    core: Arc<Core>,
}

struct Core {
    config: Config,
    inner: Mutex<Inner>,
    changed: Condvar,
    script: Mutex<Box<dyn Script>>,
}

struct Inner {
    log: Log,
    groups: Groups,
    /// Commits that are on their way.
    late: Vec<TransactionId>,
}

impl Model {
    /// One on which nothing goes wrong.
    pub fn new(config: Config) -> Model {
        Model::scripted(config, Box::new(script::AllGoesWell))
    }

    /// One that a script plays with.
    pub fn scripted(config: Config, script: Box<dyn Script>) -> Model {
        let groups = Groups::new(config.rebalance_timeout);
        let inner = Mutex::new(Inner { log: Log::default(), groups, late: Vec::new() });
        Model { core: Arc::new(Core { config, inner, changed: Condvar::new(), script: Mutex::new(script) }) }
    }

    /// Another script, from now on.
    pub fn play(&self, script: Box<dyn Script>) {
        *self.core.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Commits that were late arrive: they hold, unless their writer was fenced meanwhile.
    pub fn deliver_late(&self) {
        let mut inner = self.core.lock();
        for id in std::mem::take(&mut inner.late) {
            inner.log.end(id, true);
        }
        self.core.changed.notify_all();
    }

    /// Compacts a topic: of each key the last committed record stays.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if there is no such topic.
    pub fn compact(&self, topic: &str) -> Result<(), BusError> {
        self.core.lock().log.compact(topic)
    }

    /// Deletes what a topic keeps no longer at a time, in ms since the epoch.
    ///
    /// # Errors
    /// [`BusError::Fatal`] if there is no such topic.
    pub fn expire(&self, topic: &str, now: i64) -> Result<(), BusError> {
        let mut inner = self.core.lock();
        match inner.log.topic(topic)?.settings.retention {
            Retention::Time(kept) => {
                let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
                inner.log.delete_older(topic, now.saturating_sub(kept))
            }
            Retention::Compacted => inner.log.compact(topic),
            Retention::Unlimited => Ok(()),
        }
    }

    /// Forgets the committed positions of a group, as a broker does when nobody was in it for long.
    pub fn forget_positions(&self, group: &str) {
        self.core.lock().log.forget_positions(group);
    }
}

fn unavailable(step: Step) -> BusError {
    BusError::Unavailable { operation: format!("{step:?}"), message: "the log does not answer".to_owned() }
}

fn dead(step: Step) -> BusError {
    BusError::Fatal { operation: format!("{step:?}"), message: "the process was killed".to_owned() }
}

impl Core {
    /// The state is whole between any two statements, so a panic of another holder does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fate(&self, step: Step, topic: &str) -> Fate {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).fate(Request { step, topic })
    }

    /// Does what a request asks for, unless it never arrives. The client repeats what is not a commit until it is answered: of
    /// those fates only the refusal shows.
    fn ask<T>(&self, step: Step, topic: &str, request: impl FnOnce() -> Result<T, BusError>) -> Result<T, BusError> {
        match self.fate(step, topic) {
            Fate::Dead => Err(dead(step)),
            Fate::Refused => Err(unavailable(step)),
            Fate::Killed => request().and_then(|_| Err(dead(step))),
            Fate::Done | Fate::Unanswered | Fate::Late | Fate::Doubled => request(),
        }
    }

    /// Takes the state, without what has been open for too long.
    fn lock_now(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.log.expire(time::now(), self.config.transaction_timeout);
        inner
    }

    /// Waits for a change until a moment; none once the deadline is over.
    fn wait<'a>(
        &'a self,
        inner: MutexGuard<'a, Inner>,
        until: Instant,
        deadline: Instant,
    ) -> Option<MutexGuard<'a, Inner>> {
        let now = time::now();
        if now >= deadline {
            return None;
        }
        if time::is_simulated() {
            // Nobody else can change anything while this thread waits.
            time::sleep(deadline - now);
            return None;
        }
        let waited = self.changed.wait_timeout(inner, until - now);
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Bus for Model {
    fn producer(&self) -> Result<Arc<dyn Producer>, BusError> {
        Ok(Arc::new(Plain(Arc::clone(&self.core))))
    }

    fn join(&self, group: &GroupSpec) -> Result<Box<dyn crate::Member>, BusError> {
        self.core.ask(Step::Join, "", || Ok(Box::new(member::Member::join(Arc::clone(&self.core), group)?) as Box<_>))
    }

    fn reader(&self, reader: &ReaderSpec) -> Result<Box<dyn crate::Reader>, BusError> {
        let cursors = Cursors::start(&self.core.lock().log, &reader.topics(), &reader.partitions)?;
        Ok(Box::new(Reader { core: Arc::clone(&self.core), spec: reader.clone(), cursors }))
    }

    fn create_topics(&self, topics: &[NewTopic]) -> Result<Vec<String>, BusError> {
        Ok(self.core.lock().log.create(topics))
    }

    fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        Ok(self.core.lock().log.describe(prefix))
    }

    fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        self.core.ask(Step::Offsets, topic, || self.core.lock_now().log.offsets(topic, partition))
    }

    fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError> {
        Ok(self.core.lock().log.committed(group, topics, |_| true))
    }

    fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        self.core.ask(Step::Trim, topic, || self.core.lock().log.trim(topic, partition, before))
    }

    fn health(&self) -> Result<(), BusError> {
        Ok(())
    }
}

/// Sends outside of transactions.
struct Plain(Arc<Core>);

impl Producer for Plain {
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        self.0.lock().log.append(&record, None)?;
        self.0.changed.notify_all();
        Ok(())
    }

    fn flush(&self, _: Duration) -> Result<(), BusError> {
        Ok(())
    }

    fn outstanding(&self) -> usize {
        0
    }
}

struct Reader {
    core: Arc<Core>,
    spec: ReaderSpec,
    cursors: Cursors,
}

impl crate::Reader for Reader {
    fn read(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<usize, BusError> {
        let Reader { core, spec, cursors } = self;
        let topic = spec.partitions.first().map_or("", |position| &*position.topic);
        core.ask(Step::Read, topic, || {
            let deadline = time::now() + timeout;
            let mut guard = core.lock_now();
            loop {
                let delivered = cursors.deliver(&guard.log, spec.isolation, limit, receive)?;
                if delivered.records > 0 || delivered.ends > 0 {
                    return Ok(delivered.records);
                }
                match core.wait(guard, deadline, deadline) {
                    Some(woken) => guard = woken,
                    None => return Ok(0),
                }
            }
        })
    }
}
