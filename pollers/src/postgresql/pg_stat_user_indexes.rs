//! Indexes of one database.

use crate::poll::Capability;
use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::transaction::Transaction;
use crate::failure::Failure;

/// Most indexes of a database that are read.
pub const INDEXES_MAX: usize = 10_000;

const VIEW: View = View {
    name: "pg_stat_user_indexes",
    object_type: "index",
    identity: &["database", "schema", "table", "index"],
    series: mapping::PG_STAT_USER_INDEXES,
};

const FROM: &str = r#"
SELECT current_database() AS database, schemaname AS schema, relname AS "table", indexrelname AS index,
       (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()) AS stats_reset, idx_scan
FROM pg_stat_user_indexes ORDER BY indexrelid"#;

/// The indexes of a database, and what is missing.
pub async fn read(transaction: &Transaction<'_>) -> Result<(Vec<MetricRow>, Option<Capability>), Failure> {
    VIEW.read_first(INDEXES_MAX, transaction, FROM).await
}
