//! Whatever the container files name exists in the product: commands, flags, ports, variables, paths.
//!
//! Containers cannot be run in a test, so the same things run natively: the binary with the environment of the files,
//! the broker's own check of its settings, promtool, the Collector, PostgreSQL.

mod files;
mod foreign;
mod product;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use dbintel_tests::ports;
use dbintel_tests::process::{Process, Program};
use dbintel_tests::scratch::Scratch;

use files::{Compose, Dockerfile, Service, root, text};
pub use product::binary;
use product::{help, said};

const OUR_IMAGE: &str = "dbintel:local";

/// Variables with addresses, what is in effect without them, and the lines that lead to that in a configuration.
const ADDRESSES: [(&str, &str, &[&str]); 3] = [
    ("DBINTEL_HEALTH_ADDRESS", "127.0.0.1:13133", &["service:", "  health:", "    address:"]),
    ("DBINTEL_METRICS_ADDRESS", "127.0.0.1:8888", &["service:", "  telemetry:", "    metrics:", "      address:"]),
    ("DBINTEL_EXPORT_ADDRESS", "127.0.0.1:8889", &["sinks:", "  prometheus:", "    endpoint:"]),
];

/// Debian packages of the shared libraries that the binary may be linked with; every Debian has those without one.
const LIBRARIES: [(&str, Option<&str>); 9] = [
    ("libssl.so.3", Some("libssl3")),
    ("libcrypto.so.3", Some("libssl3")),
    ("libstdc++.so.6", Some("libstdc++6")),
    ("libz.so.1", Some("zlib1g")),
    ("libgcc_s.so.1", None),
    ("libm.so.6", None),
    ("libc.so.6", None),
    ("linux-vdso.so.1", None),
    ("ld-linux-x86-64.so.2", None),
];

fn ours(compose: &Compose) -> Vec<&Service> {
    let ours: Vec<&Service> = compose.services.values().filter(|service| service.image == OUR_IMAGE).collect();
    let names: Vec<&str> = ours.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["poller", "processor", "sink", "topics"]);
    ours
}

/// The value at the end of a path of lines of a printed configuration.
fn setting<'p>(printed: &'p str, path: &[&str]) -> &'p str {
    let mut lines = printed.lines();
    let mut found = "";
    for key in path {
        found = lines.find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("no `{key}` in {printed}"));
    }
    found.trim()
}

/// The port at the end of an address.
fn port(address: &str) -> u16 {
    address.rsplit(':').next().unwrap().parse().unwrap_or_else(|_| panic!("no port in {address}"))
}

#[test]
fn each_command_exists() {
    let compose = Compose::read();
    ours(&compose).iter().for_each(|service| drop(help(&service.command)));
    let dockerfile = Dockerfile::read();
    assert_eq!(dockerfile.words("ENTRYPOINT"), ["dbintel"]);
    help(&dockerfile.words("CMD"));
}

#[test]
fn each_variable_is_read() {
    let helps: String = ["up", "sink"].map(|command| help(&[command])).concat();
    let configuration = text("config/files/kafka.yaml");
    let read_by_flag = |name: &str| helps.contains(&format!("[env: {name}="));
    let read_by_file = |name: &str| {
        configuration.contains(&format!("${{env:{name}}}")) || configuration.contains(&format!("${{env:{name}:-"))
    };
    let compose = Compose::read();
    for service in ours(&compose) {
        for name in service.environment.keys() {
            assert!(read_by_flag(name) || read_by_file(name), "{}: nothing reads {name}", service.name);
        }
    }
    for name in Dockerfile::read().environment().keys() {
        assert!(read_by_flag(name), "Dockerfile: no flag reads {name}");
    }
}

#[test]
fn the_configuration_is_valid_with_the_environment_of_each_service() {
    let compose = Compose::read();
    let file = root().join("config/files/kafka.yaml");
    for service in ours(&compose) {
        let arguments = ["validate", "--config", file.to_str().unwrap()];
        said(&arguments, &service.environment);
        let printed = said(&["config", "print", "--config", file.to_str().unwrap()], &service.environment);
        assert!(printed.contains(&format!("partitions: {}", service.environment["KAFKA_PARTITIONS"])), "{printed}");
    }
}

#[test]
fn processes_listen_on_all_addresses_of_their_container_and_on_the_usual_ports() {
    let compose = Compose::read();
    let dockerfile = Dockerfile::read();
    let home = BTreeMap::from([("HOME".to_owned(), "/nonexistent".to_owned())]);
    for built_in in ["embedded", "kafka"] {
        let printed = said(&["config", "print", "--built-in", built_in], &home);
        for (_, usual, keys) in ADDRESSES {
            assert_eq!(setting(&printed, keys), usual, "{printed}");
        }
    }
    let mut ports = BTreeSet::new();
    for (variable, usual, _) in ADDRESSES {
        let usual = port(usual);
        let expected = format!("0.0.0.0:{usual}");
        assert_eq!(dockerfile.environment()[variable], expected);
        assert!(ours(&compose).iter().all(|service| service.environment[variable] == expected), "{variable}");
        ports.insert(usual);
    }
    let exposed: BTreeSet<u16> = dockerfile.one("EXPOSE").split_whitespace().map(port).collect();
    assert_eq!(exposed, ports);
}

