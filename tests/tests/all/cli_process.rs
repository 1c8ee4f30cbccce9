//! A process on the embedded log: its addresses, its health, its metrics, its signals, its end.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use dbintel_tests::process::wait_for_log;
use dbintel_tests::scratch::Scratch;
use rustix::process::Signal;

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, run, text};

/// Time for an orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server that nobody runs: the process has to live with that.
const CONFIGURATION: &str = "\
pollers: {postgresql/away: {endpoint: '127.0.0.1:1', username: monitor}}
processors: {adaptive_sampler: {}}
sinks: {prometheus: {}}
pipelines: {main: {pollers: [postgresql/away], processors: [adaptive_sampler], sinks: [prometheus]}}
";

fn up(configuration: &str) -> Running {
    let arguments: Vec<&str> = ["up", "--quiet", "--config", configuration].into_iter().chain(FREE_PORTS).collect();
    Running::start(&arguments, &[])
}

#[test]
fn a_taken_port_is_named_with_its_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let scratch = Scratch::new("taken");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    for flag in ["--health-address", "--metrics-address", "--export-address"] {
        let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
        arguments.extend(FREE_PORTS);
        let place = arguments.iter().position(|argument| *argument == flag).unwrap();
        arguments[place + 1] = &address;
        let ended = run(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(scratch.path()))]);
        let variable = format!("DBINTEL_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        for named in [&address, flag, &variable, "port 0 takes a free one"] {
            assert!(ended.stderr.contains(named), "{named} is not in {}", ended.stderr);
        }
    }
}

#[test]
fn a_process_shows_itself_and_ends_in_order() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let mut up = up(text(&file));
    assert_eq!(up.get("health", "/").status, 200);
    assert_eq!(up.get("health", "/livez").status, 200);
    let ready = up.wait_until_ready();
    let components: Vec<&str> = ready["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["component"].as_str().unwrap())
        .collect();
    assert_eq!((components, &ready["phase"]), (vec!["bus", "sink prometheus"], &"running".into()));

    let service = "{service_name=\"database-monitoring\"} 0";
    let page = up.get("metrics", "/metrics").text();
    for name in ["adaptive_sampler_decisions_total", "circuit_breaker_trips_total", "verification_pii_detections_total"]
    {
        assert!(page.contains(&format!("\n{name}{service}\n")), "{name} is not 0 in\n{page}");
    }
    let unlabelled =
        page.lines().find(|line| !line.starts_with('#') && !line.contains("service_name=\"database-monitoring\""));
    assert_eq!(unlabelled, None);
    assert_eq!(up.get("export", "/metrics").status, 200);

    up.process.signal(Signal::TERM);
    assert!(up.process.wait_for_end(STOP_LIMIT).success(), "{}", up.process.log());
}

#[test]
fn a_second_process_is_told_who_writes_to_the_log() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let mut first = up(text(&file));
    first.wait_until_ready();
    let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
    arguments.extend(FREE_PORTS);
    let second = run(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(first.scratch.path()))]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains(&format!("pid {}", first.process.id())), "{}", second.stderr);
}

#[test]
fn a_new_configuration_is_judged_and_the_old_one_goes_on() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let mut up = up(text(&file));
    up.wait_until_ready();
    fs::write(&file, CONFIGURATION.replace("postgresql/away: {", "postgresql/away: {colour: red, ")).unwrap();
    up.process.signal(Signal::HUP);
    wait_for_log(&up.process, LIMIT, "unknown key `colour`");
    assert_eq!(up.get("health", "/readyz").status, 200);
    fs::write(&file, CONFIGURATION).unwrap();
    up.process.signal(Signal::HUP);
    wait_for_log(&up.process, LIMIT, "the configuration is valid; restart to apply");
    up.process.signal(Signal::INT);
    assert!(up.process.wait_for_end(STOP_LIMIT).success(), "{}", up.process.log());
}
