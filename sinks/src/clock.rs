//! The only place where sinks read clocks and draw chance. Logic takes what it needs as arguments.

use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the sinks' one monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall clock in µs since the epoch; 0 before it.
#[expect(clippy::disallowed_methods, reason = "the sinks' one wall clock")]
pub fn wall_us() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// Numbers in [0, 1) that differ between processes: they only spread retries out in time.
#[derive(Debug)]
pub struct Jitter {
    keys: RandomState,
    drawn: u64,
}

impl Jitter {
    /// A sequence of its own.
    pub fn new() -> Self {
        Jitter { keys: RandomState::new(), drawn: 0 }
    }

    /// The next number.
    pub fn draw(&mut self) -> f64 {
        self.drawn += 1;
        let bits = self.keys.hash_one(self.drawn) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}
