//! The engine beside bare copies, on one genuine Kafka, in turns: rows a second, CPU time of the client, memory.
//!
//! `make bench` runs it; `cargo bench -p dbintel-tests --bench kafka -- --rows 2000000 --rounds 3`. Each run is a process of its
//! own, so that its CPU time and its memory are its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for people")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod copy;
mod engine;
mod latency;
mod measure;
mod oracle;
mod restart;
mod split;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use dbintel_bus::embedded::{self, Embedded};
use dbintel_bus::kafka::{Config, Kafka as KafkaBus};
use dbintel_bus::{Bus, Framings, Publisher, planned_topics, topic_name};
use dbintel_schemas::Topic;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::installed;
use dbintel_tests::servers::kafka::Kafka;
use serde_json::Value;

use self::engine::Chain;
use self::measure::{Meter, Outcome};
use self::workload::PARTITIONS;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What is measured, in turns; the first is what the others are compared with. `@embedded` is on the embedded log.
const RUNS: [&str; 15] = [
    "bare",
    "bus",
    "pass",
    "delta",
    "sampling",
    "sampling-2",
    "whole",
    "whole-2",
    "split",
    "streams",
    "streams-2",
    "bus@embedded",
    "pass@embedded",
    "sampling@embedded",
    "whole@embedded",
];

/// The two logs.
const LOGS: [&str; 2] = ["kafka", "embedded"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["run", log, name, number, state] = words.as_slice() {
        let (bus, state) = (open(log)?, Path::new(state));
        match *name {
            "restart" => restart::run(bus, state)?,
            "latency" => println!("{}", latency::run(bus, state, "dbintel.bench-latency")?),
            _ => println!("{}", run(bus, log, name, number, state)?.to_json()),
        }
        return Ok(());
    }
    let number = |flag: &str, default: u64| -> Outcome<u64> {
        let value = words.iter().position(|word| *word == flag).and_then(|place| words.get(place + 1));
        Ok(value.map_or(Ok(default), |value| value.parse())?)
    };
    let only = words.iter().position(|word| *word == "--only").and_then(|place| words.get(place + 1));
    let wanted = |run: &&str| only.is_none_or(|only| only.split(',').any(|name| name == *run));
    let runs: Vec<&'static str> = RUNS.into_iter().filter(wanted).collect();
    let rounds = number("--rounds", 3)?;
    if words.contains(&"--restore") {
        return restore(number("--statements", 62_500)?, rounds);
    }
    if words.contains(&"--latency") {
        return latencies(rounds);
    }
    let restarts = words.contains(&"--restart");
    compare(number("--rows", 2_000_000)?, rounds, if restarts { &[] } else { &runs })?;
    if only.is_some() || restarts { Ok(()) } else { latencies(rounds) }
}

/// How long it takes to fill the state of so many statements for each target from the changelog alone.
fn restore(statements: u64, rounds: u64) -> Outcome<()> {
    let kafka = Kafka::start();
    let bus = open(&kafka.bootstrap)?;
    bus.create_topics(&planned_topics(PARTITIONS, &[]))?;
    let publisher = Publisher::new(bus.producer()?, Framings::single_object(), PARTITIONS);
    let published = workload::publish_each(&publisher, statements)?;
    println!("{} statements", published.rows);
    let scratch = Scratch::new("bench");
    restart::measure(&kafka.bootstrap, &publisher, &scratch.path().join("state"), rounds, false)
}

/// A log: a directory of the embedded one, or the address of a broker.
fn open(log: &str) -> Outcome<Arc<dyn Bus>> {
    if log.starts_with('/') {
        let config = embedded::Config { directory: log.into(), ..embedded::Config::default() };
        return Ok(Arc::new(Embedded::open(&config)?));
    }
    let bootstrap_servers = vec![log.to_owned()];
    Ok(Arc::new(KafkaBus::open(&Config { bootstrap_servers, ..Config::default() })?))
}

/// Runs this program again, for one run on a log, and gives what it printed.
fn run_alone(log: &str, name: &str, number: u64, state: &Path) -> Outcome<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    figure(name, command.args(["run", log, name, &number.to_string()]).arg(state))
}

fn figure(name: &str, command: &mut Command) -> Outcome<Value> {
    let output = command.output()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(line.trim()).map_err(|error| format!("{name}: {error}: {line}"))?)
}

/// From the end of a read to a reader of the outputs, each time on a log of its own.
fn latencies(rounds: u64) -> Outcome<()> {
    println!("\nfrom the end of a read to a reader of the outputs, 10,000 rows/s");
    for (round, log) in (0..rounds).flat_map(|round| LOGS.map(|log| (round, log))) {
        let scratch = Scratch::new("bench");
        let kafka = (log == "kafka").then(Kafka::start);
        let directory = scratch.path().join("log").display().to_string();
        let address = kafka.as_ref().map_or(&directory, |kafka| &kafka.bootstrap);
        let found = run_alone(address, "latency", round, &scratch.path().join("state"))?;
        let ms = |name| field(&found, name);
        println!(
            "{log:<10} {} rows kept, p50 {:.0} ms, p99 {:.0} ms, longest {:.0} ms",
            found["rows"],
            ms("p50_ms"),
            ms("p99_ms"),
            ms("max_ms")
        );
    }
    Ok(())
}

