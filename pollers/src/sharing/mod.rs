//! Sharing the targets of a fleet among processes, by a consumer group over the topic `targets`.
//!
//! - **Reads and writes** `targets`, compacted: who owns each target, and the owner's epoch.
//! - **Owner** of a target is the member of the group that has the target's partition. It reads the partition to its end,
//!   then writes itself as owner with a higher epoch, in a transaction that the group's generation fences: an epoch has one
//!   owner, ever. Only then it polls. Processors absorb what comes with an older epoch.
//! - **A rebalance** stops no poller. Everybody goes on until the group has shared out: who keeps a target keeps its
//!   connections, its epoch and what he has read; who loses one ends it before he does anything else, while the next owner
//!   has still to read, to write and to connect.
//! - **A process that stood still** ends its lease by that: no poll begins. It closes all connections and becomes owner anew, or
//!   learns that somebody else has.
//! - **While the log is away** nobody can take anything over, and pollers go on, into their spools. As soon as the log answers,
//!   who was lost by the group waits until it has shared out. A process that alone is cut off polls beside the new owner: its
//!   records are stale.
//! - **All processes** need the same targets: one that its partition's owner does not know is polled by nobody.

mod owner;
mod register;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dbintel_bus::{Bus, Framings, Slot};
use tracing::warn;

use crate::fleet::Fleet;
use owner::Owner;

pub use register::{Entry, Register};

/// Name of the group.
pub const GROUP: &str = "dbintel.pollers";
/// Pause before the group is joined again, after trouble.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked at whether the targets were found.
const FOUND_INTERVAL: Duration = Duration::from_millis(100);

/// How a process takes part.
#[derive(Clone)]
pub struct Terms {
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// How records are framed.
    pub framings: Framings,
    /// Partitions of the co-partitioned topics.
    pub partitions: u32,
    /// Who the process is in the group.
    pub slot: Slot,
    /// What the process is called in `targets`.
    pub name: String,
    /// After this long in silence a member loses its share.
    pub session_timeout: Duration,
}

/// A process that takes part.
pub struct Sharing {
    stop: Arc<AtomicBool>,
    joined: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sharing {
    /// Takes part from now on, on a thread of its own. `fleet` has a lease that was not granted.
    pub fn start(fleet: Arc<Fleet>, terms: Terms) -> std::io::Result<Sharing> {
        let (stop, joined) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (Arc::clone(&stop), Arc::clone(&joined));
        let thread = thread::Builder::new().name("sharing".to_owned()).spawn(move || {
            let (stop, joined) = flags;
            let stopping = || stop.load(Ordering::Acquire);
            while !stopping() {
                // Who knows no targets yet would leave those of its partitions alone.
                if !fleet.is_complete() {
                    thread::park_timeout(FOUND_INTERVAL);
                    continue;
                }
                let took_part = Owner::join(&fleet, &terms).and_then(|owner| owner.take_part(&stopping, &joined));
                if let Err(error) = took_part {
                    warn!(%error, "the group of the pollers is joined again");
                    thread::park_timeout(REJOIN_PAUSE);
                }
            }
        })?;
        Ok(Sharing { stop, joined, thread })
    }

    /// Asks whether the process knows which targets are its own.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let joined = Arc::clone(&self.joined);
        move || joined.load(Ordering::Acquire)
    }

    /// Whether it has ended by itself, which only a fault of ours can cause.
    pub fn failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Gives the targets back and leaves the group, so that the others take over at once. For a fleet that has stopped. Blocks.
    pub fn leave(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            warn!("the group of the pollers was not left in order");
        }
    }
}
