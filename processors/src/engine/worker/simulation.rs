//! Schedules of faults, each from its seed, played with the real workers on the model of a broker: in the end outputs, books and
//! state are those of a run in which nothing went wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use dbintel_bus::model::{Config, Fate, Model, Script, Step};
use dbintel_bus::{Bus, Isolation, Outgoing, Position, ReaderSpec, Start, planned_topics, time};
use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::records::LedgerEntry;
use dbintel_schemas::topics::Topic;

use super::*;
use crate::delta::Delta;
use crate::engine::group::{GroupConfig, Pipeline};
use crate::engine::restore::Restore;
use crate::engine::store::{Entry, MemoryStore, Store};
use crate::engine::{Context, Disposition, Metrics, Processor, Row, StateError, StateTable, StateValue, Table};
use crate::testing::{decoded, factory, framed, raw_query};

const GROUP: &str = "dbintel.simulated";
const PARTITIONS: u32 = 3;
const PROCESSES: usize = 3;
/// Rows of a poll of one partition.
const ROWS: i64 = 6;
const POLLS: i64 = 12;
/// So many bytes for each statement let commits write the store and slices of the checkpoint.
const VALUE_BYTES: usize = 3_000;
/// Requests that go wrong in one schedule.
const FAULTS_MAX: usize = 8;
/// Of so many requests one goes wrong.
const FAULT_EVERY: u64 = 60;
/// Schedules that are played, and by how many threads.
const SEEDS: u64 = 20_000;
const THREADS: usize = 2;
/// Each fault has to have been met so often.
const HITS_MIN: u64 = 100;
/// Turns until the work has to be done once nothing goes wrong any more.
const TURNS_MAX: usize = 5_000;

/// Numbers from a seed (splitmix64).
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// What may become of a request that goes wrong. Those that are repeated until they are answered show only when they are refused.
fn fates(step: Step) -> &'static [Fate] {
    match step {
        Step::Commit => &[Fate::Refused, Fate::Unanswered, Fate::Late],
        Step::Abort => &[Fate::Refused, Fate::Late],
        _ => &[Fate::Refused],
    }
}

/// How often each request met each fate.
type Hits = BTreeMap<(Step, Fate), u64>;

/// What goes wrong in one schedule.
struct Faults {
    random: Random,
    left: usize,
    hits: Hits,
}

struct Shaken(Arc<Mutex<Faults>>);

impl Script for Shaken {
    fn fate(&mut self, _: &str, step: Step) -> Fate {
        let mut faults = self.0.lock().unwrap();
        // Commits are few, and what matters most.
        let every = if matches!(step, Step::Commit | Step::SendPositions | Step::Abort) { 6 } else { FAULT_EVERY };
        if faults.left == 0 || !faults.random.next().is_multiple_of(every) {
            return Fate::Done;
        }
        let fates = fates(step);
        let fate = fates[faults.random.below(fates.len())];
        faults.left -= 1;
        *faults.hits.entry((step, fate)).or_default() += 1;
        fate
    }
}

/// Counts readings, in large values.
struct Heavy(Table<Readings>);

#[derive(Clone)]
struct Readings(u8);

impl StateValue for Readings {
    fn encode(&self, out: &mut Vec<u8>) {
        out.resize(out.len() + VALUE_BYTES, self.0);
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(bytes[0]))
    }
}

impl Processor for Heavy {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.0]
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Row::RawQuery(raw) = row else { return Ok(Disposition::Forwarded) };
        let readings = self.0.get(raw.query_id.as_bytes())?.map_or(0, |readings| readings.0);
        self.0.insert(raw.query_id.as_bytes(), Readings(readings + 1))?;
        Ok(Disposition::Forwarded)
    }
}

/// The disks of all processes: stores by directory.
type Disks = Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryStore>>>>;

