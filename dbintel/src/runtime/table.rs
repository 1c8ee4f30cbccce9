//! The live table on standard output.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use dbintel_sinks::console::{Flow, Screen};

use crate::clock;
use crate::output::{Offered, Writer};

/// Width where there is no terminal to ask.
const WIDTH: usize = 120;
/// Time between the first tables where none can be drawn over; each wait is twice the one before, up to the longest.
const PLAIN_WAIT: Duration = Duration::from_secs(2);
/// Longest time between such tables.
const PLAIN_WAIT_MAX: Duration = Duration::from_secs(16);

/// How the table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Not at all.
    None,
    /// One below the other, for files and pipes.
    Plain,
    /// In place, for terminals.
    InPlace,
}

impl Display {
    /// What fits standard output.
    pub fn chosen(quiet: bool) -> Display {
        match (quiet, io::stdout().is_terminal()) {
            (true, _) => Display::None,
            (false, false) => Display::Plain,
            (false, true) => Display::InPlace,
        }
    }
}

/// A table that is shown again and again.
pub struct Table {
    screen: Screen,
    display: Display,
    /// Lines of the last one.
    lines: usize,
    shown_at: Option<Instant>,
    /// Time until the next one, where none can be drawn over.
    wait: Duration,
}

impl Table {
    /// A table that was not shown yet.
    pub fn new(screen: Screen, display: Display) -> Table {
        Table { screen, display, lines: 0, shown_at: None, wait: PLAIN_WAIT }
    }

    /// Shows what there is now, once there is something.
    pub fn show(&mut self, flow: &Flow, output: &Writer) {
        let now = clock::now();
        let is_due = match (self.display, self.shown_at) {
            (Display::None, _) => false,
            (_, None) => !self.screen.is_empty(now),
            (Display::Plain, Some(shown_at)) => now.saturating_duration_since(shown_at) >= self.wait,
            (Display::InPlace, Some(_)) => true,
        };
        if !is_due {
            return;
        }
        let table = self.screen.render(flow, width(), now);
        let up = match (self.display, self.lines) {
            (Display::InPlace, lines) if lines > 0 => format!("\x1b[{lines}A\x1b[J"),
            _ => "\n".to_owned(),
        };
        match output.offer(format!("{up}{}", table.trim_end())) {
            Offered::Gone => self.display = Display::None,
            Offered::Dropped => {}
            Offered::Taken => {
                self.lines = table.lines().count();
                if self.shown_at.replace(now).is_some() {
                    self.wait = PLAIN_WAIT_MAX.min(self.wait * 2);
                }
            }
        }
    }
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout()).map_or(WIDTH, |size| usize::from(size.ws_col)).max(1)
}
