//! The archiver: pieces of the write-ahead log that were archived, and the age of the last one.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_ARCHIVER: View = View {
    name: "pg_stat_archiver",
    from: "pg_stat_archiver AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_ARCHIVER,
    ..VIEW
};
