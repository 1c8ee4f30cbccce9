//! Sizes of the tables and indexes of one database.
//!
//! `pg_relation_size` locks the relation for a moment, so it waits behind ACCESS EXCLUSIVE locks, held or only waited
//! for. Relations with such a lock are left out, and counted.

use crate::poll::Capability;
use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::pg_stat_user_indexes::INDEXES_MAX;
use super::pg_stat_user_tables::TABLES_MAX;
use super::transaction::Transaction;
use crate::failure::Failure;

const TABLES: View = View {
    name: "pg_table_size",
    object_type: "table",
    identity: &["database", "schema", "table"],
    series: mapping::TABLE_SIZE,
};
const INDEXES: View = View {
    name: "pg_index_size",
    object_type: "index",
    identity: &["database", "schema", "table", "index"],
    series: mapping::INDEX_SIZE,
};

const LOCKED: &str = "
WITH locked AS MATERIALIZED (
    SELECT DISTINCT l.relation FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
)";

/// Sizes, and what was left out.
pub async fn read(transaction: &Transaction<'_>) -> Result<(Vec<MetricRow>, Vec<Capability>), Failure> {
    let tables = from("pg_stat_user_tables", "relid", r#"relname AS "table""#);
    let (mut rows, missing_tables) = TABLES.read_first(TABLES_MAX, transaction, &tables).await?;
    let indexes = from("pg_stat_user_indexes", "indexrelid", r#"relname AS "table", indexrelname AS index"#);
    let (indexes, missing_indexes) = INDEXES.read_first(INDEXES_MAX, transaction, &indexes).await?;
    rows.extend(indexes);
    let before = rows.len();
    rows.retain(|row| !row.points.is_empty());
    let left_out = before - rows.len();
    let locked = (left_out > 0).then(|| locked(left_out));
    Ok((rows, missing_tables.into_iter().chain(missing_indexes).chain(locked).collect()))
}

/// The size is null for what is locked, and for what was dropped meanwhile.
fn from(view: &str, relation: &str, columns: &str) -> String {
    format!(
        "{LOCKED} SELECT current_database() AS database, schemaname AS schema, {columns},
                NULL::timestamptz AS stats_reset,
                CASE WHEN locked.relation IS NULL THEN pg_relation_size({relation}) END AS size
         FROM {view} LEFT JOIN locked ON locked.relation = {relation} ORDER BY {relation}"
    )
}

fn locked(count: usize) -> Capability {
    Capability {
        name: "pg_relation_size".to_owned(),
        consequence: format!("sizes of {count} relations were not read: they are locked exclusively, or about to be"),
        remedy: "none is needed: they are read again when the lock is gone".to_owned(),
    }
}
