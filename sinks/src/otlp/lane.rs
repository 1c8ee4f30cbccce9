//! One way to the receiver: sends the requests of some partitions of one signal, one after the other, for as long as it
//! takes. The order of a target's items is kept, and a receiver that is away stops the lane, not the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc as queue, watch};

use super::config::Config;
use super::metrics::Metrics;
use super::request::{Item, Signal, encode};
use super::retry::{Answer, Backoff, Decision, decide};
use super::transport::Transport;
use crate::clock::{self, Jitter};
use crate::delivery::{Outcome, Report, Settlement};

/// Reason of items that were given up because of their age, as the user asked.
const EXPIRED: &str = "expired";
/// Reason of some items of a request that was otherwise taken.
const PARTIAL: &str = "partial_success";
/// Time between messages about the same trouble.
const QUIET: Duration = Duration::from_secs(60);

/// A batch on its way.
#[derive(Debug)]
pub struct Job {
    /// Generation of the assignment in which its rows were taken.
    pub generation: u64,
    /// What to send.
    pub items: Vec<Item>,
    /// What the items hold in memory.
    pub bytes: usize,
}

/// What waits or runs, over all lanes.
#[derive(Debug, Default)]
pub struct Load {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

impl Load {
    /// A job begins to wait.
    pub fn enter(&self, job: &Job) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(job.bytes, Ordering::Relaxed);
    }

    /// A job of this size is done.
    pub fn leave(&self, bytes: usize) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Requests and bytes.
    pub fn now(&self) -> (usize, usize) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A lane and what it needs.
pub struct Lane {
    /// Component id of the sink.
    pub sink: String,
    /// What it sends.
    pub signal: Signal,
    /// The way.
    pub transport: Transport,
    /// Settings of the sink.
    pub config: Arc<Config>,
    /// What waits or runs, over all lanes.
    pub load: Arc<Load>,
    /// Where outcomes are reported.
    pub reports: mpsc::Sender<Report>,
    /// The generation that is delivered now. Closed when the sink ends.
    pub generation: watch::Receiver<u64>,
    /// Counters of the sink.
    pub metrics: Metrics,
}

/// How the delivery of some items ended.
enum End {
    Settled { rejected: u64, reason: &'static str },
    Split,
    Abandoned,
}

/// What it took.
struct Effort {
    started: Instant,
    attempts: u32,
    failure: Option<&'static str>,
}

impl Lane {
    /// Delivers jobs until the sink ends.
    pub async fn run(mut self, mut jobs: queue::UnboundedReceiver<Job>) {
        let mut voice = Voice::default();
        let mut jitter = Jitter::new();
        while let Some(job) = jobs.recv().await {
            let (generation, bytes) = (job.generation, job.bytes);
            self.deliver(generation, job.items, &mut voice, &mut jitter).await;
            self.load.leave(bytes);
        }
        self.set_stuck(&mut voice, false);
    }

    /// Delivers items, in halves if they are too many at once.
    async fn deliver(&mut self, generation: u64, items: Vec<Item>, voice: &mut Voice, jitter: &mut Jitter) {
        let mut parts = vec![items];
        while let Some(mut items) = parts.pop() {
            let mut effort = Effort { started: clock::now(), attempts: 0, failure: None };
            match self.deliver_part(generation, &items, &mut effort, voice, jitter).await {
                End::Settled { rejected, reason } => self.report(generation, &items, rejected, reason, &effort),
                End::Split => {
                    let tail = items.split_off(items.len() / 2);
                    parts.push(tail);
                    parts.push(items);
                }
                End::Abandoned => return,
            }
        }
    }

    /// Sends a request until it is settled.
    async fn deliver_part(
        &mut self,
        generation: u64,
        items: &[Item],
        effort: &mut Effort,
        voice: &mut Voice,
        jitter: &mut Jitter,
    ) -> End {
        let config = Arc::clone(&self.config);
        let body = self.transport.prepare(encode(items));
        let mut backoff = Backoff::new(&config.retry_on_failure);
        loop {
            if *self.generation.borrow() != generation {
                return End::Abandoned;
            }
            let answer = self.transport.send(self.signal, body.clone()).await;
            effort.attempts += 1;
            effort.failure = answer.failure().or(effort.failure);
            let reason = answer.failure().unwrap_or(PARTIAL);
            let wait = match decide(&answer, items.len()) {
                Decision::Settle { rejected } => {
                    self.accepted(&answer, items.len() as u64, rejected, voice);
                    return End::Settled { rejected, reason: PARTIAL };
                }
                Decision::Split => return End::Split,
                Decision::Reject => return self.reject(&answer, items, reason, voice),
                Decision::Retry { .. } if !config.retry_on_failure.enabled => {
                    return self.reject(&answer, items, reason, voice);
                }
                Decision::Retry { after } => backoff.next(after, jitter.draw()),
            };
            self.metrics.failed(self.signal, items.len() as u64);
            self.metrics.retries.inc();
            if self.is_expired(effort, wait) {
                voice.say(EXPIRED, || tracing::error!(sink = self.sink, "data was given up because of its age"));
                return End::Settled { rejected: items.len() as u64, reason: EXPIRED };
            }
            self.complain(&answer, wait, backoff.cycle_is_over(), voice);
            if !self.pause(wait).await {
                return End::Abandoned;
            }
        }
    }

