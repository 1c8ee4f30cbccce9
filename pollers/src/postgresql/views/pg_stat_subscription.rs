//! Subscriptions: their workers, and what went wrong with them.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Each subscription, with all of its workers.
pub const PG_STAT_SUBSCRIPTION: View = View {
    name: "pg_stat_subscription",
    object_type: "subscription",
    identity: &[("subscription", "v.subname")],
    from: "pg_stat_subscription AS v",
    rest: "GROUP BY v.subname",
    series: mapping::PG_STAT_SUBSCRIPTION,
    ..VIEW
};

/// Each subscription.
pub const PG_STAT_SUBSCRIPTION_STATS: View = View {
    name: "pg_stat_subscription_stats",
    object_type: "subscription",
    identity: &[("subscription", "v.subname")],
    from: "pg_stat_subscription_stats AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_SUBSCRIPTION_STATS,
    ..VIEW
};
