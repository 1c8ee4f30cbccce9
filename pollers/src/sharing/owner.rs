//! One membership in the group of the pollers: what it owns, and how it becomes owner.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbintel_bus::{BusError, CommitError, GroupSpec, Member, Outgoing, Polled, Position, SendError, Start, topic_name};
use dbintel_config::ComponentId;
use dbintel_schemas::partition::partition_of;
use dbintel_schemas::records::Target;
use dbintel_schemas::{TextMap, Topic, wire};
use tracing::{info, warn};

use super::register::{Entry, Register};
use super::{GROUP, Terms};
use crate::clock::Clock;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::lease::Mark;

/// Longest wait for news of the group.
const TICK: Duration = Duration::from_millis(200);
/// Records that are taken at once.
const RECORDS: usize = 1_000;
/// Bytes that may be fetched ahead.
const FETCH_BYTES: usize = 1 << 20;
/// Pause while the log does not take what it is given.
const PAUSE: Duration = Duration::from_millis(5);
/// Pause before something is tried again that the log did not take.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// A membership.
pub(super) struct Owner<'a> {
    fleet: &'a Fleet,
    terms: &'a Terms,
    member: Box<dyn Member>,
    register: Register,
    /// Targets of the fleet that were looked at last.
    generation: u64,
    standing: Standing,
    /// Taken when the group gave it its partitions, or when it began again.
    mark: Mark,
    clock: Clock,
}

/// What became of a transaction.
enum Written {
    /// It is on the topic, and the group has not moved on.
    Yes,
    /// It is not; later it may be.
    NotYet,
    /// The group has moved on.
    Never,
}

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The group shares out. What was owned before goes on, for no longer than a session.
    Waiting {
        /// Since when.
        since: Duration,
    },
    /// The group has lost us while the log was away: nobody can have taken anything over.
    Adrift,
    /// It was given these partitions and has not begun to read.
    Assigned(Vec<u32>),
    /// It reads what is on the partitions that it was given.
    Reading,
    /// It owns the targets of its partitions; not yet all of them, if something has still to be written.
    Owning {
        /// All of it is written.
        is_settled: bool,
    },
}