/// Brings the workload to a log, and gives the number of its rows.
fn fill(log: &str, rows: u64) -> Outcome<(Publisher, u64)> {
    let bus = open(log)?;
    bus.create_topics(&planned_topics(PARTITIONS, &[]))?;
    let publisher = Publisher::new(bus.producer()?, Framings::single_object(), PARTITIONS);
    let published = workload::publish(&publisher, rows)?;
    println!("{} rows of {} bytes, {} with a delta", published.rows, published.bytes, published.again);
    Ok((publisher, published.rows))
}

fn compare(rows: u64, rounds: u64, runs: &[&'static str]) -> Outcome<()> {
    let kafka = Kafka::start();
    let (publisher, filled) = fill(&kafka.bootstrap, rows)?;
    let scratch = Scratch::new("bench");
    if runs.is_empty() {
        return restart::measure(&kafka.bootstrap, &publisher, scratch.path(), rounds, true);
    }
    let directory = scratch.path().join("log").display().to_string();
    if runs.iter().any(|run| run.ends_with("@embedded")) {
        // Dropped at once: one process at a time has the log open.
        drop(fill(&directory, rows)?);
    }
    let mut figures: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (round, name) in (0..rounds).flat_map(|round| runs.iter().map(move |name| (round, *name))) {
        let (run, log) = name.split_once('@').map_or((name, &kafka.bootstrap), |(run, _)| (run, &directory));
        let state = scratch.path().join(format!("{name}-{round}"));
        let from = oracle::ends(&*open(log)?)?;
        let found = match run.strip_prefix("streams") {
            Some(threads) => figure(name, streams(log, threads, round).arg(&state).arg(filled.to_string()))?,
            None => run_alone(log, run, round, &state)?,
        };
        println!("{name:<17} {}", to_text(&found, &found));
        if let Some(chain) = chain(run) {
            println!("{:<17} {} outputs, all as expected", "", oracle::check(&*open(log)?, chain, &from)?);
        }
        figures.entry(name).or_default().push(found);
    }
    println!("\nmedians of {rounds}, and their ratio to {}", runs[0]);
    let first = median(&figures[runs[0]]);
    for name in runs {
        println!("{name:<17} {}", to_text(&median(&figures[name]), &first));
    }
    Ok(())
}

/// Kafka Streams, as it comes with the broker, compiled as it starts; `threads` is empty or `-2`.
fn streams(servers: &str, threads: &str, round: u64) -> Command {
    let mut command = Command::new("java");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/kafka/Streams.java");
    let jars = format!("{}/*", installed("kafka").join("lib").display());
    let (threads, application) = (threads.strip_prefix('-').unwrap_or("1"), format!("streams{threads}-{round}"));
    command.args(["-Xmx1g", "-cp", &jars, source, servers, threads, &application]);
    command
}

/// What a run's pipeline does; none for what is no pipeline of ours.
fn chain(run: &str) -> Option<Chain> {
    Some(match run {
        "pass" => Chain::Pass,
        "delta" => Chain::Delta,
        "sampling" | "sampling-2" => Chain::Sampling,
        "whole" | "whole-2" | "split" => Chain::Whole,
        _ => return None,
    })
}

fn run(bus: Arc<dyn Bus>, log: &str, name: &str, number: &str, state: &Path) -> Outcome<Meter> {
    let input = topic_name(Topic::RawQueries);
    let output = format!("copy-{name}-{number}");
    let group = format!("dbintel.bench-{name}-{number}");
    let workers = if name.ends_with("-2") { 2 } else { 1 };
    match (name, chain(name)) {
        ("bare", _) => copy::bare(&*bus, log, &input, &output),
        ("bus", _) => copy::through_bus(&*bus, &input, &output),
        ("split", _) => split::run(bus, state, &group),
        (_, Some(chain)) => engine::run(bus, state, &group, chain, workers),
        _ => Err(format!("there is no run {name}").into()),
    }
}

fn field(figure: &Value, name: &str) -> f64 {
    figure[name].as_f64().unwrap_or(0.0)
}

fn median(figures: &[Value]) -> Value {
    let mut sorted = figures.to_vec();
    sorted.sort_by(|a, b| field(a, "rows_per_second").total_cmp(&field(b, "rows_per_second")));
    sorted.swap_remove(sorted.len() / 2)
}

fn to_text(figure: &Value, bare: &Value) -> String {
    let (speed, cpu) = ("rows_per_second", "cpu_seconds_per_million_rows");
    format!(
        "{:>9.0} rows/s ({:.2}) {:>6.2} CPU-s per million rows ({:.2}) {:>5.0} MiB, commits of {:.0} ms",
        field(figure, speed),
        field(figure, speed) / field(bare, speed),
        field(figure, cpu),
        field(figure, cpu) / field(bare, cpu),
        field(figure, "rss_mebibytes"),
        field(figure, "commit_ms"),
    )
}
