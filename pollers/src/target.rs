//! What all connections of one target share, and how a poll is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::poll::{Class, Identity, Outcome, Poll, Stamp};
use crate::settings::ClassConfig;

/// One monitored server.
pub struct Target<E: Engine> {
    /// Component id.
    pub component: String,
    /// Name of the target.
    pub name: String,
    /// Counts the owners of the target; 0 where there is only one.
    pub owner_epoch: i64,
    /// Settings.
    pub config: E::Config,
    /// Clocks.
    pub clock: Clock,
    /// The way to the bus.
    pub outlet: Outlet,
    /// What the poller says about itself.
    pub metrics: Metrics,
    /// Whether this process may poll it now.
    pub lease: Lease,
    /// What steers the target.
    pub limits: watch::Receiver<Limits>,
    /// The servers that answered at its endpoint.
    pub members: Members,
    /// How it fares.
    pub condition: watch::Sender<Condition>,
    first_poll_seq: i64,
    /// The number that was given last.
    poll_seq: AtomicI64,
}

/// How a target fares, as its polls tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// Class of the error of the last poll, if that failed.
    pub error_class: Option<String>,
    /// What is missing on the server, by the class of polls that misses it.
    pub missing: BTreeMap<Class, BTreeSet<String>>,
}

/// Where the polls of a target go, and under which name.
pub struct Place {
    /// Component id.
    pub component: String,
    /// Name of the target.
    pub name: String,
    /// Counts the owners of the target; 0 where there is only one.
    pub owner_epoch: i64,
    /// The way to the bus.
    pub outlet: Outlet,
    /// What the poller says about itself.
    pub metrics: Metrics,
    /// Whether this process may poll it now.
    pub lease: Lease,
}

/// A poll on its way.
pub struct Run {
    /// What is known of it so far.
    pub poll: Poll,
    began_at: Duration,
}

impl<E: Engine> Target<E> {
    /// A target that was not polled yet. Its polls are numbered from the wall clock in ms, so that numbers go on rising when
    /// the process starts again, without anything being stored.
    pub fn new(
        place: Place,
        config: E::Config,
        (limits, condition): (watch::Receiver<Limits>, watch::Sender<Condition>),
    ) -> Target<E> {
        let Place { component, name, owner_epoch, outlet, metrics, lease } = place;
        let clock = Clock::start();
        let first_poll_seq = clock.wall_us() / 1000;
        let poll_seq = AtomicI64::new(first_poll_seq);
        Target {
            component,
            name,
            owner_epoch,
            config,
            clock,
            outlet,
            metrics,
            lease,
            limits,
            members: Members::default(),
            condition,
            first_poll_seq,
            poll_seq,
        }
    }

    /// Interval and time limit of a class.
    pub fn class(&self, class: Class) -> ClassConfig {
        E::class(&self.config, class)
    }

    /// Who a server is, for the records. Before the first connection there is no server.
    pub fn identity(&self, server: Option<&E::Server>) -> Arc<Identity> {
        let labels = E::labels(&self.config).iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Arc::new(Identity {
            poller: self.component.clone(),
            target: self.name.clone(),
            labels,
            owner_epoch: self.owner_epoch,
            ..E::identity(server)
        })
    }

    /// Begins a poll: from now on it takes time.
    pub fn begin(&self, class: Class, database: Option<&str>, skipped: u64, identity: Arc<Identity>) -> Run {
        let wall = self.clock.wall_us();
        let uptime = self.clock.monotonic();
        let next = |last| Some(next_poll_seq(self.first_poll_seq, last, uptime));
        let last = self.poll_seq.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_else(|last| last);
        let poll_seq = next_poll_seq(self.first_poll_seq, last, uptime);
        let mut poll = Poll::new(class, Stamp { identity, poll_seq, observed_at: wall, ..Stamp::default() });
        poll.database = database.map(str::to_owned);
        poll.started_at = wall;
        poll.skipped_polls = i64::try_from(skipped).unwrap_or(i64::MAX);
        Run { poll, began_at: self.clock.monotonic() }
    }

    /// Ends a poll and hands it over.
    pub async fn end(&self, mut run: Run, result: Result<(), Failure>) {
        if let Err(failure) = result {
            run.poll.outcome = failure.outcome;
            run.poll.error_class = Some(failure.class);
            run.poll.error = Some(failure.message);
            run.poll.stamp.observed_at = self.clock.wall_us();
        }
        let took = run.took(self);
        run.poll.duration_ns = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
        let class = run.poll.class.name();
        self.metrics.polls.with_label_values(&[class, run.poll.outcome.name()]).inc();
        self.metrics.polls_skipped.with_label_values(&[class]).inc_by(run.poll.skipped_polls.unsigned_abs());
        if run.poll.outcome != Outcome::Skipped {
            self.condition.send_modify(|condition| condition.learn(&run.poll));
            self.metrics.poll_duration.with_label_values(&[class]).observe(took.as_secs_f64());
        }
        self.outlet.submit(run.poll).await;
    }
}

impl Condition {
    /// Takes what a poll tells. What a version does not have at all is told with the settings, and is no lack.
    fn learn(&mut self, poll: &Poll) {
        self.error_class.clone_from(&poll.error_class);
        if poll.outcome == Outcome::Ok && poll.class != Class::Settings {
            let names = poll.capabilities.iter().map(|missing| missing.name.clone());
            self.missing.insert(poll.class, names.collect());
        }
    }
}

/// The number of the next poll. Numbers rise by half of the ms that pass: so a start after the wall clock was set back by
/// less than half of the time that the last process ran is not noticed, and after a larger step numbers catch up with
/// those given before in at most twice the step. Until then readings would be taken for late ones.
fn next_poll_seq(first: i64, last: i64, uptime: Duration) -> i64 {
    let floor = i64::try_from(uptime.as_millis() / 2).unwrap_or(i64::MAX).saturating_add(first);
    floor.max(last + 1)
}

impl Run {
    /// Monotonic time of its beginning.
    pub fn began_at(&self) -> Duration {
        self.began_at
    }

    /// How long it has taken so far.
    pub fn took<E: Engine>(&self, target: &Target<E>) -> Duration {
        target.clock.monotonic().saturating_sub(self.began_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_polls_rise_and_follow_the_clock() {
        let cases = [
            (0, 1_000, 1_001),
            (1, 1_000, 1_001),
            (10_000, 1_001, 6_000),
            (10_000, 6_000, 6_001),
            (10_001, 9_000, 9_001),
        ];
        for (uptime_ms, last, expected) in cases {
            assert_eq!(
                next_poll_seq(1_000, last, Duration::from_millis(uptime_ms)),
                expected,
                "{uptime_ms} ms, {last}"
            );
        }
    }

    #[test]
    fn a_clock_that_was_set_back_before_a_start_silences_nothing_for_long() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let after = |first: i64, uptime| next_poll_seq(first, first, uptime);
        let (first, hour) = (1_000 * 3_600_000, 3_600_000);
        // After a day, a step of 6 hours: the new numbers are higher at once.
        let last = after(first, hours(24));
        assert!(first + 24 * hour - 6 * hour > last);
        // After no time at all, a step of 3 hours.
        assert!(after(first - 3 * hour, hours(7)) > after(first, hours(0)));
    }
}
