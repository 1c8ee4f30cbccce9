//! What goes wrong in a schedule: what becomes of requests to the log and of operations of stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dbintel_bus::model::{Fate, Request, Script, Step};
use dbintel_bus::topic_name;
use dbintel_schemas::topics::Topic;

use super::scene::GROUP;

/// Where something may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A request to the log.
    Log(Step),
    /// A record for the ledger.
    SendBooks,
    /// A record for the changelog.
    SendChanges,
    /// An operation of a store.
    Store(Operation),
}

/// Operations of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Open,
    Write,
    Persist,
    Wipe,
}

const FAILS: &[Fate] = &[Fate::Refused, Fate::Dead, Fate::Killed];
const ONLY_DIES: &[Fate] = &[Fate::Dead, Fate::Killed];

/// Everything that may go wrong, in the order of a task's life.
pub const POINTS: [(Point, &[Fate]); 19] = [
    (Point::Log(Step::Join), FAILS),
    (Point::Log(Step::Poll), FAILS),
    (Point::Log(Step::Committed), FAILS),
    (Point::Store(Operation::Open), FAILS),
    (Point::Log(Step::Offsets), FAILS),
    (Point::Store(Operation::Wipe), FAILS),
    (Point::Log(Step::Read), FAILS),
    (Point::Log(Step::Start), ONLY_DIES),
    (Point::Log(Step::Send), FAILS),
    (Point::SendBooks, FAILS),
    (Point::SendChanges, FAILS),
    (Point::Log(Step::SendPositions), FAILS),
    (Point::Log(Step::Commit), &[Fate::Refused, Fate::Unanswered, Fate::Late, Fate::Doubled, Fate::Dead, Fate::Killed]),
    (Point::Store(Operation::Write), FAILS),
    (Point::Log(Step::Trim), FAILS),
    (Point::Log(Step::Abort), &[Fate::Refused, Fate::Late, Fate::Dead, Fate::Killed]),
    (Point::Store(Operation::Persist), FAILS),
    (Point::Log(Step::Release), ONLY_DIES),
    (Point::Log(Step::Close), ONLY_DIES),
];

/// Every pair of a point and a fate that it may meet.
pub fn every_fault() -> impl Iterator<Item = (Point, Fate)> {
    POINTS.iter().flat_map(|(point, fates)| fates.iter().map(move |fate| (*point, *fate)))
}

/// How often each point met each fate.
pub type Hits = BTreeMap<(Point, Fate), u64>;

/// Numbers from a seed (splitmix64).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Faults in one schedule.
const FAULTS_MAX: usize = 8;
/// Of so many requests one goes wrong, whatever it is.
const ANY_EVERY: u64 = 150;
/// Of so many requests that are the schedule's own kind of fault one goes wrong.
const OWN_EVERY: u64 = 3;

/// What goes wrong in one schedule.
pub struct Faults {
    random: Random,
    own: (Point, Fate),
    left: usize,
    /// The process that has its turn was killed in it: nothing of it arrives any more.
    pub killed: bool,
    pub hits: Hits,
}

impl Faults {
    /// Those of a seed: seeds take turns with their own kind of fault, so that rare ones are met as well.
    pub fn of(seed: u64) -> Faults {
        let kinds = every_fault().count() as u64;
        let own = every_fault().nth((seed % kinds) as usize).expect("one of them");
        Faults { random: Random(seed), own, left: FAULTS_MAX, killed: false, hits: Hits::new() }
    }

    /// None at all.
    pub fn none() -> Faults {
        Faults { left: 0, ..Faults::of(0) }
    }

    /// From now on nothing goes wrong any more.
    pub fn end(&mut self) {
        self.left = 0;
    }

    fn fate(&mut self, point: Point) -> Fate {
        if self.killed {
            return Fate::Dead;
        }
        let Some(fate) = self.choose(point) else { return Fate::Done };
        self.left -= 1;
        self.killed = matches!(fate, Fate::Dead | Fate::Killed);
        *self.hits.entry((point, fate)).or_default() += 1;
        fate
    }

    fn choose(&mut self, point: Point) -> Option<Fate> {
        if self.left == 0 {
            return None;
        }
        if self.own.0 == point && self.random.next().is_multiple_of(OWN_EVERY) {
            return Some(self.own.1);
        }
        if !self.random.next().is_multiple_of(ANY_EVERY) {
            return None;
        }
        let (_, fates) = POINTS.iter().find(|(listed, _)| *listed == point)?;
        Some(fates[self.random.below(fates.len())])
    }
}

/// The faults, for all that ask for their fate.
#[derive(Clone)]
pub struct Shaken(Arc<Mutex<Faults>>);

impl Shaken {
    pub fn new(faults: Faults) -> Shaken {
        Shaken(Arc::new(Mutex::new(faults)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fate_of(&self, operation: Operation) -> Fate {
        self.lock().fate(Point::Store(operation))
    }
}

impl Script for Shaken {
    fn fate(&mut self, request: Request<'_>) -> Fate {
        let point = match request.step {
            Step::Send if request.topic == topic_name(Topic::Ledger) => Point::SendBooks,
            Step::Send if request.topic == dbintel_schemas::topics::changelog(GROUP) => Point::SendChanges,
            step => Point::Log(step),
        };
        self.lock().fate(point)
    }
}
