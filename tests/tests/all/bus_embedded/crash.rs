//! A writer that is killed leaves whole transactions and nothing else.

use std::path::Path;
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, Isolation, Position, ReaderSpec, Record, Start};
use dbintel_tests::process::{Process, Program};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;

use super::scene::{LIMIT, read_keys};

/// Keys of the compacted topic of the writer.
const KEYS: i64 = 7;

/// A process that writes until it is killed.
pub(crate) struct WriterProcess {
    process: Process,
    _scratch: Scratch,
    /// Last transaction that it said was committed.
    pub committed: i64,
    /// Last record that it said was durable outside of a transaction.
    pub flushed: i64,
}

impl WriterProcess {
    pub(crate) fn start(directory: &Path) -> WriterProcess {
        let scratch = Scratch::new("writer");
        let program = Program::new(env!("CARGO_BIN_EXE_bus-writer"), scratch.path());
        let process = Process::start(program.arguments([directory.to_str().unwrap()]));
        WriterProcess { process, _scratch: scratch, committed: -1, flushed: -1 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it has committed this many more transactions.
    pub(crate) fn commits(&mut self, count: usize) {
        let enough = self.listen() + count;
        wait::blocking(LIMIT, "commits of the writer", || (self.listen() >= enough).then_some(()));
    }

    /// Takes what it has said; gives how many commits that were in all.
    fn listen(&mut self) -> usize {
        let (log, mut commits) = (self.process.log(), 0);
        for line in log.lines() {
            match line.split_once(' ').map(|(what, number)| (what, number.parse())) {
                Some(("committed", Ok(number))) => (self.committed, commits) = (number, commits + 1),
                Some(("flushed", Ok(number))) => self.flushed = number,
                _ => panic!("the writer says: {log}"),
            }
        }
        commits
    }

    /// SIGKILL, wherever it is. What it said before that counts.
    pub(crate) fn kill(mut self) -> (i64, i64) {
        self.process.kill9();
        self.listen();
        (self.committed, self.flushed)
    }
}

#[test]
fn sigkill_leaves_whole_transactions() {
    let scratch = Scratch::new("log");
    let mut so_far = 0;
    for round in 0..10 {
        let mut writer = WriterProcess::start(scratch.path());
        writer.commits(1 + round * 17);
        let (committed, flushed) = writer.kill();
        let found = check(scratch.path());
        assert!(found > committed, "round {round}: {committed} was committed and {found} were found");
        assert!(found > so_far, "round {round}: the writer went on from where it was");
        assert!(read_plain(scratch.path()).last().is_some_and(|last| *last >= flushed), "what was flushed is there");
        so_far = found;
    }
    let bus = Embedded::open_reader(&Config { directory: scratch.path().to_owned(), ..Config::default() }).unwrap();
    assert!(bus.offsets("aging", 0).unwrap().start > 0, "retention was at work");
    assert!(read_keys(&bus, "latest").len() < usize::try_from(so_far).unwrap() / 2, "compaction was at work");
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
    let aging_from = bus.offsets("aging", 0).unwrap().start;
    assert_eq!(read_keys(&bus, "aging"), (aging_from..transactions).collect::<Vec<_>>());
    check_latest(&bus, transactions);
    let ends = ["first", "second", "aging", "latest"].map(|topic| bus.offsets(topic, 0).unwrap().end);
    assert_eq!(ends, [transactions; 4]);
    transactions
}

/// The last record of each key is there; others may be, and all in order.
fn check_latest(bus: &dyn Bus, transactions: i64) {
    let mut offsets = Vec::new();
    let partitions = vec![Position { topic: "latest".to_owned(), partition: 0, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut keep = |record: Record<'_>| {
        assert_eq!(record.key, Some((record.offset % KEYS).to_string().as_bytes()));
        assert_eq!(record.timestamp, record.offset, "an offset always names the same record");
        offsets.push(record.offset);
    };
    while reader.read(Duration::ZERO, 1_000, &mut keep).unwrap() > 0 {}
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    let last = (transactions - KEYS).max(0)..transactions;
    assert!(offsets.ends_with(&last.collect::<Vec<_>>()), "{offsets:?} of {transactions}");
}

/// The records sent outside of transactions: no gap, though the last ones may be missing or there twice after a crash.
fn read_plain(directory: &Path) -> Vec<i64> {
    let bus = Embedded::open_reader(&Config { directory: directory.to_owned(), ..Config::default() }).unwrap();
    let numbers = read_keys(&bus, "plain");
    assert!(numbers.windows(2).all(|pair| pair[1] <= pair[0] + 1), "no record is missing in between");
    numbers
}
