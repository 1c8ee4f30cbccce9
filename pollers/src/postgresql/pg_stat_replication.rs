//! Replication: the standbys of a server, and the lag of a standby itself.

use crate::rows::MetricRow;

use super::mapping;
use super::objects::View;
use super::transaction::Transaction;
use crate::failure::Failure;

const VIEW: View = View {
    name: "pg_stat_replication",
    object_type: "replica",
    identity: &["replication_client", "application_name"],
    series: mapping::PG_STAT_REPLICATION,
};

/// Standbys of one address and name are one object: the one that is furthest behind. A standby that has its own standbys
/// has no current position, but one up to which it received.
const FROM: &str = "
SELECT coalesce(host(client_addr), 'unix') AS replication_client, application_name, NULL::timestamptz AS stats_reset,
       max(pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, replay_lsn
       )) AS data_delay,
       max(extract(epoch FROM write_lag)) AS write_lag,
       max(extract(epoch FROM flush_lag)) AS flush_lag,
       max(extract(epoch FROM replay_lag)) AS replay_lag
FROM pg_stat_replication
GROUP BY 1, 2";

/// Lag of this standby behind its source, in ns: none before it replayed anything, 0 when it replayed all that it received.
const LAG_OF_STANDBY: &str = "
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            WHEN pg_last_xact_replay_timestamp() IS NULL THEN NULL
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000000)
       END::int8 AS lag";

/// Reads the view.
pub async fn read(transaction: &Transaction<'_>) -> Result<Vec<MetricRow>, Failure> {
    VIEW.read(transaction, FROM, &[]).await
}

/// Reads the lag of a standby, in ns.
pub async fn lag_of_standby(transaction: &Transaction<'_>) -> Result<Option<i64>, Failure> {
    Ok(transaction.query_one(LAG_OF_STANDBY, &[]).await?.try_get(0)?)
}
