//! Lines on standard output and standard error. A reader that goes away (`dbintel tap … | head`) is no failure.

use std::io::{self, ErrorKind, Write};

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

/// Writes text and the end of a line to standard error.
pub fn complain(text: &str) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
