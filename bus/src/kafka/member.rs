//! A member of a consumer group: a consumer and a transactional producer on one thread.
//!
//! Rebalances come as events and wait for an answer: the group stands still until the member calls
//! [`start`](Member::start) or [`release`](Member::release). The group shares out the partitions of its first topic, and a
//! member reads the same numbers of all its topics: what belongs together is on one member, even if somebody gave one of the
//! topics more partitions. The protocol is eager: all partitions are given back before the group's generation moves on, so that
//! no member is fenced by accident.
//!
//! INVARIANT: the membership that commits are fenced by is the one of the assignment, taken when it came. An old one is
//! refused by the broker; a newer one could commit for partitions that belong to somebody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::client::{self, Context};
use super::failure::{bus_error, timed_out};
use super::fetch::{Change, Fetcher};
use super::ffi::{Membership, Pump};
use super::partitions::{Place, list, number};
use super::settings::Settings;
use super::transaction::{Stopped, Transactions, Witness, replaced};
use super::{groups, outcome};
use crate::{
    BusError, CommitError, Committed, GroupSpec, Member, Outgoing, Polled, Position, Receipt, Receive, SendError,
};

/// Brokers end the transactions of dead producers this much after their time-out; positions are pending until then.
const CLEANUP_SLACK: Duration = Duration::from_secs(15);
/// How long leaving the group may take; after that the group finds out by itself.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A member.
pub struct KafkaMember {
    settings: Arc<Settings>,
    spec: GroupSpec,
    fetcher: Fetcher,
    transactions: Transactions,
    /// Partitions that all topics have.
    common: u32,
    state: State,
    membership: Option<Arc<Membership>>,
    paused: BTreeSet<u32>,
    left: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Owns nothing.
    Waiting,
    /// Owns these partitions and has not started to fetch.
    Assigned(Vec<u32>),
    /// Fetches these partitions.
    Fetching(Vec<u32>),
    /// Has to give everything back.
    Revoked { lost: bool },
}

impl KafkaMember {
    /// Joins the group in the background. Takes over the transactional id first, so that what its last holder left open is
    /// aborted before anything is read.
    pub fn join(settings: &Arc<Settings>, spec: &GroupSpec) -> Result<KafkaMember, BusError> {
        let purpose = format!("member {} of {}", spec.slot.name, spec.group);
        let consumer: Pump<BaseConsumer<Context>> = client::create(&purpose, settings, &settings.member(spec))?;
        let common = groups::common_partitions(&consumer, &spec.topics, settings.config().request_timeout)?;
        let id = format!("{}.{}", spec.group, spec.slot.name);
        let transactions = Transactions::new(Arc::clone(settings), id, spec.changelog.clone())?;
        let member = KafkaMember {
            settings: Arc::clone(settings),
            fetcher: Fetcher::new(consumer, spec.topics.clone()),
            spec: spec.clone(),
            transactions,
            common,
            state: State::Waiting,
            membership: None,
            paused: BTreeSet::new(),
            left: false,
        };
        member.subscribe()?;
        Ok(member)
    }

    fn assigned(&mut self, shared_out: &[(String, i32)]) -> Polled {
        let numbers: BTreeSet<u32> = shared_out.iter().filter_map(|(_, partition)| number(*partition)).collect();
        if numbers.last().is_some_and(|last| *last >= self.common) {
            let timeout = self.settings.config().request_timeout;
            let common = groups::common_partitions(self.fetcher.pump(), &self.spec.topics, timeout);
            self.common = common.unwrap_or(self.common);
        }
        let partitions: Vec<u32> = numbers.into_iter().filter(|partition| *partition < self.common).collect();
        self.membership = self.fetcher.pump().membership().map(Arc::new);
        self.state = State::Assigned(partitions.clone());
        Polled::Assigned(partitions)
    }

    fn revoked(&mut self) -> Polled {
        self.fetcher.forget();
        // librdkafka does not always call lost what is lost (its issue 5604): a member without a place lost it, and so did one
        // that was refused a commit.
        let in_place = self.membership.is_some() && self.fetcher.pump().membership().is_some();
        let lost = self.fetcher.consumer().assignment_lost() || !in_place;
        if lost {
            self.membership = None;
        }
        self.state = State::Revoked { lost };
        Polled::Revoked { lost }
    }

