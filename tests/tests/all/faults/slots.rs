//! Processes that have a name of their own in the group: their partitions wait for them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{SESSION_TIMEOUT, Scene, end, owned, processor_with, wait_until_busy};
use crate::cli_rig::Running;

/// Longer than the tests wait for anything: who had to wait for the end of a session would fail.
const LONG_SESSION: Duration = Duration::from_secs(300);

/// A process with this name.
pub fn named(scene: &Scene, configuration: &Path, state: &str, slot: &str) -> Running {
    processor_with(configuration, &scene.scratch.path().join(state), &["--slot", slot], &[])
}

fn with_session(scene: &Scene, session: Duration) -> PathBuf {
    let short = format!("session_timeout: {}s", SESSION_TIMEOUT.as_secs());
    let content = std::fs::read_to_string(&scene.configuration).unwrap();
    assert!(content.contains(&short));
    scene.scratch.write("long.yaml", &content.replace(&short, &format!("session_timeout: {}s", session.as_secs())))
}

#[test]
fn a_named_process_that_is_killed_or_stopped_finds_its_partitions_again_and_the_others_go_on() {
    let scene = Scene::new(4, 200);
    let configuration = with_session(&scene, LONG_SESSION);
    let flow = scene.flow(1, Duration::from_millis(250));
    let mut other = named(&scene, &configuration, "other", "other");
    let mut running = named(&scene, &configuration, "one", "one");
    wait_until_busy(&mut running, 2);
    wait_until_busy(&mut other, 2);
    let given_back = |running: &Running| running.process.log().matches("partitions given back").count();
    // Workers join one by one, and each brings a new division until all are there.
    let mut before = given_back(&other);
    loop {
        wait_until_busy(&mut other, 10);
        match given_back(&other) {
            now if now == before => break,
            now => before = now,
        }
    }
    for kill in [true, false] {
        match kill {
            true => drop(running.process.kill9()),
            false => end(&mut running),
        }
        running = named(&scene, &configuration, "one", "one");
        wait_until_busy(&mut running, 1);
        wait_until_busy(&mut other, 1);
    }
    assert_eq!(given_back(&other), before, "the other process noticed nothing");
    scene.settle(flow, &mut [running, other]);
}

#[test]
fn of_two_processes_with_one_name_one_works_and_the_other_says_why_it_does_not() {
    let scene = Scene::new(2, 200);
    let configuration = with_session(&scene, SESSION_TIMEOUT);
    let flow = scene.flow(1, Duration::from_millis(250));
    let mut first = named(&scene, &configuration, "first", "twin");
    wait_until_busy(&mut first, 2);
    let mut second = named(&scene, &configuration, "second", "twin");
    wait_until_busy(&mut second, 2);
    let port = first.port("metrics");
    first
        .process
        .wait_until(|process| process.log().contains("another process uses the same slot") && owned(port) == 0.0);
    second.process.kill9();
    wait_until_busy(&mut first, 2);
    assert!(first.process.running(), "{}", first.process.log());
    scene.settle(flow, &mut [first]);
}
