//! One member of a group: reads its share of the partitions and commits what it wrote together with where it stands.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::{Cursors, Room};
use super::groups::{Event, Ownership};
use super::keys::PartitionId;
use super::staging::Staging;
use super::sync::locked;
use super::writer::{CommitRequest, Ends};
use super::{Core, clock};
use crate::{BusError, CommitError, Committed, GroupSpec, Outgoing, Polled, Position, Receipt, Receive, SendError};

/// A member. Its open transaction is a buffer of its own until the commit.
pub(super) struct Member {
    core: Arc<Core>,
    spec: GroupSpec,
    partitions: u32,
    id: u64,
    state: State,
    cursors: Cursors,
    transaction: Staging,
}

enum State {
    /// It owns nothing and waits for its share.
    Waiting,
    /// It owns these partitions.
    Owner { generation: u64, partitions: Vec<u32> },
    /// It was dropped from the group and has been told.
    Lost,
    /// It was dropped and has let go: with the next poll it joins again.
    Outside,
}

impl Member {
    /// Joins a group.
    pub fn join(core: Arc<Core>, spec: &GroupSpec) -> Result<Member, BusError> {
        let partitions = co_partitioned(&core, spec)?;
        if let Some(changelog) = &spec.changelog {
            core.log.catalogue.topic(changelog)?;
        }
        let mut member = Member {
            core,
            spec: spec.clone(),
            partitions,
            id: 0,
            state: State::Outside,
            cursors: Cursors::default(),
            transaction: Staging::default(),
        };
        member.enter()?;
        Ok(member)
    }

    /// Takes the slot in the group, from another member if need be.
    fn enter(&mut self) -> Result<(), BusError> {
        let (group, slot) = (&self.spec.group, &self.spec.slot);
        self.id = locked(&self.core.groups)
            .join(group, slot, &self.spec.topics, self.partitions, clock::monotonic())
            .map_err(|error| BusError::Fatal {
            operation: format!("join group {group}"),
            message: error.to_string(),
        })?;
        self.state = State::Waiting;
        self.core.log.changed.raise();
        Ok(())
    }

    /// Comes back after it was dropped, unless a newer member has the slot: the two would push each other out for ever.
    fn rejoin(&mut self) -> Result<(), BusError> {
        let (group, slot) = (&self.spec.group, &self.spec.slot);
        if locked(&self.core.groups).holder(group, slot).is_none() {
            return self.enter();
        }
        Err(BusError::Fatal {
            operation: format!("join group {group}"),
            message: format!("a newer member has taken slot {slot:?}; give each member a slot of its own"),
        })
    }

    /// What the group has to tell, if anything.
    fn membership(&mut self) -> Result<Option<Polled>, BusError> {
        match self.state {
            State::Lost => return Ok(Some(Polled::Revoked { lost: true })),
            State::Outside => self.rejoin()?,
            State::Waiting | State::Owner { .. } => {}
        }
        let event = locked(&self.core.groups).observe(&self.spec.group, self.id, clock::monotonic());
        Ok(match event {
            Event::None => None,
            Event::Revoked => Some(Polled::Revoked { lost: false }),
            Event::Assigned { generation, partitions } => {
                self.state = State::Owner { generation, partitions: partitions.clone() };
                // The others wait until everybody has asked.
                self.core.log.changed.raise();
                Some(Polled::Assigned(partitions))
            }
            Event::Lost if matches!(self.state, State::Waiting) => {
                self.rejoin()?;
                None
            }
            Event::Lost => {
                self.state = State::Lost;
                Some(Polled::Revoked { lost: true })
            }
        })
    }

    fn wait(&self, seen: u64, left: Duration) {
        let deadline = locked(&self.core.groups).deadline(&self.spec.group);
        let until = deadline.map(|deadline| deadline.saturating_duration_since(clock::monotonic()));
        // A deadline that has passed changes nothing more by itself.
        let left = until.filter(|until| !until.is_zero()).map_or(left, |until| until.min(left));
        self.core.log.changed.wait(seen, left);
    }

    fn ownership(&self) -> Option<Ownership> {
        match self.state {
            State::Owner { generation, .. } => {
                Some(Ownership { group: self.spec.group.clone(), member: self.id, generation })
            }
            _ => None,
        }
    }

    fn resolve(&self, positions: &[Committed]) -> Result<Vec<(PartitionId, i64, String)>, BusError> {
        let resolve = |position: &Committed| {
            let topic = self.core.log.catalogue.topic(&position.topic)?;
            let id = topic.partition(position.partition)?.id;
            Ok((id, position.next_offset, position.metadata.clone()))
        };
        positions.iter().map(resolve).collect()
    }

