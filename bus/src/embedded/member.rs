//! One member of a group: reads its share of the partitions and commits what it wrote together with where it stands.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::{Cursors, Room};
use super::keys::PartitionId;
use super::staging::Staging;
use super::sync::locked;
use super::writer::{CommitRequest, Ends};
use super::{Core, clock};
use crate::membership::{Membership, co_partitioned};
use crate::{BusError, CommitError, Committed, GroupSpec, Outgoing, Polled, Position, Receipt, Receive, SendError};

/// A member. Its open transaction is a buffer of its own until the commit.
pub(super) struct Member {
    core: Arc<Core>,
    spec: GroupSpec,
    membership: Membership,
    cursors: Cursors,
    transaction: Staging,
}

impl Member {
    /// Joins a group.
    pub fn join(core: Arc<Core>, spec: &GroupSpec) -> Result<Member, BusError> {
        let counts = spec.topics.iter().map(|name| Ok(core.log.catalogue.topic(name)?.settings.partitions));
        let partitions = co_partitioned(spec, &counts.collect::<Result<Vec<_>, BusError>>()?)?;
        if let Some(changelog) = &spec.changelog {
            core.log.catalogue.topic(changelog)?;
        }
        let membership = Membership::enter(spec, partitions, &mut locked(&core.groups), clock::monotonic())?;
        core.log.changed.raise();
        let (cursors, transaction) = (Cursors::default(), Staging::default());
        Ok(Member { core, spec: spec.clone(), membership, cursors, transaction })
    }

    /// What the group has to tell, if anything.
    fn observe(&mut self) -> Result<Option<Polled>, BusError> {
        let (polled, news) = self.membership.observe(&mut locked(&self.core.groups), clock::monotonic())?;
        if news {
            self.core.log.changed.raise();
        }
        Ok(polled)
    }

    fn wait(&self, seen: u64, left: Duration) {
        let deadline = locked(&self.core.groups).deadline(&self.spec.group);
        let until = deadline.map(|deadline| deadline.saturating_duration_since(clock::monotonic()));
        // A deadline that has passed changes nothing more by itself.
        let left = until.filter(|until| !until.is_zero()).map_or(left, |until| until.min(left));
        self.core.log.changed.wait(seen, left);
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
        self.membership.leave(&mut locked(&self.core.groups), clock::monotonic());
        self.core.log.changed.raise();
    }
}

impl crate::Member for Member {
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        let deadline = clock::monotonic() + timeout;
        let room = Room { records: limit, bytes: self.spec.fetch_bytes_max.max(1) };
        loop {
            let seen = self.core.log.changed.seen();
            if let Some(polled) = self.observe()? {
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
        self.membership.check_start(positions)?;
        self.cursors = Cursors::start(&self.core.log, &self.spec.topics, positions)?;
        Ok(())
    }

    fn release(&mut self) -> Result<(), BusError> {
        self.cursors = Cursors::default();
        self.transaction = Staging::default();
        self.membership.release(&mut locked(&self.core.groups));
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
        let ownership = self.membership.ownership().ok_or_else(|| {
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
