//! `SHOW GLOBAL STATUS`, by the names of its variables in small letters; of some the difference, or a part.

use crate::metric::{NONE, Series, counter, double, gauge, sum};

macro_rules! each {
    ($make:ident, $metric:literal, $unit:literal, $attribute:literal, $({$value:literal, $column:literal}),+ $(,)?) => {
        [$($make($column, $metric, $unit, &[($attribute, $value)])),+]
    };
}

/// All variables that have a name of their own.
pub const STATUS: &[&[Series]] = &[
    &[
        counter("uptime", "mysql.uptime", "s", NONE),
        counter("connections", "mysql.connection.count", "1", NONE),
        sum("max_used_connections", "mysql.max_used_connections", "1", NONE),
        counter("questions", "mysql.query.client.count", "1", NONE),
        counter("queries", "mysql.query.count", "1", NONE),
        counter("slow_queries", "mysql.query.slow.count", "1", NONE),
        counter("slow_launch_threads", "mysql.thread.slow_launch", "1", NONE),
        gauge("open_files", "mysql.file.open", "1", NONE),
        gauge("open_tables", "mysql.table.open", "1", NONE),
        gauge("slave_open_temp_tables", "mysql.replica.temp_table.open", "{table}", NONE),
        gauge("replica_open_temp_tables", "mysql.replica.temp_table.open", "{table}", NONE),
        counter("innodb_buffer_pool_pages_flushed", "mysql.buffer_pool.page_flushes", "1", NONE),
        gauge("innodb_row_lock_current_waits", "mysql.innodb.row_lock.wait.count", "{wait}", NONE),
        double(gauge("innodb_row_lock_time_avg / 1000", "mysql.innodb.row_lock.wait.duration.avg", "s", NONE)),
        double(gauge("innodb_row_lock_time_max / 1000", "mysql.innodb.row_lock.wait.duration.max", "s", NONE)),
        gauge("innodb_redo_log_current_lsn", "mysql.innodb.redo_log.lsn.current", "By", NONE),
        gauge("innodb_lsn_current", "mysql.innodb.redo_log.lsn.current", "By", NONE),
        gauge("innodb_redo_log_checkpoint_lsn", "mysql.innodb.redo_log.lsn.checkpoint", "By", NONE),
        gauge("innodb_lsn_last_checkpoint", "mysql.innodb.redo_log.lsn.checkpoint", "By", NONE),
        gauge(
            "innodb_redo_log_current_lsn - innodb_redo_log_checkpoint_lsn",
            "mysql.innodb.redo_log.checkpoint.age",
            "By",
            NONE,
        ),
        gauge("innodb_checkpoint_age", "mysql.innodb.redo_log.checkpoint.age", "By", NONE),
        gauge("innodb_history_list_length", "mysql.innodb.history_list.length", "{transactions}", NONE),
        gauge("key_blocks_unused", "mysql.myisam.key_cache.block.unused", "{block}", NONE),
        gauge("key_blocks_used", "mysql.myisam.key_cache.block.used.max", "{block}", NONE),
        counter("innodb_deadlocks", "mysql.innodb.deadlocks", "{deadlock}", NONE),
        counter("performance_schema_digest_lost", "mysql.statements.lost", "{statements}", NONE),
    ],
    &each!(sum, "mysql.buffer_pool.pages", "1", "kind",
        {"data", "innodb_buffer_pool_pages_data"}, {"free", "innodb_buffer_pool_pages_free"},
        {"misc", "innodb_buffer_pool_pages_misc"}, {"total", "innodb_buffer_pool_pages_total"}),
    &each!(sum, "mysql.buffer_pool.data_pages", "1", "status", {"dirty", "innodb_buffer_pool_pages_dirty"},
        {"clean", "innodb_buffer_pool_pages_data - innodb_buffer_pool_pages_dirty"}),
    &each!(sum, "mysql.buffer_pool.usage", "By", "status", {"dirty", "innodb_buffer_pool_bytes_dirty"},
        {"clean", "innodb_buffer_pool_bytes_data - innodb_buffer_pool_bytes_dirty"}),
    &each!(counter, "mysql.buffer_pool.operations", "1", "operation",
        {"read_ahead_rnd", "innodb_buffer_pool_read_ahead_rnd"}, {"read_ahead", "innodb_buffer_pool_read_ahead"},
        {"read_ahead_evicted", "innodb_buffer_pool_read_ahead_evicted"},
        {"read_requests", "innodb_buffer_pool_read_requests"}, {"reads", "innodb_buffer_pool_reads"},
        {"wait_free", "innodb_buffer_pool_wait_free"}, {"write_requests", "innodb_buffer_pool_write_requests"}),
    &each!(counter, "mysql.prepared_statements", "1", "command", {"execute", "com_stmt_execute"},
        {"close", "com_stmt_close"}, {"fetch", "com_stmt_fetch"}, {"prepare", "com_stmt_prepare"},
        {"reset", "com_stmt_reset"}, {"send_long_data", "com_stmt_send_long_data"}),
    &each!(counter, "mysql.commands", "1", "command", {"alter_table", "com_alter_table"},
        {"create_index", "com_create_index"}, {"create_table", "com_create_table"}, {"delete", "com_delete"},
        {"delete_multi", "com_delete_multi"}, {"insert", "com_insert"}, {"optimize", "com_optimize"},
        {"select", "com_select"}, {"update", "com_update"}, {"update_multi", "com_update_multi"}),
    &each!(counter, "mysql.handlers", "1", "kind", {"commit", "handler_commit"}, {"delete", "handler_delete"},
        {"discover", "handler_discover"}, {"external_lock", "handler_external_lock"}, {"mrr_init", "handler_mrr_init"},
        {"prepare", "handler_prepare"}, {"read_first", "handler_read_first"}, {"read_key", "handler_read_key"},
        {"read_last", "handler_read_last"}, {"read_next", "handler_read_next"}, {"read_prev", "handler_read_prev"},
        {"read_rnd", "handler_read_rnd"}, {"read_rnd_next", "handler_read_rnd_next"},
        {"rollback", "handler_rollback"}, {"savepoint", "handler_savepoint"},
        {"savepoint_rollback", "handler_savepoint_rollback"}, {"update", "handler_update"}, {"write", "handler_write"}),
    &each!(counter, "mysql.double_writes", "1", "kind", {"pages_written", "innodb_dblwr_pages_written"},
        {"writes", "innodb_dblwr_writes"}),
    &each!(counter, "mysql.log_operations", "1", "operation", {"waits", "innodb_log_waits"},
        {"write_requests", "innodb_log_write_requests"}, {"writes", "innodb_log_writes"},
        {"fsyncs", "innodb_os_log_fsyncs"}),
    &each!(counter, "mysql.operations", "1", "operation", {"fsyncs", "innodb_data_fsyncs"},
        {"reads", "innodb_data_reads"}, {"writes", "innodb_data_writes"}),
    &each!(counter, "mysql.page_operations", "1", "operation", {"created", "innodb_pages_created"},
        {"read", "innodb_pages_read"}, {"written", "innodb_pages_written"}),
    &each!(counter, "mysql.row_locks", "1", "kind", {"waits", "innodb_row_lock_waits"},
        {"time", "innodb_row_lock_time"}),
    &each!(counter, "mysql.row_operations", "1", "operation", {"deleted", "innodb_rows_deleted"},
        {"inserted", "innodb_rows_inserted"}, {"read", "innodb_rows_read"}, {"updated", "innodb_rows_updated"}),
    &each!(counter, "mysql.locks", "1", "kind", {"immediate", "table_locks_immediate"},
        {"waited", "table_locks_waited"}),
    &each!(counter, "mysql.sorts", "1", "kind", {"merge_passes", "sort_merge_passes"}, {"range", "sort_range"},
        {"rows", "sort_rows"}, {"scan", "sort_scan"}),
    &each!(sum, "mysql.threads", "1", "kind", {"cached", "threads_cached"}, {"connected", "threads_connected"},
        {"created", "threads_created"}, {"running", "threads_running"}),
    &each!(counter, "mysql.client.network.io", "By", "kind", {"received", "bytes_received"}, {"sent", "bytes_sent"}),
    &each!(counter, "mysql.opened_resources", "1", "kind", {"file", "opened_files"},
        {"table_definition", "opened_table_definitions"}, {"table", "opened_tables"}),
    &each!(counter, "mysql.tmp_resources", "1", "resource", {"disk_tables", "created_tmp_disk_tables"},
        {"files", "created_tmp_files"}, {"tables", "created_tmp_tables"}),
    &each!(counter, "mysql.joins", "1", "kind", {"full", "select_full_join"}, {"full_range", "select_full_range_join"},
        {"range", "select_range"}, {"range_check", "select_range_check"}, {"scan", "select_scan"}),
    &each!(counter, "mysql.table_open_cache", "1", "status", {"hit", "table_open_cache_hits"},
        {"miss", "table_open_cache_misses"}, {"overflow", "table_open_cache_overflows"}),
    &each!(counter, "mysql.connection.errors", "1", "error", {"accept", "connection_errors_accept"},
        {"internal", "connection_errors_internal"}, {"max_connections", "connection_errors_max_connections"},
        {"peer_address", "connection_errors_peer_address"}, {"select", "connection_errors_select"},
        {"tcpwrap", "connection_errors_tcpwrap"}, {"aborted", "aborted_connects"},
        {"aborted_clients", "aborted_clients"}, {"locked", "locked_connects"}),
    &each!(counter, "mysql.mysqlx_connections", "1", "status", {"accepted", "mysqlx_connections_accepted"},
        {"closed", "mysqlx_connections_closed"}, {"rejected", "mysqlx_connections_rejected"}),
    &each!(sum, "mysql.mysqlx_worker_threads", "1", "kind", {"available", "mysqlx_worker_threads"},
        {"active", "mysqlx_worker_threads_active"}),
    &each!(counter, "mysql.innodb.data_file.io", "By", "disk.io.direction", {"read", "innodb_data_read"},
        {"write", "innodb_data_written"}),
    &each!(sum, "mysql.innodb.operation.pending", "1", "operation", {"fsyncs", "innodb_data_pending_fsyncs"},
        {"reads", "innodb_data_pending_reads"}, {"writes", "innodb_data_pending_writes"}),
    &each!(counter, "mysql.myisam.key_cache.disk.operation", "{operation}", "operation", {"read", "key_reads"},
        {"write", "key_writes"}),
    &each!(counter, "mysql.myisam.key_cache.request", "{request}", "operation", {"read", "key_read_requests"},
        {"write", "key_write_requests"}),
    &each!(counter, "mysql.binlog.cache", "{transactions}", "kind", {"used", "binlog_cache_use"},
        {"disk", "binlog_cache_disk_use"}),
];