    /// Retention has overtaken a position. librdkafka begins anew only with an assignment: the member joins again, gives its
    /// partitions back, and whoever gets them starts at what is kept.
    fn begin_again(&mut self, place: &Place) -> Result<Polled, BusError> {
        self.fetcher.skip_deleted(place)?;
        self.subscribe()?;
        Ok(Polled::Records(0))
    }

    fn subscribe(&self) -> Result<(), BusError> {
        let first: Vec<&str> = self.spec.topics.iter().take(1).map(String::as_str).collect();
        let subscribed = self.fetcher.consumer().subscribe(&first);
        subscribed.map_err(|error| bus_error(format!("join the group {}", self.spec.group), error))
    }

    /// A transaction without positions is not fenced by the broker: ask librdkafka whether the member is still in.
    fn still_in(&self, membership: &Membership) -> bool {
        let now = self.fetcher.pump().membership();
        now.is_some_and(|now| now.generation() == membership.generation())
    }

    /// The answer to a commit was lost: finds out what became of it.
    fn settle(&mut self, stopped: Stopped, positions: &[Committed]) -> Result<Receipt, CommitError> {
        let (reason, taken_over, witness, receipt) = match stopped {
            Stopped::Refused(error) => return Err(error),
            Stopped::Unknown { reason, taken_over, witness, receipt } => (reason, taken_over, witness, receipt),
        };
        tracing::warn!(group = self.spec.group, slot = self.spec.slot.name, reason, "the answer to a commit was lost");
        let committed = self.find_out(taken_over, witness, positions).map_err(not_found_out)?;
        match (committed, taken_over) {
            (true, _) => Ok(receipt),
            (false, true) => Err(CommitError::Bus(replaced(reason))),
            (false, false) => Err(CommitError::Aborted(reason)),
        }
    }

    fn find_out(
        &mut self,
        taken_over: bool,
        witness: Option<Witness>,
        positions: &[Committed],
    ) -> Result<bool, BusError> {
        if !taken_over {
            self.transactions.rebuild()?;
        }
        match witness {
            Some(witness) => outcome::visible(&self.settings, &witness),
            None => Ok(outcome::committed(positions, &self.committed_of(positions)?)),
        }
    }

    fn committed_of(&self, positions: &[Committed]) -> Result<Vec<Committed>, BusError> {
        let places = positions.iter().map(|position| (position.topic.as_str(), position.partition, Offset::Invalid));
        groups::committed(self.fetcher.pump(), list(places)?, self.pending_max())
    }

    /// How long positions may be pending.
    fn pending_max(&self) -> Duration {
        self.settings.config().transaction_timeout + CLEANUP_SLACK
    }

    fn leave(&mut self) -> Result<(), BusError> {
        if std::mem::replace(&mut self.left, true) {
            return Ok(());
        }
        self.transactions.abort();
        if self.fetcher.close(LEAVE_TIMEOUT) {
            return Ok(());
        }
        Err(timed_out(format!("leave the group {}", self.spec.group), "the brokers"))
    }
}

