//! Replication: by the log, and by logical changes.

use crate::metric::{NONE, Series, counter, double, gauge, sum};

/// Standbys, as their source sees them. Since 0.89 the receiver gives the lag either as `postgresql.wal.lag` or, with a
/// fraction, as `postgresql.wal.delay`: here are both.
pub const PG_STAT_REPLICATION: &[Series] = &[
    gauge("data_delay", "postgresql.replication.data_delay", "By", NONE),
    gauge("write_lag", "postgresql.wal.lag", "s", &[("operation", "write")]),
    gauge("flush_lag", "postgresql.wal.lag", "s", &[("operation", "flush")]),
    gauge("replay_lag", "postgresql.wal.lag", "s", &[("operation", "replay")]),
    double(gauge("write_lag", "postgresql.wal.delay", "s", &[("operation", "write")])),
    double(gauge("flush_lag", "postgresql.wal.delay", "s", &[("operation", "flush")])),
    double(gauge("replay_lag", "postgresql.wal.delay", "s", &[("operation", "replay")])),
    gauge("sent_delay", "postgresql.replication.lag", "By", &[("operation", "sent")]),
    gauge("write_delay", "postgresql.replication.lag", "By", &[("operation", "write")]),
    gauge("flush_delay", "postgresql.replication.lag", "By", &[("operation", "flush")]),
    gauge("data_delay", "postgresql.replication.lag", "By", &[("operation", "replay")]),
];

/// Standbys of a server, by what they do.
pub const REPLICA_COUNT: &[Series] = &[
    sum(
        "count(*) FILTER (WHERE v.state = 'streaming')",
        "postgresql.replication.replicas",
        "{replicas}",
        &[("state", "streaming")],
    ),
    sum(
        "count(*) FILTER (WHERE v.state <> 'streaming')",
        "postgresql.replication.replicas",
        "{replicas}",
        &[("state", "other")],
    ),
];

/// A standby, as it sees itself.
pub const STANDBY: &[Series] = &[
    double(gauge("lag", "postgresql.standby.lag", "s", NONE)),
    gauge("received", "postgresql.standby.replay.delay", "By", NONE),
    gauge("paused", "postgresql.standby.replay.paused", "{flag}", NONE),
];

/// The process that receives the log.
pub const PG_STAT_WAL_RECEIVER: &[Series] = &[
    gauge("(v.status = 'streaming')::int", "postgresql.wal_receiver.streaming", "{flag}", NONE),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - v.last_msg_receipt_time)",
        "postgresql.wal_receiver.message.age",
        "s",
        NONE,
    )),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - v.latest_end_time)",
        "postgresql.wal_receiver.report.age",
        "s",
        NONE,
    )),
];

/// Slots: what the server keeps for those who replicate from it.
pub const PG_REPLICATION_SLOTS: &[Series] = &[
    gauge("v.active::int", "postgresql.replication.slot.active", "{flag}", NONE),
    gauge("pg_wal_lsn_diff(p.lsn, v.restart_lsn)", "postgresql.replication.slot.retained", "By", NONE),
    gauge("pg_wal_lsn_diff(p.lsn, v.confirmed_flush_lsn)", "postgresql.replication.slot.lag", "By", NONE),
    gauge("safe_wal_size", "postgresql.replication.slot.safe_wal_size", "By", NONE),
    gauge(
        "(v.wal_status = 'extended')::int",
        "postgresql.replication.slot.wal_status",
        "{flag}",
        &[("status", "extended")],
    ),
    gauge(
        "(v.wal_status = 'unreserved')::int",
        "postgresql.replication.slot.wal_status",
        "{flag}",
        &[("status", "unreserved")],
    ),
    gauge("(v.wal_status = 'lost')::int", "postgresql.replication.slot.wal_status", "{flag}", &[("status", "lost")]),
    gauge("v.conflicting::int", "postgresql.replication.slot.conflicting", "{flag}", NONE),
    gauge("age(v.xmin)", "postgresql.replication.slot.xid.age", "{transactions}", &[("horizon", "xmin")]),
    gauge(
        "age(v.catalog_xmin)",
        "postgresql.replication.slot.xid.age",
        "{transactions}",
        &[("horizon", "catalog_xmin")],
    ),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - v.inactive_since)",
        "postgresql.replication.slot.inactive.duration",
        "s",
        NONE,
    )),
];

