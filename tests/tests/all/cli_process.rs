//! A process on the embedded log: its addresses, its health, its metrics, its signals, its end.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use dbintel_tests::process::wait_for_log;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::{http, ports, wait};
use rustix::process::{Pid, Signal, kill_process};

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, binary, json_lines, run, text};

/// Time for an orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server that nobody runs: the process has to live with that.
const CONFIGURATION: &str = "\
pollers: {postgresql/away: {endpoint: '127.0.0.1:1', username: monitor}}
processors: {adaptive_sampler: {}}
sinks: {prometheus: {}}
pipelines: {main: {pollers: [postgresql/away], processors: [adaptive_sampler], sinks: [prometheus]}}
";

/// Counters of exporters that the guide's alerts and queries name.
const OF_EXPORTERS: [&str; 5] = [
    "otelcol_exporter_sent_metric_points",
    "otelcol_exporter_send_failed_metric_points",
    "otelcol_exporter_sent_log_records",
    "otelcol_exporter_send_failed_log_records",
    "otelcol_processor_batch_timeout_trigger_send",
];

/// What a pipe holds on Linux.
const PIPE_BYTES: usize = 65_536;

/// Variables that are empty count as not set.
const EMPTY: [(&str, &str); 4] =
    [("LOG_LEVEL", ""), ("DBINTEL_LOG_FORMAT", ""), ("DBINTEL_BUILT_IN", ""), ("DBINTEL_POSTGRES_BIN", "")];

fn up(configuration: &str) -> Running {
    let arguments: Vec<&str> = ["up", "--quiet", "--config", configuration].into_iter().chain(FREE_PORTS).collect();
    Running::start(&arguments, &EMPTY)
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
    let expected = vec!["bus", "sink prometheus", "processors", "poller postgresql/away"];
    assert_eq!((components, &ready["phase"]), (expected, &"running".into()));
    wait::blocking(LIMIT, "a word about the server that is away", || {
        let response = up.get("health", "/readyz?verbose");
        (response.status == 200 && response.text().contains("the last poll failed: ")).then_some(())
    });

    let service = "service_name=\"database-monitoring\"} 0";
    let page = up.get("metrics", "/metrics").text();
    for name in ["adaptive_sampler_decisions_total", "circuit_breaker_trips_total", "verification_pii_detections_total"]
    {
        assert!(page.contains(&format!("\n{name}{{{service}\n")), "{name} is not 0 in\n{page}");
    }
    assert!(page.contains("\nadaptive_sampler_sampling_rate_current{"), "{page}");
    for name in OF_EXPORTERS {
        let series = format!("\n{name}{{exporter=\"prometheus\",{service}\n");
        assert!(page.contains(&series), "{series} is not in\n{page}");
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

/// Three flags with addresses that stay the same over a reload.
fn fixed_ports() -> Vec<String> {
    let flags = ["--health-address", "--metrics-address", "--export-address"];
    flags.iter().flat_map(|flag| [(*flag).to_owned(), format!("127.0.0.1:{}", ports::free())]).collect()
}

/// Waits until it is ready and has this component.
fn wait_for_component(up: &mut Running, component: &str) {
    wait::blocking(LIMIT, component, || {
        let response = http::get(up.port("health"), "/readyz?verbose").ok()?;
        let has_it = response.text().contains(&format!("\"component\":\"{component}\""));
        (response.status == 200 && has_it).then_some(())
    });
}

#[test]
fn a_new_configuration_is_started_and_a_bad_one_leaves_the_old_one_running() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let addresses = fixed_ports();
    let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
    arguments.extend(addresses.iter().map(String::as_str));
    let mut up = Running::start(&arguments, &[]);
    up.wait_until_ready();

    fs::write(&file, CONFIGURATION.replace("postgresql/away: {", "postgresql/away: {colour: red, ")).unwrap();
    up.process.signal(Signal::HUP);
    wait_for_log(&up.process, LIMIT, "unknown key `colour`");
    assert_eq!(up.get("health", "/readyz").status, 200);

    let more = CONFIGURATION.replace("{prometheus: {}}", "{prometheus: {}, debug: {}}");
    fs::write(&file, more.replace("[prometheus]", "[prometheus, debug]")).unwrap();
    up.process.signal(Signal::HUP);
    wait_for_component(&mut up, "sink debug");
    assert_eq!(up.get("export", "/metrics").status, 200, "on the same port");
    assert!(up.get("metrics", "/metrics").text().contains("exporter=\"debug\""));

    let log = "bus: {embedded: {directory: /proc/nowhere}}\n";
    fs::write(&file, format!("{CONFIGURATION}{log}")).unwrap();
    up.process.signal(Signal::HUP);
    wait_for_log(&up.process, LIMIT, "cannot be started, the old one goes on");
    wait_for_component(&mut up, "sink debug");
    up.process.signal(Signal::INT);
    assert!(up.process.wait_for_end(STOP_LIMIT).success(), "{}", up.process.log());
}

#[test]
fn what_fails_late_in_the_start_leaves_nothing_that_the_old_configuration_needs() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let addresses = fixed_ports();
    let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
    arguments.extend(addresses[..4].iter().map(String::as_str));
    let at_a_free_port = CONFIGURATION.replace("prometheus: {}", "prometheus: {endpoint: '127.0.0.1:0'}");
    fs::write(&file, &at_a_free_port).unwrap();
    let mut up = Running::start(&arguments, &[]);
    up.wait_until_ready();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let two = format!("{{debug: {{}}, prometheus: {{endpoint: '{}'}}}}", taken.local_addr().unwrap());
    let two = CONFIGURATION.replace("{prometheus: {}}", &two).replace("[prometheus]", "[debug, prometheus]");
    for attempt in 1..=5 {
        fs::write(&file, &two).unwrap();
        up.process.signal(Signal::HUP);
        wait::blocking(LIMIT, "the old configuration", || {
            let failures = up.process.log().matches("cannot be started, the old one goes on").count();
            (failures == attempt).then_some(())
        });
        wait_for_component(&mut up, "sink prometheus");
    }
}

