//! Settings that are not as the server comes. Texts among them may hold secrets: of those only the name is read.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// Each setting that somebody changed for the server, its value where it is a number, a switch or one of a list.
pub const PG_SETTINGS: View = View {
    name: "pg_settings",
    object_type: "setting",
    identity: &[
        ("setting", "v.name"),
        ("value", "CASE WHEN v.vartype = 'string' THEN '' ELSE v.setting END"),
        ("unit", "coalesce(v.unit, '')"),
        ("source", "v.source"),
        ("pending_restart", "v.pending_restart"),
    ],
    from: "pg_settings AS v",
    rest: "WHERE (v.source NOT IN ('default', 'override', 'client', 'session') OR v.pending_restart) ORDER BY v.name",
    series: mapping::PG_SETTINGS,
    ..VIEW
};
