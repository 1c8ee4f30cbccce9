//! The only place where the binary reads clocks. Logic takes what it needs as arguments.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the binary's one monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall clock in ms since the epoch; 0 before it.
#[expect(clippy::disallowed_methods, reason = "the binary's one wall clock")]
pub fn wall_ms() -> i64 {
    let since_epoch: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
