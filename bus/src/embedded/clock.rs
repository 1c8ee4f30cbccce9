//! Where time enters the embedded log; everything else takes it as an argument.
#![expect(clippy::disallowed_methods, reason = "the one place of this module that reads the clocks")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall clock in ms since the epoch: for the age of records.
pub(super) fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

/// Monotonic clock: for waiting.
pub(super) fn monotonic() -> Instant {
    Instant::now()
}
