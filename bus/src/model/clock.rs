//! Time of the model: that of the machine, or what a script says.
#![expect(clippy::disallowed_methods, reason = "the one place of this module that reads the clock")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A monotonic clock.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// Microseconds since the start, where a script moves the time.
    scripted: Option<AtomicU64>,
}

impl Clock {
    /// One that goes by itself, or one that stands still until it is moved.
    pub fn new(is_scripted: bool) -> Clock {
        Clock { start: Instant::now(), scripted: is_scripted.then(AtomicU64::default) }
    }

    /// Whether it only moves when it is told to: then nobody waits.
    pub fn is_scripted(&self) -> bool {
        self.scripted.is_some()
    }

    pub fn now(&self) -> Instant {
        match &self.scripted {
            Some(elapsed) => self.start + Duration::from_micros(elapsed.load(Ordering::Relaxed)),
            None => Instant::now(),
        }
    }

    /// Moves the time forward.
    pub fn advance(&self, time: Duration) {
        if let Some(elapsed) = &self.scripted {
            elapsed.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}
