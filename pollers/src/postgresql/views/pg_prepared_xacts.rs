//! Transactions that wait for the second phase of their commit.

use crate::postgresql::mapping;
use crate::view::{VIEW, View};

/// All of the server.
pub const PG_PREPARED_XACTS: View =
    View { name: "pg_prepared_xacts", from: "pg_prepared_xacts AS v", series: mapping::PG_PREPARED_XACTS, ..VIEW };
