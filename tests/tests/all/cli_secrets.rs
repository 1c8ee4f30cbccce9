//! No secret of a statement is anywhere but where `text: raw` puts it: not on the log, not in state, not on a page, not with
//! a receiver, not in a message, not in a file; after kill -9 neither.

mod planted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawPoll, RawVerbatim};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::collector::Collector;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait;
use tokio::sync::watch;
use tokio::time::timeout;

use self::planted::SECRETS;
use crate::cli_rig::{FREE_PORTS, LIMIT, Running, text};
use crate::search::Search;

/// Time between two samples, and between two polls of the statistics.
const POLLS: &str = "sessions: {interval: 1s}, statements: {interval: 2s}";

/// Each of four servers, twice.
const TARGETS: usize = 8;

struct Servers {
    postgres: [(&'static str, Postgres); 2],
    mysql: [(&'static str, Mysql); 2],
}

/// Each server twice: as always, and with `text: raw`. Each password and header is a secret as well.
fn configuration(servers: &Servers, collector: &Collector) -> String {
    let mut pollers = String::new();
    for (suffix, more) in [("", ""), ("-raw", ", text: raw")] {
        for (name, server) in &servers.postgres {
            pollers += &format!(
                "  postgresql/{name}{suffix}: {{endpoint: '{HOST}:{}', username: postgres, password: geheim-password, \
                 {POLLS}{more}}}\n",
                server.port
            );
        }
        for (name, server) in &servers.mysql {
            pollers += &format!(
                "  mysql/{name}{suffix}: {{endpoint: '{HOST}:{}', username: watcher, password: geheim-password, {POLLS}{more}}}\n",
                server.port
            );
        }
    }
    let (_, mysql) = &servers.mysql[0];
    pollers +=
        &format!("  mysql/refused: {{endpoint: '{HOST}:{}', username: watcher, password: geheim-wrong}}\n", mysql.port);
    let names: Vec<&str> = pollers.lines().filter_map(|line| line.trim().split(": ").next()).collect();
    format!(
        "pollers:\n{pollers}sinks:\n  debug: {{verbosity: detailed}}\n  prometheus: {{}}\n  otlp: {{endpoint: '{}', headers: {{authorization: 'Bearer geheim-token'}}}}\npipelines: {{main: {{pollers: [{}], sinks: [debug, \
         prometheus, otlp]}}}}\n",
        collector.grpc,
        names.join(", ")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_statement_is_anywhere() {
    let servers = Servers {
        postgres: [("pg13", Postgres::start(Major::V13)), ("pg18", Postgres::start(Major::V18))],
        mysql: [("mysql9", Mysql::start(Flavour::Mysql9)), ("mariadb11", Mysql::start(Flavour::Mariadb11))],
    };
    for (_, server) in &servers.postgres {
        planted::prepare_postgresql(server).await;
    }
    for (_, server) in &servers.mysql {
        planted::prepare_mysql(server, "geheim-password").await;
    }
    let collector = Collector::start();
    let scratch = Scratch::new("secrets");
    let file = scratch.write("dbintel.yaml", &configuration(&servers, &collector));
    let mut arguments = vec!["up", "--log-level", "debug", "--config", text(&file)];
    arguments.extend(FREE_PORTS);
    let mut up = Running::start(&arguments, &[]);
    let mut search = Search::new(&SECRETS);

    up.port("export");
    work(&servers, &mut up, &mut search).await;
    up.process.kill9();
    search.files(up.scratch.path(), is_not_log);
    up.process.start_again();
    work(&servers, &mut up, &mut search).await;
    // What did not come to its end before the kill is exported by now.
    assert!(up.process.stop().success(), "{}", up.process.log());

    search.files(up.scratch.path(), is_not_log);
    search.look("the log of the receiver", collector.process.log().as_bytes());
    let log = up.scratch.path().join("log");
    let records = search.log(&log, |topic| topic != topic_name(Topic::RawVerbatim));
    let entries = search.state(up.scratch.path());
    let texts = collector.received().logs.len();
    assert!(records > 1000 && entries > 100 && texts > 50, "{records} records, {entries} entries, {texts} texts");
    assert_eq!(search.found, Vec::<String>::new(), "{} places", search.places);
    secrets_were_there(&*open(log));
}

/// When the newest sample of sessions began, by target, in microseconds since 1970.
type Newest = BTreeMap<String, i64>;

/// Tells when each target was sampled.
#[derive(Clone)]
struct Samples(watch::Receiver<Newest>);

impl Samples {
    /// Follows the log for as long as somebody listens.
    fn of(directory: PathBuf) -> Samples {
        let (sender, receiver) = watch::channel(Newest::new());
        thread::spawn(move || {
            let log = open(directory);
            while !sender.is_closed() {
                sender.send_replace(good_polls(&*log, "sessions").collect());
                thread::sleep(Duration::from_millis(200));
            }
        });
        Samples(receiver)
    }

    /// Waits until every target has had a sample that began after the call.
    async fn one_of_each(&self) {
        let called_at = wall_us();
        let all_have =
            |newest: &Newest| newest.len() == TARGETS && newest.values().all(|began_at| *began_at > called_at);
        let mut receiver = self.0.clone();
        let waited =
            timeout(LIMIT, receiver.wait_for(all_have)).await.map(|newest| drop(newest.expect("they are followed")));
        assert!(waited.is_ok(), "no sample of every target after {called_at}: {:?}", self.0.borrow());
    }
}

fn open(directory: PathBuf) -> Arc<dyn Bus> {
    Arc::new(Embedded::open_reader(&Config { directory, ..Config::default() }).unwrap())
}

/// The polls of a class that went well, as they follow each other: the target, and when they began.
fn good_polls(log: &dyn Bus, class: &str) -> impl Iterator<Item = (String, i64)> {
    let schemas = Schemas::new();
    read_all(log, Topic::RawPolls, 0).into_iter().filter_map(move |record| {
        let mut scratch = Vec::new();
        let poll: RawPoll<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        (poll.poll_class == class && poll.outcome == "ok").then(|| (poll.target.to_owned(), poll.started_at))
    })
}

fn wall_us() -> i64 {
    UNIX_EPOCH.elapsed().unwrap().as_micros().try_into().unwrap()
}

/// Executes all statements, waits until they were polled, and looks at the pages.
async fn work(servers: &Servers, up: &mut Running, search: &mut Search<'_>) {
    let [(_, pg13), (_, pg18)] = &servers.postgres;
    let [(_, mysql), (_, mariadb)] = &servers.mysql;
    let directory = up.scratch.path().join("log");
    let samples = Samples::of(directory.clone());
    tokio::join!(
        planted::execute_on_postgresql(pg13, &samples),
        planted::execute_on_postgresql(pg18, &samples),
        planted::execute_on_mysql(mysql, &samples),
        planted::execute_on_mysql(mariadb, &samples),
    );
    let (log, executed_at) = (open(directory), wall_us());
    // Texts are read right after the statements that were not seen before.
    wait::blocking(LIMIT, "polls of statements", || {
        let mut polls: BTreeMap<String, usize> = BTreeMap::new();
        for (target, _) in good_polls(&*log, "statements").filter(|(_, began_at)| *began_at > executed_at) {
            *polls.entry(target).or_default() += 1;
        }
        (polls.len() == TARGETS && polls.values().all(|count| *count >= 2)).then_some(())
    });
    for (of, path) in [("metrics", "/metrics"), ("export", "/metrics"), ("health", "/readyz?verbose")] {
        search.look(&format!("the page of {of}"), &up.get(of, path).body);
    }
}

/// The files of the log hold the texts of the targets that ask for it; its records are looked at one by one.
fn is_not_log(path: &Path) -> bool {
    path.file_name().unwrap() != "log"
}

/// Texts as they were sent are those of the targets that ask for it; and they show that the others had secrets to hide.
fn secrets_were_there(log: &dyn Bus) {
    let schemas = Schemas::new();
    let mut seen = BTreeSet::new();
    for record in read_all(log, Topic::RawVerbatim, 0) {
        let mut scratch = Vec::new();
        let row: RawVerbatim<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        let target = row.target.strip_suffix("-raw").unwrap_or_else(|| panic!("{row:?}")).to_owned();
        let words = row.text.split("geheim").skip(1).filter_map(|rest| rest.get(..2));
        seen.extend(words.map(|number| (target.clone(), number.to_owned())));
    }
    let unseen = |target: &str, statements: &[&'static str]| -> Vec<&'static str> {
        let is_seen = |number: usize| seen.contains(&(target.to_owned(), planted::word(number)[6..].to_owned()));
        // MySQL shows passwords to nobody.
        let is_hidden = |sql: &str| target == "mysql9" && (sql.contains("PASSWORD") || sql.contains("IDENTIFIED"));
        let has_secret = |number: &usize| statements[*number].contains("{s}") && !is_hidden(statements[*number]);
        let numbers = (0..statements.len()).filter(|number| has_secret(number) && !is_seen(*number));
        numbers.map(|number| statements[number]).collect()
    };
    for (target, statements) in [
        ("pg13", &planted::POSTGRESQL[..]),
        ("pg18", &planted::POSTGRESQL),
        ("mysql9", &planted::MYSQL),
        ("mariadb11", &planted::MYSQL),
    ] {
        assert_eq!(unseen(target, statements), [""; 0], "{target} had none of these");
    }
}
