//! The process of a standby that receives the log.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// At most one.
pub const PG_STAT_WAL_RECEIVER: View = View {
    name: "pg_stat_wal_receiver",
    only_on_standby: true,
    object_type: "wal_receiver",
    identity: &[("slot", "coalesce(v.slot_name, '')"), ("source", "coalesce(v.sender_host, '')")],
    from: "pg_stat_wal_receiver AS v",
    rest: "WHERE v.pid IS NOT NULL",
    series: mapping::PG_STAT_WAL_RECEIVER,
    ..VIEW
};
