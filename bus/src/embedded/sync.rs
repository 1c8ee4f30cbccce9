//! Locks, and waking those who wait for something to change in the log or in a group.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes a lock. What the locks of this module guard is whole between any two statements, so a panic of another holder
/// does not spoil it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts changes. A waiter notes the count, looks, and waits for another count: no change is missed.
#[derive(Debug, Default)]
pub(super) struct Signal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// The count now.
    pub fn seen(&self) -> u64 {
        *locked(&self.count)
    }

    /// Something changed.
    pub fn raise(&self) {
        *locked(&self.count) += 1;
        self.changed.notify_all();
    }

    /// Waits for a change after `seen`, for at most `timeout`.
    pub fn wait(&self, seen: u64, timeout: Duration) {
        // Whether it changed or the time passed is for the caller to see.
        let _ = self.changed.wait_timeout_while(locked(&self.count), timeout, |count| *count == seen);
    }
}