#[test]
fn what_is_published_is_on_loopback_and_is_served() {
    let compose = Compose::read();
    let mut published = Vec::new();
    for service in compose.services.values() {
        for mapping in &service.ports {
            let inside = mapping.strip_prefix("127.0.0.1:").unwrap_or_else(|| panic!("{mapping} is open to all"));
            let inside = port(inside);
            let served = match service.name.as_str() {
                "sink" => vec![port(&service.environment["DBINTEL_EXPORT_ADDRESS"])],
                "kafka" => service.environment["KAFKA_LISTENERS"].split(',').map(port).collect(),
                "prometheus" => vec![9090],
                other => panic!("{other} publishes {mapping}"),
            };
            assert!(served.contains(&inside), "{} does not serve {inside}", service.name);
            published.push(inside);
        }
    }
    assert_eq!(published, [9092, 9090, 8889]);
}

#[test]
fn paths_and_names_are_there() {
    let compose = Compose::read();
    for service in compose.services.values() {
        for volume in &service.volumes {
            let source = volume.split(':').next().unwrap();
            let there = if source.starts_with("./") {
                root().join(source).exists()
            } else {
                compose.volumes.iter().any(|name| name == source)
            };
            assert!(there, "{}: {source} is not there", service.name);
        }
        for other in &service.depends_on {
            assert!(compose.services.contains_key(other), "{} depends on {other}", service.name);
        }
    }
    for service in ours(&compose) {
        let mounted = |target: &str| {
            service.volumes.iter().any(|volume| volume.split(':').nth(1).is_some_and(|place| place == target))
        };
        for variable in ["DBINTEL_CONFIG", "DBINTEL_STATE_DIRECTORY", "POSTGRES_HOST"] {
            assert!(mounted(&service.environment[variable]), "{}: {variable} is no volume", service.name);
        }
        let host = |variable: &str| service.environment[variable].rsplit_once(':').unwrap().0.to_owned();
        for variable in ["KAFKA_BOOTSTRAP_SERVERS", "OTLP_ENDPOINT"] {
            assert!(compose.services.contains_key(&host(variable)), "{variable} names no service");
        }
    }
}

#[test]
fn the_image_is_built_from_what_is_there_and_runs_without_root() {
    let dockerfile = Dockerfile::read();
    let bases = dockerfile.all("FROM");
    assert!(bases.iter().all(|base| base.contains("bookworm")), "{bases:?}");
    for copy in dockerfile.all("COPY") {
        let mut sources: Vec<&str> = copy.split_whitespace().collect();
        sources.pop();
        if sources.first().is_some_and(|first| first.starts_with("--from")) {
            continue;
        }
        assert!(sources.iter().all(|source| root().join(source).exists()), "COPY {copy}");
    }
    let user: u32 = dockerfile.one("USER").split(':').next().unwrap().parse().unwrap();
    assert_ne!(user, 0);
    assert!(dockerfile.all("RUN").iter().any(|run| run.contains(&format!("--uid {user}"))));
    assert_eq!(dockerfile.one("VOLUME"), dockerfile.environment()["DBINTEL_STATE_DIRECTORY"]);
    for run in dockerfile.all("RUN") {
        let fetches = ["curl", "wget", "git clone", "http:", "https:"].iter().find(|word| run.contains(**word));
        assert_eq!(fetches, None, "only package managers download: {run}");
    }
    let version = format!("rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(bases[0].starts_with(&version), "{} is not {version}", bases[0]);
}

#[test]
fn the_image_has_the_libraries_of_the_binary() {
    let linked = Command::new("ldd").arg(binary()).output().unwrap();
    let linked = String::from_utf8(linked.stdout).unwrap();
    let dockerfile = Dockerfile::read();
    let installed = *dockerfile.all("RUN").iter().find(|run| run.contains("apt-get install")).unwrap();
    let mut found = 0;
    for line in linked.lines() {
        let name = line.split_whitespace().next().unwrap().rsplit('/').next().unwrap();
        let known = LIBRARIES.iter().find(|(library, _)| *library == name);
        let (_, package) = known.unwrap_or_else(|| panic!("which package has {name}?"));
        assert!(package.is_none_or(|package| installed.split_whitespace().any(|word| word == package)), "{name}");
        found += 1;
    }
    assert!(found > 3, "{linked}");
}

#[test]
fn the_health_check_tells_a_process_that_lives_from_one_that_does_not() {
    let scratch = Scratch::new("image");
    let health = ports::free();
    let check = health_check(health);
    let healthy = || Command::new(&check[0]).args(&check[1..]).stderr(Stdio::null()).status().unwrap().success();
    assert!(!healthy(), "nobody listens yet");
    let mut process = Process::start(
        Program {
            environment: [
                ("DBINTEL_CONFIG", root().join("config/files/embedded.yaml").display().to_string()),
                ("DBINTEL_STATE_DIRECTORY", scratch.path().display().to_string()),
                ("DBINTEL_HEALTH_ADDRESS", format!("127.0.0.1:{health}")),
                ("DBINTEL_METRICS_ADDRESS", "127.0.0.1:0".to_owned()),
                ("DBINTEL_EXPORT_ADDRESS", "127.0.0.1:0".to_owned()),
                ("DBINTEL_LOG_FORMAT", "json".to_owned()),
                ("POSTGRES_PORT", ports::free().to_string()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
            ..Program::new(binary(), scratch.path())
        }
        .arguments(Dockerfile::read().words("CMD")),
    );
    process.wait_until(|_| healthy());
    assert!(process.stop().success(), "it ends in order on SIGTERM: {}", process.log());
    assert!(!healthy());
}

/// The words of the image's health check, for another port.
fn health_check(port: u16) -> Vec<String> {
    let dockerfile = Dockerfile::read();
    let (_, command) = dockerfile.one("HEALTHCHECK").split_once("CMD ").unwrap();
    let words: Vec<String> = serde_json::from_str(command).unwrap();
    assert!(words.iter().any(|word| word.contains("/13133")), "{words:?}");
    words.iter().map(|word| word.replace("/13133", &format!("/{port}"))).collect()
}
