//! Each server of the harness starts and does what it is there for.

use std::net::TcpStream;
use std::time::Duration;

use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::collector::Collector;
use dbintel_tests::servers::kafka::Kafka;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::pgbouncer::PgBouncer;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::servers::prometheus::{Prometheus, promtool_check_metrics, promtool_check_rules};
use dbintel_tests::servers::registry::Registry;
use dbintel_tests::servers::rotel::Rotel;
use dbintel_tests::servers::{installed, python_site};
use dbintel_tests::wait::eventually;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio_postgres::SimpleQueryMessage;

use crate::otlp_peer::{export_over_grpc, export_over_http, gauge};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn kafka_keeps_what_is_produced() {
    let kafka = Kafka::shared();
    kafka.create_topic("servers.kafka", 3, &[("cleanup.policy", "compact")]).await;
    produce(kafka, "servers.kafka", "key", "value");
    assert_eq!(consume_one(kafka, "servers.kafka").await, ("key".to_owned(), "value".to_owned()));
}

#[tokio::test]
async fn kafka_comes_back_with_its_data_after_a_kill() {
    let mut kafka = Kafka::start_with(&[("log.flush.interval.messages", "1")]);
    kafka.create_topic("servers.killed", 1, &[]).await;
    produce(&kafka, "servers.killed", "before", "kill");
    kafka.process.kill9();
    kafka.start_again();
    assert_eq!(consume_one(&kafka, "servers.killed").await, ("before".to_owned(), "kill".to_owned()));
}

fn produce(kafka: &Kafka, topic: &str, key: &str, payload: &str) {
    let producer: BaseProducer = kafka.client().create().unwrap();
    producer.send(BaseRecord::to(topic).key(key).payload(payload)).unwrap();
    producer.flush(LIMIT).unwrap();
}

async fn consume_one(kafka: &Kafka, topic: &str) -> (String, String) {
    let mut config = kafka.client();
    config.set("group.id", topic).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let poll = async || consumer.poll(Duration::ZERO);
    let message = eventually(LIMIT, "the arrival of a message", poll).await.unwrap();
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    (text(message.key()), text(message.payload()))
}

#[tokio::test]
async fn postgres_of_each_major_counts_statements() {
    for (major, version) in [(Major::V12, "PostgreSQL 12.22"), (Major::V18, "PostgreSQL 18.4")] {
        let postgres = Postgres::start(major);
        let client = postgres.client("postgres").await;
        let row = client.query_one("SELECT version()", &[]).await.unwrap();
        assert!(row.get::<_, &str>(0).starts_with(version), "{row:?}");

        client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
        for _ in 0..3 {
            client.simple_query("SELECT 41 + 1 AS counted").await.unwrap();
        }
        let counted = "SELECT calls FROM pg_stat_statements WHERE query = 'SELECT $1 + $2 AS counted'";
        assert_eq!(client.query_one(counted, &[]).await.unwrap().get::<_, i64>(0), 3);
        let plans = client.query_one("SHOW auto_explain.log_min_duration", &[]).await.unwrap();
        assert_eq!(plans.get::<_, &str>(0), "-1");
    }
}

