//! The product on a genuine Kafka, from an empty broker to a scrape: topics, roles as separate processes, drift.

use std::time::Duration;

use dbintel_tests::http;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::cli_rig::{FREE_PORTS, LIMIT, Running, json_lines, run, said, text};
use crate::cli_topics::{TOPICS, describe, drift};

/// Time for an orderly end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

fn configuration(kafka: &Kafka, postgres: &Postgres) -> String {
    format!(
        "pollers:
  postgresql/shop:
    endpoint: 127.0.0.1:{}
    username: postgres
    collection_interval: 1s
processors: {{adaptive_sampler: {{}}}}
sinks: {{prometheus: {{}}}}
pipelines: {{main: {{pollers: [postgresql/shop], processors: [adaptive_sampler], sinks: [prometheus]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: 3}}}}
",
        postgres.port, kafka.bootstrap
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_empty_broker_to_a_scrape() {
    let (kafka, postgres, scratch) = (Kafka::start(), Postgres::start(Major::V18), Scratch::new("roles"));
    let client = postgres.client("postgres").await;
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let file = scratch.write("dbintel.yaml", &configuration(&kafka, &postgres));

    topics_are_asked_for_and_made(text(&file), &scratch);
    let mut roles = ["sink", "processor", "poller"].map(|role| start(role, text(&file), &scratch));
    statements_arrive(&mut roles[0], &client).await;
    the_log_can_be_tapped(text(&file));
    every_process_shows_itself(&mut roles);
    for role in roles.iter_mut().rev() {
        role.process.signal(rustix::process::Signal::TERM);
        assert!(role.process.wait_for_end(STOP_LIMIT).success(), "{}", role.process.log());
    }
    changes_are_found(&kafka, text(&file)).await;
}

fn start(role: &str, configuration: &str, scratch: &Scratch) -> Running {
    let arguments: Vec<&str> = [role, "--config", configuration].into_iter().chain(FREE_PORTS).collect();
    // One state directory for all, as on one machine.
    Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&scratch.path().join("state")))])
}

fn topics_are_asked_for_and_made(configuration: &str, scratch: &Scratch) {
    let arguments: Vec<&str> = ["poller", "--config", configuration].into_iter().chain(FREE_PORTS).collect();
    let state = scratch.path().join("refused");
    let refused = run(&arguments, &[("HOME", "/nonexistent"), ("DBINTEL_STATE_DIRECTORY", text(&state))]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("make them with `dbintel topics create`"), "{}", refused.stderr);
    let created = said(&["topics", "create", "--config", configuration], &[]);
    assert!(created.contains(&format!("{TOPICS} topics created, 0 existed")), "{created}");
    wait::blocking(LIMIT, "topics without drift", || (describe(configuration).code == Some(0)).then_some(()));
}

async fn statements_arrive(sink: &mut Running, client: &tokio_postgres::Client) {
    let port = sink.port("export");
    wait::eventually(LIMIT, "a statement on the export page", async || {
        client.batch_execute("SELECT count(*) FROM pg_class").await.unwrap();
        let page = http::get(port, "/metrics").unwrap().text();
        page.lines()
            .any(|line| line.starts_with("query_calls_total{") && line.contains("target=\"shop\""))
            .then_some(())
    })
    .await;
}

fn the_log_can_be_tapped(configuration: &str) {
    let tap = |topic, more: &[&str]| {
        let arguments =
            ["tap", topic, "--config", configuration, "--from", "beginning", "--timeout", "30s", "--count", "1"];
        let arguments: Vec<&str> = arguments.into_iter().chain(more.iter().copied()).collect();
        json_lines(&said(&arguments, &[("HOME", "/nonexistent")]))
    };
    let query = tap("enriched.queries", &["--filter", "delta_valid=true"]);
    assert_eq!((&query[0]["key"], &query[0]["value"]["target"]), (&"shop".into(), &"shop".into()));
    assert_eq!(tap("schemas", &["--filter", "name=dbintel.RawQuery"])[0]["value"]["name"], "dbintel.RawQuery");
}

fn every_process_shows_itself(roles: &mut [Running; 3]) {
    for role in roles {
        let ready = role.wait_until_ready();
        assert_eq!(ready["components"][0]["component"], "bus", "{ready}");
        assert!(role.sample("metrics", "otelcol_process_memory_rss{").unwrap() > 1e6);
    }
}

async fn changes_are_found(kafka: &Kafka, configuration: &str) {
    let admin = kafka.admin();
    let changed = [
        AlterConfig::new(ResourceSpecifier::Topic("dbintel.raw.texts")).set("retention.ms", "3600000"),
        AlterConfig::new(ResourceSpecifier::Topic("dbintel.schemas")).set("cleanup.policy", "delete"),
    ];
    let altered = admin.alter_configs(&changed, &AdminOptions::new()).await.unwrap();
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    admin.delete_topics(&["dbintel.events"], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
    let found = wait::blocking(LIMIT, "three topics that differ", || {
        let described = describe(configuration);
        let found = drift(&described);
        (described.code == Some(1) && found.len() == 3).then_some(found)
    });
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dbintel.raw.texts", "dbintel.events", "dbintel.schemas"]);
    assert!(found[0].1.contains("retention: 1h, not 24h"), "{found:?}");
    assert_eq!(found[1].1, "missing");
    assert!(found[2].1.contains(", not compacted"), "{found:?}");
}
