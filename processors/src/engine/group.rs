//! What runs: a consumer group with its inputs and pipelines, and the worker threads that carry it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dbintel_bus::registry::Registry;
use dbintel_bus::{Bus, BusError, Framings, Slot, topic_name};
use dbintel_schemas::topics::Topic;

use super::changelog;
use super::clock;
use super::metrics::Metrics;
use super::processor::Processor;
use super::restore::{self, Progress};
use super::store::OpenStore;
use super::worker::Worker;

/// Raw topics in the order of their rank: at the same timestamp a text is seen before the statement that it belongs
/// to, and the outcome of a poll after its rows.
pub const INPUTS: [Topic; 6] =
    [Topic::RawTexts, Topic::RawQueries, Topic::RawSessions, Topic::RawMetrics, Topic::RawLogs, Topic::RawPolls];

/// Makes the instance of a processor for one task.
pub type ProcessorFactory = Arc<dyn Fn() -> Box<dyn Processor> + Send + Sync>;

/// Rows of some pollers, through some processors.
#[derive(Clone)]
pub struct Pipeline {
    /// Name; part of the names of its state tables.
    pub name: String,
    /// Component ids of the pollers whose rows it takes.
    pub pollers: Vec<String>,
    /// Name and factory of each processor, in order.
    pub processors: Vec<(String, ProcessorFactory)>,
    /// Where its rows go on, if another group has its further processors; otherwise each goes to the topic of its kind.
    pub next: Option<Topic>,
}

/// Settings of a group.
#[derive(Clone)]
pub struct GroupConfig {
    /// Full name of the group.
    pub name: String,
    /// Input topics, in the order of their rank.
    pub inputs: Vec<Topic>,
    /// Pipelines that each row goes through, independently of each other.
    pub pipelines: Vec<Pipeline>,
    /// Where the stores are; one directory per group and partition.
    pub state_directory: PathBuf,
    /// Worker threads; each is a member of the group.
    pub workers: usize,
    /// Names the process in the group and in transactional ids; stable over restarts, unique among live processes.
    pub slot: Slot,
    /// Longest time between the first row and its commit.
    pub commit_interval: Duration,
    /// Rows after which a commit is due.
    pub commit_rows: usize,
    /// Bytes that may wait in memory, fetched and not yet processed, over all workers.
    pub buffer_bytes: usize,
    /// Bytes of changes after which a store is brought up to date: a restart has so much to read again.
    pub flush_bytes: usize,
    /// Bytes after which a commit goes on in another record of the changelog.
    pub part_bytes: usize,
    /// Bytes of changes that a restore brings to the store at once.
    pub restore_bytes: usize,
    /// Partitions that a worker restores at the same time.
    pub restores_at_once: usize,
    /// Values that a table keeps in memory per task.
    pub cached_values: usize,
    /// How records are framed.
    pub framings: Framings,
    /// Where schemas of values are looked up that name one of a registry.
    pub schema_registry: Option<Arc<Registry>>,
}

impl GroupConfig {
    /// Defaults for a group of this name, which reads the raw topics.
    pub fn new(name: &str, pipelines: Vec<Pipeline>, state_directory: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            inputs: INPUTS.to_vec(),
            pipelines,
            state_directory,
            workers: 1,
            slot: "0".into(),
            commit_interval: Duration::from_millis(200),
            commit_rows: 50_000,
            buffer_bytes: 16 << 20,
            flush_bytes: 16 << 20,
            part_bytes: changelog::PART_BYTES_MAX,
            restore_bytes: restore::BATCH_BYTES,
            restores_at_once: 4,
            cached_values: 200_000,
            framings: Framings::single_object(),
            schema_registry: None,
        }
    }

    /// Full names of the input topics, in the order of their rank.
    pub fn input_names(&self) -> Vec<String> {
        self.inputs.iter().map(|topic| topic_name(*topic)).collect()
    }

    /// Full name of the changelog topic.
    pub fn changelog(&self) -> String {
        dbintel_schemas::topics::changelog(&self.name)
    }
}

/// A running group.
pub struct Group {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Shared by the workers of a group.
pub(super) struct Shared {
    pub config: GroupConfig,
    pub bus: Arc<dyn Bus>,
    pub metrics: Metrics,
    pub open_store: OpenStore,
    pub stop: AtomicBool,
    pub restoring: Arc<Progress>,
    /// One per worker: it has joined, and restored what it was assigned.
    pub ready: Arc<[AtomicBool]>,
}

impl Shared {
    /// The group is being stopped.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits, but not past the stop.
    pub fn wait(&self, time: Duration) {
        let deadline = clock::now() + time;
        while !self.stopping() && clock::now() < deadline {
            clock::sleep(Duration::from_millis(10).min(time));
        }
    }
}

impl Group {
    /// Starts the workers. They join the group by themselves, and again after trouble with the bus, until they are stopped.
    pub fn start(
        config: GroupConfig,
        bus: Arc<dyn Bus>,
        metrics: Metrics,
        open_store: OpenStore,
    ) -> Result<Self, BusError> {
        let workers = config.workers.max(1);
        let ready = (0..workers).map(|_| AtomicBool::new(false)).collect();
        let (stop, restoring) = (AtomicBool::new(false), Arc::default());
        let shared = Arc::new(Shared { config, bus, metrics, open_store, stop, restoring, ready });
        let spawn = |number| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || Worker::run(&shared, number))
                .map_err(|error| BusError::Fatal {
                    operation: "start a worker thread".into(),
                    message: error.to_string(),
                })
        };
        let workers = (0..workers).map(spawn).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { shared, workers })
    }

    /// Asks how far restores have come, in per cent by partition.
    pub fn restoring(&self) -> Arc<Progress> {
        Arc::clone(&self.shared.restoring)
    }

    /// Asks whether every worker has joined and restored what it was assigned. One without partitions is ready.
    pub fn readiness(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let ready = Arc::clone(&self.shared.ready);
        move || ready.iter().all(|ready| ready.load(Ordering::Acquire))
    }

    /// Lets the workers begin to stop, and does not wait for them.
    pub fn ask_to_stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Stops at the next record boundary: commits, closes the stores, leaves the group. Returns when all is done.
    pub fn stop(self) {
        self.ask_to_stop();
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked while it stopped");
            }
        }
    }

    /// Some worker has ended by itself, which only a fault of ours can cause.
    pub fn failed(&self) -> bool {
        self.workers.iter().any(JoinHandle::is_finished) && !self.shared.stopping()
    }
}
