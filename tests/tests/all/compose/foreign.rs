//! What the container files tell programs that are not ours, checked by those programs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use dbintel_tests::process::Program;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::installed;
use dbintel_tests::servers::postgres::{Major, Postgres};

use super::files::{Compose, list, root, text, yaml};
use super::port;

/// All that a single broker needs: one variable discards every default of the image.
const KAFKA_SETTINGS: [&str; 18] = [
    "advertised.listeners",
    "auto.create.topics.enable",
    "controller.listener.names",
    "controller.quorum.voters",
    "default.replication.factor",
    "group.initial.rebalance.delay.ms",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "min.insync.replicas",
    "node.id",
    "offsets.topic.replication.factor",
    "process.roles",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
];

/// Read by the image's scripts, not by the broker.
const KAFKA_SCRIPTS: [&str; 1] = ["KAFKA_HEAP_OPTS"];

/// The property that the image makes of a variable.
fn property(variable: &str) -> Option<String> {
    if KAFKA_SCRIPTS.contains(&variable) {
        return None;
    }
    let name = variable.strip_prefix("KAFKA_")?.to_lowercase();
    Some(name.replace("___", "-").replace("__", "\0").replace('_', ".").replace('\0', "_"))
}

fn java(directory: &Path) -> Program {
    let jars = installed("kafka").join("lib").join("*");
    Program::new("java", directory).arguments(["-cp".to_owned(), jars.display().to_string()])
}

#[test]
fn variables_become_properties_as_the_image_does_it() {
    let cases = [
        ("KAFKA_NODE_ID", Some("node.id")),
        ("KAFKA_A__B_C", Some("a_b.c")),
        ("KAFKA_A___B", Some("a-b")),
        ("KAFKA_HEAP_OPTS", None),
        ("CLUSTER_ID", None),
    ];
    for (variable, expected) in cases {
        assert_eq!(property(variable).as_deref(), expected, "{variable}");
    }
}

#[test]
fn the_settings_of_the_broker_are_complete_and_the_broker_takes_them() {
    let compose = Compose::read();
    let kafka = &compose.services["kafka"];
    let version = kafka.image.strip_prefix("apache/kafka:").unwrap();
    assert!(text("tests/servers/install.sh").contains(&format!("[kafka]=\"{version}\"")), "tested with {version}");

    let settings: BTreeSet<String> = kafka.environment.keys().filter_map(|name| property(name)).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    assert_eq!(settings, KAFKA_SETTINGS);

    let scratch = Scratch::new("broker");
    let documented = Command::new("java").args(java(scratch.path()).arguments).arg("kafka.server.KafkaConfig").output();
    let documented = String::from_utf8(documented.unwrap().stdout).unwrap();
    for name in KAFKA_SETTINGS {
        assert!(documented.contains(&format!("<a id=\"{name}\">")), "the broker does not know {name}");
    }

    let data = scratch.path().join("data").display().to_string();
    let line = |(name, value): (&String, &String)| {
        let name = property(name)?;
        Some(format!("{name}={}\n", if name == "log.dirs" { &data } else { value }))
    };
    let properties = scratch.write("server.properties", &kafka.environment.iter().filter_map(line).collect::<String>());
    let format = ["kafka.tools.StorageTool", "format", "-t", &kafka.environment["CLUSTER_ID"], "-c"];
    java(scratch.path()).arguments(format).arguments([properties.display().to_string()]).run();
}

#[test]
fn the_broker_has_a_listener_inside_and_one_outside() {
    let compose = Compose::read();
    let kafka = &compose.services["kafka"].environment;
    let addresses = |variable: &str| -> Vec<(String, String)> {
        let split =
            |listener: &str| listener.split_once("://").map(|(name, address)| (name.to_owned(), address.to_owned()));
        kafka[variable].split(',').filter_map(split).collect()
    };
    let (bound, advertised) = (addresses("KAFKA_LISTENERS"), addresses("KAFKA_ADVERTISED_LISTENERS"));
    for (name, address) in &advertised {
        let bound = bound.iter().find(|(bound, _)| bound == name).unwrap_or_else(|| panic!("{name} is not bound"));
        assert_eq!(port(&bound.1), port(address), "{name}");
    }
    let hosts: Vec<&str> = advertised.iter().map(|(_, address)| address.split(':').next().unwrap()).collect();
    assert_eq!(hosts, ["kafka", "localhost"]);
    assert_eq!(compose.services["topics"].environment["KAFKA_BOOTSTRAP_SERVERS"], advertised[0].1);
    let voter = kafka["KAFKA_CONTROLLER_QUORUM_VOTERS"].split_once('@').unwrap().1;
    let (_, controller) = bound.iter().find(|(name, _)| *name == kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]).unwrap();
    assert_eq!(port(voter), port(controller));
    let checked = compose.services["kafka"].healthcheck.iter().find(|word| word.starts_with("localhost:")).unwrap();
    assert_eq!(port(checked), port(&advertised[0].1));
}

