//! A full disk: nothing is half written, the log says so, and goes on when there is space.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dbintel_bus::embedded::{Config, Embedded};
use dbintel_bus::{Bus, BusError, CommitError, Member, Outgoing, Retention, SendError, Start};
use dbintel_tests::process::wait_for_log;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;

use crate::cli_rig::{FREE_PORTS, Running, text};

use super::scene::{LIMIT, create, group, position, publish, read, read_keys};

const MEBIBYTE: usize = 1 << 20;

/// A small file system, with a file in it that can be taken away.
pub(crate) struct SmallDisk {
    scratch: Scratch,
}

impl SmallDisk {
    pub(crate) fn mount(bytes: usize, ballast_bytes: usize) -> SmallDisk {
        let scratch = Scratch::new("disk");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(scratch.path()).output();
        let mounted = mounted.expect("mount(8) is installed");
        let error = String::from_utf8_lossy(&mounted.stderr);
        assert!(mounted.status.success(), "a small file system cannot be mounted, run the tests as root: {error}");
        fs::write(scratch.path().join("ballast"), vec![0; ballast_bytes]).unwrap();
        SmallDisk { scratch }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// Leaves not a byte free.
    pub(crate) fn take_space(&self) {
        let ballast = self.scratch.path().join("ballast");
        let mut ballast = fs::File::options().create(true).append(true).open(ballast).unwrap();
        for page in [&[0; MEBIBYTE][..], &[0; 4096], &[0]] {
            while ballast.write_all(page).is_ok() {}
        }
    }

    pub(crate) fn free_space(&self) {
        fs::remove_file(self.scratch.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A lazy unmount: a failing test may still have the log open.
        let _ = Command::new("umount").arg("-l").arg(self.scratch.path()).status();
    }
}

/// Half a mebibyte of noise for each transaction.
struct Filler {
    noise: Vec<u8>,
    next: i64,
}

impl Filler {
    fn new() -> Filler {
        let mut state = 1_u32;
        let noise = (0..MEBIBYTE / 2).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        Filler { noise: noise.collect(), next: 0 }
    }

    fn send<E>(&self, send: impl FnOnce(Outgoing<'_>) -> Result<(), E>) -> Result<(), E> {
        let key = self.next.to_string();
        send(Outgoing {
            topic: "output",
            partition: 0,
            timestamp: 0,
            key: Some(key.as_bytes()),
            value: Some(&self.noise),
            headers: &[],
        })
    }

    fn commit(&mut self, member: &mut dyn Member) -> Result<(), CommitError> {
        self.send(|record| member.send(record)).unwrap();
        member.commit(&[position("input", self.next + 1)])?;
        self.next += 1;
        Ok(())
    }

    /// Commits until the disk is full; returns the error.
    fn fill(&mut self, member: &mut dyn Member) -> String {
        for _ in 0..100 {
            match self.commit(member) {
                Ok(()) => {}
                Err(CommitError::Bus(BusError::Unavailable { message, .. })) => return message,
                Err(other) => panic!("another error: {other}"),
            }
        }
        panic!("100 commits of half a mebibyte fit on the small disk");
    }

    /// What was committed is there, and nothing else.
    fn check(&self, bus: &dyn Bus) {
        assert_eq!(read_keys(bus, "output"), (0..self.next).collect::<Vec<_>>());
        assert_eq!(bus.committed("group", &["input".to_owned()]).unwrap(), [position("input", self.next)]);
    }
}

fn open(directory: &Path, disk_free_bytes_min: u64) -> Embedded {
    let config = Config { directory: directory.to_owned(), disk_free_bytes_min, ..Config::default() };
    let bus = Embedded::open(&config).unwrap();
    create(&bus, "input", Retention::Unlimited);
    create(&bus, "output", Retention::Unlimited);
    bus
}

#[test]
fn writing_pauses_before_the_disk_is_full() {
    // What RocksDB has still to move when writing pauses takes less than the ballast gives back.
    let disk = SmallDisk::mount(112 * MEBIBYTE, 56 * MEBIBYTE);
    let bus = open(&disk.log(), 24 << 20);
    let mut member = group(&bus, "group", "input");
    let mut filler = Filler::new();
    let message = filler.fill(member.as_mut());
    assert!(message.starts_with("disk full: ") && message.contains("are needed"), "{message}");
    assert!(matches!(bus.health(), Err(BusError::Unavailable { .. })));
    assert!(filler.next > 0, "some commits fitted");
    filler.check(&bus);
    let producer = bus.producer().unwrap();
    filler.send(|record| producer.send(record)).unwrap();
    assert!(matches!(producer.flush(Duration::from_millis(1)), Err(BusError::Unavailable { .. })));
    bus.trim("input", 0, 0).expect("deleting is still possible");

    disk.free_space();
    producer.flush(LIMIT).expect("what was accepted is written when there is space");
    filler.next += 1;
    filler.commit(member.as_mut()).expect("commits go on");
    filler.check(&bus);
    bus.health().unwrap();
}

#[test]
fn a_full_disk_breaks_nothing() {
    let disk = SmallDisk::mount(16 * MEBIBYTE, 9 * MEBIBYTE);
    let bus = open(&disk.log(), 0);
    let mut member = group(&bus, "group", "input");
    let mut filler = Filler::new();
    let message = filler.fill(member.as_mut());
    assert!(message.starts_with("disk full: "), "{message}");
    assert!(filler.next > 0, "some commits fitted");
    filler.check(&bus);
    assert!(matches!(bus.health(), Err(BusError::Unavailable { .. })));

    disk.free_space();
    wait::blocking(LIMIT, "a commit after space was freed", || filler.commit(member.as_mut()).ok());
    filler.check(&bus);
    drop((member, bus));
    let bus = open(&disk.log(), 0);
    filler.check(&bus);
}

#[test]
fn a_deletion_that_fails_is_done_later() {
    let disk = SmallDisk::mount(16 * MEBIBYTE, 9 * MEBIBYTE);
    let bus = open(&disk.log(), 0);
    publish(&bus, "input", 0..1_000);
    // RocksDB has the rest of a page, and what it reserved for a file.
    let (failed, refused) = (1..1_000)
        .find_map(|before| {
            disk.take_space();
            Some(before).zip(bus.trim("input", 0, before).err())
        })
        .expect("a deletion needs space, too");
    assert!(matches!(refused, BusError::Unavailable { .. }), "{refused}");
    assert_eq!(read(&bus, "input", Start::Beginning), (failed - 1..1_000).collect::<Vec<_>>());

    disk.free_space();
    wait::blocking(LIMIT, "the deletion", || bus.trim("input", 0, failed).ok());
    drop(bus);
    let bus = open(&disk.log(), 0);
    assert_eq!(read(&bus, "input", Start::Beginning), (failed..1_000).collect::<Vec<_>>());
}

#[test]
fn a_log_on_a_full_disk_opens_when_there_is_space() {
    let disk = SmallDisk::mount(16 * MEBIBYTE, 0);
    let config = Config { directory: disk.log(), disk_free_bytes_min: 0, ..Config::default() };
    for kept in [0, 3, 3] {
        disk.take_space();
        let refused = Embedded::open(&config).err().expect("there is no space");
        assert!(
            matches!(&refused, BusError::Unavailable { message, .. } if message.contains("disk full")),
            "{refused}"
        );
        disk.free_space();
        let bus = open(&disk.log(), 0);
        assert_eq!(read_keys(&bus, "output"), (0..kept).collect::<Vec<_>>());
        if kept == 0 {
            let mut member = group(&bus, "group", "input");
            let mut filler = Filler::new();
            (0..3).for_each(|_| filler.commit(member.as_mut()).unwrap());
        }
    }
}

#[test]
fn a_process_that_starts_on_a_full_disk_waits_for_space() {
    const CONFIGURATION: &str = "\
pollers: {postgresql/away: {endpoint: '127.0.0.1:1', username: monitor}}
sinks: {prometheus: {}}
pipelines: {main: {pollers: [postgresql/away], sinks: [prometheus]}}
";
    let disk = SmallDisk::mount(128 * MEBIBYTE, 0);
    disk.take_space();
    let scratch = Scratch::new("full");
    let bus = format!("bus: {{embedded: {{directory: {}}}}}\n", disk.log().display());
    let file = scratch.write("dbintel.yaml", &(bus + CONFIGURATION));
    let arguments = ["up", "--quiet", "--config", text(&file)].into_iter().chain(FREE_PORTS);
    let mut up = Running::start(&arguments.collect::<Vec<_>>(), &[]);
    wait_for_log(&up.process, LIMIT, "waiting for the log");
    disk.free_space();
    up.wait_until_ready();
    assert!(up.process.stop().success(), "{}", up.process.log());
}

#[test]
fn a_producer_that_cannot_write_says_when_it_is_full() {
    let scratch = Scratch::new("log");
    let config = Config {
        directory: scratch.path().to_owned(),
        producer_bytes_max: 4 * MEBIBYTE,
        disk_free_bytes_min: u64::MAX,
        ..Config::default()
    };
    let bus = Embedded::open(&config).unwrap();
    create(&bus, "output", Retention::Unlimited);
    let producer = bus.producer().unwrap();
    let filler = Filler::new();
    let accepted = (0..100).take_while(|_| match filler.send(|record| producer.send(record)) {
        Ok(()) => true,
        Err(SendError::Full) => false,
        Err(other) => panic!("another error: {other}"),
    });
    let accepted = accepted.count();
    assert_eq!(accepted, 7, "half a mebibyte each, in 4 MiB");
    assert_eq!(producer.outstanding(), accepted);
    let message = producer.flush(Duration::from_millis(300)).unwrap_err().to_string();
    assert!(message.contains("7 records are not yet written"), "{message}");
}

#[test]
fn deleted_records_give_their_space_back() {
    const COMMITS: usize = 160;
    let scratch = Scratch::new("log");
    let retention_check_interval = Duration::from_millis(50);
    let config =
        Config { directory: scratch.path().to_owned(), retention_check_interval, sync: false, ..Config::default() };
    let bus = Embedded::open(&config).unwrap();
    create(&bus, "input", Retention::Unlimited);
    create(&bus, "output", Retention::Unlimited);
    let mut member = group(&bus, "group", "input");
    let mut filler = Filler::new();
    (0..COMMITS).for_each(|_| filler.commit(member.as_mut()).unwrap());
    assert!(bytes_in(scratch.path()) > COMMITS * MEBIBYTE / 2);
    bus.trim("output", 0, filler.next - 4).unwrap();
    let small = || (bytes_in(scratch.path()) < COMMITS * MEBIBYTE / 4).then_some(());
    wait::blocking(LIMIT, "the return of the space", small);
    assert_eq!(read_keys(&bus, "output"), (filler.next - 4..filler.next).collect::<Vec<_>>());
}

fn bytes_in(directory: &Path) -> usize {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata());
    // A file may be deleted between listing and looking.
    files.filter_map(Result::ok).map(|file| usize::try_from(file.len()).unwrap()).sum()
}
