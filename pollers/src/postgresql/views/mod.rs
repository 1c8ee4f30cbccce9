//! The views that are read, one file for each, by the class of polls that reads them.

mod backends;
mod pg_control_checkpoint;
pub mod pg_database;
mod pg_extension;
mod pg_locks;
mod pg_ls_waldir;
mod pg_prepared_xacts;
pub mod pg_relation_size;
mod pg_replication_slots;
pub mod pg_sequences;
mod pg_settings;
mod pg_stat_archiver;
mod pg_stat_bgwriter;
mod pg_stat_checkpointer;
mod pg_stat_database;
mod pg_stat_database_conflicts;
mod pg_stat_io;
mod pg_stat_progress;
mod pg_stat_recovery_prefetch;
pub mod pg_stat_replication;
mod pg_stat_slru;
mod pg_stat_ssl;
mod pg_stat_subscription;
mod pg_stat_user_functions;
mod pg_stat_user_indexes;
mod pg_stat_user_tables;
mod pg_stat_wal;
mod pg_stat_wal_receiver;
mod server;
mod xmin_horizon;

use crate::view::View;

/// Counters of the server and its databases, in the order in which they are read.
pub const METRICS: [&View; 14] = [
    &server::SERVER,
    &pg_stat_database::PG_STAT_DATABASE,
    &pg_stat_database_conflicts::PG_STAT_DATABASE_CONFLICTS,
    &backends::BACKENDS,
    &backends::SESSIONS,
    &pg_stat_ssl::PG_STAT_SSL,
    &pg_stat_bgwriter::PG_STAT_BGWRITER,
    &pg_stat_checkpointer::PG_STAT_CHECKPOINTER,
    &pg_control_checkpoint::PG_CONTROL_CHECKPOINT,
    &pg_stat_archiver::PG_STAT_ARCHIVER,
    &pg_stat_wal::PG_STAT_WAL,
    &pg_stat_slru::PG_STAT_SLRU,
    &pg_stat_io::PG_STAT_IO,
    &pg_prepared_xacts::PG_PREPARED_XACTS,
];

/// Replication, locks, and what is under way.
pub const REPLICATION: [&View; 19] = [
    &pg_stat_replication::PG_STAT_REPLICATION,
    &pg_stat_replication::REPLICA_COUNT,
    &pg_stat_replication::STANDBY,
    &pg_stat_wal_receiver::PG_STAT_WAL_RECEIVER,
    &pg_replication_slots::PG_REPLICATION_SLOTS,
    &pg_replication_slots::PG_STAT_REPLICATION_SLOTS,
    &pg_stat_subscription::PG_STAT_SUBSCRIPTION,
    &pg_stat_subscription::PG_STAT_SUBSCRIPTION_STATS,
    &pg_stat_recovery_prefetch::PG_STAT_RECOVERY_PREFETCH,
    &pg_locks::PG_LOCKS,
    &xmin_horizon::XMIN_HORIZON,
    &pg_stat_progress::PG_STAT_PROGRESS_VACUUM,
    &pg_stat_progress::PG_STAT_PROGRESS_ANALYZE,
    &pg_stat_progress::PG_STAT_PROGRESS_CREATE_INDEX,
    &pg_stat_progress::PG_STAT_PROGRESS_CLUSTER,
    &pg_stat_progress::PG_STAT_PROGRESS_COPY,
    &pg_stat_progress::PG_STAT_PROGRESS_BASEBACKUP,
    &pg_database::COUNT,
    &pg_ls_waldir::PG_LS_WALDIR,
];

/// What changes seldom.
pub const SETTINGS: [&View; 1] = [&pg_settings::PG_SETTINGS];

/// Tables, indexes, functions and locks of a database.
pub const OF_DATABASE: [&View; 5] = [
    &pg_stat_user_tables::PG_STAT_USER_TABLES,
    &pg_stat_user_tables::TABLE_COUNT,
    &pg_stat_user_indexes::PG_STAT_USER_INDEXES,
    &pg_stat_user_functions::PG_STAT_USER_FUNCTIONS,
    &pg_locks::DATABASE_LOCKS,
];

/// What of a database changes seldom, or costs more.
pub const SIZES: [&View; 5] = [
    &pg_database::SIZE,
    &pg_relation_size::TABLES,
    &pg_relation_size::INDEXES,
    &pg_sequences::PG_SEQUENCES,
    &pg_extension::PG_EXTENSION,
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static View> {
    METRICS.into_iter().chain(REPLICATION).chain(SETTINGS).chain(OF_DATABASE).chain(SIZES)
}
