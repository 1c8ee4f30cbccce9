//! Pollers: read monitored servers and publish what they say, as rows, to the `raw.*` topics.
//!
//! A poller runs classes of polls, each with an interval and a time limit of its own ([`schedule`]), hands what a poll
//! brought to its [`outlet`], which keeps it while the bus is away ([`spool`]), and says of every poll in `raw.polls`
//! how it went. [`postgresql`] and [`mysql`] are the pollers for
//! PostgreSQL and for MySQL and MariaDB; what is the same for all is in [`lane`], [`link`] and [`target`], over an [`engine`].

mod backoff;
mod certificates;
mod clock;
mod config;
pub mod credentials;
pub mod discovery;
mod engine;
pub mod failure;
mod fleet;
mod found;
pub mod hosts;
mod lane;
mod lease;
mod left_out;
pub mod limits;
mod link;
mod members;
pub mod metric;
mod metrics;
pub mod mysql;
mod outlet;
pub mod poll;
pub mod postgresql;
mod rows;
mod schedule;
pub mod settings;
pub mod sharing;
mod spool;
pub mod sqlquery;
mod target;
mod text;
pub mod view;

pub use config::Config;
pub use fleet::{Fares, Fleet, StartError, start};
pub use found::Found;
pub use lease::Lease;
