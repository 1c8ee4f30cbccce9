//! Rows of the configuration's own statements as log records: from the server to the receiver.

use std::collections::BTreeMap;

use dbintel_tests::otlp_peer::{Export, OtlpPeer};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::cli_rig::{FREE_OWN_PORTS, LIMIT, Running, text};

/// Active sessions, as the guide's example asks for them.
const ASH: &str = "
    driver: postgres
    datasource: ${env:POSTGRES_DSN}
    queries:
      - sql: |
          SELECT
            pid,
            usename,
            application_name,
            client_addr,
            backend_start,
            state,
            wait_event_type,
            wait_event,
            query_start,
            EXTRACT(EPOCH FROM (now() - query_start)) as query_duration,
            LEFT(query, 200) as current_query
          FROM pg_stat_activity
          WHERE state != 'idle'
            AND pid != pg_backend_pid()
        logs:
          - body_column: current_query
            severity_column: state
            timestamp_column: query_start
            attribute_columns:
              - pid
              - usename
              - application_name
              - wait_event_type
              - wait_event
              - query_duration
        collection_interval: 1s";

/// Lines of a table, each once.
const LINES: &str = "
    driver: mysql
    labels: {team: shop}
    datasource: ${env:MYSQL_DSN}
    queries:
      - sql: SELECT id, level, said FROM shop.lines WHERE id > ? ORDER BY id
        tracking_column: id
        tracking_start_value: '1'
        max_rows: 1
        logs: [{body_column: said, body: text, severity_column: level, static_attributes: {kind: line}}]
        collection_interval: 200ms";

struct Scene {
    peer: OtlpPeer,
    /// Takes what is of another team.
    other: OtlpPeer,
    up: Running,
    _scratch: Scratch,
}

impl Scene {
    /// With what its receiver selects.
    fn start(poller: &str, select: &str, environment: (&str, &str)) -> Scene {
        let (peer, other, scratch) = (OtlpPeer::start(), OtlpPeer::start(), Scratch::new("sqlquery"));
        let configuration = format!(
            "pollers:\n  sqlquery/own:{poller}\nsinks:
  otlp: {{endpoint: '{}', tls: {{insecure: true}}, select: {select}}}
  otlp/other: {{endpoint: '{}', tls: {{insecure: true}}, select: {{team: other}}}}
pipelines: {{main: {{pollers: [sqlquery/own], sinks: [otlp, otlp/other]}}}}\n",
            peer.grpc, other.grpc
        );
        let configuration = scratch.write("dbintel.yaml", &configuration);
        let arguments = [&["up", "--config", text(&configuration)][..], &FREE_OWN_PORTS].concat();
        let mut up = Running::start(&arguments, &[environment]);
        up.wait_until_ready();
        Scene { peer, other, up, _scratch: scratch }
    }

    fn records(&self) -> Vec<LogRecord> {
        let of = |export: Export| match export {
            Export::Logs(request) => request.resource_logs,
            Export::Metrics(_) => Vec::new(),
        };
        let scopes = self.peer.accepted().into_iter().flat_map(of).flat_map(|resource| resource.scope_logs);
        scopes.flat_map(|scope| scope.log_records).collect()
    }
}

fn string(value: Option<&Value>) -> &str {
    match value {
        Some(Value::StringValue(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn body(record: &LogRecord) -> &str {
    string(record.body.as_ref().and_then(|body| body.value.as_ref()))
}

fn attributes(record: &LogRecord) -> BTreeMap<&str, &str> {
    let named = record.attributes.iter().filter_map(|of| Some((of.key.as_str(), of.value.as_ref()?)));
    named.map(|(name, value)| (name, string(value.value.as_ref()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_history_of_the_guide_runs_as_it_stands() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let source = format!("postgresql://postgres@{HOST}:{}/postgres?sslmode=disable", postgres.port);
        let mut scene = Scene::start(ASH, "{}", ("POSTGRES_DSN", &source));
        let sleeper = postgres.client("postgres").await;
        let sleep = tokio::spawn(async move { sleeper.batch_execute("SELECT 'hunter2', pg_sleep(60)").await });
        let admin = postgres.client("postgres").await;
        let record = eventually(LIMIT, "the session as a log record", async || {
            scene.records().into_iter().find(|record| body(record).starts_with("SELECT ?"))
        })
        .await;
        let sql = "SELECT pid, (extract(epoch FROM query_start) * 1e6)::bigint FROM pg_stat_activity WHERE query LIKE '%hunter2%' \
                   AND pid <> pg_backend_pid()";
        let row = admin.query_one(sql, &[]).await.unwrap();
        let (pid, started_at): (i32, i64) = (row.get(0), row.get(1));
        assert_eq!(body(&record), "SELECT ?, pg_sleep(?)", "{major:?}");
        assert_eq!((record.time_unix_nano, record.severity_text.as_str()), (started_at as u64 * 1000, "active"));
        assert!(record.observed_time_unix_nano > record.time_unix_nano);
        let attributes = attributes(&record);
        assert_eq!(attributes["pid"], pid.to_string());
        assert_eq!((attributes["usename"], attributes["wait_event"]), ("postgres", "PgSleep"));
        assert!(attributes["query_duration"].parse::<f64>().unwrap() > 0.0);
        assert!(!format!("{:?}", scene.records()).contains("hunter2"), "{major:?}");
        sleep.abort();
        assert!(scene.up.process.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracking_column_brings_each_row_once() {
    let mysql = Mysql::start(Flavour::Mysql9);
    mysql
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.lines (id int PRIMARY KEY, level text, said text)",
            "INSERT INTO shop.lines VALUES (1, 'INFO', 'before'), (2, 'ERROR', 'order ''7'' is lost'), (3, NULL, NULL)",
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            "GRANT SELECT ON shop.* TO 'watcher'@'%'",
        ])
        .await;
    let source = format!("watcher:watcher@tcp({HOST}:{})/shop", mysql.port);
    let mut scene = Scene::start(LINES, "{team: shop}", ("MYSQL_DSN", &source));
    let count = async |records: usize| {
        eventually(LIMIT, "log records", async || (scene.records().len() >= records).then_some(())).await;
    };
    count(2).await;
    mysql.run(&["INSERT INTO shop.lines VALUES (4, 'warning', 'one more')"]).await;
    count(3).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let records = scene.records();
    let shown: Vec<_> = records
        .iter()
        .map(|record| (record.severity_number, record.body.as_ref().map(|_| body(record)), attributes(record)["kind"]))
        .collect();
    let expected = [(17, Some("order '7' is lost"), "line"), (0, None, "line"), (13, Some("one more"), "line")];
    assert_eq!(shown, expected);
    assert_eq!(scene.other.accepted(), []);
    assert!(scene.up.process.stop().success());
}
