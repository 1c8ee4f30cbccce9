//! A writer that is killed leaves whole transactions and nothing else.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use dbintel_bus::Bus;
use dbintel_bus::embedded::{Config, Embedded};

use super::scene::read_keys;

/// A process that writes until it is killed.
pub(crate) struct WriterProcess {
    process: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    /// Last transaction that it said was committed.
    pub committed: i64,
    /// Last record that it said was durable outside of a transaction.
    pub flushed: i64,
}

impl WriterProcess {
    pub(crate) fn start(directory: &Path) -> WriterProcess {
        let mut process = Command::new(env!("CARGO_BIN_EXE_bus-writer"))
            .arg(directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts");
        let output = process.stdout.take().expect("its output is piped");
        WriterProcess { process, lines: BufReader::new(output).lines(), committed: -1, flushed: -1 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has committed this many more transactions.
    pub(crate) fn commits(&mut self, count: i64) {
        let mut commits = 0;
        while commits < count {
            commits += i64::from(self.line());
        }
    }

    /// Reads a line; whether it was a commit.
    fn line(&mut self) -> bool {
        let line = self.lines.next().expect("the writer writes until it is killed").unwrap();
        let (what, number) = line.split_once(' ').unwrap();
        match what {
            "committed" => self.committed = number.parse().unwrap(),
            _ => self.flushed = number.parse().unwrap(),
        }
        what == "committed"
    }

    /// SIGKILL, wherever it is. What it said before that counts.
    pub(crate) fn kill(mut self) -> (i64, i64) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        for line in self.lines.by_ref().map_while(Result::ok) {
            match line.split_once(' ') {
                Some(("committed", number)) => self.committed = number.parse().unwrap_or(self.committed),
                Some(("flushed", number)) => self.flushed = number.parse().unwrap_or(self.flushed),
                _ => {}
            }
        }
        (self.committed, self.flushed)
    }
}

#[test]
fn sigkill_leaves_whole_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let mut so_far = 0;
    for round in 0..10 {
        let mut writer = WriterProcess::start(directory.path());
        writer.commits(1 + round * 17);
        let (committed, flushed) = writer.kill();
        let found = check(directory.path());
        assert!(found > committed, "round {round}: {committed} was committed and {found} were found");
        assert!(found > so_far, "round {round}: the writer went on from where it was");
        assert!(read_plain(directory.path()).last().is_some_and(|last| *last >= flushed), "what was flushed is there");
        so_far = found;
    }
}

/// Every topic and the position agree on how many transactions there were; returns how many.
fn check(directory: &Path) -> i64 {
    let bus = Embedded::open(&Config { directory: directory.to_owned(), ..Config::default() }).unwrap();
    let committed = bus.committed("writer", &["input".to_owned()]).unwrap();
    let transactions = committed[0].next_offset;
    assert_eq!(committed[0].metadata, (transactions - 1).to_string());
    let kept_from = bus.offsets("first", 0).unwrap().start;
    assert_eq!(read_keys(&bus, "first"), (kept_from..transactions).collect::<Vec<_>>());
    assert_eq!(read_keys(&bus, "second"), (0..transactions).collect::<Vec<_>>());
    let ends = ["first", "second"].map(|topic| bus.offsets(topic, 0).unwrap().end);
    assert_eq!(ends, [transactions; 2]);
    transactions
}

/// The records sent outside of transactions: no gap, though the last ones may be missing or there twice after a crash.
fn read_plain(directory: &Path) -> Vec<i64> {
    let bus = Embedded::open_reader(&Config { directory: directory.to_owned(), ..Config::default() }).unwrap();
    let numbers = read_keys(&bus, "plain");
    assert!(numbers.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no record is missing in between");
    numbers
}
