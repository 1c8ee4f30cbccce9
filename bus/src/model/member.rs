//! A member of a group, as unforgiving as a broker makes it.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::Cursors;
use super::log::{TransactionId, Writer};
use super::script::{Fate, Step};
use super::{Core, Inner, dead, unavailable};
use crate::membership::{Membership, co_partitioned};
use crate::time;
use crate::{
    BusError, CommitError, Committed, GroupSpec, Isolation, Outgoing, Polled, Position, Receipt, Receive, SendError,
};

/// A member. Dropped without [`close`](crate::Member::close) it is a process that was killed: it says nothing any more, and
/// what it has open stays open.
pub(super) struct Member {
    core: Arc<Core>,
    spec: GroupSpec,
    membership: Membership,
    cursors: Cursors,
    writer: Writer,
    open: Option<TransactionId>,
}

impl Member {
    pub fn join(core: Arc<Core>, spec: &GroupSpec) -> Result<Member, BusError> {
        let mut guard = core.lock();
        let inner = &mut *guard;
        let counts = spec.topics.iter().map(|name| Ok(inner.log.topic(name)?.settings.partitions));
        let partitions = co_partitioned(spec, &counts.collect::<Result<Vec<_>, BusError>>()?)?;
        if let Some(changelog) = &spec.changelog {
            inner.log.topic(changelog)?;
        }
        let writer = inner.log.enter(&format!("{}-{}", spec.group, spec.slot.name));
        let membership = Membership::enter(spec, partitions, &mut inner.groups, time::now())?;
        drop(guard);
        core.changed.notify_all();
        Ok(Member { core, spec: spec.clone(), membership, cursors: Cursors::default(), writer, open: None })
    }

    fn end_open(&mut self, commit: bool) -> bool {
        let ended = self.open.take().map(|id| self.core.lock_now().log.end(id, commit));
        self.core.changed.notify_all();
        ended.unwrap_or(false)
    }

    /// Adds the positions to the transaction, if the member owns what it says it does.
    fn send_positions(&mut self, positions: &[Committed]) -> Result<TransactionId, CommitError> {
        let fenced = |message: &str| CommitError::Fenced(format!("member of {}: {message}", self.spec.group));
        let ownership = self.membership.ownership().ok_or_else(|| fenced("it owns no partitions"))?;
        let mut guard = self.core.lock_now();
        let Inner { log, groups, .. } = &mut *guard;
        if !log.is_current(&self.writer) {
            return Err(fenced("a newer member has taken its slot, or its transaction was open for too long"));
        }
        if !groups.begin_commit(&ownership) {
            return Err(fenced("the group has moved on"));
        }
        groups.end_commit(&ownership);
        let id = self.open.unwrap_or_else(|| log.begin(&self.writer, &self.spec.group, time::now()));
        log.add_positions(id, positions);
        Ok(id)
    }

    fn fetch(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        let core = Arc::clone(&self.core);
        let deadline = time::now() + timeout;
        let mut guard = core.lock_now();
        loop {
            let inner = &mut *guard;
            let (polled, news) = self.membership.observe(&mut inner.groups, time::now())?;
            if news {
                core.changed.notify_all();
            }
            if let Some(polled) = polled {
                return Ok(polled);
            }
            let delivered = self.cursors.deliver(&inner.log, Isolation::Committed, limit, receive)?;
            if delivered.records > 0 || delivered.ends > 0 {
                return Ok(Polled::Records(delivered.records));
            }
            let until = inner.groups.deadline(&self.spec.group).filter(|until| *until > time::now());
            let Some(woken) = core.wait(guard, until.map_or(deadline, |until| until.min(deadline)), deadline) else {
                return Ok(Polled::Records(0));
            };
            guard = woken;
        }
    }

    fn stable_positions(&self, partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        let deadline = time::now() + self.core.config.pending_timeout;
        let mut guard = self.core.lock_now();
        loop {
            if !guard.log.has_pending(&self.spec.group, partitions) {
                let is_meant = |partition| partitions.contains(&partition);
                return Ok(guard.log.committed(&self.spec.group, &self.spec.topics, is_meant));
            }
            match self.core.wait(guard, deadline, deadline) {
                Some(woken) => guard = woken,
                None => {
                    return Err(BusError::Unavailable {
                        operation: "read the committed positions".to_owned(),
                        message: "a transaction is pending on them".to_owned(),
                    });
                }
            }
        }
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), SendError> {
        let mut guard = self.core.lock_now();
        if !guard.log.is_current(&self.writer) {
            let message = "a newer member has taken its slot, or its transaction was open for too long".to_owned();
            return Err(BusError::Fenced { operation: format!("send to {}", record.topic), message }.into());
        }
        let now = time::now();
        let id = *self.open.get_or_insert_with(|| guard.log.begin(&self.writer, &self.spec.group, now));
        guard.log.append(record, Some(id))?;
        drop(guard);
        self.core.changed.notify_all();
        Ok(())
    }

