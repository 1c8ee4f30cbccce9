//! The server as a whole: its processes, its log, its memory and its disks.

use crate::metric::{NONE, Series, counter, double, gauge, sum};

/// Who the server is.
pub const SERVER: &[Series] = &[
    double(gauge("extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())", "postgresql.uptime", "s", NONE)),
    gauge("pg_is_in_recovery()::int", "postgresql.recovery", "{flag}", NONE),
    gauge("current_setting('max_connections')::int8", "postgresql.connection.max", "{connections}", NONE),
    gauge(
        "current_setting('superuser_reserved_connections')::int8",
        "postgresql.connection.reserved",
        "{connections}",
        NONE,
    ),
];

/// The background writer. Until 16 it had what the checkpointer does, and what backends wrote by themselves.
pub const PG_STAT_BGWRITER: &[Series] = &[
    counter("buffers_alloc", "postgresql.bgwriter.buffers.allocated", "{buffers}", NONE),
    counter("buffers_clean", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "bgwriter")]),
    counter("buffers_backend", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "backend")]),
    counter("buffers_backend_fsync", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "backend_fsync")]),
    counter("maxwritten_clean", "postgresql.bgwriter.maxwritten", "1", NONE),
    counter("buffers_checkpoint", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "checkpoints")]),
    counter("checkpoints_req", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "requested")]),
    counter("checkpoints_timed", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "scheduled")]),
    double(counter("checkpoint_write_time", "postgresql.bgwriter.duration", "ms", &[("type", "write")])),
    double(counter("checkpoint_sync_time", "postgresql.bgwriter.duration", "ms", &[("type", "sync")])),
];

/// The checkpointer, a view of its own since PostgreSQL 17.
pub const PG_STAT_CHECKPOINTER: &[Series] = &[
    counter("buffers_written", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "checkpoints")]),
    counter("num_requested", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "requested")]),
    counter("num_timed", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "scheduled")]),
    counter("num_done", "postgresql.checkpointer.done", "{checkpoints}", NONE),
    counter(
        "restartpoints_timed",
        "postgresql.checkpointer.restartpoints",
        "{restartpoints}",
        &[("type", "scheduled")],
    ),
    counter("restartpoints_req", "postgresql.checkpointer.restartpoints", "{restartpoints}", &[("type", "requested")]),
    counter("restartpoints_done", "postgresql.checkpointer.restartpoints", "{restartpoints}", &[("type", "done")]),
    counter("slru_written", "postgresql.checkpointer.slru.writes", "{buffers}", NONE),
    double(counter("write_time", "postgresql.bgwriter.duration", "ms", &[("type", "write")])),
    double(counter("sync_time", "postgresql.bgwriter.duration", "ms", &[("type", "sync")])),
];

/// When the last checkpoint was.
pub const PG_CONTROL_CHECKPOINT: &[Series] = &[
    double(gauge("extract(epoch FROM clock_timestamp() - v.checkpoint_time)", "postgresql.checkpoint.age", "s", NONE)),
    gauge("timeline_id", "postgresql.timeline", "{flag}", NONE),
];

/// The archiver. The age is null, and so no point, as long as nothing was archived.
pub const PG_STAT_ARCHIVER: &[Series] = &[
    gauge("trunc(extract(epoch FROM clock_timestamp() - v.last_archived_time))", "postgresql.wal.age", "s", NONE),
    counter("archived_count", "postgresql.archiver.segments", "{segments}", &[("outcome", "archived")]),
    counter("failed_count", "postgresql.archiver.segments", "{segments}", &[("outcome", "failed")]),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - v.last_failed_time)",
        "postgresql.archiver.last_failure.age",
        "s",
        NONE,
    )),
];

/// The write-ahead log, since PostgreSQL 14. Writes and syncs are in `pg_stat_io` since 18.
pub const PG_STAT_WAL: &[Series] = &[
    counter("wal_records", "postgresql.wal.records", "{records}", NONE),
    counter("wal_fpi", "postgresql.wal.full_page_images", "{pages}", NONE),
    counter("wal_bytes", "postgresql.wal.bytes", "By", NONE),
    counter("wal_buffers_full", "postgresql.wal.buffers_full", "1", NONE),
    counter("wal_write", "postgresql.wal.operations", "{operations}", &[("operation", "write")]),
    counter("wal_sync", "postgresql.wal.operations", "{operations}", &[("operation", "sync")]),
    double(counter("wal_write_time", "postgresql.wal.duration", "ms", &[("operation", "write")])),
    double(counter("wal_sync_time", "postgresql.wal.duration", "ms", &[("operation", "sync")])),
];

/// Pieces of the write-ahead log on disk.
pub const PG_LS_WALDIR: &[Series] = &[
    sum("count(*)", "postgresql.wal.segments", "{segments}", NONE),
    sum("sum(v.size)", "postgresql.wal.size", "By", NONE),
];

/// Caches of simple pages: transaction states, multixacts, notifications, since PostgreSQL 13.
pub const PG_STAT_SLRU: &[Series] = &[
    counter("blks_zeroed", "postgresql.slru.blocks", "{blocks}", &[("operation", "zeroed")]),
    counter("blks_hit", "postgresql.slru.blocks", "{blocks}", &[("operation", "hit")]),
    counter("blks_read", "postgresql.slru.blocks", "{blocks}", &[("operation", "read")]),
    counter("blks_written", "postgresql.slru.blocks", "{blocks}", &[("operation", "written")]),
    counter("blks_exists", "postgresql.slru.blocks", "{blocks}", &[("operation", "exists")]),
    counter("flushes", "postgresql.slru.flushes", "1", NONE),
    counter("truncates", "postgresql.slru.truncates", "1", NONE),
];

