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

/// Longest wait for news of the group. The lease is renewed as often.
const TICK: Duration = Duration::from_millis(200);
/// Records that are taken at once.
const RECORDS: usize = 1_000;
/// Bytes that may be fetched ahead.
const FETCH_BYTES: usize = 1 << 20;
/// Pause while the log does not take what it is given.
const PAUSE: Duration = Duration::from_millis(5);

/// A membership.
pub(super) struct Owner<'a> {
    fleet: &'a Fleet,
    terms: &'a Terms,
    member: Box<dyn Member>,
    register: Register,
    /// Targets of the fleet that were looked at last.
    generation: u64,
    standing: Standing,
    clock: Clock,
}

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The group shares out, and somebody else may be owner soon.
    Waiting,
    /// The group has lost us, because the log is away or we were: nobody has said that we own nothing.
    Adrift,
    /// It reads what is on the partitions that it was given.
    Reading,
    /// It owns the targets of its partitions.
    Owning,
}

impl<'a> Owner<'a> {
    /// Joins the group. What the fleet polls already goes on until the group says whose it is.
    pub fn join(fleet: &'a Fleet, terms: &'a Terms) -> Result<Owner<'a>, BusError> {
        let member = terms.bus.join(&GroupSpec {
            group: GROUP.to_owned(),
            topics: vec![topic_name(Topic::Targets)],
            changelog: None,
            slot: terms.slot.clone(),
            fetch_bytes_max: FETCH_BYTES,
        })?;
        let register = Register::of(&terms.framings, &[]);
        Ok(Owner { fleet, terms, member, register, generation: 0, standing: Standing::Adrift, clock: Clock::start() })
    }

    /// Takes part until the end; then gives everything back.
    pub fn take_part(mut self, stopping: &dyn Fn() -> bool, joined: &AtomicBool) -> Result<(), BusError> {
        let mut outcome = Ok(());
        while outcome.is_ok() && !stopping() {
            outcome = self.turn();
            joined.store(self.standing == Standing::Owning, Ordering::Release);
        }
        joined.store(false, Ordering::Release);
        if outcome.is_ok() {
            self.fleet.block_on(self.fleet.stop());
            self.give_back();
        }
        let closed = self.member.close();
        outcome.and(closed)
    }

    fn turn(&mut self) -> Result<(), BusError> {
        self.end_if_still();
        if matches!(self.standing, Standing::Owning | Standing::Adrift) {
            self.fleet.lease().renew();
        }
        let polled = match self.member.poll(TICK, RECORDS, &mut self.register) {
            Err(BusError::Unavailable { .. }) => {
                std::thread::sleep(TICK);
                return Ok(());
            }
            Err(BusError::Fenced { .. }) => Polled::Revoked { lost: true },
            polled => polled?,
        };
        match polled {
            Polled::Assigned(partitions) => self.assigned(&partitions),
            Polled::Revoked { lost } => self.revoked(lost),
            Polled::Records(_) if self.standing == Standing::Reading && !self.register.is_complete() => Ok(()),
            Polled::Records(0) if self.standing == Standing::Owning && self.generation == self.fleet.generation() => {
                Ok(())
            }
            Polled::Records(_) if matches!(self.standing, Standing::Reading | Standing::Owning) => self.become_owner(),
            Polled::Records(_) => Ok(()),
        }
    }

    /// After a standstill that outlasted the lease nothing goes on as it was: connections are closed, and whoever owns the
    /// targets now becomes owner anew.
    fn end_if_still(&mut self) {
        let was_held = matches!(self.standing, Standing::Owning | Standing::Adrift);
        let polled = self.fleet.polled();
        if !was_held || self.fleet.lease().holds() || polled.is_empty() {
            return;
        }
        warn!(targets = polled.len(), "this process stood still for longer than its lease: it stops what it polls");
        self.fleet.block_on(self.fleet.end(polled.keys().map(String::as_str)));
        if self.standing == Standing::Owning {
            self.standing = Standing::Reading;
        }
    }

    fn assigned(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.fleet.lease().end();
        self.standing = Standing::Reading;
        self.register = Register::of(&self.terms.framings, partitions);
        let topic = topic_name(Topic::Targets);
        let position =
            |partition: &u32| Position { topic: topic.clone(), partition: *partition, start: Start::Beginning };
        let positions: Vec<Position> = partitions.iter().map(position).collect();
        self.member.start(&positions)?;
        if partitions.is_empty() { self.become_owner() } else { Ok(()) }
    }

    fn revoked(&mut self, lost: bool) -> Result<(), BusError> {
        if lost {
            warn!("the group of the pollers lost this process; it goes on until somebody else owns its targets");
            self.standing = Standing::Adrift;
        } else {
            self.fleet.lease().end();
            self.standing = Standing::Waiting;
        }
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
        if !news.is_empty() && !self.write(&news)? {
            return Ok(());
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
        (self.generation, self.standing) = (generation, Standing::Owning);
        self.fleet.lease().renew();
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

    /// Writes in one transaction that the group fences. False if it was refused: the group has moved on, or it is tried again.
    fn write(&mut self, entries: &[(String, Entry)]) -> Result<bool, BusError> {
        for (target, entry) in entries {
            self.send(target, entry)?;
        }
        match self.member.commit(&self.register.positions()) {
            Ok(_) => Ok(true),
            Err(CommitError::Fenced(reason)) => {
                warn!(reason, "somebody else owns the targets of this process");
                self.fleet.lease().end();
                self.standing = Standing::Waiting;
                Ok(false)
            }
            Err(CommitError::Aborted(reason)) => {
                warn!(reason, "this process tries again to become owner of its targets");
                self.standing = Standing::Reading;
                Ok(false)
            }
            Err(CommitError::Bus(error)) => Err(error),
            Err(error @ CommitError::TooLarge { .. }) => {
                let (operation, message) = ("write the owners of targets".to_owned(), error.to_string());
                Err(BusError::Fatal { operation, message })
            }
        }
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
        if self.standing != Standing::Owning {
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
