//! The views that are read, by the class of polls that reads them. Each has the number of rows that are read at most; those
//! that matter most come first.

mod innodb;
mod replication;
mod sessions;
mod tables;
mod waits;

use crate::view::View;

/// Counters of the server that are no status variables.
pub const METRICS: [(&View, usize); 8] = [
    (&innodb::TRANSACTIONS, 1),
    (&innodb::HISTORY, 1),
    (&sessions::STATEMENTS, 1),
    (&sessions::SESSIONS, 1),
    (&sessions::USERS, 500),
    (&sessions::HOSTS, 500),
    (&sessions::USER_STATISTICS, 500),
    (&waits::ERRORS, 200),
];

/// Replication, locks, and what is under way.
pub const REPLICATION: [(&View, usize); 6] = [
    (&replication::GROUP_MEMBERS, 100),
    (&replication::GROUP_STATS, 100),
    (&replication::APPLIERS, 500),
    (&innodb::LOCK_WAITS, 1),
    (&innodb::LOCK_WAITS_OF_MARIADB, 1),
    (&innodb::METADATA_LOCKS, 100),
];

/// Tables and indexes.
pub const TABLES: [(&View, usize); 6] = [
    (&tables::TABLE_IO, 2_000),
    (&tables::INDEX_IO, 4_000),
    (&tables::TABLE_LOCKS, 2_000),
    (&waits::WAITS, 300),
    (&waits::FILES, 100),
    (&waits::MEMORY, 200),
];

/// What costs more.
pub const SIZES: [(&View, usize); 2] = [(&tables::TABLE_SIZE, 5_000), (&tables::AUTO_INCREMENT, 2_000)];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static View> {
    METRICS.into_iter().chain(REPLICATION).chain(TABLES).chain(SIZES).map(|(view, _)| view)
}
