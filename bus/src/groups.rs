//! Who owns which partitions: the membership of consumer groups, without clock and without waiting.
//!
//! A change of membership begins a rebalance: all members give their partitions back, then all get their new share at
//! once. A member that neither gives back nor asks before the deadline is taken for dead and dropped. A generation is
//! one assignment; what a member holds is bound to it, so that nothing can be committed from an older one. Groups live in
//! the memory of the one process that may write: only their positions outlive it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Proof of ownership that goes with a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// Name of the group.
    pub group: String,
    /// Which member.
    pub member: u64,
    /// The assignment under which its partitions were handed out.
    pub generation: u64,
}

/// What a member has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Nothing new.
    None,
    /// It owns these partitions now, all of its topics.
    Assigned { generation: u64, partitions: Vec<u32> },
    /// It has to give its partitions back.
    Revoked,
    /// It was dropped; it may join again.
    Lost,
}

/// The group cannot be joined as asked.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("its members read {existing:?} and this one {wanted:?}; all members of a group read the same topics")]
pub(crate) struct OtherTopics {
    existing: Vec<String>,
    wanted: Vec<String>,
}

/// All groups of the process.
#[derive(Debug)]
pub(crate) struct Groups {
    rebalance_timeout: Duration,
    members_ever: u64,
    by_name: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    topics: Vec<String>,
    partitions: u32,
    generation: u64,
    /// By slot, which is the order of the shares.
    members: BTreeMap<String, Member>,
    /// Set while a rebalance is under way.
    deadline: Option<Instant>,
    /// Commits that were let through and are not settled: nothing is handed over before they are.
    commits_in_flight: u32,
}

#[derive(Debug)]
struct Member {
    id: u64,
    holds: Holds,
}

#[derive(Debug, PartialEq, Eq)]
enum Holds {
    /// Nothing, and it has not asked since the rebalance began.
    Nothing,
    /// Nothing, and it waits for its share.
    Waiting,
    /// A share that it does not know of yet.
    Offered(Vec<u32>),
    /// A share that it may work on.
    Owned,
}

impl Groups {
    /// No groups yet.
    pub fn new(rebalance_timeout: Duration) -> Groups {
        Groups { rebalance_timeout, members_ever: 0, by_name: BTreeMap::new() }
    }

    /// Adds a member and returns its number. Whoever held the slot before is dropped.
    pub fn join(
        &mut self,
        name: &str,
        slot: &str,
        topics: &[String],
        partitions: u32,
        now: Instant,
    ) -> Result<u64, OtherTopics> {
        let group = self.by_name.entry(name.to_owned()).or_default();
        group.members.remove(slot);
        // Whoever was silent goes before the newcomer, which has a deadline of its own.
        group.advance(now);
        if group.members.is_empty() {
            group.topics = topics.to_vec();
            group.partitions = partitions;
        } else if group.topics != topics {
            return Err(OtherTopics { existing: group.topics.clone(), wanted: topics.to_vec() });
        }
        self.members_ever += 1;
        let id = self.members_ever;
        group.members.insert(slot.to_owned(), Member { id, holds: Holds::Nothing });
        group.begin_rebalance(now + self.rebalance_timeout);
        Ok(id)
    }

    /// What a member has to know now. Asking also shows that it is alive.
    pub fn observe(&mut self, name: &str, id: u64, now: Instant) -> Event {
        let Some(group) = self.by_name.get_mut(name) else {
            return Event::Lost;
        };
        if let Some(member) = group.member(id)
            && member.holds == Holds::Nothing
        {
            member.holds = Holds::Waiting;
        }
        group.advance(now);
        let (generation, rebalancing) = (group.generation, group.deadline.is_some());
        let Some(member) = group.member(id) else {
            return Event::Lost;
        };
        match &mut member.holds {
            Holds::Offered(partitions) => {
                let partitions = std::mem::take(partitions);
                member.holds = Holds::Owned;
                Event::Assigned { generation, partitions }
            }
            Holds::Owned if rebalancing => Event::Revoked,
            _ => Event::None,
        }
    }

