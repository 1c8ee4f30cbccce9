//! The last checkpoint, from the control file.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// Facts of the server.
pub const PG_CONTROL_CHECKPOINT: View = View {
    name: "pg_control_checkpoint",
    source: Source::Function("pg_control_checkpoint()"),
    from: "pg_control_checkpoint() AS v",
    series: mapping::PG_CONTROL_CHECKPOINT,
    ..VIEW
};
