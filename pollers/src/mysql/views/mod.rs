//! The views that are read, by the class of polls that reads them. Of many objects those that matter most come first.

mod innodb;
mod replication;
mod sessions;
mod tables;
mod waits;

use crate::view::View;

/// Counters of the server that are no status variables.
pub const METRICS: [&View; 7] = [
    &innodb::TRANSACTIONS,
    &innodb::HISTORY,
    &sessions::STATEMENTS,
    &sessions::SESSIONS,
    &sessions::USERS,
    &sessions::HOSTS,
    &sessions::USER_STATISTICS,
];

/// Replication, locks, and what is under way.
pub const REPLICATION: [&View; 6] = [
    &replication::GROUP_MEMBERS,
    &replication::GROUP_STATS,
    &replication::APPLIERS,
    &innodb::LOCK_WAITS,
    &innodb::LOCK_WAITS_OF_MARIADB,
    &innodb::METADATA_LOCKS,
];

/// Tables and indexes, and what adds up over all sessions.
pub const TABLES: [&View; 7] = [
    &tables::TABLE_IO,
    &tables::INDEX_IO,
    &tables::TABLE_LOCKS,
    &waits::WAITS,
    &waits::FILES,
    &waits::MEMORY,
    &waits::ERRORS,
];

/// What costs more.
pub const SIZES: [&View; 2] = [&tables::TABLE_SIZE, &tables::AUTO_INCREMENT];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static View> {
    METRICS.into_iter().chain(REPLICATION).chain(TABLES).chain(SIZES)
}
