//! Extensions that are created in a database.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Each extension, with its version and the one that is installed.
pub const PG_EXTENSION: View = View {
    name: "pg_extension",
    object_type: "extension",
    identity: &[
        ("database", "current_database()"),
        ("extension", "v.extname"),
        ("version", "v.extversion"),
        ("version_available", "coalesce(a.default_version, '')"),
    ],
    from: "pg_extension AS v LEFT JOIN pg_available_extensions AS a ON a.name = v.extname",
    rest: "ORDER BY v.extname",
    max: 1_000,
    series: mapping::PG_EXTENSION,
    ..VIEW
};