    /// When a rebalance of the group stops waiting, if one is under way.
    pub fn deadline(&self, name: &str) -> Option<Instant> {
        self.by_name.get(name)?.deadline
    }

    /// The member on a slot.
    pub fn holder(&self, name: &str, slot: &str) -> Option<u64> {
        self.by_name.get(name)?.members.get(slot).map(|member| member.id)
    }

    /// A member gives its partitions back.
    pub fn release(&mut self, name: &str, id: u64) {
        if let Some(member) = self.by_name.get_mut(name).and_then(|group| group.member(id)) {
            member.holds = Holds::Nothing;
        }
    }

    /// A member goes; the others share what it had.
    pub fn leave(&mut self, name: &str, id: u64, now: Instant) {
        let Some(group) = self.by_name.get_mut(name) else {
            return;
        };
        let members = group.members.len();
        group.members.retain(|_, member| member.id != id);
        if group.members.len() < members {
            group.begin_rebalance(now + self.rebalance_timeout);
        }
        self.forget_if_empty(name);
    }

    /// Whether the owner may commit. If so, its partitions stay where they are until [`Groups::end_commit`].
    pub fn begin_commit(&mut self, ownership: &Ownership) -> bool {
        let Some(group) = self.by_name.get_mut(&ownership.group) else {
            return false;
        };
        let current = group.generation == ownership.generation;
        match group.member(ownership.member) {
            Some(member) if current && member.holds == Holds::Owned => group.commits_in_flight += 1,
            _ => return false,
        }
        true
    }

    /// The commit is settled.
    pub fn end_commit(&mut self, ownership: &Ownership) {
        if let Some(group) = self.by_name.get_mut(&ownership.group) {
            group.commits_in_flight -= 1;
            self.forget_if_empty(&ownership.group);
        }
    }

    fn forget_if_empty(&mut self, name: &str) {
        if self.by_name.get(name).is_some_and(|group| group.members.is_empty() && group.commits_in_flight == 0) {
            self.by_name.remove(name);
        }
    }
}

impl Group {
    fn member(&mut self, id: u64) -> Option<&mut Member> {
        self.members.values_mut().find(|member| member.id == id)
    }

    fn begin_rebalance(&mut self, deadline: Instant) {
        self.deadline.get_or_insert(deadline);
        for member in self.members.values_mut() {
            if matches!(member.holds, Holds::Offered(_)) {
                member.holds = Holds::Nothing;
            }
        }
    }

    /// Takes a rebalance as far as it goes: at the deadline the silent are dropped; once all wait, all get their share.
    fn advance(&mut self, now: Instant) {
        let Some(deadline) = self.deadline else {
            return;
        };
        if now >= deadline {
            self.members.retain(|_, member| member.holds == Holds::Waiting);
        }
        if self.members.is_empty() {
            self.deadline = None;
            return;
        }
        let all_wait = self.members.values().all(|member| member.holds == Holds::Waiting);
        if all_wait && self.commits_in_flight == 0 {
            self.deadline = None;
            self.generation += 1;
            let shares = shares(self.partitions, self.members.len());
            for (member, share) in self.members.values_mut().zip(shares) {
                member.holds = Holds::Offered(share);
            }
        }
    }
}

/// Divides partitions into consecutive shares that differ by one at most, the larger ones first.
fn shares(partitions: u32, members: usize) -> Vec<Vec<u32>> {
    let members = u32::try_from(members).unwrap_or(u32::MAX);
    let (least, larger) = (partitions / members, partitions % members);
    let mut next = 0;
    (0..members)
        .map(|member| {
            let from = next;
            next += least + u32::from(member < larger);
            (from..next).collect()
        })
        .collect()
}
