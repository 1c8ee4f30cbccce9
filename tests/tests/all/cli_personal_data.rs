//! Nothing personal that the demo's workload plants is anywhere past the pollers: not on the log, not in state, not on a
//! page, not in a message, not in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Record, Start};
use dbintel_processors::engine::store::{RocksStore, Store as _, StoreMemory};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawPoll, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::wait;
use tokio_postgres::{Client, NoTls};

use crate::cli_demo::{PLANTED, start, traces};
use crate::cli_rig::{LIMIT, text};

/// The workload's own text.
const WORKLOAD: &str = include_str!("../../../dbintel/src/demo/workload/personal_data.rs");

/// What the server shows of each of its statements that hold something planted.
const STATEMENTS: [&str; 4] = [
    "SELECT id, name FROM customers WHERE email = %",
    "SELECT name, phone FROM customers WHERE card_number IN %",
    "UPDATE customers SET phone = %",
    "COMMENT ON TABLE customers IS %",
];

/// Bytes of state that are read at once.
const SCAN_BYTES: usize = 1 << 20;

/// Everything that was looked through, to say where something was found.
#[derive(Default)]
struct Search {
    places: usize,
    found: Vec<String>,
}

impl Search {
    fn look(&mut self, place: impl Into<String>, bytes: &[u8]) {
        self.places += 1;
        let holds = |word: &&&str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        let place = place.into();
        self.found.extend(PLANTED.iter().filter(holds).map(|word| format!("{word} in {place}")));
    }
}

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

    let mut search = Search::default();
    for of in ["metrics", "export"] {
        search.look(format!("the page of {of}"), &demo.get(of, "/metrics").body);
    }
    // With its end it brings the stores up to their changelog, which they are far behind while it runs.
    assert!(demo.process.stop().success(), "{}", demo.process.log());
    search_files(&state, &mut search);
    let records = search_log(&state.join("log"), &mut search);
    let entries = search_state(&state, &mut search);
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

/// Files of the state directory, and what the process said.
fn search_files(folder: &Path, search: &mut Search) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search_files(&path, search);
        } else {
            search.look(text(&path), &fs::read(&path).unwrap());
        }
    }
}

/// Every record of every topic, keys too: blocks are compressed in the files. Gives their number.
fn search_log(directory: &Path, search: &mut Search) -> usize {
    let log = Embedded::open(&Config { directory: directory.to_owned(), ..Config::default() }).unwrap();
    let mut records = 0;
    for topic in log.describe_topics("").unwrap() {
        let end = log.offsets(&topic.name, 0).unwrap().stable_end;
        let partitions = vec![Position { topic: topic.name.clone(), partition: 0, start: Start::Beginning }];
        let mut reader = log.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
        let mut next = log.offsets(&topic.name, 0).unwrap().start;
        wait::blocking(LIMIT, &format!("the end of {}", topic.name), || {
            let mut look = |record: Record<'_>| {
                let place = format!("{} offset {}", topic.name, record.offset);
                search.look(&*place, record.key.unwrap_or_default());
                search.look(place, record.value.unwrap_or_default());
                (next, records) = (record.offset + 1, records + 1);
            };
            let read = reader.read(Duration::from_millis(100), 1000, &mut look).unwrap();
            (next >= end || read == 0).then_some(())
        });
    }
    records
}

/// Every key and value of every store of the processors. Gives their number.
fn search_state(state: &Path, search: &mut Search) -> usize {
    let memory = StoreMemory::new(8 << 20);
    let mut entries = 0;
    for directory in stores(state) {
        let store = RocksStore::open(&directory, &memory).unwrap();
        let mut cursor = Vec::new();
        loop {
            let found = store.scan(&cursor, SCAN_BYTES).unwrap();
            let Some((last, _)) = found.last() else { break };
            cursor.clone_from(last);
            entries += found.len();
            for (key, value) in found {
                search.look(text(&directory), &[key, value].concat());
            }
        }
    }
    entries
}

/// Databases below the folder, but for the log.
fn stores(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.filter(|path| path.is_dir() && path.file_name().unwrap() != "log");
    let below = |path: PathBuf| if path.join("CURRENT").exists() { vec![path] } else { stores(&path) };
    folders.flat_map(below).collect()
}
