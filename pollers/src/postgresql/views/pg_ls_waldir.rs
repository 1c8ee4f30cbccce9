//! The write-ahead log: what of it is on disk.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// Files of the server.
pub const PG_LS_WALDIR: View = View {
    name: "pg_ls_waldir",
    source: Source::Function("pg_ls_waldir()"),
    from: "pg_ls_waldir() AS v",
    series: mapping::PG_LS_WALDIR,
    ..VIEW
};
