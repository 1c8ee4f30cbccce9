//! One identity for a statement wherever it is seen: the same workload on all servers, seen by the statistics of statements and
//! by sessions sampled once a second, through the whole product.

mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Receive, Record, Start, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{EnrichedQuery, EnrichedSession, EnrichedText};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::read_all;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::wait;

use self::workload::Servers;
use crate::cli_rig::{FREE_OWN_PORTS, LIMIT, Running, text};

/// How long the workload runs. With its clients that is hundreds of samples for each server.
const WORK: Duration = Duration::from_secs(30);
/// Samples of a server below which it was not looked at.
const SAMPLES_MIN: usize = 150;
/// Part of the samples whose statement has to be that of a statement record.
const JOINED_MIN: f64 = 0.999;

/// What the driver of the load asks MariaDB and MySQL while it connects, before they count statements for the session.
const OF_DRIVER: &str = "SELECT @@";

/// A sample of a session.
#[derive(Debug, Clone)]
struct Sample {
    fingerprint: Option<String>,
    source: Option<String>,
    is_cut: bool,
    text: Option<String>,
}

/// What was seen of one server.
#[derive(Debug, Default)]
struct Seen {
    samples: Vec<Sample>,
    /// Fingerprints of statement records.
    counted: BTreeSet<String>,
    /// Texts of the dictionary by fingerprint.
    texts: BTreeMap<String, String>,
}

fn configuration(servers: &Servers) -> String {
    let mut pollers = String::new();
    for (name, postgres) in &servers.postgres {
        pollers += &format!(
            "  postgresql/{name}: {{endpoint: '{HOST}:{}', username: postgres, connections_max: 1, statements: {{interval: \
             2s}}}}\n",
            postgres.port
        );
    }
    for (name, mysql) in &servers.mysql {
        pollers += &format!(
            "  mysql/{name}: {{endpoint: '{HOST}:{}', username: watcher, password: watcher, statements: {{interval: 2s}}}}\n",
            mysql.port
        );
    }
    let names: Vec<&str> = pollers.lines().filter_map(|line| line.trim().split(": ").next()).collect();
    format!(
        "pollers:\n{pollers}sinks: {{debug: {{verbosity: basic}}}}\npipelines: {{main: {{pollers: [{}], sinks: [debug]}}}}\n",
        names.join(", ")
    )
}

fn look(log: &dyn Bus) -> BTreeMap<String, Seen> {
    let schemas = Schemas::new();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    for record in read_all(log, Topic::EnrichedSessions, 0) {
        let mut scratch = Vec::new();
        let row: EnrichedSession<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        if row.user == Some("shop") && row.backend_type == Some("client backend") {
            seen.entry(row.target.to_owned()).or_default().samples.push(Sample {
                fingerprint: owned(row.fingerprint),
                source: owned(row.fingerprint_source),
                is_cut: row.text_truncated,
                text: owned(row.text),
            });
        }
    }
    for record in read_all(log, Topic::EnrichedQueries, 0) {
        let mut scratch = Vec::new();
        let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        seen.entry(row.target.to_owned()).or_default().counted.extend(owned(row.fingerprint));
    }
    for record in read_all(log, Topic::EnrichedTexts, 0) {
        let mut scratch = Vec::new();
        let row: EnrichedText<'_> = schemas.read(&record.value, &mut scratch).unwrap();
        if let Some(fingerprint) = row.fingerprint {
            let texts = &mut seen.entry(row.target.to_owned()).or_default().texts;
            texts.insert(fingerprint.to_owned(), row.text.unwrap_or_default().to_owned());
        }
    }
    seen
}

impl Seen {
    fn is_joined(&self, sample: &Sample) -> bool {
        sample.fingerprint.as_ref().is_some_and(|fingerprint| self.counted.contains(fingerprint))
    }

    /// Whether enough samples of a server were joined, and how they were.
    fn check(&self, target: &str) -> (bool, String) {
        let of_load = self.samples.iter().filter(|sample| !self.shown(sample).starts_with(OF_DRIVER));
        let (cut, whole): (Vec<&Sample>, Vec<&Sample>) = of_load.partition(|sample| sample.is_cut);
        let joined = whole.iter().filter(|sample| self.is_joined(sample)).count();
        let cut_joined = cut.iter().filter(|sample| self.is_joined(sample)).count();
        let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
        for sample in &self.samples {
            *sources.entry(sample.source.as_deref().unwrap_or("none")).or_default() += 1;
        }
        let lost: BTreeSet<_> = whole.iter().filter(|sample| !self.is_joined(sample)).map(|s| self.shown(s)).collect();
        let said = format!(
            "{target}: {joined} of {} whole and {cut_joined} of {} cut samples joined, by {sources:?}; not joined: {lost:?}",
            whole.len(),
            cut.len()
        );
        let is_good = whole.len() >= SAMPLES_MIN && joined as f64 >= JOINED_MIN * whole.len() as f64;
        (is_good, said)
    }

