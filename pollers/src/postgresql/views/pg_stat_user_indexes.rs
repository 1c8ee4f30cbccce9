//! Indexes of one database, with `pg_statio_user_indexes`.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Most indexes of a database that are read.
pub const INDEXES_MAX: usize = 10_000;

/// None of the views touches the indexes themselves.
pub const PG_STAT_USER_INDEXES: View = View {
    name: "pg_stat_user_indexes",
    object_type: "index",
    identity: &[
        ("database", "current_database()"),
        ("schema", "v.schemaname"),
        ("table", "v.relname"),
        ("index", "v.indexrelname"),
    ],
    from: "pg_stat_user_indexes AS v JOIN pg_statio_user_indexes AS io USING (indexrelid)
           JOIN pg_index AS x USING (indexrelid) LEFT JOIN pg_stat_database AS s ON s.datname = current_database()",
    rest: "ORDER BY indexrelid",
    reset: "s.stats_reset",
    max: INDEXES_MAX,
    series: mapping::PG_STAT_USER_INDEXES,
    ..VIEW
};
