//! What a run costs.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Counts from the first record to the last commit.
#[derive(Debug, Default)]
pub struct Meter {
    began: Option<(Instant, Duration)>,
    /// Input records.
    pub rows: u64,
    /// Commits.
    pub commits: u64,
    /// Time in commits.
    pub committing: Duration,
    time: Duration,
    cpu: Duration,
}

impl Meter {
    /// The first record is there.
    pub fn begin(&mut self) {
        self.began.get_or_insert_with(|| (Instant::now(), cpu_time()));
    }

    /// The last one is committed.
    pub fn end(mut self) -> Meter {
        let (began, cpu) = self.began.expect("there was something to do");
        self.time = began.elapsed();
        self.cpu = cpu_time().saturating_sub(cpu);
        self
    }

    /// As one line for the process that compares.
    pub fn to_json(&self) -> Value {
        let seconds = self.time.as_secs_f64();
        json!({
            "rows": self.rows,
            "rows_per_second": self.rows as f64 / seconds,
            "cpu_seconds_per_million_rows": self.cpu.as_secs_f64() / self.rows as f64 * 1e6,
            "commit_ms": self.committing.as_secs_f64() * 1e3 / self.commits.max(1) as f64,
            "rss_mebibytes": peak_mebibytes(),
        })
    }
}

/// CPU time of this process, in ticks of 10 ms: fields 14 and 15 of its line in /proc.
fn cpu_time() -> Duration {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = line.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}
