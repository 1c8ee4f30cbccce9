//! Input and output, by kind of process, object and purpose.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of each combination that the server uses.
pub const PG_STAT_IO: View = View {
    name: "pg_stat_io",
    object_type: "io",
    identity: &[("backend_type", "v.backend_type"), ("object", "v.object"), ("context", "v.context")],
    from: "pg_stat_io AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_IO,
    ..VIEW
};
