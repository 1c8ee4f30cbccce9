//! The background writer; until PostgreSQL 16 with what the checkpointer does, and what backends wrote by themselves.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_BGWRITER: View = View {
    name: "pg_stat_bgwriter",
    from: "pg_stat_bgwriter AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_BGWRITER,
    ..VIEW
};