#[tokio::test]
async fn postgres_stops_freezes_dies_and_comes_back() {
    let mut postgres = Postgres::start_with(Major::V18, &[("max_connections", "17")]);
    let client = postgres.client("postgres").await;
    let row = client.query_one("SHOW max_connections", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "17");
    client.batch_execute("CREATE TABLE kept AS SELECT 1 AS one").await.unwrap();

    postgres.process.sigstop();
    let frozen = tokio::time::timeout(Duration::from_millis(300), client.simple_query("SELECT 1")).await;
    assert!(frozen.is_err(), "a frozen server answered");
    postgres.process.sigcont();
    client.simple_query("SELECT 1").await.unwrap();

    postgres.restart();
    assert!(client.simple_query("SELECT 1").await.is_err(), "the old connection outlived a restart");

    let client = postgres.client("postgres").await;
    postgres.process.kill9();
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert!(TcpStream::connect(("127.0.0.1", postgres.port)).is_err());
    postgres.start_again();
    let kept = postgres.client("postgres").await.query_one("SELECT one FROM kept", &[]).await.unwrap();
    assert_eq!(kept.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn pgbouncer_shares_one_connection_between_clients() {
    let postgres = Postgres::start(Major::V18);
    let pooler = PgBouncer::in_front_of(&postgres);
    let mut backends = Vec::new();
    for _ in 0..3 {
        let client = pooler.client("postgres").await;
        backends.push(first_value(&client, "SELECT pg_backend_pid()").await);
    }
    assert_eq!((&backends[1], &backends[2]), (&backends[0], &backends[0]));
    let admin = pooler.client("pgbouncer").await;
    assert_eq!(column(&admin, "SHOW DATABASES", "pool_size", "postgres").await, "1");
    assert_eq!(column(&admin, "SHOW CONFIG", "value", "pool_mode").await, "transaction");
}

async fn first_value(client: &tokio_postgres::Client, query: &str) -> String {
    let messages = client.simple_query(query).await.unwrap();
    let rows = messages.iter().filter_map(as_row).collect::<Vec<_>>();
    rows[0].get(0).unwrap().to_owned()
}

async fn column(client: &tokio_postgres::Client, query: &str, column: &str, first: &str) -> String {
    let messages = client.simple_query(query).await.unwrap();
    let row = messages.iter().filter_map(as_row).find(|row| (0..row.len()).any(|index| row.get(index) == Some(first)));
    row.expect("the row is there").get(column).unwrap().to_owned()
}

fn as_row(message: &SimpleQueryMessage) -> Option<&tokio_postgres::SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

#[test]
fn registry_keeps_schemas() {
    let registry = Registry::shared();
    let schema = r#"{"type":"record","name":"kept","fields":[{"name":"one","type":"long"}]}"#;
    let id = registry.register("servers-value", schema);
    let read: serde_json::Value = serde_json::from_str(&registry.schema(id).unwrap()).unwrap();
    assert_eq!(read, serde_json::from_str::<serde_json::Value>(schema).unwrap());
    assert_eq!(registry.register("servers-value", schema), id);
    assert_eq!(registry.schema(id + 1000), None);
}

#[tokio::test]
async fn rotel_prints_what_it_receives() {
    let rotel = Rotel::start();
    export_over_grpc(&rotel.grpc, gauge("over.grpc", 1.5)).await.unwrap();
    assert_eq!(rotel.metric(LIMIT, "over.grpc").await.value(), Some(1.5));
    export_over_http(&rotel.http, &gauge("over.http", 2.5));
    let point = rotel.metric(LIMIT, "over.http").await;
    assert_eq!((point.value(), point.attributes["db"].as_str()), (Some(2.5), "orders"));
    assert_eq!(point.resource["service.name"], "dbintel");
}

#[tokio::test]
async fn the_collector_prints_what_it_receives() {
    let collector = Collector::start();
    export_over_grpc(&collector.grpc, gauge("over.grpc", 1.5)).await.unwrap();
    assert_eq!(collector.metric(LIMIT, "over.grpc").await.value(), Some(1.5));
    export_over_http(&collector.http, &gauge("over.http", 2.5));
    let point = collector.metric(LIMIT, "over.http").await;
    assert_eq!((point.value(), point.attributes["db"].as_str()), (Some(2.5), "orders"));
    assert_eq!(point.resource["service.name"], "dbintel");
}

#[tokio::test]
async fn prometheus_scrapes_and_evaluates_rules() {
    let scratch = Scratch::new("rules");
    let rules = "groups: [{name: g, rules: [{record: seen:twice, expr: prometheus_build_info * 2}]}]\n";
    let rules = scratch.write("rules.yaml", rules);
    promtool_check_rules(&rules).unwrap();

    let watched = Prometheus::start(&[], &[]);
    let address = format!("127.0.0.1:{}", watched.port);
    let prometheus = Prometheus::start(&[("watched", &address)], &[&rules]);
    let seen = async || prometheus.query(r#"seen:twice{job="watched"}"#).into_iter().next();
    let sample = eventually(LIMIT, "the rule's first value", seen).await;
    assert_eq!((sample.value, &sample.labels["instance"]), (2.0, &address));
    assert_eq!(prometheus.query(r#"up{job="watched"}"#)[0].value, 1.0);
    assert!(prometheus.query("absent_metric").is_empty());
}

#[test]
fn promtool_finds_mistakes() {
    let scratch = Scratch::new("rules");
    let broken = scratch.write("rules.yaml", "groups: [{name: g, rules: [{record: a, expr: 'sum('}]}]\n");
    let complaint = promtool_check_rules(&broken).unwrap_err();
    assert!(complaint.contains("parse error"), "{complaint}");

    promtool_check_metrics("# HELP a_total As it is.\n# TYPE a_total counter\na_total 1\n").unwrap();
    let complaint = promtool_check_metrics("# HELP a As it is.\n# TYPE a counter\na 1\n").unwrap_err();
    assert!(complaint.contains("_total"), "{complaint}");
    promtool_check_metrics("a{ 1\n").unwrap_err();
}

#[test]
fn python_has_foreign_clients() {
    let output = std::process::Command::new("python3")
        .args(["-c", "import confluent_kafka, fastavro; print(confluent_kafka.version(), fastavro.__version__)"])
        .env("PYTHONPATH", python_site())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("2.16.1") && said.contains("1.13.1"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[should_panic(expected = "run tests/servers/install.sh no-such-server")]
fn a_server_that_is_not_installed_says_how() {
    let _folder = installed("no-such-server");
}

#[test]
#[should_panic(expected = "unrecognized configuration parameter")]
fn a_server_that_cannot_start_shows_its_log() {
    drop(Postgres::start_with(Major::V18, &[("no_such_setting", "1")]));
}

#[tokio::test]
async fn mysql_and_mariadb_count_statements_and_come_back_after_a_kill() {
    for flavour in Flavour::ALL {
        let mut mysql = Mysql::start(flavour);
        mysql.run(&["CREATE DATABASE shop", "CREATE TABLE shop.goods (id int)"]).await;
        mysql.run(&["INSERT INTO shop.goods VALUES (1)", "INSERT INTO shop.goods VALUES (2)"]).await;
        let counted = "SELECT COUNT_STAR FROM performance_schema.events_statements_summary_by_digest \
                       WHERE DIGEST_TEXT LIKE 'INSERT INTO `shop`%'";
        eventually(LIMIT, "the count of both", async || {
            (mysql.rows(counted).await[0].get::<u64, _>(0) == Some(2)).then_some(())
        })
        .await;
        mysql.process.kill9();
        mysql.start_again();
        assert_eq!(mysql.rows("SELECT id FROM shop.goods").await.len(), 2, "{flavour:?}");
    }
}
