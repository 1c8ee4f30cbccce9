//! Slots: what the server keeps for those who replicate from it, and the logical decoding of them.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Each slot.
pub const PG_REPLICATION_SLOTS: View = View {
    name: "pg_replication_slots",
    object_type: "slot",
    identity: &[
        ("slot", "v.slot_name"),
        ("slot_type", "v.slot_type"),
        ("plugin", "coalesce(v.plugin, '')"),
        ("database", "coalesce(v.database, '')"),
    ],
    from: "pg_replication_slots AS v,
        (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) AS p",
    series: mapping::PG_REPLICATION_SLOTS,
    ..VIEW
};

/// Each logical slot.
pub const PG_STAT_REPLICATION_SLOTS: View = View {
    name: "pg_stat_replication_slots",
    object_type: "slot",
    identity: &[("slot", "v.slot_name")],
    from: "pg_stat_replication_slots AS v",
    reset: "v.stats_reset",
    series: mapping::PG_STAT_REPLICATION_SLOTS,
    ..VIEW
};
