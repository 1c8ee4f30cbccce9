//! OTLP: metrics and logs over gRPC or HTTP.
//!
//! Reads: what its delivery hands over. Writes: export requests to one receiver. State: items on their way, bounded by
//! `sending_queue` and [`IN_FLIGHT_BYTES_MAX`]. Guarantee: at least once; each log record carries its `record_id`, and
//! metric points are running totals, so that a repetition can be told. Failure: what can be retried is retried without
//! an end while the partitions are paused, also when the receiver refuses us (a key, a path); data that it rejects for
//! good is counted and recorded in `exports`.
//!
//! From the outside in: [`mapping`] turns rows into encoded items, [`batch`] gathers them, [`lane`] delivers batches,
//! [`retry`] decides about answers, [`request`] and [`transport`] speak the protocol.

mod batch;
mod config;
mod lane;
pub mod mapping;
mod metrics;
mod proto;
mod request;
mod retry;
mod transport;

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc as queue, watch};

pub use config::{Batch, Compression, Config, Protocol, RetryOnFailure, SendingQueue, Tls};
pub use transport::TransportError;

use crate::delivery::{self, Arrival, Outcome, Report, Row, Sink, Taken, Texts};
use batch::Batcher;
use lane::{Job, Lane, Load};
use mapping::{Mapped, Mapper};
use metrics::Metrics;
use request::{Item, Signal};
use transport::Transport;

/// Bytes of items that may wait or run. Past it, as past `queue_size`, the sink reads no further; what one poll brings
/// comes on top, and the requests under way, one per lane and signal, each no larger than its items.
pub const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;

/// An OTLP sink.
pub struct Otlp {
    config: Arc<Config>,
    mapper: Mapper,
    mapped: Mapped,
    /// Ways to the receiver, for each signal.
    metric_ways: Vec<Way>,
    log_ways: Vec<Way>,
    load: Arc<Load>,
    reports: mpsc::Receiver<Report>,
    generation: watch::Sender<u64>,
    metrics: Metrics,
}

/// The near end of a lane.
struct Way {
    batcher: Batcher,
    jobs: queue::UnboundedSender<Job>,
}

impl Otlp {
    /// Starts the lanes on the runtime. They connect when there is something to send.
    pub fn start(
        id: &str,
        config: Config,
        partitions: u32,
        metrics: &delivery::Metrics,
        runtime: &Handle,
    ) -> Result<Otlp, TransportError> {
        let _entered = runtime.enter();
        let transport = Transport::new(&config)?;
        let metrics = Metrics::new(metrics, config.sending_queue.queue_size);
        let (report_sender, reports) = mpsc::channel();
        let (generation, current) = watch::channel(0);
        let (config, load) = (Arc::new(config), Arc::new(Load::default()));
        let lanes = config.sending_queue.num_consumers.min(partitions.max(1) as usize);
        let way = |signal: Signal| {
            let (jobs, receiver) = queue::unbounded_channel();
            let lane = Lane {
                sink: id.to_owned(),
                signal,
                transport: transport.clone(),
                config: Arc::clone(&config),
                load: Arc::clone(&load),
                reports: report_sender.clone(),
                generation: current.clone(),
                metrics: metrics.clone(),
            };
            runtime.spawn(lane.run(receiver));
            Way { batcher: Batcher::default(), jobs }
        };
        let metric_ways = (0..lanes).map(|_| way(Signal::Metrics)).collect();
        let log_ways = (0..lanes).map(|_| way(Signal::Logs)).collect();
        let (mapper, mapped) = (Mapper::default(), Mapped::default());
        Ok(Otlp { config, mapper, mapped, metric_ways, log_ways, load, reports, generation, metrics })
    }

    fn ways(&mut self) -> impl Iterator<Item = &mut Way> {
        self.metric_ways.iter_mut().chain(&mut self.log_ways)
    }

    /// Bytes of items that wait for others, wait for their lane, or are under way.
    fn held_bytes(&self) -> usize {
        let ways = self.metric_ways.iter().chain(&self.log_ways);
        self.load.now().1 + ways.map(|way| way.batcher.bytes()).sum::<usize>()
    }

    /// Sends what `take` gives for each lane.
    fn send(&mut self, take: impl Fn(&mut Batcher) -> Option<Vec<Item>>) -> u64 {
        let (load, generation) = (Arc::clone(&self.load), *self.generation.borrow());
        let mut sent = 0;
        for way in self.ways() {
            if let Some(items) = take(&mut way.batcher) {
                way.send(items, generation, &load);
                sent += 1;
            }
        }
        sent
    }
}

impl Way {
    fn send(&self, items: Vec<Item>, generation: u64, load: &Load) {
        let bytes = items.iter().map(Item::size).sum();
        let job = Job { generation, items, bytes };
        load.enter(&job);
        if let Err(queue::error::SendError(job)) = self.jobs.send(job) {
            load.leave(job.bytes);
        }
    }
}

impl Sink for Otlp {
    fn assigned(&mut self, _partitions: &[u32], generation: u64) {
        self.ways().for_each(|way| drop(way.batcher.take()));
        self.generation.send_replace(generation);
    }

    fn take(&mut self, row: &Row<'_>, arrival: Arrival, texts: &mut Texts) -> Taken {
        self.mapper.map(row, arrival.ticket, texts, &mut self.mapped);
        let items = self.mapped.metrics.len() + self.mapped.logs.len();
        if items == 0 {
            return Taken::Settled(Outcome::Skipped);
        }
        let generation = *self.generation.borrow();
        let lane = arrival.partition as usize % self.metric_ways.len();
        let metrics = (&mut self.mapped.metrics, &mut self.metric_ways[lane]);
        let logs = (&mut self.mapped.logs, &mut self.log_ways[lane]);
        for (items, way) in [metrics, logs] {
            for item in items.drain(..) {
                if let Some(batch) = way.batcher.push(item, arrival.now, &self.config.batch) {
                    way.send(batch, generation, &self.load);
                    self.metrics.batch_sizes.inc();
                }
            }
        }
        Taken::Pending(items as u32)
    }

    fn tick(&mut self, now: Instant) {
        // While nothing more is read, waiting for more is in vain.
        let timeout = if self.has_room() { self.config.batch.timeout } else { Duration::ZERO };
        let sent = self.send(|batcher| batcher.take_due(now, timeout));
        self.metrics.batch_timeouts.inc_by(sent);
        self.metrics.queue_size.set(self.load.now().0 as i64);
        self.metrics.held_bytes.set(self.held_bytes() as i64);
    }

    fn flush(&mut self) {
        self.send(|batcher| (!batcher.is_empty()).then(|| batcher.take()));
    }

    fn has_room(&mut self) -> bool {
        self.load.now().0 < self.config.sending_queue.queue_size && self.held_bytes() < IN_FLIGHT_BYTES_MAX
    }

    fn collect(&mut self, reports: &mut Vec<Report>) {
        reports.extend(self.reports.try_iter());
    }
}
