//! Settings that are metrics.

use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View = View { name: "pg_settings", object_type: "server", identity: &[], series: mapping::PG_SETTINGS };

const FROM: &str = "SELECT NULL::timestamptz AS stats_reset, current_setting('max_connections') AS max_connections";

/// Reads the settings.
pub async fn read(transaction: &Transaction<'_>) -> Result<Vec<MetricRow>, Failure> {
    VIEW.read(transaction, FROM, &[]).await
}
