//! Whether this process may poll. Lanes look at it before each poll: a process that stood still does not go on with what
//! another one may have taken over meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// The right to poll for a while. Cheap to clone; clones are the same lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// None: for ever.
    term: Option<Arc<Term>>,
}

#[derive(Debug)]
struct Term {
    clock: Clock,
    length: Duration,
    /// Monotonic time of its end, in ms.
    ends_at: AtomicU64,
}

impl Lease {
    /// Of a process that shares its targets with nobody.
    pub fn forever() -> Lease {
        Lease { term: None }
    }

    /// It has ended, and lasts this long whenever it is renewed.
    pub fn ended(length: Duration) -> Lease {
        Lease { term: Some(Arc::new(Term { clock: Clock::start(), length, ends_at: AtomicU64::new(0) })) }
    }

    /// Whether it never ends, since nobody else could poll.
    pub fn is_for_ever(&self) -> bool {
        self.term.is_none()
    }

    /// It begins anew.
    pub fn renew(&self) {
        if let Some(term) = &self.term {
            term.ends_at.store(millis(term.clock.monotonic() + term.length), Ordering::Release);
        }
    }

    /// It ends now.
    pub fn end(&self) {
        if let Some(term) = &self.term {
            term.ends_at.store(0, Ordering::Release);
        }
    }

    /// Whether it has not ended.
    pub fn holds(&self) -> bool {
        let holds = |term: &Arc<Term>| millis(term.clock.monotonic()) < term.ends_at.load(Ordering::Acquire);
        self.term.as_ref().is_none_or(holds)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_lasts_until_it_ends_or_is_not_renewed() {
        let lease = Lease::ended(Duration::from_secs(5));
        assert!(!lease.holds() && Lease::forever().holds());
        lease.renew();
        assert!(lease.clone().holds());
        tokio::time::advance(Duration::from_secs(4)).await;
        lease.renew();
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(lease.holds());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!lease.holds(), "nobody renewed it");
        lease.renew();
        lease.end();
        assert!(!lease.holds());
        Lease::forever().end();
        assert!(Lease::forever().holds());
    }
}
