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
  sqlquery: {datasource: 'postgresql://shop@db4/x', queries: [{sql: 'SELECT 1 AS n', metrics: [{metric_name: n}]}, {sql: SELECT 1 -- $1, logs: [{body_column: n}], tracking_column: n, tracking_start_value: '0'}]}
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
service: {telemetry: {logs: {level: warning, encoding: jsn}}, memory: lots, health: {address: 13133}}
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
        "pollers.sqlquery.queries[0].metrics[0].value_column: missing; expected text that is not empty",
        "query 2 (logs) has a `tracking_column`, and no `$1` that its value stands for",
        "11:28: processors.adaptive_sampler.default_sampling_rate: expected a number from 0 to 100, found `150`",
        "12:37: processors.adaptive_sampler.rules[0].condition: ",
        "13:3: processors.verification: the processor `verification` is not part of this version",
        "15:3: sinks.promethus: unknown sink type `promethus`, did you mean `prometheus`?",
        "16:26: sinks.prometheus.endpoint: expected an address and a port, found `127.0.0.1`",
        "18:36: pipelines.main.pollers[1]: undeclared poller `postgresql/for`",
        "19:27: bus.kafka.partitions: expected a whole number from 1 to 1024, found `0`",
        "19:48: bus.kafka.sasl.mechanism: OAUTHBEARER needs one of `token_file` and `token_endpoint`",
        "bus.schema_registry.url: missing; expected text that is not empty",
        "20:37: service.telemetry.logs.level: expected a level, or directives such as `info,rdkafka=warn`, found `warning`: `warning` is not a level, did you mean `warn`?",
        "20:56: service.telemetry.logs.encoding: expected one of `text`, `console`, `json`, found `jsn`, did you mean `json`?",
        "20:95: service.health.address: expected an address and a port, found `13133`: write 127.0.0.1:13133 for this machine",
        "20:71: service.memory: expected a size such as `16MiB` from 4MiB to 64GiB, found `lots`",
    ];
    for expected in expected {
        assert!(shown.contains(expected), "{expected}\nis not in\n{shown}");
    }
    let errors = shown.lines().filter(|line| !line.contains("warning:")).count() - 1;
    assert_eq!(errors, expected.len(), "{shown}");
}

#[test]
fn properties_of_librdkafka_are_checked_where_they_stand() {
    let scratch = Scratch::new("properties");
    let file = scratch.write(
        "kafka.yaml",
        "pollers: {postgresql: {username: monitor}}\npipelines: {main: {pollers: [postgresql]}}\nbus:\n  kafka:\n    \
         sasl: {username: dbintel, password: swordfish}\n    properties:\n      linger.ms: soon\n      lingr.ms: 5\n      \
         sasl.password: mellon\n",
    );
    let ended = run(&["validate", "--config", text(&file)], &HOME);
    assert_eq!(ended.code, Some(78), "{}", ended.stderr);
    for expected in [
        ":5:11: bus.kafka.sasl: warning: PLAIN sends the password as it is",
        ":7:18: bus.kafka.properties[\"linger.ms\"]: the value of linger.ms is not one that librdkafka takes",
        ":8:17: bus.kafka.properties[\"lingr.ms\"]: librdkafka knows no property lingr.ms",
        ":9:22: bus.kafka.properties[\"sasl.password\"]: has no effect here: set `sasl` of `kafka`",
    ] {
        assert!(ended.stderr.contains(expected), "{expected}\nis not in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("mellon") && !ended.stderr.contains("swordfish"), "{}", ended.stderr);
}

#[test]
fn secrets_in_the_wrong_shape_are_not_quoted() {
    let scratch = Scratch::new("shapes");
    let cases = [
        "sinks: {otlp: {endpoint: 'collector:4317', headers: api-key=NRAK-123}}",
        "bus: {kafka: {properties: sasl.password=NRAK-123}}",
        "bus: {kafka: {sasl: NRAK-123}}",
        "bus: {kafka: {tls: NRAK-123}}",
        "bus: {schema_registry: NRAK-123}",
        "bus: {kafka: {'${env:SECRET}': 1}}",
        "bus: '${env:SECRET}'",
        "pollers: {postgresql: {username: monitor, password: {NRAK: 123}}}",
    ];
    for case in cases {
        let file = scratch.write("bad.yaml", &format!("{case}\n"));
        let ended = run(&["validate", "--config", text(&file)], &[("SECRET", "NRAK-123"), HOME[0]]);
        assert_eq!(ended.code, Some(78), "{case}: {}", ended.stderr);
        assert!(!ended.stderr.contains("NRAK-123"), "{case}: {}", ended.stderr);
    }
}

#[test]
fn a_level_that_is_none_is_refused_on_the_command_line_too() {
    for level in ["warning", "inof", "info,rdkafka=loud"] {
        let ended = run(&["up", "--log-level", level], &HOME);
        assert_eq!(ended.code, Some(2), "{level}: {}", ended.stderr);
        assert!(ended.stderr.contains("is not a level"), "{}", ended.stderr);
    }
}

#[test]
fn commands_that_look_say_which_built_in_configuration_they_use() {
    let print = ["config", "print", "--built-in", "kafka"];
    let embedded = run(&print[..2], &HOME);
    assert!(embedded.stdout.contains("  embedded:\n"), "{}", embedded.stdout);
    assert!(embedded.stderr.starts_with("dbintel: the configuration is (built in) embedded.yaml;"), "{embedded:?}");
    let by_variable = run(&print[..2], &[("DBINTEL_BUILT_IN", "kafka"), HOME[0]]);
    for chosen in [run(&print, &HOME), by_variable] {
        assert!(chosen.stdout.contains("bootstrap_servers:"), "{}", chosen.stdout);
        assert!(chosen.stderr.contains("(built in) kafka.yaml"), "{}", chosen.stderr);
    }
}

#[test]
fn two_hosts_are_two_targets_unless_they_are_named() {
    let port = ports::free().to_string();
    let server = |more: &[(&str, &str)]| {
        let environment = [HOME[0], ("POSTGRES_HOST", "127.0.0.1"), ("POSTGRES_PORT", &port)];
        let ended = run(&["validate", "--probe", "--json"], &[&environment, more].concat());
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr));
        answer["probes"][1]["what"].as_str().unwrap().to_owned()
    };
    let place = format!("(postgresql at 127.0.0.1:{port})");
    assert_eq!(server(&[]), format!("127.0.0.1:{port} {place}"));
    assert_eq!(server(&[("POSTGRES_TARGET", "shop")]), format!("shop {place}"));
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
         bus: {kafka: {sasl: {username: dbintel, password: swordfish}, properties: {ssl.keystore.password: mellon}},\n\
         \x20 schema_registry: {url: 'http://anna:tuna@registry:8081'}}\n",
    );
    let environment = [("SECRET", "hunter2"), HOME[0]];
    let printed = said(&["config", "print", "--config", text(&file)], &environment);
    for secret in ["hunter2", "sesame", "swordfish", "mellon", "tuna"] {
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
