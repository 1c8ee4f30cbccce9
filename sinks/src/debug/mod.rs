//! Debug: rows as JSON lines, for people who set up a pipeline.
//!
//! Reads: what its delivery hands over, from enriched topics only: nothing of the restricted zone can get here. Writes:
//! lines to the writer it was given. State: none that matters. Guarantee: none; what the sampling leaves out is only
//! counted. Failure: a writer that is gone is ignored.

mod config;
mod json;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

pub use config::{Config, Verbosity};

use crate::delivery::{Arrival, Outcome, Row, Sink, Taken, Texts};

/// Period of the sampling and of the summaries.
const PERIOD: Duration = Duration::from_secs(1);

/// A debug sink.
pub struct Debug {
    config: Config,
    output: Box<dyn Write + Send>,
    started_at: Option<Instant>,
    /// Rows in this period, by topic.
    rows: BTreeMap<&'static str, u64>,
}

impl Debug {
    /// Writes to this output.
    pub fn new(config: Config, output: Box<dyn Write + Send>) -> Self {
        Debug { config, output, started_at: None, rows: BTreeMap::new() }
    }

    fn print(&mut self, line: &serde_json::Value) {
        // Whoever reads may be gone; the delivery goes on.
        let _ = writeln!(self.output, "{line}");
    }
}

impl Sink for Debug {
    fn exports(&self) -> bool {
        false
    }

    fn take(&mut self, row: &Row<'_>, arrival: Arrival, texts: &mut Texts) -> Taken {
        self.started_at.get_or_insert(arrival.now);
        *self.rows.entry(json::topic(row)).or_default() += 1;
        if self.config.verbosity != Verbosity::Basic && self.config.keeps(self.rows.values().sum()) {
            let line = match self.config.verbosity {
                Verbosity::Detailed => json::detailed(row, texts),
                Verbosity::Basic | Verbosity::Normal => json::brief(row),
            };
            self.print(&line);
        }
        Taken::Settled(Outcome::Accepted)
    }

    fn tick(&mut self, now: Instant) {
        let is_over = self.started_at.is_some_and(|at| now.saturating_duration_since(at) >= PERIOD);
        if !is_over {
            return;
        }
        self.started_at = None;
        let rows = std::mem::take(&mut self.rows);
        if self.config.verbosity == Verbosity::Basic {
            self.print(&serde_json::json!({ "rows": rows }));
        }
    }
}

#[cfg(test)]
mod tests;
