//! `validate` and `config print`: a configuration is understood, or every mistake in it is named.

use dbintel_tests::ports;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use serde_json::Value;

use crate::cli_rig::{run, said, text};

const HOME: [(&str, &str); 1] = [("HOME", "/nonexistent")];

const MISTAKES: &str = "\
pollers:
  postgresql/one:
    endpoint: db1
    username: monitor
    colection_interval: 10s
  postgresql/two: {endpoint: 'db2:5432', username: monitor, target: shop, password: '${env:NOWHERE}'}
  postgresql/three: {endpoint: 'db3:5432', username: monitor, target: shop}
  mysql: {endpoint: 'db4:3306'}
processors:
  adaptive_sampler:
    default_sampling_rate: 150
    rules: [{name: slow, condition: 'mean_exec_time >', sampling_rate: 1}]
  verification: {}
sinks:
  promethus: {}
  prometheus: {endpoint: 127.0.0.1}
pipelines:
  main: {pollers: [postgresql/one, postgresql/for], processors: [adaptive_sampler], sinks: [prometheus]}
bus: {kafka: {partitions: 0, sasl: {mechanism: OAUTHBEARER}}, schema_registry: {}}
service: {telemetry: {logs: {level: info, encoding: jsn}}, memory: lots}
";

#[test]
fn every_mistake_is_named_at_once_with_its_place() {
    let scratch = Scratch::new("validate");
    let file = scratch.write("bad.yaml", MISTAKES);
    let ended = run(&["validate", "--config", text(&file)], &HOME);
    assert_eq!((ended.code, &*ended.stdout), (Some(78), ""));
    let shown = ended.stderr.replace(&format!("{}:", file.display()), "");
    let expected = [
        "3:15: pollers.postgresql/one.endpoint: expected an endpoint such as db.example.com:5432, found `db1`",
        "5:5: pollers.postgresql/one.colection_interval: unknown key `colection_interval`, did you mean `collection_interval`?",
        "6:85: pollers.postgresql/two.password: environment variable `NOWHERE` is not set",
        "7:3: pollers.postgresql/three: `postgresql/two` polls the target `shop` already",
        "8:3: pollers.mysql: the poller `mysql` is not part of this version",
        "11:28: processors.adaptive_sampler.default_sampling_rate: expected a number from 0 to 100, found `150`",
        "12:37: processors.adaptive_sampler.rules[0].condition: ",
        "13:3: processors.verification: the processor `verification` is not part of this version",
        "15:3: sinks.promethus: unknown sink type `promethus`, did you mean `prometheus`?",
        "16:26: sinks.prometheus.endpoint: expected an address and a port, found `127.0.0.1`",
        "18:36: pipelines.main.pollers[1]: undeclared poller `postgresql/for`",
        "19:27: bus.kafka.partitions: expected a whole number from 1 to 1024, found `0`",
        "19:48: bus.kafka.sasl.mechanism: OAUTHBEARER needs one of `token_file` and `token_endpoint`",
        "bus.schema_registry.url: missing; expected text that is not empty",
        "20:53: service.telemetry.logs.encoding: expected one of `text`, `console`, `json`, found `jsn`, did you mean `json`?",
        "20:68: service.memory: expected a size such as `16MiB` from 4MiB to 64GiB, found `lots`",
    ];
    for expected in expected {
        assert!(shown.contains(expected), "{expected}\nis not in\n{shown}");
    }
    let errors = shown.lines().filter(|line| !line.contains("warning:")).count() - 1;
    assert_eq!(errors, expected.len(), "{shown}");
}

#[test]
fn mistakes_are_objects_for_programs() {
    let scratch = Scratch::new("validate");
    let file = scratch.write("bad.yaml", "pipelines: {}\nbus: kafca\n");
    let ended = run(&["validate", "--json", "--config", text(&file)], &HOME);
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &answer["valid"]), (Some(78), &Value::Bool(false)));
    let problems = answer["problems"].as_array().unwrap();
    let places: Vec<_> = problems.iter().map(|problem| (&problem["line"], &problem["path"])).collect();
    assert_eq!(places, [(&Value::from(1), &Value::from("pipelines")), (&Value::from(2), &Value::from("bus.kafca"))]);
}