    fn accepted(&self, answer: &Answer, items: u64, rejected: u64, voice: &mut Voice) {
        self.metrics.sent(self.signal, items - rejected);
        self.metrics.failed(self.signal, rejected);
        let message = answer.message();
        if rejected > 0 {
            voice.say(PARTIAL, || {
                tracing::error!(sink = self.sink, rejected, message, "the receiver rejected some items")
            });
        } else if !message.is_empty() {
            voice.say("warning", || tracing::warn!(sink = self.sink, message, "the receiver took the data, but says"));
        }
        if voice.failing {
            voice.failing = false;
            self.set_stuck(voice, false);
            tracing::info!(sink = self.sink, signal = ?self.signal, "the receiver takes data again");
        }
    }

    fn reject(&self, answer: &Answer, items: &[Item], reason: &'static str, voice: &mut Voice) -> End {
        let rejected = items.len() as u64;
        self.metrics.failed(self.signal, rejected);
        let message = answer.message();
        voice.say(reason, || {
            tracing::error!(sink = self.sink, rejected, reason, message, "the receiver rejected data for good")
        });
        End::Settled { rejected, reason }
    }

    fn complain(&self, answer: &Answer, wait: Duration, cycle_is_over: bool, voice: &mut Voice) {
        let (reason, message) = (answer.failure(), answer.message());
        if !voice.failing {
            voice.failing = true;
            tracing::warn!(sink = self.sink, signal = ?self.signal, reason, message, ?wait, "could not deliver; trying again");
        }
        if cycle_is_over {
            self.set_stuck(voice, true);
            voice.say("stuck", || {
                tracing::error!(
                    sink = self.sink,
                    signal = ?self.signal,
                    reason,
                    message,
                    "the receiver has not taken data for long: the sink pauses, nothing is dropped"
                );
            });
        }
    }

    fn set_stuck(&self, voice: &mut Voice, stuck: bool) {
        if voice.stuck != stuck {
            voice.stuck = stuck;
            self.metrics.stuck.add(if stuck { 1 } else { -1 });
        }
    }

    fn is_expired(&self, effort: &Effort, wait: Duration) -> bool {
        let drop_after = self.config.retry_on_failure.drop_after;
        !drop_after.is_zero() && clock::now().duration_since(effort.started) + wait >= drop_after
    }

    /// Waits; false if the items are not wanted any more.
    async fn pause(&mut self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            changed = self.generation.changed() => changed.is_ok(),
        }
    }

    fn report(&self, generation: u64, items: &[Item], rejected: u64, reason: &'static str, effort: &Effort) {
        let report = Report {
            generation,
            settled: settlements(items, rejected, reason),
            attempts: effort.attempts,
            failure: effort.failure,
            duration: clock::now().duration_since(effort.started),
        };
        // Nobody listens any more when the sink has ended.
        let _ = self.reports.send(report);
    }
}

/// What became of items, those of one row together. A receiver does not say which items it rejected: the first ones are
/// charged.
fn settlements(items: &[Item], rejected: u64, reason: &'static str) -> Vec<Settlement> {
    let mut settled: Vec<Settlement> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let outcome = if (index as u64) < rejected { Outcome::Rejected(reason) } else { Outcome::Accepted };
        match settled.last_mut() {
            Some(last) if last.ticket == item.ticket && last.outcome == outcome => last.items += 1,
            _ => settled.push(Settlement { ticket: item.ticket, items: 1, outcome }),
        }
    }
    settled
}

/// What a lane has said, so that it does not repeat itself.
#[derive(Debug, Default)]
struct Voice {
    failing: bool,
    stuck: bool,
    said: Option<(&'static str, Instant)>,
}

impl Voice {
    /// Speaks, unless it said the same a moment ago.
    fn say(&mut self, what: &'static str, speak: impl FnOnce()) {
        let now = clock::now();
        let is_repetition = self.said.is_some_and(|(said, at)| said == what && now.duration_since(at) < QUIET);
        if !is_repetition {
            self.said = Some((what, now));
            speak();
        }
    }
}
