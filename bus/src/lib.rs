//! The log: partitioned, transactional topics with consumer groups.
//!
//! One contract, several implementations that pass one conformance suite: [`kafka`] for fleets, [`embedded`] (the
//! default) for one machine with nothing installed. What they all promise:
//!
//! - A partition is ordered; an offset, once read, always names the same record. Offsets may have gaps.
//! - Readers see committed records only. A transaction makes its records and its input positions visible together or not at all.
//! - A member that no longer owns its partitions can commit nothing.
//! - Positions survive restarts.
//!
//! All topics of a group have the same number of partitions and a member owns a partition *number* over all of them.
//! [`model`], for simulation, is a third. Without the feature `native` it is the only one, and neither RocksDB nor librdkafka is
//! linked.
//!
//! The traits are synchronous: the hot path is a thread that polls, not a future that is woken.

#[cfg(feature = "native")]
pub mod embedded;
pub mod http;
#[cfg(feature = "native")]
pub mod kafka;
pub mod model;
pub mod registry;
pub mod time;

#[cfg(feature = "native")]
mod config;
mod contract;
mod error;
mod groups;
mod membership;
mod publish;
mod topics;

#[cfg(feature = "native")]
pub use config::{Config, Kind, open};
pub use contract::{
    Bus, Committed, GroupSpec, Isolation, Member, NewTopic, Offsets, Outgoing, Polled, Position, Producer, Reader,
    ReaderSpec, Receipt, Receive, Record, Retention, Slot, Start, TopicDescription,
};
pub use error::{BusError, CommitError, SendError};
pub use publish::{Framings, Publisher, announce_all, topic_name};
pub use topics::{planned_topics, retention_text};