/// What one process is made of.
fn process(number: usize, bus: &Arc<Model>, disks: &Disks) -> Shared {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    let metrics = METRICS.get_or_init(|| Metrics::register(&prometheus::Registry::new(), GROUP).unwrap());
    let processors = vec![
        ("heavy".to_owned(), factory(|| Heavy(Table::new("readings")))),
        ("delta".to_owned(), factory(Delta::new)),
    ];
    let pipeline = Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors };
    let directory = std::env::temp_dir().join("dbintel-simulated").join(number.to_string());
    let mut config = GroupConfig::new(GROUP, vec![pipeline], directory);
    (config.slot, config.commit_rows) = (format!("p{number}"), 5);
    let disks = Arc::clone(disks);
    Shared {
        config,
        bus: Arc::clone(bus) as Arc<dyn Bus>,
        metrics: metrics.clone(),
        open_store: Box::new(move |directory: &Path| {
            let mut disks = disks.lock().unwrap();
            Ok(Arc::clone(disks.entry(directory.to_owned()).or_default()) as Arc<dyn Store>)
        }),
        stop: AtomicBool::new(false),
        ready: Arc::new([AtomicBool::new(false)]),
    }
}

fn publish(bus: &Model, poll: i64) {
    let producer = bus.producer().unwrap();
    for partition in 0..PARTITIONS {
        for row in 0..ROWS {
            let id = (poll * ROWS / 2 + row).to_string();
            let value = framed(&raw_query(&id, poll, poll * 10));
            let (topic, value) = (&*topic_name(Topic::RawQueries), Some(&*value));
            producer
                .send(Outgoing { topic, partition, timestamp: poll * 1000, key: None, value, headers: &[] })
                .unwrap();
        }
    }
}

/// What is there in the end, of one partition.
#[derive(Debug, PartialEq)]
struct Left {
    /// Offset, disposition and reason of each row.
    books: Vec<(i64, String, String)>,
    outputs: Vec<Vec<u8>>,
    /// What the changelog holds.
    state: Vec<Entry>,
}

fn values(bus: &Model, topic: &str, partition: u32) -> Vec<Vec<u8>> {
    let partitions = vec![Position { topic: topic.to_owned(), partition, start: Start::Beginning }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
    let mut values = Vec::new();
    let mut keep = |record: Record<'_>| values.push(record.value.unwrap().to_vec());
    while reader.read(Duration::ZERO, 10_000, &mut keep).unwrap() > 0 {}
    values
}

fn left(bus: &Model, partition: u32) -> Left {
    let mut books = Vec::new();
    for value in values(bus, &topic_name(Topic::Ledger), partition) {
        for input in decoded::<LedgerEntry<'_>>(&value).inputs.iter() {
            for line in input.dispositions.iter() {
                let offsets = OffsetSet::decode(input.first_offset, line.offsets).unwrap();
                let line = |offset| (offset, line.disposition.to_owned(), line.reason.to_owned());
                books.extend(offsets.iter().map(line));
            }
        }
    }
    books.sort();
    let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let mut committed = bus.committed(GROUP, &topics).unwrap();
    committed.retain(|position| position.partition == partition);
    let changelog = dbintel_schemas::topics::changelog(GROUP);
    let store = MemoryStore::default();
    Restore { bus, changelog: &changelog, partition, topics: &topics, committed: &committed }.run(&store).unwrap();
    let outputs = values(bus, &topic_name(Topic::EnrichedQueries), partition);
    Left { books, outputs, state: store.scan(&[], usize::MAX).unwrap() }
}

/// Processes that come and go, on one log.
struct Play<'a> {
    bus: &'a Model,
    processes: &'a [Shared],
    workers: Vec<Option<Worker<'a>>>,
    disks: Disks,
    published: i64,
}

impl Play<'_> {
    fn turn(&mut self, number: usize) {
        let Some(mut worker) = self.workers[number].take().or_else(|| Worker::join(&self.processes[number], 0).ok())
        else {
            return;
        };
        match worker.turn() {
            Ok(()) => self.workers[number] = Some(worker),
            // It joins again with its next turn.
            Err(error) => drop(worker.end(Err(error))),
        }
    }

    fn kill(&mut self, number: usize, random: &mut Random) {
        self.workers[number] = None;
        let fate = random.below(4);
        let directory = &self.processes[number].config.state_directory;
        for (_, store) in self.disks.lock().unwrap().iter().filter(|(path, _)| path.starts_with(directory)) {
            match fate {
                0 => store.crash(),
                1 => store.wipe().unwrap(),
                _ => {}
            }
        }
    }

    fn stop(&mut self, number: usize) {
        if let Some(mut worker) = self.workers[number].take() {
            let outcome = worker.finish();
            drop(worker.end(outcome));
        }
    }

    fn publish_more(&mut self) {
        if self.published < POLLS {
            self.published += 1;
            publish(self.bus, self.published);
        }
    }

    /// Something happens.
    fn act(&mut self, random: &mut Random) {
        let number = random.below(PROCESSES);
        match random.below(100) {
            0..4 => self.kill(number, random),
            4..7 => self.stop(number),
            7..11 => time::sleep(Duration::from_secs(random.below(25) as u64)),
            11..14 => self.bus.deliver_late(),
            14..22 => self.publish_more(),
            _ => self.turn(number),
        }
    }

    fn is_done(&self) -> bool {
        let topic = topic_name(Topic::RawQueries);
        let committed = self.bus.committed(GROUP, std::slice::from_ref(&topic)).unwrap();
        let next: i64 = committed.iter().map(|position| position.next_offset).sum();
        next == i64::from(PARTITIONS) * ROWS * POLLS
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        while self.published < POLLS {
            self.publish_more();
        }
        self.bus.deliver_late();
        for turn in 0.. {
            if self.is_done() {
                break;
            }
            assert!(turn < TURNS_MAX, "the work is not done after {TURNS_MAX} turns without a fault");
            self.turn(turn % PROCESSES);
        }
        (0..PROCESSES).for_each(|number| self.stop(number));
    }
}

