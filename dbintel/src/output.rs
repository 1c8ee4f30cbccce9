//! Lines on standard output and standard error. A reader that goes away (`dbintel tap … | head`) is no failure.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use serde_json::json;

use crate::cli::LogFormat;
use crate::clock;
use dbintel_schemas::rfc3339;

/// Texts that may wait for a reader that is slow.
const WAITING_MAX: usize = 4;

/// Whether what is written to standard error is JSON.
static COMPLAIN_IN_JSON: AtomicBool = AtomicBool::new(false);

/// Whether anybody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody does.
    Present,
    /// The pipe was closed.
    Gone,
}

/// Writes text and the end of a line to standard output.
pub fn line(text: &str) -> Reader {
    let mut stdout = io::stdout().lock();
    let written =
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Reader::Gone,
        _ => Reader::Present,
    }
}

/// What became of a text that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It is written next.
    Taken,
    /// The reader is slow: it is dropped.
    Dropped,
    /// Nobody reads any more.
    Gone,
}

/// Standard output, written by a thread of its own: a reader that stalls holds up nobody else.
pub struct Writer {
    texts: SyncSender<String>,
    written: Receiver<()>,
}

impl Writer {
    /// Starts the thread.
    pub fn start() -> io::Result<Writer> {
        let (texts, waiting) = sync_channel::<String>(WAITING_MAX);
        let (done, written) = sync_channel(1);
        std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Ok(text) = waiting.recv()
                && line(&text) == Reader::Present
            {}
            // Nobody waits for it if the process is about to end.
            let _ = done.send(());
        })?;
        Ok(Writer { texts, written })
    }

    /// Offers text, to be written with the end of a line.
    pub fn offer(&self, text: String) -> Offered {
        match self.texts.try_send(text) {
            Ok(()) => Offered::Taken,
            Err(TrySendError::Full(_)) => Offered::Dropped,
            Err(TrySendError::Disconnected(_)) => Offered::Gone,
        }
    }

    /// Waits until all is written, but not for long.
    pub fn finish(self, timeout: Duration) {
        let Writer { texts, written } = self;
        drop(texts);
        // A reader that stalls is left behind.
        let _ = written.recv_timeout(timeout);
    }
}

/// Chooses the form of what is written to standard error from now on.
pub fn complain_as(format: LogFormat) {
    COMPLAIN_IN_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Whether standard error gets JSON.
pub fn complains_in_json() -> bool {
    COMPLAIN_IN_JSON.load(Ordering::Relaxed)
}

/// Writes lines to standard error: as they are, or each as an object of the same form as log lines.
pub fn complain(text: &str) {
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        let line = match complains_in_json() {
            true => {
                let timestamp = rfc3339::format_ms(clock::wall_ms());
                json!({ "timestamp": timestamp, "level": "ERROR", "message": line, "target": "dbintel" }).to_string()
            }
            false => line.to_owned(),
        };
        // Nobody is left to tell if this fails.
        let _ = writeln!(stderr, "{line}");
    }
}
