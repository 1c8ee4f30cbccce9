//! librdkafka's log lines on their way to `tracing`: a broker that is away must not fill the disk.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::clock;

/// Lines that one client may log in each [`PERIOD`].
const LINES_MAX: u32 = 20;
/// The period of [`LINES_MAX`].
const PERIOD: Duration = Duration::from_secs(10);

/// The log of one client.
#[derive(Debug)]
pub struct Log {
    client: String,
    limit: Mutex<Limit>,
}

impl Log {
    /// For the client that does this.
    pub fn new(client: String) -> Log {
        Log { client, limit: Mutex::new(Limit::default()) }
    }

    /// What the client is for.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Passes a line on, unless there were too many. `level` is that of syslog.
    pub fn line(&self, level: i32, facility: &str, line: &str) {
        let client = self.client.as_str();
        if level >= SYSLOG_NOTICE {
            tracing::debug!(client, facility, line, "kafka client");
            return;
        }
        let verdict = self.limit.lock().unwrap_or_else(PoisonError::into_inner).admit(clock::now());
        let Some(suppressed) = verdict else {
            return;
        };
        if level <= SYSLOG_CRITICAL {
            tracing::error!(client, facility, line, suppressed, "kafka client");
        } else {
            tracing::warn!(client, facility, line, suppressed, "kafka client");
        }
    }
}

const SYSLOG_CRITICAL: i32 = 2;
const SYSLOG_NOTICE: i32 = 5;

#[derive(Debug, Default)]
struct Limit {
    started: Option<Instant>,
    admitted: u32,
    suppressed: u64,
}

impl Limit {
    /// How many lines were suppressed before this one; none if it is to be suppressed too.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.started.is_none_or(|started| now.duration_since(started) >= PERIOD) {
            self.started = Some(now);
            self.admitted = 0;
        }
        if self.admitted == LINES_MAX {
            self.suppressed += 1;
            return None;
        }
        self.admitted += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_limited_per_period_and_the_suppressed_ones_counted() {
        let start = clock::now();
        let mut limit = Limit::default();
        for _ in 0..LINES_MAX {
            assert_eq!(limit.admit(start), Some(0));
        }
        assert_eq!(limit.admit(start), None);
        assert_eq!(limit.admit(start + PERIOD / 2), None);
        assert_eq!(limit.admit(start + PERIOD), Some(2));
        assert_eq!(limit.admit(start + PERIOD), Some(0));
    }
}
