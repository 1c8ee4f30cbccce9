//! Whether this process may poll. Lanes look at it before each poll: a process that stood still does not go on with what
//! another one may have taken over meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::clock;

/// How often it is seen that the process moves.
const TICK: Duration = Duration::from_millis(200);

/// The right to poll. Cheap to clone; clones are the same lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// None: nobody else could poll.
    watch: Option<Arc<Watch>>,
}

/// Notices when the process stands still.
#[derive(Debug)]
struct Watch {
    /// A standstill that lasts longer ends the lease.
    still_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the process was last seen to move, by the clock that goes on while the machine sleeps.
    moved_at: Duration,
    /// Number of standstills.
    stills: u64,
    /// Granted when there had been so many; none when it was not granted, or taken back.
    granted: Option<u64>,
}

/// How often the process had stood still at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

impl Lease {
    /// Of a process that shares its targets with nobody.
    pub fn forever() -> Lease {
        Lease { watch: None }
    }

    /// Not granted yet. Once it is, a standstill that is longer than this ends it.
    pub fn until_still_for(still_max: Duration) -> Lease {
        let state = State { moved_at: clock::since_boot(), stills: 0, granted: None };
        let watch = Arc::new(Watch { still_max, state: Mutex::new(state) });
        let weak = Arc::downgrade(&watch);
        thread::spawn(move || tick(&weak));
        Lease { watch: Some(watch) }
    }

    /// Whether it never ends, since nobody else could poll.
    pub fn is_for_ever(&self) -> bool {
        self.watch.is_none()
    }

    /// To be taken before whatever proves the right to poll.
    pub fn mark(&self) -> Mark {
        Mark(self.watch.as_ref().map_or(0, |watch| watch.look(clock::since_boot()).stills))
    }

    /// Grants it, unless the process stood still since the mark.
    pub fn grant(&self, mark: Mark) {
        if let Some(watch) = &self.watch {
            watch.look(clock::since_boot()).granted = Some(mark.0);
        }
    }

    /// Takes it back.
    pub fn end(&self) {
        if let Some(watch) = &self.watch {
            watch.look(clock::since_boot()).granted = None;
        }
    }

    /// Whether it was granted, and the process has not stood still since.
    pub fn holds(&self) -> bool {
        self.watch.as_ref().is_none_or(|watch| {
            let state = watch.look(clock::since_boot());
            state.granted == Some(state.stills)
        })
    }
}

impl Watch {
    /// The state, after what this moment tells. Whoever looks first after a standstill sees it.
    fn look(&self, now: Duration) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(state.moved_at) > self.still_max {
            state.stills += 1;
        }
        state.moved_at = state.moved_at.max(now);
        state
    }
}

fn tick(watch: &Weak<Watch>) {
    while let Some(watch) = watch.upgrade() {
        drop(watch.look(clock::since_boot()));
        drop(watch);
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn still(lease: &Lease, seconds: u64) {
        let watch = lease.watch.as_ref().unwrap();
        let now = watch.look(Duration::ZERO).moved_at + Duration::from_secs(seconds);
        drop(watch.look(now));
    }

    #[test]
    fn it_is_granted_for_as_long_as_the_process_moves() {
        let lease = Lease::until_still_for(Duration::from_secs(5));
        assert!(!lease.holds() && Lease::forever().holds());
        lease.grant(lease.mark());
        assert!(lease.clone().holds());
        still(&lease, 4);
        assert!(lease.holds());
        still(&lease, 6);
        assert!(!lease.holds(), "it stood still");
        let mark = lease.mark();
        still(&lease, 6);
        lease.grant(mark);
        assert!(!lease.holds(), "what was proved before a standstill proves nothing after it");
        lease.grant(lease.mark());
        assert!(lease.holds());
        lease.end();
        assert!(!lease.holds());
        Lease::forever().end();
        assert!(Lease::forever().holds());
    }
}
