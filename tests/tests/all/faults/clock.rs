//! Processors whose wall clock the test moves, as a machine's does that is set right after hours. The monotonic one goes on.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Scene, processor_with, wait_until_busy};
use crate::cli_rig::{Running, text};

/// A processor with a clock of its own.
pub struct Clocked {
    pub running: Running,
    library: PathBuf,
    offset: PathBuf,
}

impl Clocked {
    /// Its clock goes right until it is moved.
    pub fn start(scene: &Scene, state: &str) -> Clocked {
        let directory = scene.scratch.path();
        let (offset, library) = (directory.join("offset"), directory.join("clock.so"));
        std::fs::write(&offset, 0i64.to_ne_bytes()).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/faults/clock.c");
        let mut compiler = Command::new("clang");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", text(&library), source]);
        assert!(compiler.status().unwrap().success());
        let environment = [("LD_PRELOAD", text(&library)), ("CLOCK_OFFSET", text(&offset))];
        let running = processor_with(&scene.configuration, &directory.join(state), &[], &environment);
        Clocked { running, library, offset }
    }

    /// From now on the clock is so many seconds off, and the processor goes on.
    pub fn step(&mut self, seconds: i64) {
        // Not truncated: the process has the file mapped.
        let mut file = std::fs::OpenOptions::new().write(true).open(&self.offset).unwrap();
        std::io::Write::write_all(&mut file, &seconds.to_ne_bytes()).unwrap();
        wait_until_busy(&mut self.running, 2);
    }

    /// Ends it in order; its last words have to be of the hour that its clock shows.
    pub fn end(mut self) {
        let before = self.hour();
        super::end(&mut self.running);
        let (log, after) = (self.running.process.log(), self.hour());
        let last = log.lines().rfind(|line| line.contains("T")).unwrap_or_default();
        assert!(last.contains(&before) || last.contains(&after), "{last} is not of {before}");
    }

    /// As another program with this clock sees it.
    fn hour(&self) -> String {
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%dT%H:"]).env("LD_PRELOAD", &self.library).env("CLOCK_OFFSET", &self.offset);
        String::from_utf8(date.output().unwrap().stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn a_clock_that_jumps_by_an_hour_stops_no_processor() {
    let scene = Scene::new(2, 100);
    let flow = scene.flow(1, Duration::from_millis(250));
    let mut clocked = Clocked::start(&scene, "clocked");
    wait_until_busy(&mut clocked.running, 2);
    [3600, -3600, 0, -3600].into_iter().for_each(|seconds| clocked.step(seconds));
    clocked.end();
    let other = scene.processor("other");
    scene.settle(flow, &mut [other]);
}
