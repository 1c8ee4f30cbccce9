//! The one place where this role reads clocks.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Wall clock and monotonic clock of a poller.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now. It is that of the runtime, which tests can stop.
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    /// Monotonic time since the start.
    pub fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    /// Wall clock, in µs since the epoch; 0 before it.
    #[expect(clippy::disallowed_methods, reason = "this is the poller's clock module")]
    pub fn wall_us(&self) -> i64 {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Time since the machine was started. Unlike the monotonic clock it goes on while the machine sleeps.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
