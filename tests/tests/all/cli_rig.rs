//! Runs the product as its users do: the binary, its arguments, its environment, its output.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_tests::http::{self, Response};
use dbintel_tests::process::{Process, Program};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;
use serde_json::Value;

/// Time that something has that takes a moment on an idle machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Addresses that let any number of processes share this machine.
pub const FREE_PORTS: [&str; 6] =
    ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--export-address", "127.0.0.1:0"];

/// As [`FREE_PORTS`], for a configuration without a `prometheus` sink.
pub const FREE_OWN_PORTS: [&str; 4] = ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"];

/// The product, built by `make` before the tests run.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("dbintel");
    assert!(binary.exists(), "{} is not there: `cargo build -p dbintel` makes it", binary.display());
    binary
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs to the end, which has to come within [`LIMIT`], with no other environment than this.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let scratch = Scratch::new("run");
    let output = scratch.path().join("output");
    let mut program = Program::new(binary(), scratch.path()).arguments(arguments.iter().copied());
    program.environment = owned(environment);
    program.environment_is_all = true;
    program.output = Some(output.clone());
    let mut process = Process::start(program);
    let code = process.wait_for_end(LIMIT).code();
    Ended { code, stdout: fs::read_to_string(output).unwrap(), stderr: process.log() }
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Standard output of a run that has to succeed.
#[track_caller]
pub fn said(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let ended = run(arguments, environment);
    assert_eq!(ended.code, Some(0), "dbintel {}: {}{}", arguments.join(" "), ended.stdout, ended.stderr);
    ended.stdout
}

/// The path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A process that runs, with a scratch directory of its own.
pub struct Running {
    pub process: Process,
    pub scratch: Scratch,
}

impl Running {
    /// Starts it. Its state is in its own directory unless the arguments say otherwise.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let scratch = Scratch::new("dbintel");
        let mut program = Program::new(binary(), scratch.path()).arguments(arguments.iter().copied());
        let state = text(scratch.path()).to_owned();
        program.environment = vec![("DBINTEL_STATE_DIRECTORY".to_owned(), state)];
        program.environment.extend(owned(environment));
        Running { process: Process::start(program), scratch }
    }

    /// Waits until it has printed its addresses, and gives the port of one of them, as it was printed last.
    pub fn port(&mut self, of: &str) -> u16 {
        let heading = format!("  {of} ");
        let find = |log: &str| {
            let line = log.lines().rfind(|line| line.starts_with(&heading))?;
            let address = line.split("http://").nth(1)?.split('/').next()?;
            address.rsplit(':').next()?.parse().ok()
        };
        self.process.wait_until(|process| find(&process.log()).is_some());
        find(&self.process.log()).unwrap()
    }

    /// Asks one of its addresses.
    pub fn get(&mut self, of: &str, path: &str) -> Response {
        let port = self.port(of);
        http::get(port, path).unwrap()
    }

    /// Waits until it says on `/readyz` that it is ready, and gives what it said.
    pub fn wait_until_ready(&mut self) -> Value {
        let port = self.port("health");
        wait::blocking(LIMIT, "readiness", || {
            let response = http::get(port, "/readyz?verbose").ok()?;
            (response.status == 200).then(|| serde_json::from_slice(&response.body).unwrap())
        })
    }

    /// The value of a series whose line begins so, if it is there.
    pub fn sample(&mut self, of: &str, begin: &str) -> Option<f64> {
        let page = self.get(of, "/metrics").text();
        let line = page.lines().find(|line| line.starts_with(begin))?;
        line.rsplit(' ').next()?.parse().ok()
    }
}

/// Lines of JSON.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}
