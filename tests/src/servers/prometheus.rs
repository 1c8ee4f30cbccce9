//! Prometheus, which scrapes and evaluates rules twice a second, and promtool.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{HOST, installed, text};
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::{http, ports};

/// A Prometheus with an empty store; its process ends with the value.
#[derive(Debug)]
pub struct Prometheus {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// Its process.
    pub process: Process,
    _scratch: Scratch,
}

/// An element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// All labels, with the metric's name as `__name__` if it has one.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes each `(job, host:port)` and evaluates these files of rules.
    ///
    /// # Panics
    /// If it is not installed or does not start, which is so when a file of rules does not load.
    #[must_use]
    pub fn start(targets: &[(&str, &str)], rules: &[&Path]) -> Prometheus {
        let scratch = Scratch::new("prometheus");
        let port = ports::free();
        let settings = scratch.write("prometheus.yaml", &settings(targets, rules));
        let program = Program::new(installed("prometheus").join("usr/bin/prometheus"), scratch.path()).arguments([
            format!("--config.file={}", text(&settings)),
            format!("--storage.tsdb.path={}", text(&scratch.path().join("data"))),
            format!("--web.listen-address={HOST}:{port}"),
        ]);
        let mut process = Process::start(program);
        process.wait_until(|_| http::get(port, "/-/ready").is_ok_and(|response| response.status == 200));
        Prometheus { port, process, _scratch: scratch }
    }

    /// Evaluates an expression whose value is an instant vector, now.
    ///
    /// # Panics
    /// If Prometheus refuses it.
    #[must_use]
    pub fn query(&self, expression: &str) -> Vec<Sample> {
        let answer = self.api(&format!("query?query={}", http::percent_encode(expression)));
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let vector = answer["data"]["result"].as_array().map(Vec::as_slice).unwrap_or_default();
        vector.iter().map(|element| sample(element).unwrap_or_else(|| panic!("no sample: {element}"))).collect()
    }

    /// What the HTTP API answers to a path below `/api/v1/`, such as `targets` or `rules`.
    ///
    /// # Panics
    /// If it does not answer in JSON.
    #[must_use]
    pub fn api(&self, path: &str) -> Value {
        let response = http::get(self.port, &format!("/api/v1/{path}")).expect("Prometheus answers");
        serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("Prometheus answers {}", response.text()))
    }
}

/// Has promtool check a file of rules.
///
/// # Errors
/// What promtool complains about.
pub fn promtool_check_rules(rules: &Path) -> Result<String, String> {
    promtool(&["check", "rules", &text(rules)], Stdio::null())
}

/// Has promtool check what a `/metrics` endpoint gave, its style included.
///
/// # Errors
/// What promtool complains about.
///
/// # Panics
/// If the text cannot be written to a scratch file.
pub fn promtool_check_metrics(metrics: &str) -> Result<String, String> {
    let scratch = Scratch::new("promtool");
    let file = File::open(scratch.write("metrics.txt", metrics)).expect("a scratch file can be read");
    promtool(&["check", "metrics"], Stdio::from(file))
}

fn promtool(arguments: &[&str], input: Stdio) -> Result<String, String> {
    let program = installed("prometheus").join("usr/bin/promtool");
    let output = Command::new(program).args(arguments).stdin(input).output().map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn settings(targets: &[(&str, &str)], rules: &[&Path]) -> String {
    let mut settings = "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 500ms\n\
                        rule_files:\n"
        .to_owned();
    for path in rules {
        let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        // Writing to a String cannot fail.
        let _written = writeln!(settings, "  - {:?}", text(&path));
    }
    settings.push_str("scrape_configs:\n");
    for (job, address) in targets {
        let _written = writeln!(settings, "  - job_name: {job:?}\n    static_configs:\n      - targets: [{address:?}]");
    }
    settings
}

/// `{"metric": {label: text}, "value": [time, text]}`
fn sample(element: &Value) -> Option<Sample> {
    let labels = element["metric"].as_object()?.iter();
    let labels = labels.map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let value = element["value"][1].as_str()?.parse().ok()?;
    Some(Sample { labels: labels.collect::<Option<_>>()?, value })
}
