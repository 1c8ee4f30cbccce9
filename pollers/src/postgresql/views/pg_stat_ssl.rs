//! Encryption of the connections.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Connections of clients.
pub const PG_STAT_SSL: View =
    View { name: "pg_stat_ssl", from: "pg_stat_ssl AS v", series: mapping::PG_STAT_SSL, ..VIEW };
