//! The harness leaves nothing behind, however the test process ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dbintel_tests::process::{Process, Program};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;

use crate::bus_embedded::disk::SmallDisk;

const LIMIT: Duration = Duration::from_secs(20);

/// The environment variable that makes [`victim`] more than an empty test.
const VICTIM: &str = "DBINTEL_TESTS_VICTIM";

#[test]
fn a_process_is_stopped_and_started_again() {
    let scratch = Scratch::new("sleeper");
    let mut sleeper = sleeper(&scratch, "echo ready; exec sleep 1000");
    assert!(sleeper.running());
    let first = sleeper.id();
    assert!(!sleeper.stop().success());
    assert!(!sleeper.running() && !exists(first));

    sleeper.start_again();
    assert_ne!(sleeper.id(), first);
    sleeper.wait_until(|process| process.log() == "ready\n");
    sleeper.kill9();
    assert!(!sleeper.running());
}

#[test]
fn a_frozen_process_is_stopped_too() {
    let scratch = Scratch::new("sleeper");
    let mut sleeper = sleeper(&scratch, "trap 'echo heard; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    sleeper.sigstop();
    assert_eq!(sleeper.stop().code(), Some(3));
    assert!(sleeper.log().contains("heard"));
}

#[test]
fn a_dropped_process_ends_with_its_children_and_its_scratch() {
    let scratch = Scratch::new("sleeper");
    let path = scratch.path().to_owned();
    let sleeper = sleeper(&scratch, "sleep 1000 & echo $!; echo ready; wait");
    let child: u32 = sleeper.log().lines().next().unwrap().parse().unwrap();
    let parent = sleeper.id();
    drop(sleeper);
    drop(scratch);
    assert!(!exists(parent) && !path.exists());
    wait::blocking(LIMIT, "the end of the child", || (!exists(child)).then_some(()));
}

#[test]
#[should_panic(expected = "last words")]
fn a_process_that_ends_early_shows_its_log() {
    let scratch = Scratch::new("sleeper");
    sleeper(&scratch, "echo last words; exit 1");
}

fn sleeper(scratch: &Scratch, script: &str) -> Process {
    let mut process = Process::start(Program::new("sh", scratch.path()).arguments(["-c", script]));
    process.wait_until(|process| process.log().contains("ready"));
    process
}

#[test]
fn nothing_outlives_a_test_process_that_is_killed() {
    let mut victim = start_victim();
    let [server, scratch] = words(&mut victim);
    let server: u32 = server.parse().unwrap();
    let segments = shared_memory_of(server);
    assert!(exists(server) && Path::new(&scratch).exists() && !segments.is_empty());
    assert!(is_mounted_below(&scratch));

    victim.kill().unwrap();
    victim.wait().unwrap();
    let is_gone = || !exists(server) && !Path::new(&scratch).exists() && shared_memory_of(server).is_empty();
    wait::blocking(LIMIT, "the end of a killed test's server", || is_gone().then_some(()));
}

/// Runs [`victim`] in a process of its own.
fn start_victim() -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "harness::victim", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn words(victim: &mut Child) -> [String; 2] {
    let output = BufReader::new(victim.stdout.take().unwrap());
    let line = output.lines().map(Result::unwrap).find(|line| line.contains("victim: "));
    let line = line.expect("the victim says what it started");
    let words = line.split("victim: ").nth(1).unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>();
    words.try_into().unwrap()
}

/// Started by the test above: starts a server in a thread that ends, mounts a disk, says so, and waits to be killed.
#[test]
#[expect(clippy::disallowed_methods, reason = "tells this process from that of the test run")]
fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let postgres = std::thread::spawn(|| Postgres::start(Major::V18)).join().unwrap();
    let scratch = postgres.process.log_path().parent().unwrap().parent().unwrap().to_owned();
    let _disk = SmallDisk::mount(1 << 20, 0);
    println!("victim: {} {}", postgres.process.id(), scratch.display());
    loop {
        std::thread::park();
    }
}

/// Ids of the System V segments that the process created.
fn shared_memory_of(creator: u32) -> Vec<String> {
    let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(4) == Some(&creator.to_string().as_str())).map(|row| row[1].to_owned()).collect()
}

fn is_mounted_below(folder: &str) -> bool {
    fs::read_to_string("/proc/mounts").unwrap().contains(&format!(" {folder}/"))
}

/// Whether the process is there, and more than a dead one that nobody has asked for.
fn exists(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
