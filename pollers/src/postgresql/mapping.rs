//! Names, units and attributes of metrics: those of the Collector's `postgresql` receiver, exactly, so that dashboards go
//! on. One table; the receiver still renames things, so what is true of which version of it is said here and nowhere else.

use crate::metric::{Kind, Number, Series};

/// The receiver's release whose metadata this table follows (all that it emits by default, and `postgresql.wal.delay`).
pub const RECEIVER_VERSION: &str = "0.162.0";

type Attributes = &'static [(&'static str, &'static str)];

const NONE: Attributes = &[];

const fn series(
    column: &'static str,
    metric: &'static str,
    unit: &'static str,
    kind: Kind,
    attributes: Attributes,
) -> Series {
    Series { column, metric, unit, kind, number: Number::Integer, attributes }
}

const fn counter(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Counter, attributes)
}

const fn sum(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Sum, attributes)
}

const fn gauge(column: &'static str, metric: &'static str, unit: &'static str, attributes: Attributes) -> Series {
    series(column, metric, unit, Kind::Gauge, attributes)
}

const fn double(series: Series) -> Series {
    Series { number: Number::Double, ..series }
}

/// The background writer.
pub const PG_STAT_BGWRITER: &[Series] = &[
    counter("buffers_alloc", "postgresql.bgwriter.buffers.allocated", "{buffers}", NONE),
    counter("buffers_clean", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "bgwriter")]),
    counter("buffers_backend", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "backend")]),
    counter("buffers_backend_fsync", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "backend_fsync")]),
    counter("maxwritten_clean", "postgresql.bgwriter.maxwritten", "1", NONE),
];

/// The checkpointer, whose counters were columns of `pg_stat_bgwriter` before PostgreSQL 17.
pub const PG_STAT_CHECKPOINTER: &[Series] = &[
    counter("buffers_written", "postgresql.bgwriter.buffers.writes", "{buffers}", &[("source", "checkpoints")]),
    counter("num_requested", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "requested")]),
    counter("num_timed", "postgresql.bgwriter.checkpoint.count", "{checkpoints}", &[("type", "scheduled")]),
    double(counter("write_time", "postgresql.bgwriter.duration", "ms", &[("type", "write")])),
    double(counter("sync_time", "postgresql.bgwriter.duration", "ms", &[("type", "sync")])),
];

/// The archiver.
pub const PG_STAT_ARCHIVER: &[Series] = &[gauge("wal_age", "postgresql.wal.age", "s", NONE)];

/// Settings.
pub const PG_SETTINGS: &[Series] = &[gauge("max_connections", "postgresql.connection.max", "{connections}", NONE)];

/// Number of databases that are read.
pub const PG_DATABASE: &[Series] = &[sum("databases", "postgresql.database.count", "{databases}", NONE)];

/// Databases.
pub const PG_STAT_DATABASE: &[Series] = &[
    counter("xact_commit", "postgresql.commits", "1", NONE),
    counter("xact_rollback", "postgresql.rollbacks", "1", NONE),
];

/// Processes per database, whatever they do.
pub const PG_STAT_ACTIVITY: &[Series] = &[sum("backends", "postgresql.backends", "1", NONE)];

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
];

/// Tables, with what `pg_statio_user_tables` knows about them.
pub const PG_STAT_USER_TABLES: &[Series] = &[
    sum("n_live_tup", "postgresql.rows", "1", &[("state", "live")]),
    sum("n_dead_tup", "postgresql.rows", "1", &[("state", "dead")]),
    counter("n_tup_ins", "postgresql.operations", "1", &[("operation", "ins")]),
    counter("n_tup_upd", "postgresql.operations", "1", &[("operation", "upd")]),
    counter("n_tup_del", "postgresql.operations", "1", &[("operation", "del")]),
    counter("n_tup_hot_upd", "postgresql.operations", "1", &[("operation", "hot_upd")]),
    counter("vacuum_count", "postgresql.table.vacuum.count", "{vacuum}", NONE),
    counter("heap_blks_read", "postgresql.blocks_read", "1", &[("source", "heap_read")]),
    counter("heap_blks_hit", "postgresql.blocks_read", "1", &[("source", "heap_hit")]),
    counter("idx_blks_read", "postgresql.blocks_read", "1", &[("source", "idx_read")]),
    counter("idx_blks_hit", "postgresql.blocks_read", "1", &[("source", "idx_hit")]),
    counter("toast_blks_read", "postgresql.blocks_read", "1", &[("source", "toast_read")]),
    counter("toast_blks_hit", "postgresql.blocks_read", "1", &[("source", "toast_hit")]),
    counter("tidx_blks_read", "postgresql.blocks_read", "1", &[("source", "tidx_read")]),
    counter("tidx_blks_hit", "postgresql.blocks_read", "1", &[("source", "tidx_hit")]),
];