impl Member for KafkaMember {
    fn poll(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Polled, BusError> {
        self.transactions.serve();
        if let State::Revoked { lost } = self.state {
            return Ok(Polled::Revoked { lost });
        }
        let round = self.fetcher.round(timeout, limit, receive)?;
        match round.change {
            None => Ok(Polled::Records(round.records)),
            Some(Change::Assigned(partitions)) => Ok(self.assigned(&partitions)),
            Some(Change::Revoked) => Ok(self.revoked()),
            Some(Change::OutOfRange(place)) => self.begin_again(&place),
        }
    }

    fn committed(&mut self, partitions: &[u32]) -> Result<Vec<Committed>, BusError> {
        self.transactions.serve();
        groups::committed(self.fetcher.pump(), list(self.everywhere(partitions))?, self.pending_max())
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), BusError> {
        let State::Assigned(partitions) = &self.state else {
            return Err(misuse("start to fetch", "nothing has been assigned"));
        };
        let partitions = partitions.clone();
        let complete = self.spec.topics.iter().all(|topic| {
            let has = |partition: &u32| positions.iter().any(|at| at.topic == *topic && at.partition == *partition);
            partitions.iter().all(has)
        });
        if !complete || positions.len() != partitions.len() * self.spec.topics.len() {
            return Err(misuse("start to fetch", "there has to be one position for each topic and assigned partition"));
        }
        let places = self.fetcher.resolve(positions, self.settings.config().request_timeout)?;
        self.fetcher.assign(&places)?;
        self.paused.clear();
        self.state = State::Fetching(partitions);
        Ok(())
    }

    fn release(&mut self) -> Result<(), BusError> {
        self.transactions.abort();
        let paused: Vec<u32> = std::mem::take(&mut self.paused).into_iter().collect();
        // A partition that is paused when it is given back stays paused for ever when it comes again (librdkafka 5591).
        self.set_paused(&paused, false)?;
        self.fetcher.unassign()?;
        self.membership = None;
        self.state = State::Waiting;
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), SendError> {
        self.transactions.send(record)
    }

    fn commit(&mut self, positions: &[Committed]) -> Result<Receipt, CommitError> {
        let fenced = |reason: &str| CommitError::Fenced(format!("member of {}: {reason}", self.spec.group));
        let Some(membership) = self.membership.clone() else {
            let error = fenced("no partitions are assigned");
            self.transactions.abort();
            return Err(error);
        };
        if positions.is_empty() && self.transactions.open() && !self.still_in(&membership) {
            let error = fenced("the group has moved on");
            self.transactions.abort();
            return Err(error);
        }
        let committed = match self.transactions.commit(positions, &membership) {
            Ok(receipt) => Ok(receipt),
            Err(stopped) => self.settle(stopped, positions),
        };
        if matches!(committed, Err(CommitError::Fenced(_))) {
            self.membership = None;
        }
        committed
    }

    fn abort(&mut self) -> Result<(), BusError> {
        self.transactions.abort();
        Ok(())
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), BusError> {
        match self.state {
            State::Fetching(_) => {}
            // Nothing is delivered any more, and the next start gives new positions.
            State::Revoked { .. } => return Ok(()),
            _ => return Err(misuse("go to other positions", "nothing is fetched")),
        }
        let places = self.fetcher.resolve(positions, self.settings.config().request_timeout)?;
        self.fetcher.seek(&places)
    }

    fn pause(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        self.set_paused(partitions, true)?;
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self, partitions: &[u32]) -> Result<(), BusError> {
        let paused: Vec<u32> = partitions.iter().copied().filter(|partition| self.paused.contains(partition)).collect();
        self.set_paused(&paused, false)?;
        // What librdkafka takes for the position after a pause is not always the right one (its issue 2190).
        let places = self.fetcher.places(&paused);
        self.fetcher.seek(&places)?;
        self.paused.retain(|partition| !paused.contains(partition));
        Ok(())
    }

    fn close(mut self: Box<Self>) -> Result<(), BusError> {
        self.leave()
    }
}

impl KafkaMember {
    /// The partitions on all topics of the group, at no offset in particular.
    fn everywhere<'a>(&'a self, partitions: &'a [u32]) -> impl Iterator<Item = (&'a str, u32, Offset)> {
        let topics = self.spec.topics.iter();
        topics.flat_map(|topic| partitions.iter().map(move |&partition| (topic.as_str(), partition, Offset::Invalid)))
    }

    fn set_paused(&self, partitions: &[u32], paused: bool) -> Result<(), BusError> {
        if partitions.is_empty() {
            return Ok(());
        }
        let list = list(self.everywhere(partitions))?;
        let consumer = self.fetcher.consumer();
        let set = if paused { consumer.pause(&list) } else { consumer.resume(&list) };
        set.map_err(|error| bus_error("pause or resume partitions", error))
    }
}

impl Drop for KafkaMember {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::debug!(%error, "leaving while dropped");
        }
    }
}

/// Whoever does not know what became of a commit must not go back to what it remembers: as a new member it is told.
fn not_found_out(error: BusError) -> BusError {
    match error {
        BusError::Unavailable { operation, message } => BusError::Fenced { operation, message },
        error => error,
    }
}

fn misuse(operation: &str, message: &str) -> BusError {
    BusError::Fatal { operation: operation.to_owned(), message: message.to_owned() }
}