    /// Asks to add the positions; the transaction is of no use any more if that fails.
    fn put_positions(&mut self, positions: &[Committed]) -> Result<TransactionId, CommitError> {
        let fate = self.core.fate(Step::SendPositions, "");
        let put = match fate {
            Fate::Dead => return Err(dead(Step::SendPositions).into()),
            Fate::Refused => Err(unavailable(Step::SendPositions).into()),
            _ => self.send_positions(positions),
        };
        if fate == Fate::Killed {
            return Err(dead(Step::SendPositions).into());
        }
        if put.is_err() {
            self.end_open(false);
        }
        put
    }
}

impl crate::Member for Member {
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        let core = Arc::clone(&self.core);
        core.ask(Step::Poll, "", || self.fetch(timeout, limit, receive))
    }

    fn committed(&mut self, partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        self.core.ask(Step::Committed, "", || self.stable_positions(partitions))
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let core = Arc::clone(&self.core);
        core.ask(Step::Start, "", || {
            self.membership.check_start(positions)?;
            self.cursors = Cursors::start(&core.lock().log, &self.spec.topics, positions)?;
            Ok(())
        })
    }

    fn release(&mut self) -> Result<(), BusError> {
        let core = Arc::clone(&self.core);
        core.ask(Step::Release, "", || {
            self.end_open(false);
            self.cursors = Cursors::default();
            self.membership.release(&mut core.lock().groups);
            core.changed.notify_all();
            Ok(())
        })
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        match self.core.fate(Step::Send, record.topic) {
            Fate::Dead => Err(dead(Step::Send).into()),
            Fate::Refused => Err(unavailable(Step::Send).into()),
            Fate::Killed => self.append(&record).and_then(|()| Err(dead(Step::Send).into())),
            Fate::Done | Fate::Unanswered | Fate::Late | Fate::Doubled => self.append(&record),
        }
    }

    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError> {
        let id = self.put_positions(positions)?;
        self.open = Some(id);
        let changelog = self.spec.changelog.as_ref();
        let changelog_ends = changelog.map(|topic| self.core.lock().log.ends_of(id, topic)).unwrap_or_default();
        let fate = self.core.fate(Step::Commit, "");
        if fate == Fate::Doubled {
            self.core.lock().late.push(id);
        }
        match fate {
            Fate::Done | Fate::Doubled if self.end_open(true) => Ok(Receipt { changelog_ends }),
            Fate::Done | Fate::Doubled => {
                Err(CommitError::Fenced(format!("member of {}: its transaction is gone", self.spec.group)))
            }
            Fate::Refused => {
                self.end_open(false);
                Err(unavailable(Step::Commit).into())
            }
            Fate::Unanswered => {
                self.end_open(true);
                Err(unknown_outcome().into())
            }
            Fate::Late => {
                self.open = None;
                self.core.lock().late.push(id);
                Err(unknown_outcome().into())
            }
            Fate::Killed => {
                self.end_open(true);
                Err(dead(Step::Commit).into())
            }
            Fate::Dead => Err(dead(Step::Commit).into()),
        }
    }

    fn abort(&mut self) -> Result<(), BusError> {
        match self.core.fate(Step::Abort, "") {
            // The client gives it up; the log aborts it when its time is over, or its writer comes again.
            Fate::Refused | Fate::Late => self.open = None,
            Fate::Done | Fate::Unanswered | Fate::Doubled => drop(self.end_open(false)),
            Fate::Killed => {
                self.end_open(false);
                return Err(dead(Step::Abort));
            }
            Fate::Dead => return Err(dead(Step::Abort)),
        }
        Ok(())
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.cursors.seek(&self.core.lock().log, positions)
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.cursors.pause(partitions, true);
        Ok(())
    }

    fn resume(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.cursors.pause(partitions, false);
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), BusError> {
        let core = Arc::clone(&self.core);
        core.ask(Step::Close, "", || {
            self.end_open(false);
            self.membership.leave(&mut core.lock().groups, time::now());
            core.changed.notify_all();
            Ok(())
        })
    }
}

/// As from a client that does not know what became of its commit: a new member is told.
fn unknown_outcome() -> BusError {
    let message = "what became of the transaction is not known".to_owned();
    BusError::Fenced { operation: "commit".to_owned(), message }
}
