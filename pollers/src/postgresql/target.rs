//! What all connections of one target share, and how a poll is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outlet::Outlet;
use crate::poll::{Class, Identity, Outcome, Poll, Stamp};

use super::config::{ClassConfig, Config};
use super::error::Failure;
use super::server::Server;

/// One monitored server.
pub struct Target {
    /// Component id.
    pub component: String,
    /// Name of the target.
    pub name: String,
    /// Settings.
    pub config: Config,
    /// Clocks.
    pub clock: Clock,
    /// The way to the bus.
    pub outlet: Outlet,
    /// What the poller says about itself.
    pub metrics: Metrics,
    /// What steers the target.
    pub limits: watch::Receiver<Limits>,
    poll_seq: AtomicI64,
}

/// A poll on its way.
pub struct Run {
    /// What is known of it so far.
    pub poll: Poll,
    began_at: Duration,
}

impl Target {
    /// A target that was not polled yet. Polls are numbered from the wall clock in ms: there are fewer than one poll per
    /// ms, so that numbers go on rising when the process starts again, without anything being stored.
    pub fn new(
        component: String,
        name: String,
        config: Config,
        outlet: Outlet,
        metrics: Metrics,
        limits: watch::Receiver<Limits>,
    ) -> Target {
        let clock = Clock::start();
        let poll_seq = AtomicI64::new(clock.wall_us() / 1000);
        Target { component, name, config, clock, outlet, metrics, limits, poll_seq }
    }

    /// Interval and time limit of a class.
    pub fn class(&self, class: Class) -> ClassConfig {
        match class {
            Class::Sessions => self.config.sessions,
            Class::Statements => self.config.statements,
            Class::Texts => self.config.texts,
            Class::Metrics => self.config.metrics,
            Class::Tables => self.config.tables,
            Class::Sizes => self.config.sizes,
        }
    }

    /// Who a server is, for the records. Before the first connection there is no server.
    pub fn identity(&self, server: Option<&Server>) -> Arc<Identity> {
        let labels = self.config.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let known = |server: &Server| Identity {
            engine_version: server.version.clone(),
            role: server.role(),
            system_identifier: server.system_identifier.clone(),
            started_at: Some(server.started_at),
            timeline: server.timeline,
            ..Identity::default()
        };
        let unknown = || Identity { role: "unknown", ..Identity::default() };
        Arc::new(Identity {
            poller: self.component.clone(),
            target: self.name.clone(),
            labels,
            engine: "postgresql",
            owner_epoch: 0,
            ..server.map_or_else(unknown, known)
        })
    }

    /// Begins a poll: from now on it takes time.
    pub fn begin(&self, class: Class, database: Option<&str>, skipped: u64, identity: Arc<Identity>) -> Run {
        let wall = self.clock.wall_us();
        let poll_seq = self.poll_seq.fetch_add(1, Ordering::Relaxed);
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
            self.metrics.poll_duration.with_label_values(&[class]).observe(took.as_secs_f64());
        }
        self.outlet.submit(run.poll).await;
    }
}

impl Run {
    /// Monotonic time of its beginning.
    pub fn began_at(&self) -> Duration {
        self.began_at
    }

    /// How long it has taken so far.
    pub fn took(&self, target: &Target) -> Duration {
        target.clock.monotonic().saturating_sub(self.began_at)
    }
}
