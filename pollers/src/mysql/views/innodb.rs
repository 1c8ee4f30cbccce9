//! InnoDB: transactions, what is kept for them, and who waits for a lock.

use crate::mysql::mapping;
use crate::view::{Source, VIEW, View};

/// Transactions that are open.
pub const TRANSACTIONS: View = View {
    name: "innodb_trx",
    source: Source::MadeOf("innodb_trx"),
    from: "information_schema.innodb_trx",
    series: mapping::TRANSACTIONS,
    ..VIEW
};

/// Length of the history of MySQL; of MariaDB it is a status variable.
pub const HISTORY: View = View {
    name: "innodb_metrics",
    from: "information_schema.innodb_metrics AS v",
    rest: "WHERE v.name = 'trx_rseg_history_len'",
    series: mapping::HISTORY,
    ..VIEW
};

/// Waits for row locks of MySQL.
pub const LOCK_WAITS: View = View {
    name: "data_lock_waits",
    source: Source::MadeOf("data_lock_waits"),
    from: "performance_schema.data_lock_waits",
    series: mapping::LOCK_WAITS,
    ..VIEW
};

/// Waits for row locks of MariaDB.
pub const LOCK_WAITS_OF_MARIADB: View = View {
    name: "innodb_lock_waits",
    source: Source::MadeOf("innodb_lock_waits"),
    from: "information_schema.innodb_lock_waits",
    series: mapping::LOCK_WAITS,
    ..VIEW
};

/// Metadata locks, where they are counted.
pub const METADATA_LOCKS: View = View {
    name: "metadata_locks",
    object_type: "locks",
    identity: &[("lock_type", "v.lock_type"), ("object_type", "v.object_type"), ("lock_status", "v.lock_status")],
    from: "performance_schema.metadata_locks AS v",
    rest: "GROUP BY v.lock_type, v.object_type, v.lock_status",
    max: 100,
    series: mapping::METADATA_LOCKS,
    ..VIEW
};