#[test]
fn what_is_shipped_is_valid_as_it_stands() {
    let demo = [
        ("DBINTEL_DEMO_ENDPOINT", "127.0.0.1:1"),
        ("DBINTEL_DEMO_PASSWORD", "x"),
        ("DBINTEL_DEMO_DIRECTORY", "/tmp/x"),
    ];
    let files = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("config/files");
    for (name, environment) in [("embedded.yaml", &HOME[..]), ("kafka.yaml", &HOME[..]), ("demo.yaml", &demo[..])] {
        let ended = run(&["validate", "--config", text(&files.join(name))], environment);
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{name}");
    }
    let bare = run(&["validate"], &HOME);
    assert_eq!((bare.code, &*bare.stdout), (Some(0), "the configuration is valid\n"), "{}", bare.stderr);
}

#[test]
fn what_is_printed_loads_again_and_shows_no_secret() {
    let scratch = Scratch::new("print");
    let file = scratch.write(
        "secret.yaml",
        "pollers: {postgresql: {username: monitor, password: '${env:SECRET}'}}\n\
         sinks: {otlp: {endpoint: 'collector:4317', headers: {api-key: sesame}}}\n\
         pipelines: {main: {pollers: [postgresql], sinks: [otlp]}}\n\
         bus: {kafka: {sasl: {username: dbintel, password: swordfish}, properties: {ssl.key.password: mellon}}}\n",
    );
    let environment = [("SECRET", "hunter2"), HOME[0]];
    let printed = said(&["config", "print", "--config", text(&file)], &environment);
    for secret in ["hunter2", "sesame", "swordfish", "mellon"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    for shown in
        ["password: \"****\"", "api-key: \"****\"", "partitions: 12", "collection_interval: 10s", "memory: 64MiB"]
    {
        assert!(printed.contains(shown), "{shown} is not in\n{printed}");
    }
    let again = scratch.write("printed.yaml", &printed);
    assert_eq!(said(&["config", "print", "--config", text(&again)], &environment), printed);
}

#[test]
fn a_probe_tells_what_can_be_reached() {
    let postgres = Postgres::start(Major::V18);
    let (good, nobody, scratch) = (postgres.port, ports::free(), Scratch::new("probe"));
    let poller = |port| format!("{{endpoint: '127.0.0.1:{port}', username: postgres, connect_timeout: 2s}}");
    let file = scratch.write(
        "probe.yaml",
        &format!(
            "pollers: {{postgresql/there: {}, postgresql/gone: {}}}\nservice: {{state_directory: {}}}\n\
             pipelines: {{main: {{pollers: [postgresql/there, postgresql/gone]}}}}\n",
            poller(good),
            poller(nobody),
            scratch.path().display()
        ),
    );
    let ended = run(&["validate", "--probe", "--json", "--config", text(&file)], &HOME);
    let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
    let probes = answer["probes"].as_array().unwrap();
    let reached: Vec<_> = probes.iter().map(|probe| probe["reached"].as_bool().unwrap()).collect();
    assert_eq!((ended.code, reached), (Some(1), vec![true, true, false]), "{answer}");
    assert!(probes[1]["answer"].as_str().unwrap().starts_with("PostgreSQL 18"), "{answer}");
    assert!(probes[2]["what"].as_str().unwrap().contains(&nobody.to_string()), "{answer}");
}

#[test]
fn the_version_and_completions_are_told() {
    let version = said(&["version"], &[]);
    assert_eq!(version, format!("dbintel {}\n", env!("CARGO_PKG_VERSION")));
    let json: Value = serde_json::from_str(&said(&["version", "--json"], &[])).unwrap();
    assert_eq!((&json["name"], &json["version"]), (&"dbintel".into(), &env!("CARGO_PKG_VERSION").into()));
    for (shell, mark) in [("bash", "_dbintel()"), ("zsh", "#compdef dbintel"), ("fish", "complete -c dbintel")] {
        assert!(said(&["completions", shell], &[]).contains(mark), "{shell}");
    }
    assert_eq!(run(&["completions", "cmd"], &[]).code, Some(2));
}
