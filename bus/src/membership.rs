//! What a member of a group knows of its place in it, where groups live in the memory of one process.

use std::time::Instant;

use crate::groups::{Event, Groups, Ownership};
use crate::{BusError, GroupSpec, Polled, Position};

/// The place of one member.
#[derive(Debug)]
pub(crate) struct Membership {
    spec: GroupSpec,
    partitions: u32,
    id: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It owns nothing and waits for its share.
    Waiting,
    /// It owns these partitions.
    Owner { generation: u64, partitions: Vec<u32> },
    /// It was dropped from the group and has been told.
    Lost,
    /// It was dropped and has let go: with the next question it joins again.
    Outside,
}

impl Membership {
    /// Takes the slot in the group, from another member if need be. The group's topics have so many partitions.
    pub fn enter(spec: &GroupSpec, partitions: u32, groups: &mut Groups, now: Instant) -> Result<Membership, BusError> {
        let mut membership = Membership { spec: spec.clone(), partitions, id: 0, state: State::Outside };
        membership.join(groups, now)?;
        Ok(membership)
    }

    fn join(&mut self, groups: &mut Groups, now: Instant) -> Result<(), BusError> {
        let (group, slot) = (&self.spec.group, &self.spec.slot.name);
        let joined = groups.join(group, slot, &self.spec.topics, self.partitions, now);
        self.id = joined.map_err(|error| self.refused(error.to_string()))?;
        self.state = State::Waiting;
        Ok(())
    }

    /// Comes back after it was dropped, unless a newer member has the slot: the two would push each other out for ever.
    fn join_again(&mut self, groups: &mut Groups, now: Instant) -> Result<(), BusError> {
        let (group, slot) = (&self.spec.group, &self.spec.slot.name);
        if groups.holder(group, slot).is_none() {
            return self.join(groups, now);
        }
        Err(self.refused(format!("a newer member has taken slot {slot:?}; give each member a slot of its own")))
    }

    fn refused(&self, message: String) -> BusError {
        BusError::Fatal { operation: format!("join group {}", self.spec.group), message }
    }

    /// What the group has to tell, if anything, and whether the others may have something new to see.
    pub fn observe(&mut self, groups: &mut Groups, now: Instant) -> Result<(Option<Polled>, bool), BusError> {
        let mut news = false;
        match self.state {
            State::Lost => return Ok((Some(Polled::Revoked { lost: true }), false)),
            State::Outside => {
                self.join_again(groups, now)?;
                news = true;
            }
            State::Waiting | State::Owner { .. } => {}
        }
        Ok(match groups.observe(&self.spec.group, self.id, now) {
            Event::None => (None, news),
            Event::Revoked => (Some(Polled::Revoked { lost: false }), news),
            Event::Assigned { generation, partitions } => {
                self.state = State::Owner { generation, partitions: partitions.clone() };
                // The others wait until everybody has asked.
                (Some(Polled::Assigned(partitions)), true)
            }
            Event::Lost if matches!(self.state, State::Waiting) => {
                self.join_again(groups, now)?;
                (None, true)
            }
            Event::Lost => {
                self.state = State::Lost;
                (Some(Polled::Revoked { lost: true }), news)
            }
        })
    }

    /// Proof of ownership, if it owns something.
    pub fn ownership(&self) -> Option<Ownership> {
        match self.state {
            State::Owner { generation, .. } => {
                Some(Ownership { group: self.spec.group.clone(), member: self.id, generation })
            }
            _ => None,
        }
    }

    /// Whether it may start to read there.
    pub fn check_start(&self, positions: &[Position]) -> Result<(), BusError> {
        let operation = || format!("start reading in group {}", self.spec.group);
        let State::Owner { partitions, .. } = &self.state else {
            let message = "the member owns no partitions".to_owned();
            return Err(BusError::Fenced { operation: operation(), message });
        };
        match positions.iter().find(|position| !partitions.contains(&position.partition)) {
            None => Ok(()),
            Some(foreign) => {
                let message = format!("partition {} was not assigned to this member", foreign.partition);
                Err(BusError::Fatal { operation: operation(), message })
            }
        }
    }

    /// Gives its partitions back.
    pub fn release(&mut self, groups: &mut Groups) {
        self.state = match self.state {
            State::Lost | State::Outside => State::Outside,
            State::Owner { .. } | State::Waiting => State::Waiting,
        };
        groups.release(&self.spec.group, self.id);
    }

    /// Goes for good.
    pub fn leave(&mut self, groups: &mut Groups, now: Instant) {
        groups.leave(&self.spec.group, self.id, now);
    }
}

/// The number of partitions that all topics of a group have, given those of each.
pub(crate) fn co_partitioned(spec: &GroupSpec, counts: &[u32]) -> Result<u32, BusError> {
    let refused = |message: String| BusError::Fatal { operation: format!("join group {}", spec.group), message };
    let Some(first) = counts.first() else {
        return Err(refused("it names no topics".to_owned()));
    };
    match counts.iter().zip(&spec.topics).find(|(count, _)| *count != first) {
        None => Ok(*first),
        Some((count, name)) => Err(refused(format!(
            "{} has {first} partitions and {name} has {count}; all topics of a group need the same number",
            spec.topics[0]
        ))),
    }
}
