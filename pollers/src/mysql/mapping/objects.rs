//! Tables, indexes, transactions, statements, users and files.

use crate::metric::{NONE, Series, counter, double, gauge, sum};

macro_rules! operations {
    ($metric:literal, $unit:literal, $attribute:literal, $({$value:literal, $column:literal}),+ $(,)?) => {
        &[$(counter($column, $metric, $unit, &[($attribute, $value)])),+]
    };
}

/// Reads and writes of tables, and the time that they took.
pub const TABLE_IO: &[Series] = &[
    counter("count_delete", "mysql.table.io.wait.count", "1", &[("operation", "delete")]),
    counter("count_fetch", "mysql.table.io.wait.count", "1", &[("operation", "fetch")]),
    counter("count_insert", "mysql.table.io.wait.count", "1", &[("operation", "insert")]),
    counter("count_update", "mysql.table.io.wait.count", "1", &[("operation", "update")]),
    counter("v.sum_timer_delete DIV 1000", "mysql.table.io.wait.time", "ns", &[("operation", "delete")]),
    counter("v.sum_timer_fetch DIV 1000", "mysql.table.io.wait.time", "ns", &[("operation", "fetch")]),
    counter("v.sum_timer_insert DIV 1000", "mysql.table.io.wait.time", "ns", &[("operation", "insert")]),
    counter("v.sum_timer_update DIV 1000", "mysql.table.io.wait.time", "ns", &[("operation", "update")]),
];

/// Reads and writes through indexes; `NONE` is what went without one.
pub const INDEX_IO: &[Series] = &[
    counter("count_delete", "mysql.index.io.wait.count", "1", &[("operation", "delete")]),
    counter("count_fetch", "mysql.index.io.wait.count", "1", &[("operation", "fetch")]),
    counter("count_insert", "mysql.index.io.wait.count", "1", &[("operation", "insert")]),
    counter("count_update", "mysql.index.io.wait.count", "1", &[("operation", "update")]),
    counter("v.sum_timer_delete DIV 1000", "mysql.index.io.wait.time", "ns", &[("operation", "delete")]),
    counter("v.sum_timer_fetch DIV 1000", "mysql.index.io.wait.time", "ns", &[("operation", "fetch")]),
    counter("v.sum_timer_insert DIV 1000", "mysql.index.io.wait.time", "ns", &[("operation", "insert")]),
    counter("v.sum_timer_update DIV 1000", "mysql.index.io.wait.time", "ns", &[("operation", "update")]),
];

/// Waits for locks of tables.
pub const TABLE_LOCKS: &[Series] = &[
    sum("count_read_normal", "mysql.table.lock_wait.read.count", "1", &[("kind", "normal")]),
    sum("count_read_with_shared_locks", "mysql.table.lock_wait.read.count", "1", &[("kind", "with_shared_locks")]),
    sum("count_read_high_priority", "mysql.table.lock_wait.read.count", "1", &[("kind", "high_priority")]),
    sum("count_read_no_insert", "mysql.table.lock_wait.read.count", "1", &[("kind", "no_insert")]),
    sum("count_read_external", "mysql.table.lock_wait.read.count", "1", &[("kind", "external")]),
    sum("v.sum_timer_read_normal DIV 1000", "mysql.table.lock_wait.read.time", "ns", &[("kind", "normal")]),
    sum(
        "v.sum_timer_read_with_shared_locks DIV 1000",
        "mysql.table.lock_wait.read.time",
        "ns",
        &[("kind", "with_shared_locks")],
    ),
    sum(
        "v.sum_timer_read_high_priority DIV 1000",
        "mysql.table.lock_wait.read.time",
        "ns",
        &[("kind", "high_priority")],
    ),
    sum("v.sum_timer_read_no_insert DIV 1000", "mysql.table.lock_wait.read.time", "ns", &[("kind", "no_insert")]),
    sum("v.sum_timer_read_external DIV 1000", "mysql.table.lock_wait.read.time", "ns", &[("kind", "external")]),
    sum("count_write_allow_write", "mysql.table.lock_wait.write.count", "1", &[("kind", "allow_write")]),
    sum("count_write_concurrent_insert", "mysql.table.lock_wait.write.count", "1", &[("kind", "concurrent_insert")]),
    sum("count_write_low_priority", "mysql.table.lock_wait.write.count", "1", &[("kind", "low_priority")]),
    sum("count_write_normal", "mysql.table.lock_wait.write.count", "1", &[("kind", "normal")]),
    sum("count_write_external", "mysql.table.lock_wait.write.count", "1", &[("kind", "external")]),
    sum("v.sum_timer_write_allow_write DIV 1000", "mysql.table.lock_wait.write.time", "ns", &[("kind", "allow_write")]),
    sum(
        "v.sum_timer_write_concurrent_insert DIV 1000",
        "mysql.table.lock_wait.write.time",
        "ns",
        &[("kind", "concurrent_insert")],
    ),
    sum(
        "v.sum_timer_write_low_priority DIV 1000",
        "mysql.table.lock_wait.write.time",
        "ns",
        &[("kind", "low_priority")],
    ),
    sum("v.sum_timer_write_normal DIV 1000", "mysql.table.lock_wait.write.time", "ns", &[("kind", "normal")]),
    sum("v.sum_timer_write_external DIV 1000", "mysql.table.lock_wait.write.time", "ns", &[("kind", "external")]),
];

