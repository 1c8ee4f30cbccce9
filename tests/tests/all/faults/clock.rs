//! Processors whose wall clock the test moves, as a machine's does that is set right after hours. The monotonic one goes on.

use std::path::PathBuf;

use super::{Scene, wait_until_busy};
use crate::cli_rig::{FREE_PORTS, Running, text};

/// A processor with a clock of its own.
pub struct Clocked {
    pub running: Running,
    clock: PathBuf,
}

impl Clocked {
    /// Its clock goes right until it is moved.
    pub fn start(scene: &Scene, state: &str) -> Clocked {
        let clock = scene.scratch.write("clock", "+0");
        let state = scene.scratch.path().join(state);
        let arguments = ["processor", "--config", text(&scene.configuration)];
        let arguments: Vec<&str> = arguments.into_iter().chain(FREE_PORTS).collect();
        let library = library();
        let environment = [
            ("DBINTEL_STATE_DIRECTORY", text(&state)),
            ("LD_PRELOAD", text(&library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&clock)),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Clocked { running: Running::start(&arguments, &environment), clock }
    }

    /// From now on the clock is so far off: `+1h`, `-1h`. What it writes into its log from now on has that time.
    pub fn step(&mut self, offset: &str) {
        let replaced = self.clock.with_extension("new");
        std::fs::write(&replaced, offset).unwrap();
        std::fs::rename(&replaced, &self.clock).unwrap();
        wait_until_busy(&mut self.running, 2);
    }
}

/// The library that stands before the clock, from the package `libfaketime`.
fn library() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = places.map(|place| place.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists());
    found.expect("libfaketime is not installed: tests/servers/system-packages.sh installs it")
}
