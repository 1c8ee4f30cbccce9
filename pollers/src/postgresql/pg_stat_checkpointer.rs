//! The checkpointer: a view of its own since PostgreSQL 17, columns of `pg_stat_bgwriter` before.

use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::server::Server;
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View =
    View { name: "pg_stat_checkpointer", object_type: "server", identity: &[], series: mapping::PG_STAT_CHECKPOINTER };

const UNTIL_16: &str = "
SELECT stats_reset, checkpoints_timed AS num_timed, checkpoints_req AS num_requested,
       checkpoint_write_time AS write_time, checkpoint_sync_time AS sync_time, buffers_checkpoint AS buffers_written
FROM pg_stat_bgwriter";
const FROM_17: &str = "
SELECT stats_reset, num_timed, num_requested, write_time, sync_time, buffers_written
FROM pg_stat_checkpointer";

/// Reads the view.
pub async fn read(transaction: &Transaction<'_>, server: &Server) -> Result<Vec<MetricRow>, Failure> {
    let from = if server.has_checkpointer { FROM_17 } else { UNTIL_16 };
    VIEW.read(transaction, from, &[]).await
}
