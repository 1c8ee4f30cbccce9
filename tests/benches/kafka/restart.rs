//! How long a process that was killed takes to be back: its state lies on disk, up to the last time it was written there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dbintel_bus::{Bus, Publisher, Slot, planned_topics, topic_name};
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics};

use crate::engine::{Chain, pipeline};
use crate::measure::Outcome;
use crate::workload::{self, PARTITIONS};

const WORKERS: usize = 2;
const GROUP: &str = "dbintel.bench-restart";

/// Processes everything, kills the process, publishes a little more, and starts the next one; so many times. `keeps_state` says
/// whether it finds the state on disk or has to get it from the changelog.
pub fn measure(servers: &str, publisher: &Publisher, state: &Path, rounds: u64, keeps_state: bool) -> Outcome<()> {
    let mut running = start(servers, state)?;
    wait_for(&mut running, "done")?;
    for round in 0..rounds {
        running.kill()?;
        running.wait()?;
        println!("state on disk {} MiB", mebibytes(state));
        if !keeps_state {
            std::fs::remove_dir_all(state)?;
        }
        workload::publish_again(publisher, round)?;
        running = start(servers, state)?;
        println!("{}", wait_for(&mut running, "first")?);
        wait_for(&mut running, "done")?;
    }
    running.kill()?;
    running.wait()?;
    Ok(())
}

fn start(servers: &str, state: &Path) -> Outcome<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", servers, "restart", "0"]).arg(state).stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn wait_for(child: &mut Child, word: &str) -> Outcome<String> {
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().ok_or("no output")?);
    while reader.read_line(&mut line)? > 0 && !line.starts_with(word) {
        line.clear();
    }
    if line.is_empty() { Err(format!("the process ended before it said {word}").into()) } else { Ok(line) }
}

fn mebibytes(folder: &Path) -> u64 {
    bytes(folder) >> 20
}

fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// The process that is killed: says when its first row is committed, and when it has done everything; then it waits.
pub fn run(bus: Arc<dyn Bus>, state: &Path) -> Outcome<()> {
    let (started, group) = (Instant::now(), GROUP);
    bus.create_topics(&planned_topics(PARTITIONS, &[group]))?;
    let mut config = GroupConfig::new(group, vec![pipeline(Chain::Sampling)?], state.to_path_buf());
    config.workers = WORKERS;
    config.slot = Slot { name: "bench".to_owned(), kept: true };
    let metrics = Metrics::register(&prometheus::Registry::new(), group)?;
    let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let running = Group::start(config, Arc::clone(&bus), metrics.clone(), StoreMemory::new(64 << 20).stores())?;
    let ready = running.readiness();
    let say = |line: String| -> Outcome<()> {
        println!("{line}");
        Ok(std::io::stdout().flush()?)
    };
    let wait = |until: &dyn Fn() -> Outcome<bool>| -> Outcome<Duration> {
        while !until()? {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(started.elapsed())
    };
    let ready_after = wait(&|| Ok(ready()))?;
    let first_after = wait(&|| Ok(metrics.commits.get() > 0))?;
    say(format!(
        "first commit {first_after:.0?} after the start; all partitions there after {ready_after:.0?}; {} restores took {:.0?} together",
        metrics.restore_seconds.get_sample_count(),
        Duration::from_secs_f64(metrics.restore_seconds.get_sample_sum()),
    ))?;
    let end = |partition| Ok(bus.offsets(&topics[1], partition)?.stable_end);
    let rows: i64 = (0..PARTITIONS).map(end).sum::<Outcome<i64>>()?;
    wait(&|| {
        let committed = bus.committed(group, &topics[1..2])?;
        Ok(committed.iter().map(|position| position.next_offset).sum::<i64>() >= rows)
    })?;
    say("done".to_owned())?;
    loop {
        std::thread::park();
    }
}
