//! `up --demo`: something to see within seconds, and nothing left behind, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_tests::http;
use dbintel_tests::servers::installed;
use dbintel_tests::wait;
use rustix::process::{Pid, Signal, test_kill_process};
use tokio::time::Instant;

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, binary, json_lines, run, said, text};

/// The promise for an idle machine.
const FIRST_LIGHT: Duration = Duration::from_secs(10);
/// The promise for Ctrl-C.
const STOP: Duration = Duration::from_secs(5);
/// Tests share the machine with each other: one of this many tries has to keep the promises.
const TRIES: usize = 3;

/// Planted by the workload; nothing of it may be seen past the pollers.
pub(crate) const PLANTED: [&str; 5] =
    ["example.com", "4111111111111111", "5555555555554444", "378282246310005", "+49 30"];

pub(crate) fn start() -> Running {
    let binaries = installed("postgres-18").join("bin");
    let arguments: Vec<&str> = ["up", "--demo", "--log-level", "info"].into_iter().chain(FREE_PORTS).collect();
    let scratch = std::env::temp_dir();
    // The demo has a configuration of its own, whatever else is set.
    let environment = [
        ("DBINTEL_POSTGRES_BIN", text(&binaries)),
        ("TMPDIR", text(&scratch)),
        ("DBINTEL_CONFIG", "/nowhere/dbintel.yaml"),
    ];
    Running::start(&arguments, &environment)
}

/// The scratch directory of the demo, and the id of its server.
pub(crate) fn traces(demo: &Running) -> (PathBuf, Pid) {
    let log = demo.process.log();
    let line = log.lines().find(|line| line.starts_with("  try ")).unwrap();
    let directory = Path::new(line.split("--config ").nth(1).unwrap()).parent().unwrap().to_owned();
    let pid_file = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap().trim().parse().unwrap();
    (directory, Pid::from_raw(pid).unwrap())
}

fn wait_until_gone(directory: &Path, server: Pid) {
    wait::blocking(LIMIT, "the end of the demo's server", || test_kill_process(server).is_err().then_some(()));
    wait::blocking(LIMIT, "the removal of the demo's files", || (!directory.exists()).then_some(()));
}

#[test]
fn there_is_something_to_see_at_once_and_nothing_is_left() {
    let mut promises_kept = false;
    for _ in 0..TRIES {
        let started = Instant::now();
        let mut demo = start();
        statements_are_seen(&mut demo);
        let lit = started.elapsed();
        let (directory, server) = traces(&demo);
        the_log_shows_nothing_personal(&mut demo, &directory);

        let asked = Instant::now();
        demo.process.signal(Signal::INT);
        let status = demo.process.wait_for_end(LIMIT);
        assert!(status.success(), "{}", demo.process.log());
        wait_until_gone(&directory, server);
        promises_kept = lit < FIRST_LIGHT && asked.elapsed() < STOP;
        if promises_kept {
            break;
        }
    }
    assert!(promises_kept, "not one of {TRIES} tries was fast enough");
}

/// The export page and the table show the workload's statements.
fn statements_are_seen(demo: &mut Running) {
    let port = demo.port("export");
    wait::blocking(LIMIT, "the workload's statements on the export page", || {
        let page = http::get(port, "/metrics").unwrap().text();
        let is_ours =
            |line: &&str| line.starts_with("db_intelligence_query_calls_total{") && line.contains("user=\"shop\"");
        (page.lines().filter(is_ours).count() >= 3).then_some(())
    });
    demo.process.wait_until(|process| {
        let log = process.log();
        log.contains("records in ") && log.contains("SELECT name, price_cents, stock FROM products WHERE id = ?")
    });
}

fn the_log_shows_nothing_personal(demo: &mut Running, directory: &Path) {
    let configuration = directory.join("demo.yaml");
    let tap = |topic: &str, more: &[&str]| {
        let arguments = ["tap", topic, "--config", text(&configuration), "--from", "beginning", "--timeout", "2s"];
        let arguments: Vec<&str> = arguments.into_iter().chain(more.iter().copied()).collect();
        said(&arguments, &[])
    };
    let mut seen = demo.get("export", "/metrics").text() + &demo.process.log();
    for topic in
        ["raw.texts", "raw.sessions", "enriched.queries", "enriched.sessions", "enriched.texts", "enriched.metrics"]
    {
        let lines = tap(topic, &["--reveal"]);
        assert!(!lines.is_empty(), "{topic} is empty");
        seen += &lines;
    }
    let leaked: Vec<_> = PLANTED.iter().filter(|planted| seen.contains(**planted)).collect();
    assert_eq!(leaked, Vec::<&&str>::new());
    let redacted = json_lines(&tap("raw.texts", &["--filter", "user=shop", "--count", "1"]));
    assert!(redacted[0]["value"]["user"].as_str().unwrap().starts_with("<redacted"), "{redacted:?}");
}

#[test]
fn a_terminal_that_is_closed_ends_the_demo() {
    let mut demo = start();
    demo.port("export");
    let (directory, server) = traces(&demo);
    assert!(demo.scratch.path().join("log").is_dir(), "the state directory that was named is used");
    let log = demo.process.log();
    let hint = log.lines().find(|line| line.starts_with("  try ")).unwrap();
    assert!(hint.contains(&format!(" {} tap ", binary().display())), "{hint}");
    demo.process.signal(Signal::HUP);
    assert!(demo.process.wait_for_end(LIMIT).success(), "{}", demo.process.log());
    wait_until_gone(&directory, server);
}

#[test]
fn a_demo_takes_no_file() {
    let refused = run(&["up", "--demo", "--config", "a.yaml"], &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("leave out --config"), "{}", refused.stderr);
}

#[test]
fn a_killed_demo_leaves_nothing_either() {
    let mut demo = start();
    demo.port("export");
    let (directory, server) = traces(&demo);
    // Only the process itself: its helpers have to notice by themselves.
    demo.process.signal(Signal::KILL);
    demo.process.wait_for_end(LIMIT);
    wait_until_gone(&directory, server);
}
