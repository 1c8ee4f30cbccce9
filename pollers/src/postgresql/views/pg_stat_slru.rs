//! Caches of simple pages: transaction states, multixacts, notifications.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Counters of each cache.
pub const PG_STAT_SLRU: View = View {
    name: "pg_stat_slru",
    object_type: "slru",
    identity: &[("slru", "v.name")],
    from: "pg_stat_slru AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_SLRU,
    ..VIEW
};
