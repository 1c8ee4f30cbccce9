//! The only place where the engine reads a clock: monotonic time, for waiting and for the pace of commits. No decision
//! about a row depends on it.

use std::time::Instant;

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the engine's one clock")]
pub fn now() -> Instant {
    Instant::now()
}
