//! The checkpointer, a view of its own since PostgreSQL 17.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_CHECKPOINTER: View = View {
    name: "pg_stat_checkpointer",
    from: "pg_stat_checkpointer AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_CHECKPOINTER,
    ..VIEW
};