    fn receipt(&self, ends: &Ends) -> Receipt {
        let changelog = self.spec.changelog.as_ref().and_then(|name| self.core.log.catalogue.topic(name).ok());
        let Some(changelog) = changelog else {
            return Receipt::default();
        };
        let of_changelog = |id: &PartitionId| changelog.partitions.iter().any(|partition| partition.id == *id);
        let ends = ends.iter().filter(|(id, _)| of_changelog(id));
        Receipt { changelog_ends: ends.map(|(id, end)| (u32::from(id.partition), *end)).collect() }
    }

    fn leave(&mut self) {
        self.transaction = Staging::default();
        locked(&self.core.groups).leave(&self.spec.group, self.id, clock::monotonic());
        self.core.log.changed.raise();
    }
}

impl crate::Member for Member {
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        let deadline = clock::monotonic() + timeout;
        let room = Room { records: limit, bytes: self.spec.fetch_bytes_max.max(1) };
        loop {
            let seen = self.core.log.changed.seen();
            if let Some(polled) = self.membership()? {
                return Ok(polled);
            }
            let delivered = self.cursors.deliver(&self.core.log, room, receive)?;
            let left = deadline.saturating_duration_since(clock::monotonic());
            if delivered.records > 0 || delivered.ends > 0 || left.is_zero() {
                return Ok(Polled::Records(delivered.records));
            }
            self.wait(seen, left);
        }
    }

    fn committed(&mut self, partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        self.core.log.positions(&self.spec.group, &self.spec.topics, |partition| partitions.contains(&partition))
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let operation = || format!("start reading in group {}", self.spec.group);
        let State::Owner { partitions, .. } = &self.state else {
            let message = "the member owns no partitions".to_owned();
            return Err(BusError::Fenced { operation: operation(), message });
        };
        if let Some(foreign) = positions.iter().find(|position| !partitions.contains(&position.partition)) {
            let message = format!("partition {} was not assigned to this member", foreign.partition);
            return Err(BusError::Fatal { operation: operation(), message });
        }
        self.cursors = Cursors::start(&self.core.log, &self.spec.topics, positions)?;
        Ok(())
    }

    fn release(&mut self) -> Result<(), BusError> {
        self.cursors = Cursors::default();
        self.transaction = Staging::default();
        self.state = match self.state {
            State::Lost | State::Outside => State::Outside,
            State::Owner { .. } | State::Waiting => State::Waiting,
        };
        locked(&self.core.groups).release(&self.spec.group, self.id);
        self.core.log.changed.raise();
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        let bytes_max = self.core.config.transaction_bytes_max;
        match self.transaction.push(&self.core.log.catalogue, &record, bytes_max) {
            // Waiting would not help: nothing leaves the transaction before its commit.
            Err(SendError::Full) => Err(SendError::Bus(BusError::Fatal {
                operation: format!("send to {}", record.topic),
                message: format!("the transaction would hold more than {bytes_max} bytes; commit more often"),
            })),
            result => result,
        }
    }

    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError> {
        let mut transaction = std::mem::take(&mut self.transaction);
        let ownership = self.ownership().ok_or_else(|| {
            CommitError::Fenced(format!("this member of group {} owns no partitions", self.spec.group))
        })?;
        let positions = self.resolve(positions)?;
        let ends = self.core.writer.commit(CommitRequest { ownership, appends: transaction.take(), positions })?;
        Ok(self.receipt(&ends))
    }

    fn abort(&mut self) -> Result<(), BusError> {
        self.transaction = Staging::default();
        Ok(())
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        self.cursors.seek(&self.core.log, positions)
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
        self.leave();
        Ok(())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The number of partitions that all topics of the group have.
fn co_partitioned(core: &Core, spec: &GroupSpec) -> Result<u32, BusError> {
    let refused = |message: String| BusError::Fatal { operation: format!("join group {}", spec.group), message };
    let mut counts = Vec::new();
    for name in &spec.topics {
        counts.push((core.log.catalogue.topic(name)?.settings.partitions, name));
    }
    let Some((first, _)) = counts.first() else {
        return Err(refused("it names no topics".to_owned()));
    };
    match counts.iter().find(|(count, _)| count != first) {
        None => Ok(*first),
        Some((count, name)) => Err(refused(format!(
            "{} has {first} partitions and {name} has {count}; all topics of a group need the same number",
            spec.topics[0]
        ))),
    }
}
