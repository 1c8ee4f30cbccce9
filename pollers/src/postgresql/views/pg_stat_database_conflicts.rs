//! Statements that a standby cancelled because they were in the way of its replay.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

use super::pg_database::chosen;

/// Counters of each database that is read.
pub const PG_STAT_DATABASE_CONFLICTS: View = View {
    name: "pg_stat_database_conflicts",
    object_type: "database",
    identity: &[("database", "d.datname")],
    from: "pg_database AS d JOIN pg_stat_database_conflicts AS v ON v.datid = d.oid
           JOIN pg_stat_database AS s ON s.datid = d.oid",
    rest: concat!("WHERE ", chosen!()),
    reset: "s.stats_reset",
    series: mapping::PG_STAT_DATABASE_CONFLICTS,
    ..VIEW
};
