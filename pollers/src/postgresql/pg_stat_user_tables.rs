//! Tables of one database, with `pg_statio_user_tables`.

use crate::poll::Capability;
use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::transaction::Transaction;
use crate::failure::Failure;

/// Most tables of a database that are read.
pub const TABLES_MAX: usize = 5_000;

const VIEW: View = View {
    name: "pg_stat_user_tables",
    object_type: "table",
    identity: &["database", "schema", "table"],
    series: mapping::PG_STAT_USER_TABLES,
};
const COUNT: View =
    View { name: "table_count", object_type: "database", identity: &["database"], series: mapping::TABLE_COUNT };

/// Neither view touches the tables themselves, so no lock of an application is waited for. A reset of one table's
/// statistics counts as a reset of the database's. Blocks of what a table does not have (indexes, TOAST) count 0.
const FROM: &str = r#"
SELECT current_database() AS database, t.schemaname AS schema, t.relname AS "table",
       (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS stats_reset,
       t.n_live_tup, t.n_dead_tup, t.n_tup_ins, t.n_tup_upd, t.n_tup_del, t.n_tup_hot_upd, t.vacuum_count,
       coalesce(io.heap_blks_read, 0) AS heap_blks_read, coalesce(io.heap_blks_hit, 0) AS heap_blks_hit,
       coalesce(io.idx_blks_read, 0) AS idx_blks_read, coalesce(io.idx_blks_hit, 0) AS idx_blks_hit,
       coalesce(io.toast_blks_read, 0) AS toast_blks_read, coalesce(io.toast_blks_hit, 0) AS toast_blks_hit,
       coalesce(io.tidx_blks_read, 0) AS tidx_blks_read, coalesce(io.tidx_blks_hit, 0) AS tidx_blks_hit
FROM pg_stat_user_tables AS t JOIN pg_statio_user_tables AS io USING (relid)"#;

const COUNT_FROM: &str = "
SELECT current_database() AS database, NULL::timestamptz AS stats_reset, count(*) AS tables FROM pg_stat_user_tables";

/// The tables of a database and their number, and what is missing.
pub async fn read(transaction: &Transaction<'_>) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
    let (mut rows, missing) = VIEW.read_first(TABLES_MAX, transaction, &format!("{FROM} ORDER BY t.relid")).await?;
    rows.extend(COUNT.read(transaction, COUNT_FROM, &[]).await?);
    Ok((rows, missing))
}
