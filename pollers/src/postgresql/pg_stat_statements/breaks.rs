//! What happened to the statistics between two polls, for the log: a person who wonders about a gap finds its reason there.

use std::time::Duration;

/// Evictions are said once in this time: a server whose view is too small evicts all day.
const EVICTIONS_SAID_EVERY: Duration = Duration::from_secs(600);

/// What was seen last.
#[derive(Debug, Default)]
pub struct Breaks {
    reset_at: Option<i64>,
    evictions: Option<i64>,
    said_at: Option<Duration>,
}

/// What is worth a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Break {
    /// Somebody reset the statistics.
    Reset,
    /// This many statements were evicted since the last line.
    Evicted(i64),
}

impl Breaks {
    /// Compares a poll with what was seen before: its reset in µs, its cumulative evictions, and the poller's clock.
    pub fn note(&mut self, reset_at: Option<i64>, evictions: Option<i64>, now: Duration) -> Option<Break> {
        let known = self.reset_at.replace(reset_at?);
        if known.is_some_and(|known| reset_at != Some(known)) {
            self.evictions = evictions;
            return Some(Break::Reset);
        }
        let evicted = evictions? - *self.evictions.get_or_insert(evictions?);
        let silent = self.said_at.is_some_and(|said_at| now.saturating_sub(said_at) < EVICTIONS_SAID_EVERY);
        if evicted <= 0 || silent {
            return None;
        }
        self.evictions = evictions;
        self.said_at = Some(now);
        Some(Break::Evicted(evicted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_said_at_once_and_evictions_now_and_then() {
        let mut breaks = Breaks::default();
        let mut note =
            |reset_at, evictions, seconds| breaks.note(Some(reset_at), Some(evictions), Duration::from_secs(seconds));
        assert_eq!(note(1, 5, 0), None, "what was before us is not news");
        assert_eq!(note(1, 5, 10), None);
        assert_eq!(note(1, 7, 20), Some(Break::Evicted(2)));
        assert_eq!(note(1, 9, 30), None);
        assert_eq!(note(1, 10, 620), Some(Break::Evicted(3)));
        assert_eq!(note(2, 0, 630), Some(Break::Reset));
        assert_eq!(note(2, 0, 640), None);
        assert_eq!(note(2, 1, 1_300), Some(Break::Evicted(1)));
        assert_eq!(Breaks::default().note(None, None, Duration::ZERO), None, "before version 1.9 nothing is told");
    }
}
