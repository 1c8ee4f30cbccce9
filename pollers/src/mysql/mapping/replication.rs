//! Replication: what a replica says of each of its channels, the members of a group, and the binary log.

use crate::metric::{NONE, Series, counter, gauge, sum};

/// `SHOW REPLICA STATUS`, by the names of its columns in small letters, with `source` and `replica` for what was called
/// `master` and `slave`.
pub const CHANNEL: &[Series] = &[
    sum("seconds_behind_source", "mysql.replica.time_behind_source", "s", NONE),
    sum("sql_delay", "mysql.replica.sql_delay", "s", NONE),
    gauge("replica_io_running", "mysql.replica.thread.running", "1", &[("mysql.replica.thread.type", "io")]),
    gauge("replica_sql_running", "mysql.replica.thread.running", "1", &[("mysql.replica.thread.type", "sql")]),
    gauge("last_io_errno", "mysql.replica.error", "{code}", &[("mysql.replica.thread.type", "io")]),
    gauge("last_sql_errno", "mysql.replica.error", "{code}", &[("mysql.replica.thread.type", "sql")]),
    gauge("relay_log_space", "mysql.replica.relay_log.size", "By", NONE),
    gauge("read_source_log_pos", "mysql.replica.position", "By", &[("kind", "read")]),
    gauge("exec_source_log_pos", "mysql.replica.position", "By", &[("kind", "executed")]),
    gauge("sql_remaining_delay", "mysql.replica.sql_delay.remaining", "s", NONE),
    counter("retried_transactions", "mysql.replica.retries", "{transactions}", NONE),
];

/// The binary log on disk.
pub const BINARY_LOGS: &[Series] =
    &[sum("files", "mysql.binlog.files", "{files}", NONE), sum("bytes", "mysql.binlog.size", "By", NONE)];

/// Members of a group, one row for each.
pub const GROUP_MEMBERS: &[Series] =
    &[gauge("(v.member_state = 'ONLINE')", "mysql.group.member.online", "{flag}", NONE)];

/// What each member of a group has to do.
pub const GROUP_STATS: &[Series] = &[
    gauge(
        "count_transactions_in_queue",
        "mysql.group.transactions.queued",
        "{transactions}",
        &[("queue", "certifier")],
    ),
    gauge(
        "count_transactions_remote_in_applier_queue",
        "mysql.group.transactions.queued",
        "{transactions}",
        &[("queue", "applier")],
    ),
    counter("count_transactions_checked", "mysql.group.transactions.checked", "{transactions}", NONE),
    counter("count_conflicts_detected", "mysql.group.conflicts", "{conflicts}", NONE),
    counter("count_transactions_local_rollback", "mysql.group.transactions.rolled_back", "{transactions}", NONE),
];

/// Workers that apply what a replica received, one row for each.
pub const APPLIERS: &[Series] = &[
    gauge("(v.service_state = 'ON')", "mysql.replica.worker.running", "{flag}", NONE),
    gauge("last_error_number", "mysql.replica.worker.error", "{code}", NONE),
    counter("last_applied_transaction_retries_count", "mysql.replica.worker.retries", "{transactions}", NONE),
];
