//! Databases and what is in them.

use crate::metric::{NONE, Series, counter, double, gauge, sum};

/// Databases.
pub const PG_STAT_DATABASE: &[Series] = &[
    counter("xact_commit", "postgresql.commits", "1", NONE),
    counter("xact_rollback", "postgresql.rollbacks", "1", NONE),
    counter("blks_read", "postgresql.blks_read", "{blks_read}", NONE),
    counter("blks_hit", "postgresql.blks_hit", "{blks_hit}", NONE),
    counter("tup_returned", "postgresql.tup_returned", "{tup_returned}", NONE),
    counter("tup_fetched", "postgresql.tup_fetched", "{tup_fetched}", NONE),
    counter("tup_inserted", "postgresql.tup_inserted", "{tup_inserted}", NONE),
    counter("tup_updated", "postgresql.tup_updated", "{tup_updated}", NONE),
    counter("tup_deleted", "postgresql.tup_deleted", "{tup_deleted}", NONE),
    counter("conflicts", "postgresql.database.conflicts", "{query}", NONE),
    counter("temp_files", "postgresql.temp_files", "{temp_file}", NONE),
    counter("temp_bytes", "postgresql.temp.io", "By", NONE),
    counter("deadlocks", "postgresql.deadlocks", "{deadlock}", NONE),
    counter("checksum_failures", "postgresql.checksum_failures", "{failures}", NONE),
    double(counter("blk_read_time", "postgresql.database.io.duration", "ms", &[("operation", "read")])),
    double(counter("blk_write_time", "postgresql.database.io.duration", "ms", &[("operation", "write")])),
    double(counter("session_time", "postgresql.database.session.duration", "ms", &[("state", "any")])),
    double(counter("active_time", "postgresql.database.session.duration", "ms", &[("state", "active")])),
    double(counter(
        "idle_in_transaction_time",
        "postgresql.database.session.duration",
        "ms",
        &[("state", "idle_in_transaction")],
    )),
    counter("sessions", "postgresql.database.sessions.begun", "{sessions}", NONE),
    counter("sessions_abandoned", "postgresql.database.sessions.lost", "{sessions}", &[("reason", "abandoned")]),
    counter("sessions_fatal", "postgresql.database.sessions.lost", "{sessions}", &[("reason", "fatal")]),
    counter("sessions_killed", "postgresql.database.sessions.lost", "{sessions}", &[("reason", "killed")]),
    counter("parallel_workers_to_launch", "postgresql.database.parallel_workers", "{workers}", &[("state", "planned")]),
    counter("parallel_workers_launched", "postgresql.database.parallel_workers", "{workers}", &[("state", "launched")]),
    gauge("age(d.datfrozenxid)", "postgresql.database.xid.age", "{transactions}", NONE),
    gauge("mxid_age(d.datminmxid)", "postgresql.database.multixact.age", "{multixacts}", NONE),
    gauge("nullif(d.datconnlimit, -1)", "postgresql.database.connection.max", "{connections}", NONE),
];

/// Statements that a standby cancelled, by what was in the way.
pub const PG_STAT_DATABASE_CONFLICTS: &[Series] = &[
    counter("confl_tablespace", "postgresql.query.conflicts", "{query}", &[("postgresql.conflict.type", "tablespace")]),
    counter("confl_lock", "postgresql.query.conflicts", "{query}", &[("postgresql.conflict.type", "lock")]),
    counter("confl_snapshot", "postgresql.query.conflicts", "{query}", &[("postgresql.conflict.type", "snapshot")]),
    counter("confl_bufferpin", "postgresql.query.conflicts", "{query}", &[("postgresql.conflict.type", "bufferpin")]),
    counter("confl_deadlock", "postgresql.query.conflicts", "{query}", &[("postgresql.conflict.type", "deadlock")]),
    counter(
        "confl_active_logicalslot",
        "postgresql.query.conflicts",
        "{query}",
        &[("postgresql.conflict.type", "active_logicalslot")],
    ),
];

/// Processes per database, whatever they do.
pub const PG_STAT_ACTIVITY: &[Series] = &[sum("count(v.pid)", "postgresql.backends", "1", NONE)];

/// Time of all statements that the server remembers.
pub const STATEMENTS_BY_DATABASE: Series =
    double(counter("total_exec_time", "postgresql.query.execution.time", "s", NONE));

