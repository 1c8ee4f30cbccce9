//! Replication: the standbys of a server, and the lag of a standby itself.

use crate::failure::Failure;
use crate::postgresql::mapping;
use crate::postgresql::transaction::Transaction;
use crate::view::{Source, VIEW, View};

/// Standbys of one address and name are one object: the one that is furthest behind. A standby that has its own standbys
/// has no current position, but one up to which it received.
pub const PG_STAT_REPLICATION: View = View {
    name: "pg_stat_replication",
    source: Source::Any,
    object_type: "replica",
    identity: &[("replication_client", "r.client"), ("application_name", "r.application_name")],
    from: "(SELECT coalesce(host(client_addr), 'unix') AS client, application_name,
                max(pg_wal_lsn_diff(p.lsn, sent_lsn)) AS sent_delay, max(pg_wal_lsn_diff(p.lsn, write_lsn)) AS write_delay,
                max(pg_wal_lsn_diff(p.lsn, flush_lsn)) AS flush_delay, max(pg_wal_lsn_diff(p.lsn, replay_lsn)) AS data_delay,
                max(extract(epoch FROM write_lag)) AS write_lag, max(extract(epoch FROM flush_lag)) AS flush_lag,
                max(extract(epoch FROM replay_lag)) AS replay_lag
            FROM pg_stat_replication,
                (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END AS lsn) AS p
            GROUP BY 1, 2) AS r",
    series: mapping::PG_STAT_REPLICATION,
    ..VIEW
};

/// How many standbys there are.
pub const REPLICA_COUNT: View = View {
    name: "pg_stat_replication.count",
    source: Source::Any,
    from: "pg_stat_replication AS v",
    series: mapping::REPLICA_COUNT,
    ..VIEW
};

/// A standby as it sees itself; a primary is not one.
pub const STANDBY: View = View {
    name: "standby",
    source: Source::Any,
    only_on_standby: true,
    object_type: "standby",
    from: "(SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())) END AS lag,
                pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS received,
                CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused()::int END AS paused) AS s",
    series: mapping::STANDBY,
    ..VIEW
};

/// Lag of this standby behind its source, in ns: none before it replayed anything, 0 when it replayed all that it received.
const LAG_OF_STANDBY: &str = "
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
            WHEN pg_last_xact_replay_timestamp() IS NULL THEN NULL
            ELSE greatest(0, extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000000000)
       END::int8 AS lag";

/// Reads the lag of a standby, in ns.
pub async fn lag_of_standby(transaction: &Transaction<'_>) -> Result<Option<i64>, Failure> {
    Ok(transaction.query_one(LAG_OF_STANDBY, &[]).await?.try_get(0)?)
}
