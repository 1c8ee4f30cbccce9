//! Names, units and attributes of metrics: those of the Collector's `postgresql` receiver, exactly, so that dashboards go
//! on. One table; the receiver still renames things, so what is true of which version of it is said here and nowhere else.

mod databases;
mod replication;
mod server;

pub use databases::*;
pub use replication::*;
pub use server::*;

/// The receiver's release whose metadata this table follows.
pub const RECEIVER_VERSION: &str = "0.162.0";
