//! The way of polls to the bus. One task per target owns the spool; pollers hand their polls over and go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dbintel_bus::{Publisher, SendError};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::poll::Poll;
use crate::spool::{Lost, Spool, Waiting};

/// Polls that may be handed over before the task has looked at them.
const POLLS_IN_HAND_MAX: usize = 16;
/// Time between two tries while the bus takes nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Time for what waits when the poller stops.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// Where pollers of one target leave their polls. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outlet {
    polls: mpsc::Sender<Poll>,
    losses: Arc<Losses>,
}

/// What pollers have to send again.
#[derive(Debug, Default)]
struct Losses {
    queries: AtomicBool,
    texts: AtomicBool,
}

impl Outlet {
    /// An outlet and the task that feeds the bus from it. The task ends when all outlets are gone.
    pub fn open(
        target: &str,
        targets: usize,
        bus: Publisher,
        metrics: Metrics,
    ) -> (Outlet, impl Future<Output = ()> + use<>) {
        let (sender, receiver) = mpsc::channel(POLLS_IN_HAND_MAX);
        let losses = Arc::new(Losses::default());
        let target = target.to_owned();
        let (spool, clock) = (Spool::new(targets), Clock::start());
        let feed = Feed { target, bus, metrics, spool, losses: losses.clone(), clock, refusing_since: None };
        (Outlet { polls: sender, losses }, feed.run(receiver))
    }

    /// Hands a poll over.
    pub async fn submit(&self, poll: Poll) {
        if self.polls.send(poll).await.is_err() {
            warn!("a poll ended after its outlet was closed");
        }
    }

    /// Whether counters of statements were lost since the last call: the next poll has to be a complete snapshot.
    pub fn take_lost_queries(&self) -> bool {
        self.losses.queries.swap(false, Ordering::AcqRel)
    }

    /// Whether texts were lost since the last call.
    pub fn take_lost_texts(&self) -> bool {
        self.losses.texts.swap(false, Ordering::AcqRel)
    }
}

struct Feed {
    target: String,
    bus: Publisher,
    metrics: Metrics,
    spool: Spool,
    losses: Arc<Losses>,
    clock: Clock,
    /// When the bus began to take nothing more.
    refusing_since: Option<Duration>,
}

impl Feed {
    async fn run(mut self, mut polls: mpsc::Receiver<Poll>) {
        loop {
            tokio::select! {
                poll = polls.recv() => match poll {
                    Some(poll) => self.take(poll),
                    None => break,
                },
                () = tokio::time::sleep(RETRY_INTERVAL), if !self.spool.is_empty() => {}
            }
            self.drain().await;
        }
        let drained = tokio::time::timeout(STOP_TIMEOUT, self.drain_fully()).await;
        if drained.is_err() {
            warn!(target = self.target, rows = self.spool.rows(), "stopped with rows that the bus did not take");
        }
    }

    async fn drain_fully(&mut self) {
        self.drain().await;
        while !self.spool.is_empty() {
            tokio::time::sleep(RETRY_INTERVAL).await;
            self.drain().await;
        }
    }

    fn take(&mut self, poll: Poll) {
        let before = self.spool.rows() as i64;
        let lost = self.spool.push(poll);
        self.metrics.rows_waiting.add(self.spool.rows() as i64 - before);
        self.note(lost);
    }

