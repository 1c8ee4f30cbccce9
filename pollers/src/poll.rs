//! A poll that has ended: its rows, and what `raw.polls` says about it.

use std::borrow::Cow;
use std::sync::Arc;

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::records::{InstanceEpoch, MissingCapability, RawPoll, TopicRows};
use dbintel_schemas::{List, TextMap, Topic};

use crate::metrics::Metrics;
use crate::rows::{Rows, record, send};
use crate::text::StatementText;

/// A class of polls, with an interval and a time limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What each session does and waits for.
    Sessions,
    /// Counters of statements, without text.
    Statements,
    /// Texts of statements that were not seen before.
    Texts,
    /// Metrics of the server and its databases.
    Metrics,
    /// Replication, locks, and what is under way.
    Replication,
    /// Settings and other things that change seldom.
    Settings,
    /// Metrics of tables and indexes.
    Tables,
    /// Sizes on disk.
    Sizes,
    /// Statements of the configuration.
    Queries,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 9] = [
        Class::Sessions,
        Class::Statements,
        Class::Texts,
        Class::Metrics,
        Class::Replication,
        Class::Settings,
        Class::Tables,
        Class::Sizes,
        Class::Queries,
    ];

    /// The name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Class::Sessions => "sessions",
            Class::Statements => "statements",
            Class::Texts => "texts",
            Class::Metrics => "metrics",
            Class::Replication => "replication",
            Class::Settings => "settings",
            Class::Tables => "tables",
            Class::Sizes => "sizes",
            Class::Queries => "queries",
        }
    }
}

/// How a poll ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was read as a whole.
    Ok,
    /// The server, the network or the bus failed.
    Error,
    /// It took too long.
    Timeout,
    /// There is no connection.
    Refused,
    /// It was not tried: the circuit is open.
    Skipped,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 5] = [Outcome::Ok, Outcome::Error, Outcome::Timeout, Outcome::Refused, Outcome::Skipped];

    /// The name in records and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
            Outcome::Timeout => "timeout",
            Outcome::Refused => "refused",
            Outcome::Skipped => "skipped",
        }
    }
}

/// Whom the rows of a connection are about. The same for all polls of the connection, until the role changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Component id of the poller.
    pub poller: String,
    /// Name of the target.
    pub target: String,
    /// Labels of the target.
    pub labels: Vec<(String, String)>,
    /// Engine.
    pub engine: &'static str,
    /// Version as the server tells it; empty before the first connection.
    pub engine_version: String,
    /// primary, standby or unknown.
    pub role: &'static str,
    /// Identifier of the server's data; empty when it may not be read.
    pub system_identifier: String,
    /// Start of the server process, in µs since the epoch.
    pub started_at: Option<i64>,
    /// Timeline.
    pub timeline: Option<i64>,
    /// Counts the owners of the target; 0 on the embedded bus.
    pub owner_epoch: i64,
}

/// Which poll a row comes from, and when.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    /// Whom it is about.
    pub identity: Arc<Identity>,
    /// Number of the poll.
    pub poll_seq: i64,
    /// Wall clock at the end of the read, in µs since the epoch.
    pub observed_at: i64,
    /// Clock of the server at the read, in µs since the epoch.
    pub server_time: Option<i64>,
    /// Monotonic time since the previous poll of the class, in ns.
    pub interval_ns: Option<i64>,
    /// Last reset of the statistics that all rows come from; rows with a reset of their own say so themselves.
    pub statistics_reset_at: Option<i64>,
}

impl Stamp {
    /// The life of the server, with the given reset of statistics.
    pub fn instance(&self, statistics_reset_at: Option<i64>) -> InstanceEpoch<'_> {
        InstanceEpoch {
            system_identifier: &self.identity.system_identifier,
            started_at: self.identity.started_at,
            timeline: self.identity.timeline,
            statistics_reset_at,
        }
    }
}

/// Something that the server does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// Extension, view, column or grant.
    pub name: String,
    /// What is missing from our data.
    pub consequence: String,
    /// What the owner can do.
    pub remedy: String,
}

/// What sessions and server-wide metrics tell about the server's health. Null where the poll did not read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    /// Client connections.
    pub connections_used: Option<i64>,
    /// `max_connections`.
    pub connections_max: Option<i64>,
    /// Client sessions that execute.
    pub active_sessions: Option<i64>,
    /// Sessions that wait for a lock.
    pub lock_waiters: Option<i64>,
    /// The server replays its log.
    pub in_recovery: Option<bool>,
    /// Lag of a standby, in ns.
    pub replication_lag_ns: Option<i64>,
}

/// How full the server's table of statements is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entries {
    /// Statements that the server holds.
    pub held: Option<i64>,
    /// Statements that it can hold.
    pub max: Option<i64>,
    /// Cumulative number of evictions.
    pub evictions: Option<i64>,
}