#[test]
fn a_reader_that_stalls_does_not_keep_signals_from_being_heard() {
    let scratch = Scratch::new("up");
    let file = scratch.write("dbintel.yaml", CONFIGURATION);
    let addresses = fixed_ports();
    let (_reader, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b'.'; PIPE_BYTES]).unwrap();
    let mut command = Command::new(binary());
    command.args(["up", "--quiet", "--config", text(&file)]).args(&addresses).stdout(full).stderr(Stdio::null());
    let mut up = command.env("DBINTEL_STATE_DIRECTORY", scratch.path()).spawn().unwrap();
    let port = addresses[1].rsplit(':').next().unwrap().parse().unwrap();
    wait::blocking(LIMIT, "readiness", || http::get(port, "/readyz").ok().filter(|response| response.status == 200));
    kill_process(Pid::from_child(&up), Signal::TERM).unwrap();
    let ended = wait::blocking(LIMIT, "the end", || up.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
}

#[test]
fn one_export_address_is_for_one_prometheus_sink() {
    let scratch = Scratch::new("up");
    let two = CONFIGURATION
        .replace(
            "{prometheus: {}}",
            "{prometheus/a: {endpoint: '127.0.0.1:0'}, prometheus/b: {endpoint: '127.0.0.1:0'}}",
        )
        .replace("[prometheus]", "[prometheus/a, prometheus/b]");
    let file = scratch.write("dbintel.yaml", &two);
    let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
    arguments.extend(FREE_PORTS);
    let refused = run(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(scratch.path()))]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--export-address is for one `prometheus` sink"), "{}", refused.stderr);
    arguments.truncate(arguments.len() - 2);
    let mut up = Running::start(&arguments, &[("DBINTEL_EXPORT_ADDRESS", "127.0.0.1:1")]);
    wait_for_component(&mut up, "sink prometheus/b");
    wait_for_log(&up.process, LIMIT, "DBINTEL_EXPORT_ADDRESS is for one `prometheus` sink");
}

#[test]
fn whatever_is_said_on_standard_error_is_json_if_logs_are() {
    let scratch = Scratch::new("json");
    let (good, bad) =
        (scratch.write("good.yaml", CONFIGURATION), scratch.write("bad.yaml", "pollers: 1\nbus: kafca\n"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let listener = TcpListener::bind(&taken).unwrap();
    let environment = [("DBINTEL_STATE_DIRECTORY", text(scratch.path())), ("DBINTEL_LOG_FORMAT", "json")];
    let cases = [
        (vec!["up", "--config", text(&bad)], 78, "unknown key `kafca`"),
        (vec!["up", "--quiet", "--config", text(&good), "--health-address", &taken], 1, "could not listen on"),
        (vec!["up", "--no-such-flag"], 2, "--no-such-flag"),
        (vec!["up", "--log-level", "loud"], 2, "`loud` is not a level"),
    ];
    for (arguments, code, message) in cases {
        let ended = run(&arguments, &environment);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        let lines = json_lines(&ended.stderr);
        for (line, key) in ended.stderr.lines().flat_map(|line| ["message", "target"].map(|key| (line, key))) {
            assert!(line.matches(&format!("\"{key}\":")).count() <= 1, "{key} stands there twice: {line}");
        }
        let told = |line: &serde_json::Value| line["message"].as_str().unwrap().contains(message);
        assert!(lines.iter().any(told), "{arguments:?}: {}", ended.stderr);
        assert!(
            lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()),
            "{}",
            ended.stderr
        );
    }
    drop(listener);
}
