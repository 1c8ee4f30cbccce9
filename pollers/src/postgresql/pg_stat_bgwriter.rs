//! The background writer.

use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::server::Server;
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View =
    View { name: "pg_stat_bgwriter", object_type: "server", identity: &[], series: mapping::PG_STAT_BGWRITER };

/// Until 17, what backends wrote by themselves is told too.
const UNTIL_16: &str = "
SELECT stats_reset, buffers_alloc, buffers_clean, maxwritten_clean, buffers_backend, buffers_backend_fsync
FROM pg_stat_bgwriter";
const FROM_17: &str = "
SELECT stats_reset, buffers_alloc, buffers_clean, maxwritten_clean,
       NULL::int8 AS buffers_backend, NULL::int8 AS buffers_backend_fsync
FROM pg_stat_bgwriter";

/// Reads the view.
pub async fn read(transaction: &Transaction<'_>, server: &Server) -> Result<Vec<MetricRow>, Failure> {
    let from = if server.has_checkpointer { FROM_17 } else { UNTIL_16 };
    VIEW.read(transaction, from, &[]).await
}