/// Plays a schedule, without faults if there is no seed; what is left, and what went wrong.
fn play(seed: Option<u64>) -> (Vec<Left>, Hits) {
    let faults = Arc::new(Mutex::new(Faults {
        random: Random(seed.unwrap_or(0)),
        left: if seed.is_some() { FAULTS_MAX } else { 0 },
        hits: Hits::new(),
    }));
    let config = Config { pending_timeout: Duration::from_secs(1), ..Config::default() };
    let bus = Arc::new(Model::scripted(config, Box::new(Shaken(Arc::clone(&faults)))));
    bus.create_topics(&planned_topics(PARTITIONS, &[GROUP])).unwrap();
    let disks = Disks::default();
    let processes: Vec<Shared> = (0..PROCESSES).map(|number| process(number, &bus, &disks)).collect();
    let workers = (0..PROCESSES).map(|_| None).collect();
    let mut play = Play { bus: &bus, processes: &processes, workers, disks, published: 0 };
    if let Some(seed) = seed {
        let mut random = Random(seed ^ 0x5eed);
        for _ in 0..300 {
            play.act(&mut random);
        }
    }
    faults.lock().unwrap().left = 0;
    play.settle();
    let left = (0..PARTITIONS).map(|partition| left(&bus, partition)).collect();
    let hits = std::mem::take(&mut faults.lock().unwrap().hits);
    (left, hits)
}

fn check(seed: u64, undisturbed: &[Left]) -> Hits {
    let (left, hits) = time::simulate(|| play(Some(seed)));
    for (partition, (left, expected)) in left.iter().zip(undisturbed).enumerate() {
        assert_eq!(left.books, expected.books, "seed {seed}: the books of partition {partition}");
        assert!(left.outputs == expected.outputs, "seed {seed}: the outputs of partition {partition}");
        assert!(left.state == expected.state, "seed {seed}: the state of partition {partition}");
    }
    hits
}

#[test]
fn whatever_goes_wrong_the_books_balance() {
    let (undisturbed, _) = time::simulate(|| play(None));
    for left in &undisturbed {
        assert_eq!(left.books.len() as i64, ROWS * POLLS);
        assert!(!left.outputs.is_empty() && !left.state.is_empty());
    }
    let next = AtomicU64::new(0);
    let of_thread = || {
        let mut hits = Hits::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return hits;
            }
            add(&mut hits, check(seed, &undisturbed));
        }
    };
    let mut all = Hits::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(of_thread)).collect();
        threads.into_iter().for_each(|thread| add(&mut all, thread.join().expect("a schedule failed")));
    });
    for (step, fate) in every_fault() {
        let hits = all.get(&(step, fate)).copied().unwrap_or_default();
        println!("{step:?} {fate:?}: {hits}");
        assert!(hits >= HITS_MIN, "{step:?} was {fate:?} {hits} times only");
    }
}

fn add(all: &mut Hits, hits: Hits) {
    for (hit, times) in hits {
        *all.entry(hit).or_default() += times;
    }
}

/// Every pair of a request and a fate that it may meet.
fn every_fault() -> impl Iterator<Item = (Step, Fate)> {
    Step::ALL.into_iter().flat_map(|step| fates(step).iter().map(move |fate| (step, *fate)))
}
