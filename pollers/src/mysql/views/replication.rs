//! Replication by a group, and the workers of a replica.

use crate::mysql::mapping;
use crate::view::{VIEW, View};

/// Members of the group that the server belongs to.
pub const GROUP_MEMBERS: View = View {
    name: "replication_group_members",
    object_type: "group_member",
    identity: &[
        ("member", "v.member_id"),
        ("host", "v.member_host"),
        ("state", "v.member_state"),
        ("role", "v.member_role"),
    ],
    from: "performance_schema.replication_group_members AS v",
    rest: "WHERE v.member_id <> ''",
    max: 100,
    series: mapping::GROUP_MEMBERS,
    ..VIEW
};

/// What each member has to do.
pub const GROUP_STATS: View = View {
    name: "replication_group_member_stats",
    object_type: "group_member",
    identity: &[("member", "v.member_id")],
    from: "performance_schema.replication_group_member_stats AS v",
    max: 100,
    series: mapping::GROUP_STATS,
    ..VIEW
};

/// Workers that apply what was received.
pub const APPLIERS: View = View {
    name: "replication_applier_status_by_worker",
    object_type: "replication_worker",
    identity: &[("channel", "v.channel_name"), ("worker", "v.worker_id")],
    from: "performance_schema.replication_applier_status_by_worker AS v",
    max: 500,
    series: mapping::APPLIERS,
    ..VIEW
};
