//! Who is connected, and what statements took together.

use crate::mysql::mapping;
use crate::view::{Source, VIEW, View};

/// Sessions that do something.
pub const SESSIONS: View = View {
    name: "threads",
    source: Source::MadeOf("threads"),
    from: "performance_schema.threads",
    rest:
        "WHERE type = 'FOREGROUND' AND processlist_command NOT IN ('Sleep', 'Daemon') AND processlist_info IS NOT NULL
           AND processlist_id <> CONNECTION_ID()",
    series: mapping::SESSIONS,
    ..VIEW
};

/// Time of all statements. The table of digests would tell as much for twenty times the time.
pub const STATEMENTS: View = View {
    name: "events_statements_summary_global_by_event_name",
    source: Source::MadeOf("events_statements_summary_global_by_event_name"),
    from: "performance_schema.events_statements_summary_global_by_event_name",
    rest: "WHERE event_name LIKE 'statement/sql/%'",
    series: mapping::STATEMENTS,
    ..VIEW
};

/// Users, those of the server itself left out.
pub const USERS: View = View {
    name: "users",
    object_type: "user",
    identity: &[("user", "v.user")],
    from: "performance_schema.users AS v",
    rest: "WHERE v.user IS NOT NULL ORDER BY v.total_connections DESC",
    max: 500,
    series: mapping::USERS,
    ..VIEW
};

/// Hosts of clients.
pub const HOSTS: View = View {
    name: "hosts",
    object_type: "host",
    identity: &[("host", "v.host")],
    from: "performance_schema.hosts AS v",
    rest: "WHERE v.host IS NOT NULL ORDER BY v.total_connections DESC",
    max: 500,
    series: mapping::HOSTS,
    ..VIEW
};

/// What each user did, of MariaDB with `userstat=1`.
pub const USER_STATISTICS: View = View {
    name: "user_statistics",
    object_type: "user",
    identity: &[("user", "v.user")],
    from: "information_schema.user_statistics AS v",
    rest: "ORDER BY v.total_connections DESC",
    max: 500,
    series: mapping::USER_STATISTICS,
    ..VIEW
};