impl<'a> Owner<'a> {
    /// Joins the group.
    pub fn join(fleet: &'a Fleet, terms: &'a Terms) -> Result<Owner<'a>, BusError> {
        let member = terms.bus.join(&GroupSpec {
            group: GROUP.to_owned(),
            topics: vec![topic_name(Topic::Targets)],
            changelog: None,
            slot: terms.slot.clone(),
            fetch_bytes_max: FETCH_BYTES,
        })?;
        let (register, clock) = (Register::of(&terms.framings, &[]), Clock::start());
        let standing = Standing::Waiting { since: clock.monotonic() };
        Ok(Owner { fleet, terms, member, register, generation: 0, standing, mark: fleet.lease().mark(), clock })
    }

    /// Takes part until the end; then gives everything back.
    pub fn take_part(mut self, stopping: &dyn Fn() -> bool, joined: &AtomicBool) -> Result<(), BusError> {
        let mut outcome = Ok(());
        while outcome.is_ok() && !stopping() {
            outcome = self.turn();
            joined.store(matches!(self.standing, Standing::Owning { is_settled: true }), Ordering::Release);
        }
        joined.store(false, Ordering::Release);
        // Others take over once it has left.
        self.fleet.lease().end();
        if outcome.is_ok() {
            self.give_back();
        }
        let closed = self.member.close();
        outcome.and(closed)
    }

    fn turn(&mut self) -> Result<(), BusError> {
        let polled = match self.member.poll(TICK, RECORDS, &mut self.register) {
            Err(BusError::Unavailable { .. }) => {
                std::thread::sleep(TICK);
                Polled::Records(0)
            }
            Err(BusError::Fenced { .. }) => Polled::Revoked { lost: true },
            polled => polled?,
        };
        let has_news = polled != Polled::Records(0);
        match polled {
            Polled::Assigned(partitions) => self.assigned(partitions),
            Polled::Revoked { lost } => self.revoked(lost)?,
            Polled::Records(_) => {}
        }
        self.go_on(has_news)
    }

    /// What there is to do, wherever the member stands.
    fn go_on(&mut self, has_news: bool) -> Result<(), BusError> {
        match &self.standing {
            Standing::Waiting { since } => {
                let since = *since;
                self.wait(since);
                Ok(())
            }
            Standing::Adrift => {
                self.drift();
                Ok(())
            }
            Standing::Assigned(partitions) => {
                let partitions = partitions.clone();
                self.start(&partitions)
            }
            Standing::Reading if self.register.is_complete() => self.become_owner(),
            Standing::Reading => Ok(()),
            Standing::Owning { .. } if !self.fleet.lease().holds() => self.begin_again(),
            Standing::Owning { is_settled } => {
                let is_settled = *is_settled && !has_news && self.generation == self.fleet.generation();
                if is_settled { Ok(()) } else { self.become_owner() }
            }
        }
    }

    /// The group takes long to share out. If that is because the log is away, pollers go on; else somebody may own their
    /// targets by now.
    fn wait(&mut self, since: Duration) {
        if self.clock.monotonic().saturating_sub(since) < self.terms.session_timeout {
            return;
        }
        if self.terms.bus.health().is_ok() {
            self.fleet.lease().end();
        } else if !self.fleet.polled().is_empty() {
            self.fleet.lease().grant(self.fleet.lease().mark());
            self.standing = Standing::Adrift;
        }
    }

    /// The log answers again: whoever it was that the group shared out to since, the pollers wait to be told.
    fn drift(&mut self) {
        if self.terms.bus.health().is_ok() {
            self.fleet.lease().end();
            self.standing = Standing::Waiting { since: self.clock.monotonic() };
        }
    }

    /// After a standstill nothing goes on as it was: connections are closed, and whoever owns the targets now becomes owner anew.
    fn begin_again(&mut self) -> Result<(), BusError> {
        let polled = self.fleet.polled();
        warn!(targets = polled.len(), "this process stood still, or was replaced: it stops what it polls");
        self.fleet.block_on(self.fleet.end(polled.keys().map(String::as_str)));
        self.mark = self.fleet.lease().mark();
        self.become_owner()
    }

    /// First of all nothing is polled any more that is somebody else's.
    fn assigned(&mut self, partitions: Vec<u32>) {
        self.mark = self.fleet.lease().mark();
        let polled = self.fleet.polled();
        let is_lost = |target: &&str| !partitions.contains(&partition_of(target, self.terms.partitions));
        self.fleet.block_on(self.fleet.end(polled.keys().map(String::as_str).filter(is_lost)));
        self.register = Register::of(&self.terms.framings, &partitions);
        self.standing = Standing::Assigned(partitions);
    }

    /// Reads from the beginning. A transaction that the last owner left open is waited for: what it says may still come.
    fn start(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        let topic = topic_name(Topic::Targets);
        let position =
            |partition: &u32| Position { topic: topic.clone(), partition: *partition, start: Start::Beginning };
        let positions: Vec<Position> = partitions.iter().map(position).collect();
        let waited = if partitions.is_empty() { Ok(()) } else { self.member.committed(partitions).map(drop) };
        let started = waited.and_then(|()| self.member.start(&positions));
        match started {
            Ok(()) => {
                self.standing = Standing::Reading;
                Ok(())
            }
            Err(error @ (BusError::Unavailable { .. } | BusError::Fenced { .. })) => {
                warn!(%error, "the owners of the targets are not known yet");
                std::thread::sleep(RETRY_PAUSE);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn revoked(&mut self, lost: bool) -> Result<(), BusError> {
        self.standing = match &self.standing {
            Standing::Owning { .. } if lost => {
                warn!("the group of the pollers lost this process");
                Standing::Adrift
            }
            Standing::Adrift => Standing::Adrift,
            Standing::Waiting { since } => Standing::Waiting { since: *since },
            _ => Standing::Waiting { since: self.clock.monotonic() },
        };
        self.member.release()
    }

    /// Polls the targets of its partitions and no others. Those that it does not own yet, or that another has written itself
    /// down for, it takes; those that are no longer configured it gives back.
    fn become_owner(&mut self) -> Result<(), BusError> {
        let generation = self.fleet.generation();
        let (targets, polled) = (self.fleet.targets(), self.fleet.polled());
        let is_kept = |target: &str| {
            let entry = self.register.get(target).filter(|entry| self.is_mine(entry));
            entry.is_some_and(|entry| polled.get(target) == Some(&entry.owner_epoch))
        };
        let is_ours = |target: &str| self.register.covers(partition_of(target, self.terms.partitions));
        let ended: Vec<&str> = polled
            .keys()
            .map(String::as_str)
            .filter(|target| !targets.contains_key(*target) || !is_ours(target) || !is_kept(target))
            .collect();
        let now = self.clock.wall_us();
        let claims: BTreeMap<String, Entry> = targets
            .iter()
            .filter(|(target, _)| is_ours(target) && !is_kept(target))
            .map(|(target, (component, config))| (target.clone(), self.claim(target, component, config, now)))
            .collect();
        let gone = self.mine().filter(|(target, _)| !targets.contains_key(*target));
        let gone = gone.map(|(target, entry)| (target.to_owned(), entry.given_back(now)));
        let news: Vec<(String, Entry)> =
            claims.iter().map(|(target, entry)| (target.clone(), entry.clone())).chain(gone).collect();
        let given = ended.len();
        self.fleet.block_on(self.fleet.end(ended));
        let mark = self.mark;
        match self.write(&news)? {
            Written::Yes => {}
            // It was given its partitions, so what it had before is still its own.
            Written::NotYet => {
                self.fleet.lease().grant(mark);
                self.standing = Standing::Owning { is_settled: false };
                std::thread::sleep(RETRY_PAUSE);
                return Ok(());
            }
            Written::Never => {
                self.fleet.lease().end();
                self.standing = Standing::Waiting { since: self.clock.monotonic() };
                return Ok(());
            }
        }
        if given > 0 || !news.is_empty() || self.standing == Standing::Reading {
            info!(taken = claims.len(), ended = given, "this process polls the targets of its partitions");
        }
        for (target, entry) in news {
            self.register.insert(&target, entry);
        }
        for (target, entry) in claims {
            self.fleet.begin(&target, entry.owner_epoch);
            self.fleet.metrics().targets_taken.inc();
        }
        (self.generation, self.standing) = (generation, Standing::Owning { is_settled: true });
        self.fleet.lease().grant(mark);
        Ok(())
    }

    fn is_mine(&self, entry: &Entry) -> bool {
        entry.owner.as_deref() == Some(&*self.terms.name)
    }

    /// Targets that this process has written itself down for, in this life or in the last.
    fn mine(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.register.entries().filter(|(_, entry)| self.is_mine(entry))
    }

    /// What the topic is to say of a target: an epoch higher than any before. It is at least the time of day in seconds, so
    /// that a topic that was lost does not make it begin again below what processors have seen.
    fn claim(&self, target: &str, component: &ComponentId, config: &Config, now: i64) -> Entry {
        let last = self.register.get(target).map_or(0, |entry| entry.owner_epoch);
        Entry {
            poller: component.to_string(),
            engine: config.engine().to_owned(),
            endpoint: config.endpoint().to_string(),
            labels: config.labels().iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            owner: Some(self.terms.name.clone()),
            owner_epoch: last.saturating_add(1).max(now / 1_000_000),
            updated_at: now,
        }
    }

    /// Writes in one transaction that the group fences; also when there is nothing to write, as a proof that the group has not
    /// moved on.
    fn write(&mut self, entries: &[(String, Entry)]) -> Result<Written, BusError> {
        for (target, entry) in entries {
            match self.send(target, entry) {
                Err(BusError::Unavailable { message, .. }) => return self.not_yet(&message),
                sent => sent?,
            }
        }
        let positions = self.register.positions();
        if positions.is_empty() {
            return Ok(Written::Yes);
        }
        match self.member.commit(&positions) {
            Ok(_) => Ok(Written::Yes),
            Err(CommitError::Fenced(reason)) => {
                warn!(reason, "somebody else owns the targets of this process");
                Ok(Written::Never)
            }
            Err(CommitError::Aborted(reason)) => self.not_yet(&reason),
            Err(CommitError::Bus(BusError::Unavailable { message, .. })) => self.not_yet(&message),
            Err(CommitError::Bus(error)) => Err(error),
            Err(error @ CommitError::TooLarge { .. }) => {
                let (operation, message) = ("write the owners of targets".to_owned(), error.to_string());
                Err(BusError::Fatal { operation, message })
            }
        }
    }

    fn not_yet(&mut self, reason: &str) -> Result<Written, BusError> {
        warn!(reason, "this process tries again to become owner of its targets");
        self.member.abort()?;
        Ok(Written::NotYet)
    }

    fn send(&mut self, target: &str, entry: &Entry) -> Result<(), BusError> {
        let labels: Vec<_> = entry.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let record = Target {
            target,
            poller: &entry.poller,
            engine: &entry.engine,
            endpoint: &entry.endpoint,
            labels: TextMap::from_slice(&labels),
            owner: entry.owner.as_deref(),
            owner_epoch: entry.owner_epoch,
            updated_at: entry.updated_at,
        };
        let mut value = Vec::new();
        wire::write(&record, self.terms.framings.of(Topic::Targets), &mut value);
        let topic = topic_name(Topic::Targets);
        loop {
            let outgoing = Outgoing {
                topic: &topic,
                partition: partition_of(target, self.terms.partitions),
                timestamp: entry.updated_at / 1000,
                key: Some(target.as_bytes()),
                value: Some(&value),
                headers: &[],
            };
            match self.member.send(outgoing) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => std::thread::sleep(PAUSE),
                Err(SendError::Bus(error)) => return Err(error),
                Err(error @ SendError::TooLarge { .. }) => {
                    let operation = format!("write the owner of {target}");
                    return Err(BusError::Fatal { operation, message: error.to_string() });
                }
            }
        }
    }

    /// Says that nobody polls the targets any more. If that cannot be said, the next owner finds it out.
    fn give_back(&mut self) {
        if self.standing != (Standing::Owning { is_settled: true }) {
            return;
        }
        let now = self.clock.wall_us();
        let given: Vec<(String, Entry)> =
            self.mine().map(|(target, entry)| (target.to_owned(), entry.given_back(now))).collect();
        if !given.is_empty()
            && let Err(error) = self.write(&given)
        {
            warn!(%error, "the targets were not given back; whoever owns them next finds that out");
        }
    }
}
