//! The built binary, asked what it understands.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where it is: `make test` builds it beside the tests.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("dbintel");
    assert!(binary.exists(), "{} is not there: `make build` makes it", binary.display());
    binary
}

/// Standard output of a run that has to succeed, with this environment and no other.
pub fn said(arguments: &[&str], environment: &BTreeMap<String, String>) -> String {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().envs(environment).stdin(Stdio::null());
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dbintel {}: {complaint}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// The help of a command; fails if the command, or a flag in it, does not exist.
pub fn help<S: AsRef<str>>(command: &[S]) -> String {
    let words: Vec<&str> = command.iter().map(AsRef::as_ref).chain(["--help"]).collect();
    said(&words, &BTreeMap::new())
}