/// Sizes of tables, as the server estimates them.
pub const TABLE_SIZE: &[Series] = &[
    sum("table_rows", "mysql.table.rows", "1", NONE),
    sum("avg_row_length", "mysql.table.average_row_length", "By", NONE),
    sum("data_length", "mysql.table.size", "By", &[("kind", "data")]),
    sum("index_length", "mysql.table.size", "By", &[("kind", "index")]),
    sum("data_free", "mysql.table.free", "By", NONE),
];

/// How much of the numbers of an AUTO_INCREMENT column is used.
pub const AUTO_INCREMENT: &[Series] = &[
    gauge("auto_increment", "mysql.table.auto_increment", "{value}", NONE),
    double(gauge("auto_increment / max_int", "mysql.table.auto_increment.usage", "1", NONE)),
];

/// Transactions of InnoDB.
pub const TRANSACTIONS: &[Series] = &[
    gauge("COUNT(*)", "mysql.innodb.transaction.active.count", "{transaction}", NONE),
    gauge(
        "COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_started, CONVERT_TZ(UTC_TIMESTAMP(), '+00:00', 'SYSTEM'))), 0)",
        "mysql.innodb.transaction.active.duration.max",
        "s",
        NONE,
    ),
];

/// Sessions of clients that do something, ours left out.
pub const SESSIONS: &[Series] = &[gauge("COUNT(*)", "mysql.session.active.count", "{session}", NONE)];

/// Time of all statements that the server counted.
pub const STATEMENTS: &[Series] =
    &[double(counter("COALESCE(SUM(sum_timer_wait), 0) / 1e12", "mysql.query.execution.time", "s", NONE))];

/// Transactions that removed rows are kept for, where no status variable tells.
pub const HISTORY: &[Series] = &[gauge(
    "MAX(CASE WHEN v.status = 'enabled' THEN v.count END)",
    "mysql.innodb.history_list.length",
    "{transactions}",
    NONE,
)];

/// Accounts of users.
pub const USERS: &[Series] = &[
    gauge("current_connections", "mysql.user.connections", "{connections}", NONE),
    counter("total_connections", "mysql.user.connection.count", "{connections}", NONE),
];

/// Hosts of clients.
pub const HOSTS: &[Series] = &[
    gauge("current_connections", "mysql.host.connections", "{connections}", NONE),
    counter("total_connections", "mysql.host.connection.count", "{connections}", NONE),
];

/// What each user did, of MariaDB with `userstat=1`.
pub const USER_STATISTICS: &[Series] = &[
    counter("rows_read", "mysql.user.rows", "{rows}", &[("operation", "read")]),
    counter("rows_sent", "mysql.user.rows", "{rows}", &[("operation", "sent")]),
    counter("rows_inserted", "mysql.user.rows", "{rows}", &[("operation", "inserted")]),
    counter("rows_updated", "mysql.user.rows", "{rows}", &[("operation", "updated")]),
    counter("rows_deleted", "mysql.user.rows", "{rows}", &[("operation", "deleted")]),
    counter("bytes_received", "mysql.user.network.io", "By", &[("kind", "received")]),
    counter("bytes_sent", "mysql.user.network.io", "By", &[("kind", "sent")]),
    counter("access_denied", "mysql.user.access_denied", "1", NONE),
    double(counter("cpu_time", "mysql.user.cpu.time", "s", NONE)),
    double(counter("busy_time", "mysql.user.busy.time", "s", NONE)),
];

/// Waits of the server, by kind.
pub const WAITS: &[Series] = &[
    counter("count_star", "mysql.wait.count", "{waits}", NONE),
    counter("v.sum_timer_wait DIV 1000", "mysql.wait.time", "ns", NONE),
];

/// Files, by kind.
pub const FILES: &[Series] = &[
    counter("count_read", "mysql.file.io.count", "{operations}", &[("operation", "read")]),
    counter("count_write", "mysql.file.io.count", "{operations}", &[("operation", "write")]),
    counter("count_misc", "mysql.file.io.count", "{operations}", &[("operation", "misc")]),
    counter("v.sum_timer_read DIV 1000", "mysql.file.io.time", "ns", &[("operation", "read")]),
    counter("v.sum_timer_write DIV 1000", "mysql.file.io.time", "ns", &[("operation", "write")]),
    counter("v.sum_timer_misc DIV 1000", "mysql.file.io.time", "ns", &[("operation", "misc")]),
    counter("sum_number_of_bytes_read", "mysql.file.io.bytes", "By", &[("operation", "read")]),
    counter("sum_number_of_bytes_write", "mysql.file.io.bytes", "By", &[("operation", "write")]),
];

/// Memory of the server, by kind, where it is counted.
pub const MEMORY: &[Series] = &[
    gauge("current_number_of_bytes_used", "mysql.memory.usage", "By", NONE),
    gauge("high_number_of_bytes_used", "mysql.memory.usage.max", "By", NONE),
];

/// Locks that somebody waits for.
pub const LOCK_WAITS: &[Series] = &[gauge("COUNT(*)", "mysql.innodb.lock_waits", "{waits}", NONE)];

/// Metadata locks, by kind and state.
pub const METADATA_LOCKS: &[Series] = &[gauge("COUNT(*)", "mysql.metadata_locks", "{locks}", NONE)];

/// Errors that the server gave, by kind, since MySQL 8.0.
pub const ERRORS: &[Series] = operations!("mysql.errors", "{errors}", "outcome",
    {"raised", "sum_error_raised"}, {"handled", "sum_error_handled"});