/// Logical decoding of slots, since PostgreSQL 14.
pub const PG_STAT_REPLICATION_SLOTS: &[Series] = &[
    counter("spill_txns", "postgresql.replication.slot.transactions", "{transactions}", &[("kind", "spilled")]),
    counter("spill_count", "postgresql.replication.slot.spills", "1", NONE),
    counter("spill_bytes", "postgresql.replication.slot.bytes", "By", &[("kind", "spilled")]),
    counter("stream_txns", "postgresql.replication.slot.transactions", "{transactions}", &[("kind", "streamed")]),
    counter("stream_count", "postgresql.replication.slot.streams", "1", NONE),
    counter("stream_bytes", "postgresql.replication.slot.bytes", "By", &[("kind", "streamed")]),
    counter("total_txns", "postgresql.replication.slot.transactions", "{transactions}", &[("kind", "total")]),
    counter("total_bytes", "postgresql.replication.slot.bytes", "By", &[("kind", "total")]),
];

/// Subscriptions, as their worker sees them.
pub const PG_STAT_SUBSCRIPTION: &[Series] = &[
    sum("count(v.pid)", "postgresql.subscription.workers", "{workers}", NONE),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - max(v.last_msg_receipt_time))",
        "postgresql.subscription.message.age",
        "s",
        NONE,
    )),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - max(v.latest_end_time))",
        "postgresql.subscription.report.age",
        "s",
        NONE,
    )),
];

/// Errors and conflicts of subscriptions, since PostgreSQL 15 and 18.
pub const PG_STAT_SUBSCRIPTION_STATS: &[Series] = &[
    counter("apply_error_count", "postgresql.subscription.errors", "{errors}", &[("operation", "apply")]),
    counter("sync_error_count", "postgresql.subscription.errors", "{errors}", &[("operation", "sync")]),
    counter("confl_insert_exists", "postgresql.subscription.conflicts", "{conflicts}", &[("kind", "insert_exists")]),
    counter(
        "confl_update_origin_differs",
        "postgresql.subscription.conflicts",
        "{conflicts}",
        &[("kind", "update_origin_differs")],
    ),
    counter("confl_update_exists", "postgresql.subscription.conflicts", "{conflicts}", &[("kind", "update_exists")]),
    counter("confl_update_missing", "postgresql.subscription.conflicts", "{conflicts}", &[("kind", "update_missing")]),
    counter(
        "confl_delete_origin_differs",
        "postgresql.subscription.conflicts",
        "{conflicts}",
        &[("kind", "delete_origin_differs")],
    ),
    counter("confl_delete_missing", "postgresql.subscription.conflicts", "{conflicts}", &[("kind", "delete_missing")]),
    counter(
        "confl_multiple_unique_conflicts",
        "postgresql.subscription.conflicts",
        "{conflicts}",
        &[("kind", "multiple_unique")],
    ),
];

/// Reading ahead while the log is replayed, since PostgreSQL 15.
pub const PG_STAT_RECOVERY_PREFETCH: &[Series] = &[
    counter("prefetch", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "prefetched")]),
    counter("hit", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "hit")]),
    counter("skip_init", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "skip_init")]),
    counter("skip_new", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "skip_new")]),
    counter("skip_fpw", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "skip_fpw")]),
    counter("skip_rep", "postgresql.recovery.prefetch.blocks", "{blocks}", &[("outcome", "skip_rep")]),
    gauge("wal_distance", "postgresql.recovery.prefetch.distance", "By", NONE),
    gauge("block_distance", "postgresql.recovery.prefetch.block_distance", "{blocks}", NONE),
    gauge("io_depth", "postgresql.recovery.prefetch.depth", "{operations}", NONE),
];