/// A poll that has ended.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Which poll, and when.
    pub stamp: Stamp,
    /// Its class.
    pub class: Class,
    /// The database that it was for; none if it was for the server.
    pub database: Option<String>,
    /// Place of the query of the configuration that it ran; none for what is built in.
    pub query: Option<usize>,
    /// Its rows.
    pub rows: Rows,
    /// How it ended.
    pub outcome: Outcome,
    /// Class of the error.
    pub error_class: Option<String>,
    /// What happened and what helps.
    pub error: Option<String>,
    /// Wall clock at its start, in µs since the epoch.
    pub started_at: i64,
    /// How long it took, in ns.
    pub duration_ns: i64,
    /// Statements that were sent to the server.
    pub statements_sent: i64,
    /// The rows are all statements of the server.
    pub snapshot_complete: bool,
    /// How full the server's table of statements is.
    pub entries: Entries,
    /// Texts that were not published because they may hold literals.
    pub texts_withheld: i64,
    /// Polls of this class that were skipped since the last one.
    pub skipped_polls: i64,
    /// What the poll tells about the server's health.
    pub signals: Signals,
    /// What is missing on the server.
    pub capabilities: Vec<Capability>,
    /// Rows that were dropped because the bus took no more.
    pub rows_dropped: u64,
}

impl Poll {
    /// Counts the texts of which something is hidden.
    pub fn count_withheld<'t>(&mut self, metrics: &Metrics, texts: impl Iterator<Item = &'t StatementText>) {
        for reason in texts.filter_map(|text| text.withheld) {
            self.texts_withheld += 1;
            metrics.texts_withheld.with_label_values(&[reason]).inc();
        }
    }

    /// Whether both read the same: a newer one says all that an older one of counters says.
    pub fn is_of_the_job_of(&self, other: &Poll) -> bool {
        self.class == other.class && self.database == other.database && self.query == other.query
    }

    /// A poll without rows.
    pub fn new(class: Class, stamp: Stamp) -> Poll {
        Poll {
            stamp,
            class,
            database: None,
            query: None,
            rows: Rows::None,
            outcome: Outcome::Ok,
            error_class: None,
            error: None,
            started_at: 0,
            duration_ns: 0,
            statements_sent: 0,
            snapshot_complete: false,
            entries: Entries::default(),
            texts_withheld: 0,
            skipped_polls: 0,
            signals: Signals::default(),
            capabilities: Vec::new(),
            rows_dropped: 0,
        }
    }

    /// Forgets the rows from `first` on, because the bus took no more. What is published stays published.
    pub fn drop_rows_from(&mut self, first: usize) -> u64 {
        let dropped = self.rows.truncate(first);
        if dropped > 0 {
            self.rows_dropped += dropped;
            self.snapshot_complete = false;
        }
        dropped
    }

    /// Sends the record of this poll. `rows` holds the rows that were published, per topic.
    pub fn publish(&self, rows: &[(Topic, i64)], bus: &Publisher) -> Result<(), SendError> {
        let labels = pairs(&self.stamp.identity.labels);
        let rows: Vec<_> = rows.iter().map(|(topic, rows)| TopicRows { topic: topic.name(), rows: *rows }).collect();
        let capabilities: Vec<_> = self.capabilities.iter().map(missing).collect();
        let (outcome, error_class, error) = self.result();
        send(
            bus,
            &self.stamp,
            &record!(RawPoll, self.stamp, &labels, &[b"poll"], self.stamp.statistics_reset_at, {
                poll_class: self.class.name(),
                database: self.database.as_deref(),
                outcome: outcome.name(),
                error_class,
                error: error.as_deref(),
                started_at: self.started_at,
                duration_ns: self.duration_ns,
                statements_sent: self.statements_sent,
                rows: List::from_slice(&rows),
                snapshot_complete: self.snapshot_complete,
                entries: self.entries.held,
                entries_max: self.entries.max,
                evictions: self.entries.evictions,
                texts_withheld: self.texts_withheld,
                skipped_polls: self.skipped_polls,
                connections_used: self.signals.connections_used,
                connections_max: self.signals.connections_max,
                active_sessions: self.signals.active_sessions,
                lock_waiters: self.signals.lock_waiters,
                in_recovery: self.signals.in_recovery,
                replication_lag_ns: self.signals.replication_lag_ns,
                capabilities: List::from_slice(&capabilities),
            }),
        )
    }

    /// Outcome, error class and error: a poll whose rows the bus did not take is a failed one.
    fn result(&self) -> (Outcome, Option<&str>, Option<Cow<'_, str>>) {
        if self.rows_dropped > 0 && self.outcome == Outcome::Ok {
            let message = format!("{} rows were dropped: the bus took no more", self.rows_dropped);
            return (Outcome::Error, Some("bus"), Some(Cow::Owned(message)));
        }
        (self.outcome, self.error_class.as_deref(), self.error.as_deref().map(Cow::Borrowed))
    }
}

/// Labels as a record borrows them.
pub fn pairs(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn missing(capability: &Capability) -> MissingCapability<'_> {
    MissingCapability { name: &capability.name, consequence: &capability.consequence, remedy: &capability.remedy }
}