    fn shown(&self, sample: &Sample) -> String {
        let known = sample.fingerprint.as_ref().and_then(|fingerprint| self.texts.get(fingerprint));
        sample.text.as_ref().or(known).cloned().unwrap_or_default()
    }

    /// Fingerprints of whole samples.
    fn whole(&self) -> BTreeSet<&String> {
        self.samples.iter().filter(|sample| !sample.is_cut).filter_map(|sample| sample.fingerprint.as_ref()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_statements_are_one_on_every_server() {
    let servers = Servers::start().await;
    let scratch = Scratch::new("statements");
    let file = scratch.write("dbintel.yaml", &configuration(&servers));
    let mut arguments = vec!["up", "--quiet", "--config", text(&file)];
    arguments.extend(FREE_OWN_PORTS);
    let mut up = Running::start(&arguments, &[]);
    up.wait_until_ready();
    servers.work(WORK).await;

    let directory = up.scratch.path().join("log");
    let log = Embedded::open_reader(&Config { directory, ..Config::default() }).unwrap();
    // Everything that completed is in the statistics of the next poll, and its text in the one after.
    let polls = || read_all(&log, Topic::RawPolls, 0).len();
    let before = polls();
    wait::blocking(LIMIT, "further polls", || (polls() > before + 150).then_some(()));
    assert!(up.process.stop().success(), "{}", up.process.log());

    let seen = look(&log);
    let (good, said): (Vec<bool>, Vec<String>) = seen.iter().map(|(target, seen)| seen.check(target)).unzip();
    assert!(good.iter().all(|good| *good), "{}", said.join("\n"));
    println!("{}", said.join("\n"));
    assert_eq!(seen.len(), 5, "{:?}", seen.keys());
    for (one, other) in [("pg13", "pg18"), ("pg18", "pg13"), ("mariadb10", "mariadb11"), ("mysql9", "mariadb11")] {
        let texts = &seen[other].texts;
        let unknown: Vec<_> = seen[one].whole().into_iter().filter(|known| !texts.contains_key(*known)).collect();
        let unknown: Vec<_> = unknown.iter().map(|fingerprint| &seen[one].texts[*fingerprint]).collect();
        assert!(unknown.is_empty(), "{one} has another fingerprint than {other} for {unknown:?}");
    }
    cut_texts_are_joined_where_they_can_be(&seen);
    a_trace_is_a_field_and_a_header(&log);
}

/// By the server's identifier where it tells one; else by a unique beginning, and where there is none, not at all.
fn cut_texts_are_joined_where_they_can_be(seen: &BTreeMap<String, Seen>) {
    let sources = |target: &str| -> BTreeMap<(String, bool), usize> {
        let mut sources = BTreeMap::new();
        for sample in seen[target].samples.iter().filter(|sample| sample.is_cut) {
            let source = sample.source.clone().unwrap_or_default();
            *sources.entry((source, seen[target].is_joined(sample))).or_default() += 1;
        }
        sources
    };
    // As long as a statement was never executed to its end, no record says what its identifier means.
    for target in ["pg18", "mysql9"] {
        let by = sources(target);
        let joined = by.get(&("query_id".to_owned(), true)).copied().unwrap_or_default();
        assert!(by.len() <= 2 && joined > by.values().sum::<usize>() / 2, "{target}: {by:?}");
        assert!(by.keys().all(|(source, joined)| (source == "query_id") == *joined), "{target}: {by:?}");
    }
    let by = sources("pg13");
    assert!(by.get(&("prefix".to_owned(), true)).is_some_and(|samples| *samples > 0), "{by:?}");
    assert!(by.get(&("partial".to_owned(), false)).is_some_and(|samples| *samples > 0), "{by:?}");
    assert!(by.keys().all(|(source, joined)| (source == "prefix") == *joined), "{by:?}");
    for target in ["mariadb10", "mariadb11"] {
        assert!(sources(target).is_empty(), "{target} has whole texts");
    }
}

fn a_trace_is_a_field_and_a_header(log: &dyn Bus) {
    struct Traced {
        schemas: Schemas,
        found: usize,
        at_end: bool,
    }
    impl Receive for Traced {
        fn record(&mut self, record: Record<'_>) {
            let mut scratch = Vec::new();
            let row: EnrichedSession<'_> = self.schemas.read(record.value.unwrap(), &mut scratch).unwrap();
            if row.traceparent.is_some() {
                assert_eq!(row.traceparent, Some(workload::TRACEPARENT));
                assert!(row.tags.iter().any(|tag| tag == ("controller", "shop")), "{row:?}");
                self.found += 1;
            }
        }

        fn at_end(&mut self, _: usize, _: u32, _: i64) {
            self.at_end = true;
        }
    }
    let topic = topic_name(Topic::EnrichedSessions);
    let partitions = vec![Position { topic, partition: 0, start: Start::Beginning }];
    let mut reader = log.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut traced = Traced { schemas: Schemas::new(), found: 0, at_end: false };
    while !traced.at_end {
        reader.read(Duration::from_millis(100), 1000, &mut traced).unwrap();
    }
    assert!(traced.found > 10, "{}", traced.found);
}
