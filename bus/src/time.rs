//! Monotonic time of the engine and of the [model](crate::model): that of the machine, or on a thread that simulates, its own,
//! which stands still until somebody waits.
#![expect(clippy::disallowed_methods, reason = "the one place where both read the clock")]

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static SIMULATED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time now.
pub fn now() -> Instant {
    SIMULATED.get().unwrap_or_else(Instant::now)
}

/// Waits. On a thread that simulates the time has passed at once.
pub fn sleep(time: Duration) {
    match SIMULATED.get() {
        Some(now) => SIMULATED.set(Some(now + time)),
        None => std::thread::sleep(time),
    }
}

/// Whether this thread simulates.
pub fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

/// Runs something in a time of its own.
pub fn simulate<T>(run: impl FnOnce() -> T) -> T {
    /// Goes back to the machine's time, after a panic too.
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            SIMULATED.set(None);
        }
    }
    SIMULATED.set(Some(Instant::now()));
    let _back = Back;
    run()
}