/// `<program> <arguments>` succeeds.
fn succeeds(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let output_text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{} {arguments:?}: {output_text}", program.display());
    output_text
}

#[test]
fn prometheus_takes_its_configuration_with_the_rules_of_the_guide() {
    let promtool = installed("prometheus").join("usr/bin/promtool");
    let said = succeeds(&promtool, &["check", "config", root().join("deploy/prometheus.yml").to_str().unwrap()]);
    assert!(said.contains("5 rules found"), "{said}");
}

#[test]
fn prometheus_scrapes_what_our_services_serve() {
    let compose = Compose::read();
    let configuration = yaml("deploy/prometheus.yml", &["global", "rule_files", "scrape_configs"]);
    let mut scraped = BTreeSet::new();
    for job in configuration["scrape_configs"].as_array().unwrap() {
        let discovery = &job["dns_sd_configs"][0];
        let number: u16 = discovery["port"].as_str().unwrap().parse().unwrap();
        for name in list(&discovery["names"]) {
            let environment = &compose.services[&name].environment;
            let variable = if number == 8889 { "DBINTEL_EXPORT_ADDRESS" } else { "DBINTEL_METRICS_ADDRESS" };
            assert_eq!(port(&environment[variable]), number, "{name}");
            scraped.insert(format!("{} {name}:{number}", job["job_name"].as_str().unwrap()));
        }
    }
    let expected = [
        "databases sink:8889",
        "database-intelligence poller:8888",
        "database-intelligence processor:8888",
        "database-intelligence sink:8888",
    ];
    assert_eq!(scraped, expected.map(str::to_owned).into());
    assert!(text("deploy/rules/database-intelligence.yml").contains("up{job=\"database-intelligence\"}"));
}

#[test]
fn the_collector_takes_its_configuration_and_listens_where_we_send() {
    let collector = installed("collector").join("collector");
    succeeds(&collector, &["validate", "--config", root().join("deploy/collector.yaml").to_str().unwrap()]);
    let configuration = yaml("deploy/collector.yaml", &["receivers", "exporters", "service"]);
    let endpoint = configuration["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].as_str().unwrap();
    let compose = Compose::read();
    assert_eq!(port(endpoint), port(&compose.services["sink"].environment["OTLP_ENDPOINT"]));
    let version = compose.services["collector"].image.split_once(':').unwrap().1;
    assert!(text("tests/servers/install.sh").contains(&format!("[collector]=\"{version}\"")), "tested with {version}");
}

#[test]
fn files_are_mounted_where_foreign_images_look_for_them() {
    let compose = Compose::read();
    let target = |service: &str, source: &str| {
        let volumes = compose.services[service].volumes.iter();
        let mut targets = volumes.filter_map(|volume| volume.strip_prefix(source)?.strip_prefix(':'));
        targets.next().unwrap_or_else(|| panic!("{service} has no {source}")).trim_end_matches(":ro").to_owned()
    };
    let kafka = &compose.services["kafka"].environment;
    assert_eq!(target("kafka", "kafka"), kafka["KAFKA_LOG_DIRS"]);
    assert!(compose.services["collector"].command.contains(&target("collector", "./deploy/collector.yaml")));
    assert!(target("postgres", "./deploy/postgres/monitor.sql").starts_with("/docker-entrypoint-initdb.d/"));
    assert_eq!(target("postgres", "postgres-socket"), compose.services["poller"].environment["POSTGRES_HOST"]);
    let configuration = target("prometheus", "./deploy/prometheus.yml");
    assert_eq!(configuration, "/etc/prometheus/prometheus.yml");
    assert_eq!(target("prometheus", "./deploy/rules"), configuration.replace("prometheus.yml", "rules"));
}

#[tokio::test]
async fn the_role_of_the_poller_sees_what_others_run() {
    let postgres = Postgres::start(Major::V18);
    let superuser = postgres.client("postgres").await;
    let script = text("deploy/postgres/monitor.sql");
    assert!(!script.contains("PASSWORD '"), "a password that is published protects nothing");
    superuser.batch_execute(&script).await.unwrap();
    superuser.batch_execute(&script).await.expect("it can be run again");
    superuser.batch_execute("SELECT 1 AS seen_by_the_role").await.unwrap();
    let environment = &Compose::read().services["poller"].environment;
    let mut config: tokio_postgres::Config = postgres.conninfo("postgres").parse().unwrap();
    config.user(&environment["POSTGRES_USER"]);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let sql =
        "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%seen_by_the_role%' AND query LIKE 'SELECT $1 AS%'";
    let seen: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(seen, 1, "without pg_monitor, the text of others is hidden");
    drop(client);
    connection.await.unwrap().unwrap();
}
