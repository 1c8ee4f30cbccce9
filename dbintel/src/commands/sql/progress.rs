//! How far a long input has been read, on a terminal that shows nothing else.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::clock;

/// Shorter inputs are done before anybody could read it.
const BYTES_MIN: u64 = 8_000_000;
const INTERVAL: Duration = Duration::from_millis(200);
const BYTES_PER_MB: f64 = 1e6;

/// Goes to the beginning of the line and empties it.
const EMPTY_LINE: &str = "\r\x1b[K";

/// The line on standard error. It goes when this does.
#[derive(Debug)]
pub struct Progress {
    /// Length of the input, if that is known.
    total: Option<u64>,
    is_wanted: bool,
    is_shown: bool,
    begun: Instant,
    next: Instant,
}

impl Progress {
    /// Begins to count. Nothing is ever shown where standard error is no terminal, or standard output is one as well.
    pub fn new(total: Option<u64>) -> Self {
        let is_wanted = io::stderr().is_terminal() && !io::stdout().is_terminal();
        let begun = clock::now();
        Self { total, is_wanted, is_shown: false, begun, next: begun + INTERVAL }
    }

    /// Shows that so many bytes are done, if it is time to.
    pub fn show(&mut self, done: u64) {
        if !self.is_wanted || done.max(self.total.unwrap_or(0)) < BYTES_MIN {
            return;
        }
        let now = clock::now();
        if now < self.next {
            return;
        }
        self.next = now + INTERVAL;
        self.is_shown = true;
        write(&format!("{EMPTY_LINE}{}", line(done, self.total, now.duration_since(self.begun))));
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            write(EMPTY_LINE);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody is left to tell if this fails.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let done = done as f64 / BYTES_PER_MB;
    let rate = done / elapsed.as_secs_f64();
    match total.map(|total| total as f64 / BYTES_PER_MB) {
        Some(total) if total >= done => {
            format!("{done:.0} of {total:.0} MB, {:.0} %, {rate:.0} MB/s", 100.0 * done / total)
        }
        _ => format!("{done:.0} MB, {rate:.0} MB/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_of_what_and_how_fast() {
        let elapsed = Duration::from_millis(500);
        assert_eq!(line(30_000_000, Some(120_000_000), elapsed), "30 of 120 MB, 25 %, 60 MB/s");
        assert_eq!(line(30_000_000, None, elapsed), "30 MB, 60 MB/s");
        assert_eq!(line(30_000_000, Some(10_000_000), elapsed), "30 MB, 60 MB/s", "the file has grown");
    }
}