/// I/O by kind of process, object and purpose, since PostgreSQL 16.
pub const PG_STAT_IO: &[Series] = &[
    counter("reads", "postgresql.io.operations", "{operations}", &[("operation", "read")]),
    counter("writes", "postgresql.io.operations", "{operations}", &[("operation", "write")]),
    counter("writebacks", "postgresql.io.operations", "{operations}", &[("operation", "writeback")]),
    counter("extends", "postgresql.io.operations", "{operations}", &[("operation", "extend")]),
    counter("hits", "postgresql.io.operations", "{operations}", &[("operation", "hit")]),
    counter("evictions", "postgresql.io.operations", "{operations}", &[("operation", "evict")]),
    counter("reuses", "postgresql.io.operations", "{operations}", &[("operation", "reuse")]),
    counter("fsyncs", "postgresql.io.operations", "{operations}", &[("operation", "fsync")]),
    counter("read_bytes", "postgresql.io.bytes", "By", &[("operation", "read")]),
    counter("write_bytes", "postgresql.io.bytes", "By", &[("operation", "write")]),
    counter("extend_bytes", "postgresql.io.bytes", "By", &[("operation", "extend")]),
    counter("v.reads * v.op_bytes", "postgresql.io.bytes", "By", &[("operation", "read")]),
    counter("v.writes * v.op_bytes", "postgresql.io.bytes", "By", &[("operation", "write")]),
    counter("v.extends * v.op_bytes", "postgresql.io.bytes", "By", &[("operation", "extend")]),
    double(counter("read_time", "postgresql.io.duration", "ms", &[("operation", "read")])),
    double(counter("write_time", "postgresql.io.duration", "ms", &[("operation", "write")])),
    double(counter("writeback_time", "postgresql.io.duration", "ms", &[("operation", "writeback")])),
    double(counter("extend_time", "postgresql.io.duration", "ms", &[("operation", "extend")])),
    double(counter("fsync_time", "postgresql.io.duration", "ms", &[("operation", "fsync")])),
];

/// The table of statements: how full it is, and how often the server evicted from it.
pub const STATEMENTS: [Series; 3] = [
    sum("entries", "postgresql.statements.entries", "{statements}", NONE),
    gauge("pg_stat_statements.max", "postgresql.statements.entries.max", "{statements}", NONE),
    counter("dealloc", "postgresql.statements.evictions", "{evictions}", NONE),
];

/// Processes per database and state, ours too.
pub const SESSIONS: &[Series] = &[
    sum("count(*)", "postgresql.sessions", "{sessions}", NONE),
    double(gauge(
        "max(extract(epoch FROM clock_timestamp() - v.xact_start))",
        "postgresql.transaction.age.max",
        "s",
        NONE,
    )),
    double(gauge(
        "max(extract(epoch FROM clock_timestamp() - v.query_start)) FILTER (WHERE v.state = 'active')",
        "postgresql.statement.age.max",
        "s",
        NONE,
    )),
    sum(
        "count(*) FILTER (WHERE v.wait_event_type = 'Lock')",
        "postgresql.sessions.waiting_for_lock",
        "{sessions}",
        NONE,
    ),
];

/// Encrypted connections.
pub const PG_STAT_SSL: &[Series] = &[
    sum("count(*) FILTER (WHERE v.ssl)", "postgresql.connection.encryption", "{connections}", &[("encrypted", "true")]),
    sum(
        "count(*) FILTER (WHERE NOT v.ssl)",
        "postgresql.connection.encryption",
        "{connections}",
        &[("encrypted", "false")],
    ),
];

/// Transactions that wait for the second phase of their commit.
pub const PG_PREPARED_XACTS: &[Series] = &[
    sum("count(*)", "postgresql.prepared_transactions", "{transactions}", NONE),
    double(gauge(
        "coalesce(max(extract(epoch FROM clock_timestamp() - v.prepared)), 0)",
        "postgresql.prepared_transactions.age.max",
        "s",
        NONE,
    )),
];

/// Locks over the server.
pub const PG_LOCKS: &[Series] = &[sum("count(*)", "postgresql.locks", "{locks}", NONE)];

/// What keeps dead rows from being removed: the oldest transaction that somebody may still want to see.
pub const XMIN_HORIZON: &[Series] = &[gauge("age", "postgresql.xmin.age", "{transactions}", NONE)];

/// What the server does beside its statements.
pub const PROGRESS: &[Series] = &[
    gauge("done", "postgresql.progress.done", "{units}", NONE),
    gauge("total", "postgresql.progress.total", "{units}", NONE),
    double(gauge("seconds", "postgresql.progress.duration", "s", NONE)),
];

/// A setting that is not as the server comes.
pub const PG_SETTINGS: &[Series] = &[gauge("1", "postgresql.setting", "{flag}", NONE)];

/// Number of databases that are read.
pub const PG_DATABASE: &[Series] = &[sum("count(*)", "postgresql.database.count", "{databases}", NONE)];

/// How far the server's clock is ahead of ours, to within the time that an answer takes.
pub const CLOCK: Series = double(gauge("clock", "postgresql.clock.skew", "s", NONE));
