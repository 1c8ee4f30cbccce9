//! Reading ahead while the log is replayed.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of the server.
pub const PG_STAT_RECOVERY_PREFETCH: View = View {
    name: "pg_stat_recovery_prefetch",
    only_on_standby: true,
    from: "pg_stat_recovery_prefetch AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_RECOVERY_PREFETCH,
    ..VIEW
};
