//! Processes: how many each database has, of any kind and state, and what those that serve clients do.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

use super::pg_database::chosen;

/// Processes of each database that is read, ours too.
pub const BACKENDS: View = View {
    name: "pg_stat_activity",
    object_type: "database",
    identity: &[("database", "d.datname")],
    from: "pg_database AS d LEFT JOIN pg_stat_activity AS v ON v.datid = d.oid",
    rest: concat!("WHERE ", chosen!(), " GROUP BY d.datname"),
    series: mapping::PG_STAT_ACTIVITY,
    ..VIEW
};

/// Sessions of clients by database and state.
pub const SESSIONS: View = View {
    name: "pg_stat_activity.sessions",
    source: Source::Any,
    object_type: "sessions",
    identity: &[("database", "d.datname"), ("state", "coalesce(v.state, 'unknown')")],
    from: "pg_database AS d JOIN pg_stat_activity AS v ON v.datid = d.oid",
    rest: concat!("WHERE v.backend_type = 'client backend' AND ", chosen!(), " GROUP BY d.datname, v.state"),
    series: mapping::SESSIONS,
    ..VIEW
};
