//! What every bus has to do, whatever it is made of: one case per guarantee of the contract, written against its traits.
//!
//! Cases use topics and groups of their own, so that they can run at the same time on one bus. Nothing sleeps: a case
//! polls until it has seen what it waits for, and fails when that does not come within [`LIMIT`].

mod client;
mod groups;
mod keeping;
mod ownership;
mod reading;
mod records;
mod topics;
mod transactions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use dbintel_bus::{Bus, NewTopic, Retention};

/// How long a case waits for what has to come.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Cases that run at the same time: a member that gets no turn loses its place.
const AT_THE_SAME_TIME: usize = 6;

/// A bus and what the suite has to know of it.
pub trait BusUnderTest: Sync {
    /// The bus. Its groups have to give a silent member up within some seconds, so that the suite need not wait long.
    fn bus(&self) -> &dyn Bus;

    /// Whether the log is a genuine Kafka: other writers may be at work, and a transaction leaves a marker in the log.
    fn kafka(&self) -> bool;

    /// Lets the log delete from a topic what it is to delete, if it does not do so by itself within some seconds.
    fn maintain(&self, topic: &str) {
        let _ = topic;
    }
}

type Case = fn(&dyn BusUnderTest, &Names);

const CASES: &[(&str, Case)] = &[
    ("a partition is ordered and an offset always names the same record", records::order),
    ("key, value, timestamp and nothing come back as they were", records::content),
    ("records with headers are read like others", records::headers),
    ("a value of a mebibyte passes", records::large_values),
    ("a record that is too large is refused and leaves nothing behind", records::too_large),
    ("a transaction over many topics and its positions are visible together", transactions::all_or_nothing),
    ("aborted records are never seen", transactions::aborted),
    ("members are given what is committed and nothing else", transactions::members_see_what_is_committed),
    ("readers stop at the last committed record", transactions::read_committed_end),
    ("positions can be committed without records", transactions::positions_only),
    ("a receipt names the ends of the changelog", transactions::receipt),
    ("positions and metadata survive leaving and joining again", groups::positions_survive),
    ("two groups know nothing of each other", groups::independent),
    ("members share the partitions and each record is processed exactly once", groups::rebalance),
    ("a member that closes hands its partitions over at once", groups::close_hands_over),
    ("an owner that was replaced can commit nothing", ownership::replaced_owner),
    ("a newer member on the same slot fences the older one", ownership::same_slot),
    ("what a dead member has left open ends when its slot is taken again", ownership::left_open),
    ("a member that owns nothing can commit nothing", ownership::no_owner),
    ("a waiting member wakes up for records and for changes of its group", ownership::wakes_up),
    ("reading starts where it is told to", reading::starts),
    ("the end of a partition is told once each time it is reached", reading::at_end),
    ("paused partitions are not delivered until they are resumed", reading::pause_and_resume),
    ("a member in front of which records are deleted goes on at the first one kept", reading::deleted_in_front),
    ("a pause ends with the assignment", reading::pause_ends_with_the_assignment),
    ("seek goes back and forth", reading::seek),
    ("trimmed records are gone and offsets stay", topics::trim),
    ("records that are older than their topic keeps them go, the others stay", keeping::retention),
    ("of each key of a compacted topic the last record stays, where it was", keeping::compaction),
    ("topics are created once and described", topics::create_and_describe),
];

/// Runs all cases, some at the same time.
///
/// # Panics
/// If a case fails, with the names of all that failed.
pub fn suite(bus: &dyn BusUnderTest) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, case)) = CASES.get(next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(AssertUnwindSafe(|| case(bus, &Names::new()))).is_err() {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push(*name);
            }
        }
    };
    thread::scope(|scope| (0..AT_THE_SAME_TIME).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:#?}", failed.len(), CASES.len());
}

/// Runs the one case that uses everything: topics, a group, a producer, a transaction, readers, positions.
///
/// # Panics
/// If it fails.
pub fn one_transaction(bus: &dyn BusUnderTest) {
    transactions::all_or_nothing(bus, &Names::new());
}

/// Names that nobody else uses.
pub(crate) struct Names {
    case: String,
}

impl Names {
    fn new() -> Names {
        static CASES_EVER: AtomicU64 = AtomicU64::new(0);
        let number = CASES_EVER.fetch_add(1, Ordering::Relaxed);
        Names { case: format!("conformance-{}-{number}", std::process::id()) }
    }

    /// A name for a topic or a group.
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.case)
    }

    /// Creates a topic that keeps everything and returns its name.
    fn topic(&self, bus: &dyn BusUnderTest, name: &str, partitions: u32) -> String {
        let name = self.name(name);
        let topic =
            NewTopic { name: name.clone(), partitions, retention: Retention::Unlimited, message_bytes_max: 2 << 20 };
        bus.bus().create_topics(&[topic]).expect("a topic is created");
        name
    }
}
