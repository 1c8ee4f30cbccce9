//! What the server does beside its statements: vacuum, analyze, indexes, rewrites, base backups, copies.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// One row for each that is under way. What is done is in blocks, and in bytes for backups and copies.
const fn progress(name: &'static str, identity: &'static [(&'static str, &'static str)], from: &'static str) -> View {
    View {
        name,
        source: Source::MadeOf(name),
        object_type: "progress",
        identity,
        from,
        series: mapping::PROGRESS,
        ..VIEW
    }
}

macro_rules! operation {
    ($operation:literal, $view:literal, $kind:literal, $phase:literal, $done:literal, $total:literal) => {
        progress(
            $view,
            &[
                ("operation", concat!("'", $operation, "'")),
                ("database", "p.database"),
                ("relation", "p.relation"),
                ("session_id", "p.pid"),
                ("kind", "p.kind"),
                ("phase", "p.phase"),
            ],
            concat!(
                "(SELECT p.pid, coalesce(p.datname, '') AS database, coalesce(c.relname, p.relid::text) AS relation, ",
                $kind,
                " AS kind, ",
                $phase,
                " AS phase, ",
                $done,
                " AS done, ",
                $total,
                " AS total,
                 extract(epoch FROM clock_timestamp() - a.query_start) AS seconds
                 FROM ",
                $view,
                " AS p LEFT JOIN pg_stat_activity AS a ON a.pid = p.pid
                 LEFT JOIN pg_class AS c ON c.oid = p.relid AND p.datname = current_database()) AS p"
            ),
        )
    };
}

/// VACUUM, by hand and by itself.
pub const PG_STAT_PROGRESS_VACUUM: View = operation!(
    "vacuum",
    "pg_stat_progress_vacuum",
    "CASE WHEN a.backend_type = 'autovacuum worker' THEN 'automatic' ELSE 'manual' END",
    "p.phase",
    "p.heap_blks_scanned",
    "p.heap_blks_total"
);
/// ANALYZE, since PostgreSQL 13.
pub const PG_STAT_PROGRESS_ANALYZE: View = operation!(
    "analyze",
    "pg_stat_progress_analyze",
    "CASE WHEN a.backend_type = 'autovacuum worker' THEN 'automatic' ELSE 'manual' END",
    "p.phase",
    "p.sample_blks_scanned",
    "p.sample_blks_total"
);
/// CREATE INDEX and REINDEX.
pub const PG_STAT_PROGRESS_CREATE_INDEX: View = operation!(
    "create_index",
    "pg_stat_progress_create_index",
    "p.command",
    "p.phase",
    "p.blocks_done",
    "p.blocks_total"
);
/// CLUSTER and VACUUM FULL.
pub const PG_STAT_PROGRESS_CLUSTER: View = operation!(
    "cluster",
    "pg_stat_progress_cluster",
    "p.command",
    "p.phase",
    "p.heap_blks_scanned",
    "p.heap_blks_total"
);
/// COPY, since PostgreSQL 14.
pub const PG_STAT_PROGRESS_COPY: View =
    operation!("copy", "pg_stat_progress_copy", "p.command", "p.type", "p.bytes_processed", "nullif(p.bytes_total, 0)");
/// Base backups, since PostgreSQL 13.
pub const PG_STAT_PROGRESS_BASEBACKUP: View = progress(
    "pg_stat_progress_basebackup",
    &[("operation", "'base_backup'"), ("session_id", "p.pid"), ("phase", "p.phase")],
    "(SELECT p.pid, p.phase, p.backup_streamed AS done, p.backup_total AS total,
      extract(epoch FROM clock_timestamp() - a.backend_start) AS seconds
      FROM pg_stat_progress_basebackup AS p LEFT JOIN pg_stat_activity AS a ON a.pid = p.pid) AS p",
);
