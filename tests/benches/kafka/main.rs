//! The engine beside bare copies, on one genuine Kafka, in turns: rows a second, CPU time of the client, memory.
//!
//! `make bench` runs it; `cargo bench -p dbintel-tests --bench kafka -- --rows 2000000 --rounds 3`. Each run is a process of its
//! own, so that its CPU time and its memory are its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is for people")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

mod copy;
mod engine;
mod measure;
mod restart;
mod split;
mod workload;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

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

/// What is measured, in turns; the first is what the others are compared with.
const RUNS: [&str; 10] =
    ["bare", "bus", "delta", "sampling", "sampling-2", "whole", "whole-2", "split", "streams", "streams-2"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["run", servers, "restart", _, state] = words.as_slice() {
        return restart::run(open(servers)?, Path::new(state));
    }
    if let ["run", servers, name, number, state] = words.as_slice() {
        println!("{}", run(servers, name, number, Path::new(state))?.to_json());
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
    let restarts = words.contains(&"--restart");
    compare(number("--rows", 2_000_000)?, rounds, if restarts { &[] } else { &runs })
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

fn open(servers: &str) -> Outcome<Arc<dyn Bus>> {
    let bootstrap_servers = vec![servers.to_owned()];
    Ok(Arc::new(KafkaBus::open(&Config { bootstrap_servers, ..Config::default() })?))
}

fn compare(rows: u64, rounds: u64, runs: &[&'static str]) -> Outcome<()> {
    let kafka = Kafka::start();
    let bus = open(&kafka.bootstrap)?;
    bus.create_topics(&planned_topics(PARTITIONS, &[]))?;
    let publisher = Publisher::new(bus.producer()?, Framings::single_object(), PARTITIONS);
    let published = workload::publish(&publisher, rows)?;
    println!("{} rows of {} bytes, {} with a delta", published.rows, published.bytes, published.again);
    let scratch = Scratch::new("bench");
    if runs.is_empty() {
        return restart::measure(&kafka.bootstrap, &publisher, scratch.path(), rounds, true);
    }
    let mut figures: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for round in 0..rounds {
        for name in runs {
            let state = scratch.path().join(format!("{name}-{round}"));
            let mut command = match name.strip_prefix("streams") {
                Some(threads) => streams(&kafka.bootstrap, threads, round),
                None => {
                    let mut command = Command::new(std::env::current_exe()?);
                    command.args(["run", &kafka.bootstrap, name, &round.to_string()]);
                    command
                }
            };
            let output =
                command.arg(&state).args(name.starts_with("streams").then(|| published.rows.to_string())).output()?;
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            let line = String::from_utf8(output.stdout)?;
            let figure: Value =
                serde_json::from_str(line.trim()).map_err(|error| format!("{name}: {error}: {line}"))?;
            println!("{name:<10} {}", to_text(&figure, &figure));
            figures.entry(name).or_default().push(figure);
        }
    }
    println!("\nmedians of {rounds}, and their ratio to the bare copy");
    let bare = median(figures.get("bare").unwrap_or(&figures[runs[0]]));
    for name in runs {
        println!("{name:<10} {}", to_text(&median(&figures[name]), &bare));
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

fn run(servers: &str, name: &str, number: &str, state: &Path) -> Outcome<Meter> {
    let bus = open(servers)?;
    let input = topic_name(Topic::RawQueries);
    let group = format!("dbintel.bench-{name}-{number}");
    match name {
        "bare" => copy::bare(&*bus, servers, &input, &format!("copy-{name}-{number}")),
        "bus" => copy::through_bus(&*bus, &input, &format!("copy-{name}-{number}")),
        "delta" => engine::run(bus, state, &group, Chain::Delta, 1),
        "sampling" => engine::run(bus, state, &group, Chain::Sampling, 1),
        "sampling-2" => engine::run(bus, state, &group, Chain::Sampling, 2),
        "whole" => engine::run(bus, state, &group, Chain::Whole, 1),
        "whole-2" => engine::run(bus, state, &group, Chain::Whole, 2),
        "split" => split::run(bus, state, &group),
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
