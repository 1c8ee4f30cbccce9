//! The live table of `dbintel up`: what the monitored servers are busy with right now.
//!
//! Reads: what its delivery hands over, from a minute ago on. Writes: nothing; [`Screen::render`] gives the text to whoever
//! shows it. State: the statements and sessions of the last seconds, bounded. Guarantee: none; it is a view.

mod render;
mod state;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use render::Flow;

use crate::delivery::{Arrival, Outcome, Row, Sink, StartAt, Taken, Texts};
use state::State;

/// How much of the past is read at the start.
const READ_BACK: Duration = Duration::from_secs(60);

/// A console sink.
#[derive(Debug, Default)]
pub struct Console {
    state: Arc<Mutex<State>>,
}

/// Shows what a console sink knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Screen {
    state: Arc<Mutex<State>>,
}

impl Console {
    /// The screen that shows it.
    pub fn screen(&self) -> Screen {
        Screen { state: Arc::clone(&self.state) }
    }
}

impl Screen {
    /// The table as plain lines of at most `width` columns, each ended by a line feed.
    pub fn render(&self, flow: &Flow, width: usize, now: Instant) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        render::render(&state.view(now), flow, width)
    }

    /// Whether there is anything to show.
    pub fn is_empty(&self, now: Instant) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let view = state.view(now);
        view.statements.is_empty() && view.sessions.is_empty()
    }
}

impl Sink for Console {
    fn start_at(&self) -> StartAt {
        StartAt::Ago(READ_BACK)
    }

    fn exports(&self) -> bool {
        false
    }

    fn take(&mut self, row: &Row<'_>, arrival: Arrival, texts: &mut Texts) -> Taken {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match row {
            Row::Query(row) => state.query(row, texts.find(row.target, row.fingerprint), arrival.now),
            Row::Session(row) => state.session(row, arrival.now),
            Row::Metrics(_) | Row::Log(_) | Row::Event(_) => return Taken::Settled(Outcome::Skipped),
        }
        Taken::Settled(Outcome::Accepted)
    }
}

#[cfg(test)]
mod tests;