/// Tables, with what `pg_statio_user_tables` knows about them. Blocks of what a table does not have count 0.
pub const PG_STAT_USER_TABLES: &[Series] = &[
    sum("n_live_tup", "postgresql.rows", "1", &[("state", "live")]),
    sum("n_dead_tup", "postgresql.rows", "1", &[("state", "dead")]),
    counter("n_tup_ins", "postgresql.operations", "1", &[("operation", "ins")]),
    counter("n_tup_upd", "postgresql.operations", "1", &[("operation", "upd")]),
    counter("n_tup_del", "postgresql.operations", "1", &[("operation", "del")]),
    counter("n_tup_hot_upd", "postgresql.operations", "1", &[("operation", "hot_upd")]),
    counter("n_tup_newpage_upd", "postgresql.table.updates.to_new_page", "{rows}", NONE),
    counter("seq_scan", "postgresql.sequential_scans", "{sequential_scan}", NONE),
    counter("seq_tup_read", "postgresql.table.rows_read", "{rows}", &[("scan", "sequential")]),
    counter("coalesce(v.idx_tup_fetch, 0)", "postgresql.table.rows_read", "{rows}", &[("scan", "index")]),
    counter("coalesce(v.idx_scan, 0)", "postgresql.table.index_scans", "{scans}", NONE),
    gauge("n_mod_since_analyze", "postgresql.table.rows.modified_since_analyze", "{rows}", NONE),
    gauge("n_ins_since_vacuum", "postgresql.table.rows.inserted_since_vacuum", "{rows}", NONE),
    counter("vacuum_count", "postgresql.table.vacuum.count", "{vacuum}", NONE),
    counter("autovacuum_count", "postgresql.table.autovacuum.count", "{vacuum}", NONE),
    counter("analyze_count", "postgresql.table.analyze.count", "{analyze}", NONE),
    counter("autoanalyze_count", "postgresql.table.autoanalyze.count", "{analyze}", NONE),
    double(counter("total_vacuum_time", "postgresql.table.maintenance.duration", "ms", &[("operation", "vacuum")])),
    double(counter(
        "total_autovacuum_time",
        "postgresql.table.maintenance.duration",
        "ms",
        &[("operation", "autovacuum")],
    )),
    double(counter("total_analyze_time", "postgresql.table.maintenance.duration", "ms", &[("operation", "analyze")])),
    double(counter(
        "total_autoanalyze_time",
        "postgresql.table.maintenance.duration",
        "ms",
        &[("operation", "autoanalyze")],
    )),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - greatest(v.last_vacuum, v.last_autovacuum))",
        "postgresql.table.vacuum.age",
        "s",
        NONE,
    )),
    double(gauge(
        "extract(epoch FROM clock_timestamp() - greatest(v.last_analyze, v.last_autoanalyze))",
        "postgresql.table.analyze.age",
        "s",
        NONE,
    )),
    counter("coalesce(io.heap_blks_read, 0)", "postgresql.blocks_read", "1", &[("source", "heap_read")]),
    counter("coalesce(io.heap_blks_hit, 0)", "postgresql.blocks_read", "1", &[("source", "heap_hit")]),
    counter("coalesce(io.idx_blks_read, 0)", "postgresql.blocks_read", "1", &[("source", "idx_read")]),
    counter("coalesce(io.idx_blks_hit, 0)", "postgresql.blocks_read", "1", &[("source", "idx_hit")]),
    counter("coalesce(io.toast_blks_read, 0)", "postgresql.blocks_read", "1", &[("source", "toast_read")]),
    counter("coalesce(io.toast_blks_hit, 0)", "postgresql.blocks_read", "1", &[("source", "toast_hit")]),
    counter("coalesce(io.tidx_blks_read, 0)", "postgresql.blocks_read", "1", &[("source", "tidx_read")]),
    counter("coalesce(io.tidx_blks_hit, 0)", "postgresql.blocks_read", "1", &[("source", "tidx_hit")]),
    gauge("age(nullif(c.relfrozenxid, '0'))", "postgresql.table.xid.age", "{transactions}", NONE),
    gauge("mxid_age(nullif(c.relminmxid, '0'))", "postgresql.table.multixact.age", "{multixacts}", NONE),
];

/// Number of tables of a database.
pub const TABLE_COUNT: &[Series] = &[sum("count(*)", "postgresql.table.count", "{table}", NONE)];

/// Indexes, with what `pg_statio_user_indexes` knows about them.
pub const PG_STAT_USER_INDEXES: &[Series] = &[
    counter("idx_scan", "postgresql.index.scans", "{scans}", NONE),
    counter("idx_tup_read", "postgresql.index.rows", "{rows}", &[("operation", "read")]),
    counter("idx_tup_fetch", "postgresql.index.rows", "{rows}", &[("operation", "fetch")]),
    counter("io.idx_blks_read", "postgresql.index.blocks", "{blocks}", &[("source", "read")]),
    counter("io.idx_blks_hit", "postgresql.index.blocks", "{blocks}", &[("source", "hit")]),
    double(gauge("extract(epoch FROM clock_timestamp() - v.last_idx_scan)", "postgresql.index.scan.age", "s", NONE)),
    gauge("(NOT x.indisvalid)::int", "postgresql.index.invalid", "{flag}", NONE),
];

/// Functions, where `track_functions` is on.
pub const PG_STAT_USER_FUNCTIONS: &[Series] = &[
    counter("calls", "postgresql.function.calls", "{call}", NONE),
    double(counter("total_time", "postgresql.function.duration", "ms", &[("time", "total")])),
    double(counter("self_time", "postgresql.function.duration", "ms", &[("time", "self")])),
];

/// Sequences, and how much of them is used.
pub const PG_SEQUENCES: &[Series] = &[
    gauge("last_value", "postgresql.sequence.last_value", "{value}", NONE),
    double(gauge(
        "CASE WHEN v.increment_by > 0 THEN (v.last_value::numeric - v.min_value)::float8 / nullif(v.max_value - v.min_value::numeric, 0)
              ELSE (v.max_value - v.last_value::numeric)::float8 / nullif(v.max_value - v.min_value::numeric, 0) END",
        "postgresql.sequence.usage",
        "1",
        NONE,
    )),
];

/// Locks of a database, by what is locked.
pub const DATABASE_LOCKS: &[Series] = &[gauge("locks", "postgresql.database.locks", "{lock}", NONE)];

/// An extension that is created in a database.
pub const PG_EXTENSION: &[Series] = &[gauge("1", "postgresql.extension", "{flag}", NONE)];

/// Sizes of databases.
pub const DATABASE_SIZE: &[Series] = &[sum("pg_database_size(current_database())", "postgresql.db_size", "By", NONE)];

/// Sizes of tables.
pub const TABLE_SIZE: &[Series] = &[
    sum("size", "postgresql.table.size", "By", NONE),
    sum("total", "postgresql.table.size.total", "By", NONE),
    sum("toast", "postgresql.table.size.toast", "By", NONE),
];

/// Sizes of indexes.
pub const INDEX_SIZE: &[Series] = &[gauge("size", "postgresql.index.size", "By", NONE)];
