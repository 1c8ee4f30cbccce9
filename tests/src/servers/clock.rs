//! A clock for one server, which a test sets: libfaketime in the server's process. What measures how long something takes goes
//! on as it is.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scratch::Scratch;

/// Where Debian's package libfaketime has the library.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A clock, which goes right until it is set.
#[derive(Debug)]
pub struct Clock {
    scratch: Scratch,
}

impl Clock {
    /// A clock that goes right.
    ///
    /// # Panics
    /// If the library is not installed.
    #[must_use]
    pub fn new() -> Clock {
        assert!(Path::new(LIBRARY).exists(), "{LIBRARY} is missing: install the package libfaketime");
        let clock = Clock { scratch: Scratch::new("clock") };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds ahead, or behind if there are fewer than none. Seen within a second.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, seconds: i32) {
        let written = self.scratch.write("written", &format!("{seconds:+}s\n"));
        fs::rename(written, self.file()).expect("the clock can be set");
    }

    /// The environment of a server that goes by it.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let pairs = [
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DONT_RESET", "1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("time")
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
