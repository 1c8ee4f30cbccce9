//! Nothing personal that the demo's workload plants is anywhere past the pollers: not on the log, not in state, not on a
//! page, not in a message, not in a file.

use std::fs;
use std::path::Path;

use dbintel_bus::Bus;
use dbintel_bus::embedded::{Config, Embedded};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawPoll, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::wait;
use tokio_postgres::{Client, NoTls};

use crate::cli_demo::{PLANTED, start, traces};
use crate::cli_rig::LIMIT;
use crate::search::Search;

/// The workload's own text.
const WORKLOAD: &str = include_str!("../../../dbintel/src/demo/workload/personal_data.rs");

/// What the server shows of each of its statements that hold something planted.
const STATEMENTS: [&str; 4] = [
    "SELECT id, name FROM customers WHERE email = %",
    "SELECT name, phone FROM customers WHERE card_number IN %",
    "UPDATE customers SET phone = %",
    "COMMENT ON TABLE customers IS %",
];

#[test]
fn every_planted_statement_is_looked_for() {
    let statements = WORKLOAD.split("const STATEMENTS").nth(1).unwrap().split("];").next().unwrap();
    assert!(statements.contains(&format!("[&str; {}]", STATEMENTS.len())), "the workload has other statements");
    for statement in STATEMENTS {
        assert!(statements.contains(statement.trim_end_matches('%')), "{statement}");
    }
    let literals = statements.split('\'').skip(1).step_by(2);
    let unknown: Vec<&str> = literals.filter(|literal| !PLANTED.iter().any(|word| literal.contains(word))).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "literals that nobody looks for");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_is_anywhere() {
    let mut demo = start();
    demo.port("export");
    let (directory, _) = traces(&demo);
    let state = demo.scratch.path().to_owned();
    let log = Embedded::open_reader(&Config { directory: state.join("log"), ..Config::default() }).unwrap();
    wait_until_polled(&log, &directory).await;

    let mut search = Search::new(&PLANTED);
    for of in ["metrics", "export"] {
        search.look(&format!("the page of {of}"), &demo.get(of, "/metrics").body);
    }
    // With its end it brings the stores up to their changelog, which they are far behind while it runs.
    assert!(demo.process.stop().success(), "{}", demo.process.log());
    search.files(&state, |_| true);
    let records = search.log(&state.join("log"), |_| true);
    let entries = search.state(&state);
    assert!(records > 1000 && entries > 10, "{records} records, {entries} entries of state");
    assert_eq!(search.found, Vec::<String>::new(), "{} places", search.places);
}

/// Waits until the planted statements were executed, and read by two polls of their counters and one of their texts.
async fn wait_until_polled(log: &dyn Bus, directory: &Path) {
    let admin = connect(directory).await;
    let sql = "SELECT queryid::text FROM pg_stat_statements WHERE query LIKE $1 AND calls > 0";
    for statement in STATEMENTS {
        let id = wait::eventually(LIMIT, &format!("the statement {statement}"), async || {
            admin.query(sql, &[&statement]).await.unwrap().first().map(|row| row.get::<_, String>(0))
        })
        .await;
        wait::blocking(LIMIT, &format!("the poll of {statement}"), || has_counters(log, &id).then_some(()));
    }
    let polls =
        |class| read_all(log, Topic::RawPolls, 0).iter().filter(|record| is_poll_of(class, &record.value)).count();
    for class in ["statements", "texts", "sessions"] {
        let before = polls(class);
        wait::blocking(LIMIT, &format!("polls of {class}"), || (polls(class) >= before + 2).then_some(()));
    }
}

async fn connect(directory: &Path) -> Client {
    let pid_file = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let port: u16 = pid_file.lines().nth(3).unwrap().trim().parse().unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host_path(directory).port(port).user("postgres").dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

fn has_counters(log: &dyn Bus, query_id: &str) -> bool {
    let schemas = Schemas::new();
    let is_it = |value: &[u8]| {
        let mut scratch = Vec::new();
        schemas.read::<RawQuery<'_>>(value, &mut scratch).unwrap().query_id == query_id
    };
    read_all(log, Topic::RawQueries, 0).iter().any(|record| is_it(&record.value))
}

fn is_poll_of(class: &str, value: &[u8]) -> bool {
    let mut scratch = Vec::new();
    let poll: RawPoll<'_> = Schemas::new().read(value, &mut scratch).unwrap();
    poll.poll_class == class && poll.outcome == "ok"
}
