//! The write-ahead log: what is written to it.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_WAL: View = View {
    name: "pg_stat_wal",
    from: "pg_stat_wal AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_WAL,
    ..VIEW
};
