//! Pollers: read monitored servers and publish what they say, as rows, to the `raw.*` topics.
//!
//! A poller runs classes of polls, each with an interval and a time limit of its own ([`schedule`]), hands what a poll
//! brought to its [`outlet`], which keeps it while the bus is away ([`spool`]), and says of every poll in `raw.polls`
//! how it went. [`postgresql`] is the poller for PostgreSQL.

mod backoff;
mod clock;
pub mod limits;
mod metric;
mod metrics;
mod outlet;
pub mod poll;
pub mod postgresql;
mod rows;
mod schedule;
mod spool;
mod start;
mod text;

pub use start::{Handle, StartError, start};