/// Any other variable that is a number, or a switch: `ON` and `OFF` are 1 and 0. Nobody says which of them only grow.
pub const GLOBAL_STATUS: Series = double(gauge("variable", "mysql.global_status", "{value}", NONE));

/// `SHOW GLOBAL VARIABLES`: what is read with the counters.
pub const VARIABLES: &[Series] = &[
    sum("innodb_buffer_pool_size", "mysql.buffer_pool.limit", "By", NONE),
    sum("innodb_page_size", "mysql.page_size", "By", NONE),
    gauge("max_connections", "mysql.connection.max", "{connections}", NONE),
    gauge("read_only", "mysql.read_only", "{flag}", NONE),
];

/// Any variable that is a number or a switch.
pub const GLOBAL_VARIABLE: Series = double(gauge("variable", "mysql.global_variable", "{value}", NONE));

/// Any counter of `INNODB_METRICS` that is switched on.
pub const INNODB_METRIC: Series = double(gauge("count", "mysql.innodb.metric", "{value}", NONE));

/// The server answers.
pub const HEALTHY: Series = gauge("1", "mysql.server.healthy", "1", NONE);

/// How far the server's clock is ahead of ours, to within the time that an answer takes.
pub const CLOCK: Series = double(gauge("clock", "mysql.clock.skew", "s", NONE));
