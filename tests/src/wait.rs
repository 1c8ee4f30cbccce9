//! Waiting for something outside to happen, with a limit and a message that says what was awaited.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(10);

/// Blocks until `probe` gives a value.
///
/// # Panics
/// If it gives none within `limit`, with `what` in the message.
#[track_caller]
pub fn blocking<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(limit);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(!deadline.passed(), "{what} did not happen within {limit:?}");
        thread::sleep(PAUSE);
    }
}

/// As [`blocking`], without blocking the runtime between two probes.
///
/// # Panics
/// If `probe` gives nothing within `limit`, with `what` in the message.
pub async fn eventually<T>(limit: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let attempts = async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(limit, attempts).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {limit:?}"),
    }
}

/// A moment after which waiting is over.
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline(monotonic_now() + limit)
    }

    pub(crate) fn passed(&self) -> bool {
        monotonic_now() >= self.0
    }
}

#[expect(clippy::disallowed_methods, reason = "the harness waits for real processes in real time")]
fn monotonic_now() -> Instant {
    Instant::now()
}
