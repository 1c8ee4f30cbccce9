//! Locks: over the server by kind, and in each database by what is locked.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// Locks of the server, ours left out.
pub const PG_LOCKS: View = View {
    name: "pg_locks",
    object_type: "locks",
    identity: &[("lock_type", "v.locktype"), ("mode", "v.mode"), ("granted", "v.granted")],
    from: "pg_locks AS v",
    rest: "WHERE v.pid IS DISTINCT FROM pg_backend_pid() GROUP BY v.locktype, v.mode, v.granted",
    series: mapping::PG_LOCKS,
    ..VIEW
};

/// Locks of the connected database by relation; those of no relation have an empty one.
pub const DATABASE_LOCKS: View = View {
    name: "pg_locks.relations",
    source: Source::Any,
    object_type: "locks",
    identity: &[
        ("database", "current_database()"),
        ("relation", "l.relation"),
        ("mode", "l.mode"),
        ("lock_type", "l.locktype"),
    ],
    from: "(SELECT coalesce(c.relname, '') AS relation, l.mode, l.locktype, count(*) AS locks
            FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
            LEFT JOIN pg_class AS c ON c.oid = l.relation
            WHERE l.pid IS DISTINCT FROM pg_backend_pid() GROUP BY 1, 2, 3) AS l",
    rest: "ORDER BY l.locks DESC, 2, 3, 4",
    max: 1_000,
    series: mapping::DATABASE_LOCKS,
    ..VIEW
};
