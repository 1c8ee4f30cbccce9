//! The one table of topics. What `dbintel topics create` makes and what README.md says are generated from it.

mod markdown;
mod table;

use std::fmt;
use std::time::Duration;

pub use markdown::markdown;
pub use table::TABLE;

/// In front of the names of topics, groups and transactional ids.
pub const PREFIX: &str = "dbintel.";

/// Largest value on a changelog, in bytes: one value holds what a commit changed.
pub const CHANGELOG_MAX_MESSAGE_BYTES: u32 = 8 * 1024 * 1024;

const CHANGELOG_SUFFIX: &str = "-changelog";

/// A topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Cumulative counters of statements.
    RawQueries,
    /// Texts of statements.
    RawTexts,
    /// Samples of sessions.
    RawSessions,
    /// Metrics of servers and their objects.
    RawMetrics,
    /// Outcomes of polls.
    RawPolls,
    /// Plans of statements.
    RawPlans,
    /// Lines of server logs.
    RawLogs,
    /// Texts of statements as they were sent.
    RawVerbatim,
    /// What statements did in an interval.
    EnrichedQueries,
    /// Sessions.
    EnrichedSessions,
    /// Metrics.
    EnrichedMetrics,
    /// Sums of what the sampler dropped.
    EnrichedResiduals,
    /// Dictionary of statement texts.
    EnrichedTexts,
    /// Plans.
    EnrichedPlans,
    /// Lines of server logs.
    EnrichedLogs,
    /// Rows on their way to `text`, where each processor has a group of its own.
    StagedText,
    /// Rows on their way to `adaptive_sampler`, where each processor has a group of its own.
    StagedAdaptiveSampler,
    /// What is worth a person's attention.
    Events,
    /// States of circuits.
    ControlCircuits,
    /// Rules of sampling.
    ControlSampling,
    /// What people and programs ask for.
    ControlCommands,
    /// What became of events and adjustments.
    ControlFeedback,
    /// Monitored servers and their owners.
    Targets,
    /// What sinks delivered.
    Exports,
    /// Inputs that could not be processed.
    Quarantine,
    /// What became of each input.
    Ledger,
    /// Writer schemas.
    Schemas,
}

/// What the key of a topic's records is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// The target.
    Target,
    /// The target, 0x1F and this: see [`crate::key`].
    TargetAnd(&'static str),
    /// This, which is not about one target.
    Other(&'static str),
}

/// How many partitions a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitions {
    /// As many as all other such topics: 12 on Kafka and 1 on the embedded log, unless configured.
    CoPartitioned,
    /// One.
    One,
}

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// For this time, unless configured.
    Time(Duration),
    /// The last record of each key, for ever.
    Compacted,
}

/// Load of a topic, for the fleet that README.md states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Records a day.
    pub records_per_day: u64,
    /// Bytes of a record, with its key and before compression.
    pub bytes_per_record: u64,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic.
    pub topic: Topic,
    /// Key of its records.
    pub key: KeyRule,
    /// Full name of the record that its values are; none when the topic is a place kept for a later one.
    pub record: Option<&'static str>,
    /// Number of partitions.
    pub partitions: Partitions,
    /// How long records are kept.
    pub retention: Retention,
    /// Largest value, in bytes.
    pub max_message_bytes: u32,
    /// Who writes.
    pub writer: &'static str,
    /// Who reads.
    pub readers: &'static str,
    /// May hold something personal: own access rules, short retention, shown redacted.
    pub restricted: bool,
    /// Expected load.
    pub load: Load,
}

impl Topic {
    /// All topics, in the order of the table.
    pub const ALL: [Self; 27] = [
        Self::RawQueries,
        Self::RawTexts,
        Self::RawSessions,
        Self::RawMetrics,
        Self::RawPolls,
        Self::RawPlans,
        Self::RawLogs,
        Self::RawVerbatim,
        Self::EnrichedQueries,
        Self::EnrichedSessions,
        Self::EnrichedMetrics,
        Self::EnrichedResiduals,
        Self::EnrichedTexts,
        Self::EnrichedPlans,
        Self::EnrichedLogs,
        Self::StagedText,
        Self::StagedAdaptiveSampler,
        Self::Events,
        Self::ControlCircuits,
        Self::ControlSampling,
        Self::ControlCommands,
        Self::ControlFeedback,
        Self::Targets,
        Self::Exports,
        Self::Quarantine,
        Self::Ledger,
        Self::Schemas,
    ];

    /// Name without the prefix, such as `raw.queries`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RawQueries => "raw.queries",
            Self::RawTexts => "raw.texts",
            Self::RawSessions => "raw.sessions",
            Self::RawMetrics => "raw.metrics",
            Self::RawPolls => "raw.polls",
            Self::RawPlans => "raw.plans",
            Self::RawLogs => "raw.logs",
            Self::RawVerbatim => "raw.verbatim",
            Self::EnrichedQueries => "enriched.queries",
            Self::EnrichedSessions => "enriched.sessions",
            Self::EnrichedMetrics => "enriched.metrics",
            Self::EnrichedResiduals => "enriched.residuals",
            Self::EnrichedTexts => "enriched.texts",
            Self::EnrichedPlans => "enriched.plans",
            Self::EnrichedLogs => "enriched.logs",
            Self::StagedText => "staged.text",
            Self::StagedAdaptiveSampler => "staged.adaptive_sampler",
            Self::Events => "events",
            Self::ControlCircuits => "control.circuits",
            Self::ControlSampling => "control.sampling",
            Self::ControlCommands => "control.commands",
            Self::ControlFeedback => "control.feedback",
            Self::Targets => "targets",
            Self::Exports => "exports",
            Self::Quarantine => "quarantine",
            Self::Ledger => "ledger",
            Self::Schemas => "schemas",
        }
    }

    /// Name on the bus, with the prefix.
    #[must_use]
    pub fn full_name(self) -> String {
        format!("{PREFIX}{self}")
    }

    /// The topic that rows take to a kind of processor that has a group of its own.
    #[must_use]
    pub fn staged_for(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.stage() == Some(kind))
    }

    /// The kind of processor that rows of this topic are on their way to.
    #[must_use]
    pub fn stage(self) -> Option<&'static str> {
        self.name().strip_prefix("staged.")
    }

    /// The topic with this name, with or without the prefix.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix(PREFIX).unwrap_or(name);
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl Load {
    /// Bytes a day, before compression.
    #[must_use]
    pub const fn bytes_per_day(self) -> u64 {
        self.records_per_day * self.bytes_per_record
    }
}

/// The row of a topic.
#[must_use]
pub fn spec(topic: Topic) -> &'static TopicSpec {
    &TABLE[topic as usize]
}

/// Name of the changelog of a group. Its records are kept until the engine trims them.
#[must_use]
pub fn changelog(group: &str) -> String {
    format!("{group}{CHANGELOG_SUFFIX}")
}

/// Whether a topic, by its name on the bus, is the changelog of a group.
#[must_use]
pub fn is_changelog(topic: &str) -> bool {
    topic.ends_with(CHANGELOG_SUFFIX)
}

#[cfg(test)]
mod tests;
