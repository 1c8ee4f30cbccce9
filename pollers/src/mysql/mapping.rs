//! Names, units and attributes of metrics: those of the Collector's `mysql` receiver, exactly, so that dashboards go on, and
//! our own for what it does not have. `mysql.` stands for MariaDB too.

mod objects;
mod replication;
mod status;

pub use objects::*;
pub use replication::*;
pub use status::*;

/// The receiver's release whose metadata this table follows.
pub const RECEIVER_VERSION: &str = "0.162.0";
