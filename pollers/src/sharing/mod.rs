//! Sharing the targets of a fleet among processes, by a consumer group over the topic `targets`.
//!
//! - **Reads and writes** `targets`, compacted: who owns each target, and the owner's epoch.
//! - **Owner** of a target is the member of the group that has the target's partition. It reads the partition to its end,
//!   then writes itself as owner with a higher epoch, in a transaction that the group's generation fences: an epoch has one
//!   owner, ever. Only then it polls. Processors absorb what comes with an older epoch.
//! - **A rebalance** stops no poller: while the group shares out anew nobody's lease is renewed, and who gets a target again
//!   that he owned goes on with its connections, its epoch, and what he has read.
//! - **A process that stood still** for longer than its lease ends all connections and becomes owner anew, or learns that
//!   somebody else has.
//! - **While the log is away** nobody can take anything over, and pollers go on, into their spools, until the group shares
//!   out again. A process that alone is cut off polls beside the new owner until then: its records are stale.

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
}

/// A process that takes part.
pub struct Sharing {
    stop: Arc<AtomicBool>,
    joined: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Sharing {
    /// Takes part from now on, on a thread of its own. `fleet` has a lease that has ended.
    pub fn start(fleet: Arc<Fleet>, terms: Terms) -> std::io::Result<Sharing> {
        let (stop, joined) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let flags = (Arc::clone(&stop), Arc::clone(&joined));
        let thread = thread::Builder::new().name("sharing".to_owned()).spawn(move || {
            let (stop, joined) = flags;
            let stopping = || stop.load(Ordering::Acquire);
            while !stopping() {
                match Owner::join(&fleet, &terms).and_then(|owner| owner.take_part(&stopping, &joined)) {
                    Ok(()) => {}
                    Err(error) => {
                        warn!(%error, "the group of the pollers is joined again");
                        thread::park_timeout(REJOIN_PAUSE);
                    }
                }
            }
            fleet.block_on(fleet.stop());
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

    /// Stops all pollers, gives their targets back and leaves the group, so that the others take over at once. Blocks.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            warn!("the group of the pollers was not left in order");
        }
    }
}
