//! Databases: transactions, rows, blocks, temporary files, sessions, and how old their oldest transaction is.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

use super::pg_database::chosen;

/// Counters of each database that is read.
pub const PG_STAT_DATABASE: View = View {
    name: "pg_stat_database",
    object_type: "database",
    identity: &[("database", "d.datname")],
    from: "pg_database AS d JOIN pg_stat_database AS v ON v.datid = d.oid",
    rest: concat!("WHERE ", chosen!()),
    reset: "v.stats_reset",
    series: mapping::PG_STAT_DATABASE,
    ..VIEW
};
