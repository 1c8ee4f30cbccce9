//! Every kind of fault, one after the other, for as long as is asked, under a steady flow on a genuine broker: `make chaos`.
//!
//! After each fault every partition has to bring out results again. How long the slowest of them brought none is its gap.

#![expect(clippy::disallowed_methods, reason = "measures how long nothing comes out, and takes its length from `make`")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dbintel_bus::{Bus, topic_name};
use dbintel_schemas::topics::Topic;
use dbintel_tests::proxy::Proxy;
use dbintel_tests::wait;
use rdkafka::admin::AdminOptions;
use rustix::process::Signal;

use super::clock::Clocked;
use super::{SESSION_TIMEOUT, Scene, end, number_of, owned, say, slots, wait_until_busy};
use crate::cli_rig::Running;
use crate::engine::load::Flow;
use crate::engine::{GROUP, wait_until_caught_up};

const PARTITIONS: u32 = 4;
const STATEMENTS: usize = 200;
const PROCESSES: usize = 3;
const PAUSE: Duration = Duration::from_millis(250);
/// No fault may stop a partition for longer.
const GAP_MAX: Duration = Duration::from_secs(60);

/// What can go wrong.
type Fault = (&'static str, fn(&mut Chaos));

const FAULTS: [Fault; 19] = [
    ("a processor is stopped and partitions swap their state", |chaos| chaos.stop(swap_partitions)),
    ("a processor is killed", |chaos| chaos.kill(|_| {})),
    ("a processor is killed and its state deleted", |chaos| {
        chaos.kill(|state| std::fs::remove_dir_all(state).unwrap())
    }),
    ("a processor is stopped and its state cut", |chaos| chaos.stop(cut_files)),
    ("a processor is stopped in order", |chaos| chaos.stop(|_| {})),
    ("a processor is frozen", |chaos| chaos.freeze(SESSION_TIMEOUT * 2)),
    ("a processor is frozen for less than a session", |chaos| chaos.freeze(SESSION_TIMEOUT / 3)),
    ("all processors are killed", Chaos::kill_all),
    ("a processor joins and leaves", Chaos::visit),
    ("two processors have one name", Chaos::twins),
    ("the clock of a processor jumps by an hour, and back by two", Chaos::step_clock),
    ("connections are cut", Chaos::cut),
    ("connections are closed on one side", Chaos::half_close),
    ("everything comes late", Chaos::delay),
    ("nothing comes through", |chaos| chaos.hold(SESSION_TIMEOUT * 2)),
    ("nothing comes through for less than a session", |chaos| chaos.hold(SESSION_TIMEOUT / 3)),
    ("the positions of the group are deleted", Chaos::forget_positions),
    ("the broker is frozen", Chaos::freeze_broker),
    ("the broker is restarted", Chaos::restart_broker),
];

/// The whole scene.
struct Chaos {
    scene: Scene,
    proxy: Proxy,
    flow: Option<Flow>,
    processes: Vec<Option<Running>>,
    random: u64,
}

/// The stores below a directory.
fn stores(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Cuts the files of each store to half their length, as a file system that lost writes may have them.
pub fn cut_files(directory: &Path) {
    let files = stores(directory).into_iter().flat_map(|store| stores(&store));
    let tables: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).collect();
    assert!(!tables.is_empty(), "a processor that stopped in order leaves its state on disk");
    for path in tables {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }
}

/// Each store comes to be that of another partition.
fn swap_partitions(directory: &Path) {
    let stores = stores(directory);
    let aside = directory.with_extension("aside");
    for pair in stores.windows(2) {
        std::fs::rename(&pair[0], &aside).unwrap();
        std::fs::rename(&pair[1], &pair[0]).unwrap();
        std::fs::rename(&aside, &pair[1]).unwrap();
    }
}

impl Chaos {
    fn begin(seed: u64) -> Chaos {
        let (scene, proxy) = Scene::behind_a_proxy(PARTITIONS, STATEMENTS);
        let flow = Some(scene.flow(1, PAUSE));
        let mut processes: Vec<Running> = (0..PROCESSES).map(|number| scene.processor(&state(number))).collect();
        processes.iter_mut().for_each(|running| wait_until_busy(running, 2));
        Chaos { scene, proxy, flow, processes: processes.into_iter().map(Some).collect(), random: seed | 1 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % bound as u64) as usize
    }

    fn any(&mut self) -> (usize, Running) {
        let number = self.below(PROCESSES);
        let mut running = self.processes[number].take().expect("all run");
        // One that has just come may own nothing yet.
        wait_until_busy(&mut running, 1);
        (number, running)
    }

    fn start(&mut self, number: usize) {
        self.processes[number] = Some(self.scene.processor(&state(number)));
    }

    fn kill(&mut self, then: fn(&Path)) {
        let (number, mut running) = self.any();
        running.process.kill9();
        then(&self.stores(number));
        self.start(number);
    }

    /// Where a processor has its state.
    fn stores(&self, number: usize) -> PathBuf {
        self.scene.scratch.path().join(state(number)).join("slot-0/processors").join(GROUP)
    }

    fn kill_all(&mut self) {
        for running in self.processes.iter_mut().flatten() {
            running.process.kill9();
        }
        (0..PROCESSES).for_each(|number| self.start(number));
    }

    fn stop(&mut self, then: fn(&Path)) {
        let (number, mut running) = self.any();
        end(&mut running);
        then(&self.stores(number));
        self.start(number);
    }

    fn freeze(&mut self, time: Duration) {
        let (number, mut running) = self.any();
        running.process.sigstop();
        thread::sleep(time);
        running.process.sigcont();
        self.processes[number] = Some(running);
    }

    fn visit(&mut self) {
        let mut visitor = self.scene.processor("visitor");
        wait_until_busy(&mut visitor, 2);
        visitor.process.signal(Signal::TERM);
        assert!(visitor.process.wait_for_end(GAP_MAX).success(), "{}", visitor.process.log());
    }

    /// The older one gives way.
    fn twins(&mut self) {
        let mut twins = ["twin-1", "twin-2"].map(|state| {
            let mut twin = slots::named(&self.scene, &self.scene.configuration, state, "twin");
            wait_until_busy(&mut twin, 2);
            twin
        });
        let port = twins[0].port("metrics");
        twins[0]
            .process
            .wait_until(|process| process.log().contains("another process uses the same slot") && owned(port) == 0.0);
        twins.iter_mut().for_each(end);
    }

    fn step_clock(&mut self) {
        let mut visitor = Clocked::start(&self.scene, "clocked");
        wait_until_busy(&mut visitor.running, 2);
        [3600, -3600].into_iter().for_each(|seconds| visitor.step(seconds));
        visitor.end();
    }

    fn cut(&mut self) {
        for _ in 0..3 {
            assert!(self.proxy.cut() > 0, "nothing was connected through the proxy");
            thread::sleep(PAUSE);
        }
    }

    fn half_close(&mut self) {
        for _ in 0..3 {
            assert!(self.proxy.half_close() > 0, "nothing was connected through the proxy");
            thread::sleep(PAUSE);
        }
    }

    /// So late that a commit takes longer than the time between two.
    fn delay(&mut self) {
        self.proxy.delay(Duration::from_millis(100));
        thread::sleep(SESSION_TIMEOUT * 2);
        self.proxy.delay(Duration::ZERO);
    }

    /// A group that nobody is in can be deleted; what the state says of its positions has to be enough.
    fn forget_positions(&mut self) {
        let mut all: Vec<Running> = self.processes.iter_mut().flat_map(Option::take).collect();
        all.iter_mut().for_each(end);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let admin = self.scene.kafka.admin();
        let deleted = runtime.block_on(admin.delete_groups(&[GROUP], &AdminOptions::new())).unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        (0..PROCESSES).for_each(|number| self.start(number));
    }

    fn hold(&mut self, time: Duration) {
        self.proxy.hold();
        thread::sleep(time);
        self.proxy.go_on();
    }

    fn freeze_broker(&mut self) {
        self.scene.kafka.process.sigstop();
        thread::sleep(SESSION_TIMEOUT * 2);
        self.scene.kafka.process.sigcont();
    }

    /// Between transactions: a broker that is alone forgets to end those that it finds prepared when it starts.
    fn restart_broker(&mut self) {
        let next = self.flow.take().expect("it flows").stop();
        wait_until_caught_up(&*self.scene.bus, PARTITIONS);
        self.scene.kafka.restart();
        self.flow = Some(self.scene.flow(next, PAUSE));
    }
}

fn state(number: usize) -> String {
    format!("state-{number}")
}

/// Watches how far the outputs of each partition are, as somebody who reads committed records sees it.
struct Watch {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

#[derive(Clone)]
struct Seen {
    end: i64,
    moved_at: Instant,
    /// Longest time without an output since this was last reset.
    gap: Duration,
}

impl Watch {
    fn start(bus: Arc<dyn Bus>) -> Watch {
        let new = Seen { end: 0, moved_at: Instant::now(), gap: Duration::ZERO };
        let seen = Arc::new(Mutex::new(vec![new; PARTITIONS as usize]));
        let stop = Arc::new(AtomicBool::new(false));
        let (all, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let topic = topic_name(Topic::EnrichedQueries);
            while !stopped.load(Ordering::Relaxed) {
                for partition in 0..PARTITIONS {
                    // While the broker does not answer nothing comes out of it either.
                    let Ok(log) = bus.offsets(&topic, partition) else { continue };
                    let seen = &mut all.lock().unwrap()[partition as usize];
                    if log.stable_end > seen.end {
                        let now = Instant::now();
                        seen.gap = seen.gap.max(now - seen.moved_at);
                        (seen.end, seen.moved_at) = (log.stable_end, now);
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Watch { seen, stop, thread }
    }

    /// Begins to measure.
    fn reset(&self) {
        self.seen.lock().unwrap().iter_mut().for_each(|seen| seen.gap = Duration::ZERO);
    }

    /// Waits until every partition has brought out something more, and gives the longest gap since the reset.
    fn recovered(&self) -> Duration {
        let ends = || self.seen.lock().unwrap().iter().map(|seen| seen.end).collect::<Vec<_>>();
        let before = ends();
        wait::blocking(GAP_MAX, "outputs of every partition", || {
            ends().iter().zip(&before).all(|(end, before)| end > before).then_some(())
        });
        self.seen.lock().unwrap().iter().map(|seen| seen.gap).max().unwrap_or_default()
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

#[test]
fn chaos() {
    let time = Duration::from_secs(number_of("CHAOS_SECONDS", 180));
    let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number_of("CHAOS_SEED", clock);
    say!("seed {seed}\n{:>7}  {:<60} {:>9}", "after s", "fault", "gap s");
    let mut chaos = Chaos::begin(seed);
    let watch = Watch::start(Arc::clone(&chaos.scene.bus));
    watch.recovered();
    let began = Instant::now();
    let mut gaps: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    while began.elapsed() < time || gaps.len() < FAULTS.len() {
        // Every kind once, in another order each time.
        let mut order = FAULTS;
        for last in (1..order.len()).rev() {
            order.swap(last, chaos.below(last + 1));
        }
        for (name, fault) in order {
            watch.reset();
            let at = began.elapsed();
            fault(&mut chaos);
            let gap = watch.recovered();
            say!("{:>7.1}  {name:<60} {:>9.2}", at.as_secs_f64(), gap.as_secs_f64());
            gaps.entry(name).or_default().push(gap);
        }
    }
    watch.end();
    let mut processes: Vec<Running> = chaos.processes.into_iter().flatten().collect();
    let balance = chaos.scene.settle(chaos.flow.take().expect("it flows"), &mut processes);
    say!("\n{:>5}  {:<60} {:>9} {:>9}", "times", "fault", "median s", "longest s");
    for (name, mut gaps) in gaps {
        gaps.sort_unstable();
        let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
        say!("{:>5}  {name:<60} {:>9.2} {:>9.2}", gaps.len(), median.as_secs_f64(), longest.as_secs_f64());
    }
    say!("\nbooks after {:.0} s: {balance:?}", began.elapsed().as_secs_f64());
}
