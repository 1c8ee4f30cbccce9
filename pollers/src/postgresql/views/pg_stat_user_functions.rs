//! Functions of one database that were called since somebody set `track_functions`.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Functions of one name are told apart by their arguments.
pub const PG_STAT_USER_FUNCTIONS: View = View {
    name: "pg_stat_user_functions",
    object_type: "function",
    identity: &[
        ("database", "current_database()"),
        ("schema", "v.schemaname"),
        ("function", "v.funcname"),
        ("arguments", "pg_get_function_identity_arguments(v.funcid)"),
    ],
    from: "pg_stat_user_functions AS v LEFT JOIN pg_stat_database AS s ON s.datname = current_database()",
    rest: "ORDER BY v.funcid",
    reset: "s.stats_reset",
    max: 2_000,
    series: mapping::PG_STAT_USER_FUNCTIONS,
    ..VIEW
};
