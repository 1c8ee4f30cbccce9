//! What `docs/guide-errata.md` says that we do, we do.

use std::collections::BTreeMap;
use std::process::Command;

use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::installed;

use super::text;
use crate::compose::binary;

const ERRATA: &str = "docs/guide-errata.md";

/// What the guide writes into its `adaptive_sampler`, and `send_timestamps`, in a file that is complete otherwise.
const GUIDE: &str = r#"
pollers:
  postgresql:
    endpoint: ${env:POSTGRES_HOST}:${env:POSTGRES_PORT}
    username: ${env:POSTGRES_USER}
    password: ${env:POSTGRES_PASSWORD}
    databases: ["${env:POSTGRES_DB}"]
processors:
  adaptive_sampler:
    state_backend: file
    state_file: /var/lib/otel/adaptive_sampler.json
    cache_size: 50000
    cleanup_interval: 5m
    max_memory_mb: 50
    max_decisions_per_second: 5000
    rules:
      - {name: errors_and_warnings, condition: "severity_number >= 13", sampling_rate: 100.0, priority: 1}
      - {name: slow_queries, condition: "mean_exec_time > 1000", sampling_rate: 100.0, priority: 2}
      - {name: cpu_intensive, condition: "cpu_time > 500", sampling_rate: 75.0, priority: 4}
      - {name: high_io, condition: "(blk_read_time + blk_write_time) > 100", sampling_rate: 60.0, priority: 5}
      - {name: always_slow, condition: "cumulative_mean_exec_time > 1000", sampling_rate: 50.0, priority: 6}
sinks:
  otlp:
    endpoint: ${env:OTLP_ENDPOINT}
    retry_on_failure: {max_elapsed_time: 300s}
  prometheus: {endpoint: 0.0.0.0:8889, namespace: db_intelligence, send_timestamps: true}
pipelines:
  main: {pollers: [postgresql], processors: [adaptive_sampler], sinks: [otlp, prometheus]}
bus: embedded
"#;

const ENVIRONMENT: [(&str, &str); 6] = [
    ("POSTGRES_HOST", "db.example"),
    ("POSTGRES_PORT", "5432"),
    ("POSTGRES_USER", "monitoring_user"),
    ("POSTGRES_PASSWORD", "secure_password"),
    ("POSTGRES_DB", "production"),
    ("OTLP_ENDPOINT", "otlp.example:4317"),
];

const WITHOUT_EFFECT: [&str; 6] =
    ["state_backend", "state_file", "cleanup_interval", "cache_size", "max_memory_mb", "max_decisions_per_second"];

/// Exit code and all that `validate` and its kin say.
fn asked(command: &[&str], file: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let scratch = Scratch::new("errata");
    let path = scratch.write("dbintel.yaml", file);
    let mut asking = Command::new(binary());
    asking.args(command).arg("--config").arg(path).env_clear().envs(environment.iter().copied());
    let output = asking.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// The cells of the rows of the table that follows a heading.
fn table(heading: &str) -> Vec<Vec<String>> {
    let errata = text(ERRATA);
    let section = errata.split_once(heading).unwrap_or_else(|| panic!("no {heading}")).1;
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn settings_without_effect_are_accepted_with_a_warning() {
    let (code, said) = asked(&["validate"], GUIDE, &ENVIRONMENT);
    assert_eq!(code, Some(0), "{said}");
    let warned: Vec<&str> = said.lines().filter(|line| line.contains(": warning: ")).collect();
    assert_eq!(warned.len(), WITHOUT_EFFECT.len() + 1, "{said}");
    let errata = text(ERRATA);
    for setting in WITHOUT_EFFECT.iter().chain(&["send_timestamps"]) {
        assert!(warned.iter().any(|line| line.contains(&format!(".{setting}: "))), "{setting}: {said}");
        assert!(errata.contains(setting), "{ERRATA} does not mention {setting}");
    }
}

#[test]
fn a_key_twice_is_an_error_with_both_places() {
    let (code, said) = asked(&["validate"], &format!("{GUIDE}service: {{}}\nservice: {{}}\n"), &ENVIRONMENT);
    let (first, second) = (GUIDE.lines().count() + 1, GUIDE.lines().count() + 2);
    assert_eq!(code, Some(78));
    assert!(
        said.contains(&format!(":{second}:1: service: duplicate key `service`, first written at {first}:1")),
        "{said}"
    );
}

#[test]
fn defaults_are_the_ones_of_the_table() {
    let bare = GUIDE.replace("    cache_size: 50000\n", "");
    let (code, printed) = asked(&["config", "print"], &bare, &ENVIRONMENT);
    assert_eq!(code, Some(0), "{printed}");
    let defaults: BTreeMap<String, String> =
        table("## Settings with two values").into_iter().map(|row| (row[0].clone(), row[2].clone())).collect();
    let rate = &defaults["`adaptive_sampler.default_sampling_rate`"];
    assert!(printed.contains(&format!("default_sampling_rate: {rate}\n")), "{printed}");
    assert!(printed.contains("drop_after: 0s\n"), "nothing is dropped for its age: {printed}");
}

#[test]
fn optional_variables_of_the_guide_are_optional() {
    let file = text("config/files/kafka.yaml");
    assert_eq!(asked(&["validate"], &file, &[]).0, Some(0));
    let tuned = [("OTEL_MEMORY_LIMIT_MIB", "300"), ("OTEL_BATCH_TIMEOUT", "7s"), ("OTEL_QUEUE_SIZE", "77")];
    let (code, said) = asked(&["validate"], &file, &tuned);
    assert_eq!(code, Some(0), "{said}");
    for (name, _) in tuned {
        let (code, said) = asked(&["validate"], &file, &[(name, "nonsense")]);
        assert_eq!(code, Some(78), "{name} has an effect: {said}");
    }
}

#[test]
fn mended_expressions_are_valid() {
    let rows = table("## Expressions for Prometheus");
    assert_eq!(rows.len(), 2);
    let scratch = Scratch::new("expressions");
    let check = |expression: &str| {
        let rules = format!("groups:\n  - name: a\n    rules:\n      - record: a\n        expr: {expression}\n");
        let path = scratch.write("rules.yml", &rules);
        let promtool = installed("prometheus").join("usr/bin/promtool");
        Command::new(promtool).args(["check", "rules"]).arg(path).output().unwrap().status.success()
    };
    for row in &rows {
        assert!(check(row[2].trim_matches('`')), "{}", row[2]);
    }
    assert!(!check(rows[0][0].trim_matches('`')), "the guide's own is refused, or there is nothing to mend");
}
