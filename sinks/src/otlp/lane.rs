//! One way to the receiver: sends the requests of some partitions of one signal, one after the other, for as long as it
//! takes. The order of a target's items is kept, and a receiver that is away stops the lane, not the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc as queue, watch};

use super::config::{Config, RetryOnFailure};
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

/// How the delivery of a part ended.
enum End {
    Settled { rejected: u64, reason: &'static str },
    Split,
    Abandoned,
}

/// Items that are sent in one request, and what that took until now.
struct Part<'c> {
    items: Vec<Item>,
    started: Instant,
    /// Those that no report has counted.
    attempts: u32,
    failure: Option<&'static str>,
    backoff: Backoff<'c>,
}

impl<'c> Part<'c> {
    fn new(items: Vec<Item>, retry: &'c RetryOnFailure) -> Self {
        Part { items, started: clock::now(), attempts: 0, failure: None, backoff: Backoff::new(retry) }
    }

    /// Its halves, the later one first. The attempts stay with the earlier one, so that each is reported once.
    fn halves(mut self) -> [Self; 2] {
        let items = self.items.split_off(self.items.len() / 2);
        [Part { items, attempts: 0, ..self }, self]
    }
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
        self.calm(&mut voice);
    }

    /// Delivers items, in halves if they are too many at once.
    async fn deliver(&mut self, generation: u64, items: Vec<Item>, voice: &mut Voice, jitter: &mut Jitter) {
        let config = Arc::clone(&self.config);
        let mut parts = vec![Part::new(items, &config.retry_on_failure)];
        while let Some(mut part) = parts.pop() {
            match self.deliver_part(generation, &mut part, voice, jitter).await {
                End::Settled { rejected, reason } => self.report(generation, &part.items, rejected, reason, &part),
                End::Split => parts.extend(part.halves()),
                End::Abandoned => {
                    self.calm(voice);
                    return;
                }
            }
        }
    }

    /// Sends a request until it is settled.
    async fn deliver_part(
        &mut self,
        generation: u64,
        part: &mut Part<'_>,
        voice: &mut Voice,
        jitter: &mut Jitter,
    ) -> End {
        let mut body = self.transport.prepare(encode(&part.items));
        while self.is_wanted(generation) {
            let answer = self.transport.send(self.signal, body.clone()).await.without(self.config.headers.values());
            part.attempts += 1;
            part.failure = answer.failure().or(part.failure);
            let items = part.items.len() as u64;
            let wait = match decide(&answer, part.items.len()) {
                Decision::Settle { rejected } => {
                    self.accepted(&answer, items, rejected, voice);
                    return End::Settled { rejected, reason: PARTIAL };
                }
                Decision::Split => return End::Split,
                Decision::Reject => return self.reject(&answer, items, voice),
                _ if !self.config.retry_on_failure.enabled => return self.reject(&answer, items, voice),
                Decision::Retry { after } => {
                    let wait = part.backoff.next(after, jitter.draw());
                    self.complain(&answer, wait, part.backoff.cycle_is_over(), voice);
                    wait
                }
                Decision::Hold => {
                    self.refused(&answer, voice);
                    part.backoff.slowest(jitter.draw())
                }
            };
            self.metrics.failed(self.signal, items);
            self.metrics.retries.inc();
            if self.give_up_old(generation, part, wait, voice) {
                if part.items.is_empty() {
                    return End::Settled { rejected: 0, reason: EXPIRED };
                }
                body = self.transport.prepare(encode(&part.items));
            }
            self.pause(wait).await;
        }
        End::Abandoned
    }

    fn accepted(&self, answer: &Answer, items: u64, rejected: u64, voice: &mut Voice) {
        self.metrics.sent(self.signal, items - rejected);
        self.metrics.failed(self.signal, rejected);
        let message = answer.message();
        if rejected > 0 {
            voice.say(PARTIAL, || {
                tracing::error!(sink = self.sink, rejected, answer = message, "the receiver rejected some items")
            });
        } else if !message.is_empty() {
            voice.say("warning", || {
                tracing::warn!(sink = self.sink, answer = message, "the receiver took the data, but says")
            });
        }
        if self.calm(voice) {
            tracing::info!(sink = self.sink, signal = ?self.signal, "the receiver takes data again");
        }
    }

    fn reject(&self, answer: &Answer, rejected: u64, voice: &mut Voice) -> End {
        self.metrics.failed(self.signal, rejected);
        self.calm(voice);
        let (reason, message) = (answer.failure().unwrap_or(PARTIAL), answer.message());
        voice.say(reason, || {
            tracing::error!(sink = self.sink, rejected, reason, answer = message, "the receiver rejected data for good")
        });
        End::Settled { rejected, reason }
    }

    fn complain(&self, answer: &Answer, wait: Duration, cycle_is_over: bool, voice: &mut Voice) {
        let (reason, message) = (answer.failure(), answer.message());
        if !voice.failing {
            voice.failing = true;
            let (sink, signal, endpoint) = (&self.sink, self.signal, self.transport.authority(self.signal));
            tracing::warn!(sink, ?signal, endpoint, reason, answer = message, ?wait, "could not deliver; trying again");
        }
        if cycle_is_over {
            self.set_stuck(voice, true);
            voice.say("stuck", || {
                tracing::error!(
                    sink = self.sink,
                    signal = ?self.signal,
                    endpoint = self.transport.authority(self.signal),
                    reason,
                    answer = message,
                    "the receiver has not taken data for long: the sink pauses, nothing is dropped"
                );
            });
        }
    }

    /// The receiver does not want us, whatever we send.
    fn refused(&self, answer: &Answer, voice: &mut Voice) {
        voice.failing = true;
        self.set_stuck(voice, true);
        voice.say("refused", || {
            tracing::error!(
                sink = self.sink,
                signal = ?self.signal,
                endpoint = self.transport.authority(self.signal),
                reason = answer.failure(),
                answer = answer.message(),
                "the receiver refuses us, not the data: the sink pauses, nothing is dropped; \
                 check its endpoint and headers (the key), mend them, and restart"
            );
        });
    }

    /// There is no trouble any more, or nobody who minds. True if there was some.
    fn calm(&self, voice: &mut Voice) -> bool {
        self.set_stuck(voice, false);
        std::mem::take(&mut voice.failing)
    }

    fn set_stuck(&self, voice: &mut Voice, stuck: bool) {
        if voice.stuck != stuck {
            voice.stuck = stuck;
            self.metrics.stuck.add(if stuck { 1 } else { -1 });
        }
    }

    /// Gives up the items that will be too old after a wait, if the user asked for that. True if there were some.
    fn give_up_old(&self, generation: u64, part: &mut Part<'_>, wait: Duration, voice: &mut Voice) -> bool {
        let drop_after = self.config.retry_on_failure.drop_after;
        if drop_after.is_zero() {
            return false;
        }
        let young_from = clock::wall_us().saturating_add(micros(wait)).saturating_sub(micros(drop_after));
        let old: Vec<Item> = part.items.extract_if(.., |item| item.at <= young_from).collect();
        if old.is_empty() {
            return false;
        }
        voice.say(EXPIRED, || tracing::error!(sink = self.sink, "data was given up because of its age"));
        self.report(generation, &old, old.len() as u64, EXPIRED, part);
        part.attempts = 0;
        true
    }

    /// Whether items of this generation are still to be delivered. What is newer ends the next pause.
    fn is_wanted(&mut self, generation: u64) -> bool {
        self.generation.has_changed().is_ok() && *self.generation.borrow_and_update() == generation
    }

    /// Waits, unless the items are not wanted any more.
    async fn pause(&mut self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.generation.changed() => {}
        }
    }

    fn report(&self, generation: u64, items: &[Item], rejected: u64, reason: &'static str, part: &Part<'_>) {
        let report = Report {
            generation,
            settled: settlements(items, rejected, reason),
            attempts: part.attempts,
            failure: part.failure,
            duration: clock::now().duration_since(part.started),
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

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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

#[cfg(test)]
mod tests;
