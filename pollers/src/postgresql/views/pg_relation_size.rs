//! Sizes of the tables and indexes of one database.
//!
//! `pg_relation_size` locks the relation for a moment, so it waits behind ACCESS EXCLUSIVE locks, held or only waited
//! for. Relations with such a lock are left out, and counted.

use crate::poll::Capability;
use crate::postgresql::mapping;
use crate::rows::MetricRow;
use crate::view::{Source, VIEW, View};

use super::pg_stat_user_indexes::INDEXES_MAX;
use super::pg_stat_user_tables::TABLES_MAX;

/// A call for relations that nobody locks, and null for the others, and for what was dropped meanwhile.
macro_rules! unlocked {
    ($view:literal, $relation:literal, $table:literal, $sizes:literal) => {
        concat!(
            "(WITH locked AS MATERIALIZED (
                SELECT DISTINCT l.relation FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock')
             SELECT r.*, ",
            $sizes,
            " FROM ",
            $view,
            " AS r
             LEFT JOIN locked ON locked.relation = r.",
            $relation,
            "
             LEFT JOIN pg_class AS c ON c.oid = r.",
            $table,
            ") AS r"
        )
    };
}

/// Tables, by themselves, with their indexes and TOAST, and of that the TOAST.
pub const TABLES: View = View {
    name: "pg_table_size",
    source: Source::Any,
    object_type: "table",
    identity: &[("database", "current_database()"), ("schema", "r.schemaname"), ("table", "r.relname")],
    from: unlocked!(
        "pg_stat_user_tables",
        "relid",
        "relid",
        "CASE WHEN locked.relation IS NULL THEN pg_relation_size(r.relid) END AS size,
         CASE WHEN locked.relation IS NULL THEN pg_total_relation_size(r.relid) END AS total,
         CASE WHEN locked.relation IS NULL AND c.reltoastrelid <> 0 THEN pg_total_relation_size(c.reltoastrelid) END AS toast"
    ),
    rest: "ORDER BY r.relid",
    max: TABLES_MAX,
    series: mapping::TABLE_SIZE,
    ..VIEW
};

/// Indexes.
pub const INDEXES: View = View {
    name: "pg_index_size",
    source: Source::Any,
    object_type: "index",
    identity: &[
        ("database", "current_database()"),
        ("schema", "r.schemaname"),
        ("table", "r.relname"),
        ("index", "r.indexrelname"),
    ],
    from: unlocked!(
        "pg_stat_user_indexes",
        "indexrelid",
        "relid",
        "CASE WHEN locked.relation IS NULL THEN pg_relation_size(r.indexrelid) END AS size"
    ),
    rest: "ORDER BY r.indexrelid",
    max: INDEXES_MAX,
    series: mapping::INDEX_SIZE,
    ..VIEW
};

/// Drops the rows of relations whose size was not read, and says how many they were.
pub fn drop_locked(rows: &mut Vec<MetricRow>) -> Option<Capability> {
    let before = rows.len();
    let is_size = |row: &MetricRow| [TABLES.name, INDEXES.name].contains(&row.view);
    rows.retain(|row| !is_size(row) || !row.points.is_empty());
    let left_out = before - rows.len();
    (left_out > 0).then(|| Capability {
        name: "pg_relation_size".to_owned(),
        consequence: format!(
            "sizes of {left_out} relations were not read: they are locked exclusively, or about to be"
        ),
        remedy: "none is needed: they are read again when the lock is gone".to_owned(),
    })
}