    /// Publishes what the bus takes, and thins what waits.
    async fn drain(&mut self) {
        let before = self.spool.rows() as i64;
        let refusal = loop {
            match self.publish_front() {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        if (self.spool.rows() as i64) < before {
            // It takes some at a time.
            self.refusing_since = self.refusing_since.map(|_| self.clock.monotonic());
        }
        self.note_refusal(refusal);
        self.metrics.rows_waiting.add(self.spool.rows() as i64 - before);
        let (before, refusing) = (self.spool.rows() as i64, self.refusing());
        let process_rows = usize::try_from(self.metrics.rows_waiting.get()).unwrap_or(0);
        let lost = self.spool.thin(refusing, process_rows);
        self.metrics.rows_waiting.add(self.spool.rows() as i64 - before);
        self.note(lost);
    }

    /// Publishes some of the oldest poll; false if there is none.
    fn publish_front(&mut self) -> Result<bool, SendError> {
        let Some(Waiting { poll, settled, published }) = self.spool.front() else { return Ok(false) };
        let topic = poll.rows.topic();
        let (taken, error) = poll.rows.publish(*settled, &poll.stamp, &self.bus);
        let published = *published + taken as i64;
        if let Some(topic) = topic {
            self.metrics.rows_published.with_label_values(&[topic.name()]).inc_by(taken as u64);
        }
        match error {
            None if settled + taken < poll.rows.len() => {
                self.spool.published(taken);
                Ok(true)
            }
            None => {
                let rows: Vec<_> = topic.into_iter().map(|topic| (topic, published)).collect();
                let result = poll.publish(&rows, &self.bus);
                self.spool.published(taken);
                self.finish_poll(result)
            }
            Some(SendError::TooLarge { bytes }) => {
                self.spool.published(taken);
                self.spool.refused();
                self.too_large(topic.map_or("", |topic| topic.name()), bytes);
                Ok(true)
            }
            Some(error) => {
                self.spool.published(taken);
                Err(error)
            }
        }
    }

    fn finish_poll(&mut self, result: Result<(), SendError>) -> Result<bool, SendError> {
        match result {
            Ok(()) => self.metrics.rows_published.with_label_values(&["raw.polls"]).inc(),
            Err(SendError::TooLarge { bytes }) => self.too_large("raw.polls", bytes),
            Err(error) => return Err(error),
        }
        self.spool.pop();
        Ok(true)
    }

    fn too_large(&self, topic: &str, bytes: usize) {
        self.metrics.bus_refusals.with_label_values(&["too_large"]).inc();
        self.metrics.rows_dropped.with_label_values(&[topic]).inc();
        warn!(target = self.target, topic, bytes, "a row is larger than the bus allows and was dropped");
    }

    fn note_refusal(&mut self, refusal: Option<SendError>) {
        if let Some(error) = &refusal {
            let reason = if matches!(error, SendError::Full) { "full" } else { "unavailable" };
            self.metrics.bus_refusals.with_label_values(&[reason]).inc();
            if self.refusing_since.is_none() {
                warn!(target = self.target, %error, rows = self.spool.rows(), "the bus takes no more: rows wait");
            }
        } else if self.refusing_since.is_some() {
            info!(target = self.target, "the bus takes rows again");
        }
        let since = self.refusing_since.unwrap_or_else(|| self.clock.monotonic());
        self.refusing_since = refusal.map(|_| since);
    }

    /// For how long the bus has taken nothing more.
    fn refusing(&self) -> Duration {
        self.refusing_since.map_or(Duration::ZERO, |since| self.clock.monotonic().saturating_sub(since))
    }

    fn note(&self, lost: Lost) {
        if lost == Lost::default() {
            return;
        }
        self.losses.queries.fetch_or(lost.queries > 0, Ordering::AcqRel);
        self.losses.texts.fetch_or(lost.texts > 0, Ordering::AcqRel);
        let topics = [
            ("raw.queries", lost.queries),
            ("raw.texts", lost.texts),
            ("raw.sessions", lost.sessions),
            ("raw.logs", lost.logs),
            ("raw.metrics", lost.metrics),
            ("raw.polls", lost.polls),
        ];
        for (topic, rows) in topics {
            self.metrics.rows_dropped.with_label_values(&[topic]).inc_by(rows);
        }
        warn!(
            target = self.target,
            queries = lost.queries,
            texts = lost.texts,
            sessions = lost.sessions,
            logs = lost.logs,
            metrics = lost.metrics,
            polls = lost.polls,
            "rows were dropped: the bus took no more"
        );
    }
}

#[cfg(test)]
mod tests;