/// Number of tables of a database.
pub const TABLE_COUNT: &[Series] = &[sum("tables", "postgresql.table.count", "{table}", NONE)];

/// Indexes.
pub const PG_STAT_USER_INDEXES: &[Series] = &[counter("idx_scan", "postgresql.index.scans", "{scans}", NONE)];

/// Sizes of databases.
pub const DATABASE_SIZE: &[Series] = &[sum("size", "postgresql.db_size", "By", NONE)];

/// Sizes of tables.
pub const TABLE_SIZE: &[Series] = &[sum("size", "postgresql.table.size", "By", NONE)];

/// Sizes of indexes.
pub const INDEX_SIZE: &[Series] = &[gauge("size", "postgresql.index.size", "By", NONE)];

/// All tables of this file.
pub const ALL: &[&[Series]] = &[
    PG_STAT_BGWRITER,
    PG_STAT_CHECKPOINTER,
    PG_STAT_ARCHIVER,
    PG_SETTINGS,
    PG_DATABASE,
    PG_STAT_DATABASE,
    PG_STAT_ACTIVITY,
    PG_STAT_REPLICATION,
    PG_STAT_USER_TABLES,
    TABLE_COUNT,
    PG_STAT_USER_INDEXES,
    DATABASE_SIZE,
    TABLE_SIZE,
    INDEX_SIZE,
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// What the receiver emits by default: name, unit, kind as its metadata say.
    const BY_DEFAULT: [(&str, &str, Kind, Number); 22] = [
        ("postgresql.backends", "1", Kind::Sum, Number::Integer),
        ("postgresql.bgwriter.buffers.allocated", "{buffers}", Kind::Counter, Number::Integer),
        ("postgresql.bgwriter.buffers.writes", "{buffers}", Kind::Counter, Number::Integer),
        ("postgresql.bgwriter.checkpoint.count", "{checkpoints}", Kind::Counter, Number::Integer),
        ("postgresql.bgwriter.duration", "ms", Kind::Counter, Number::Double),
        ("postgresql.bgwriter.maxwritten", "1", Kind::Counter, Number::Integer),
        ("postgresql.blocks_read", "1", Kind::Counter, Number::Integer),
        ("postgresql.commits", "1", Kind::Counter, Number::Integer),
        ("postgresql.connection.max", "{connections}", Kind::Gauge, Number::Integer),
        ("postgresql.database.count", "{databases}", Kind::Sum, Number::Integer),
        ("postgresql.db_size", "By", Kind::Sum, Number::Integer),
        ("postgresql.index.scans", "{scans}", Kind::Counter, Number::Integer),
        ("postgresql.index.size", "By", Kind::Gauge, Number::Integer),
        ("postgresql.operations", "1", Kind::Counter, Number::Integer),
        ("postgresql.replication.data_delay", "By", Kind::Gauge, Number::Integer),
        ("postgresql.rollbacks", "1", Kind::Counter, Number::Integer),
        ("postgresql.rows", "1", Kind::Sum, Number::Integer),
        ("postgresql.table.count", "{table}", Kind::Sum, Number::Integer),
        ("postgresql.table.size", "By", Kind::Sum, Number::Integer),
        ("postgresql.table.vacuum.count", "{vacuum}", Kind::Counter, Number::Integer),
        ("postgresql.wal.age", "s", Kind::Gauge, Number::Integer),
        ("postgresql.wal.lag", "s", Kind::Gauge, Number::Integer),
    ];

    #[test]
    fn the_table_holds_what_the_receiver_emits_by_default() {
        let all = ALL.iter().flat_map(|table| table.iter());
        let ours: BTreeMap<_, _> =
            all.map(|series| (series.metric, (series.unit, series.kind, series.number))).collect();
        for (metric, unit, kind, number) in BY_DEFAULT {
            assert_eq!(ours.get(metric), Some(&(unit, kind, number)), "{metric}");
        }
        let ours: BTreeSet<_> = ours.into_keys().collect();
        let theirs: BTreeSet<_> = BY_DEFAULT.iter().map(|(metric, ..)| *metric).collect();
        assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), [&"postgresql.wal.delay"]);
    }

    #[test]
    fn no_series_is_there_twice() {
        let mut seen = BTreeSet::new();
        for series in ALL.iter().flat_map(|table| table.iter()) {
            assert!(seen.insert((series.metric, series.attributes)), "{series:?}");
        }
    }
}
