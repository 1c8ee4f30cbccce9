//! Reading ahead while the log is replayed.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_RECOVERY_PREFETCH: View = View {
    name: "pg_stat_recovery_prefetch",
    from: "pg_stat_recovery_prefetch AS v",
    rest: "WHERE pg_is_in_recovery()",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_RECOVERY_PREFETCH,
    ..VIEW
};
