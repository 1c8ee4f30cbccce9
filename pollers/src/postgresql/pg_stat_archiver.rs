//! The archiver: age of the last archived piece of the write-ahead log.

use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View =
    View { name: "pg_stat_archiver", object_type: "server", identity: &[], series: mapping::PG_STAT_ARCHIVER };

/// Null, and so no point, as long as nothing was archived.
const FROM: &str = "
SELECT stats_reset, trunc(extract(epoch FROM clock_timestamp() - last_archived_time)) AS wal_age
FROM pg_stat_archiver";

/// Reads the view.
pub async fn read(transaction: &Transaction<'_>) -> Result<Vec<MetricRow>, Failure> {
    VIEW.read(transaction, FROM, &[]).await
}
