//! Sequences of one database, and how much of them is used.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Most sequences of a database that are read.
pub const SEQUENCES_MAX: usize = 2_000;

/// The last value is null for a sequence that was not used, or that we may not read.
pub const PG_SEQUENCES: View = View {
    name: "pg_sequences",
    object_type: "sequence",
    identity: &[("database", "current_database()"), ("schema", "v.schemaname"), ("sequence", "v.sequencename")],
    from: "pg_sequences AS v",
    rest: "ORDER BY v.schemaname, v.sequencename",
    series: mapping::PG_SEQUENCES,
    ..VIEW
};
