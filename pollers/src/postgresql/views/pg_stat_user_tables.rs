//! Tables of one database, with `pg_statio_user_tables`.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// Most tables of a database that are read.
pub const TABLES_MAX: usize = 5_000;

/// None of the views touches the tables themselves, so no lock of an application is waited for. A reset of one table's
/// statistics counts as a reset of the database's.
pub const PG_STAT_USER_TABLES: View = View {
    name: "pg_stat_user_tables",
    object_type: "table",
    identity: &[("database", "current_database()"), ("schema", "v.schemaname"), ("table", "v.relname")],
    from: "pg_stat_user_tables AS v JOIN pg_statio_user_tables AS io USING (relid) JOIN pg_class AS c ON c.oid = relid
           LEFT JOIN pg_stat_database AS s ON s.datname = current_database()",
    rest: "ORDER BY relid",
    max: TABLES_MAX,
    reset: "s.stats_reset",
    series: mapping::PG_STAT_USER_TABLES,
    ..VIEW
};

/// How many there are.
pub const TABLE_COUNT: View = View {
    name: "table_count",
    source: Source::Any,
    object_type: "database",
    identity: &[("database", "current_database()")],
    from: "pg_stat_user_tables",
    series: mapping::TABLE_COUNT,
    ..VIEW
};
