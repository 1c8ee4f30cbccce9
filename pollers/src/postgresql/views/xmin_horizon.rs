//! What keeps dead rows from being removed: the oldest transaction that somebody may still want to see, by who it is.

use crate::postgresql::mapping;
use crate::view::{Source, VIEW, View};

/// The oldest of each kind; a kind that holds nothing is not there.
pub const XMIN_HORIZON: View = View {
    name: "xmin_horizon",
    source: Source::Any,
    object_type: "xmin",
    identity: &[("holder", "h.holder")],
    from: "(SELECT CASE WHEN backend_type = 'walsender' THEN 'standby' ELSE 'session' END AS holder, max(age(backend_xmin)) AS age
            FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() GROUP BY 1
            UNION ALL SELECT 'prepared_transaction', max(age(transaction)) FROM pg_prepared_xacts
            UNION ALL SELECT 'slot', max(age(xmin)) FROM pg_replication_slots
            UNION ALL SELECT 'slot_catalog', max(age(catalog_xmin)) FROM pg_replication_slots) AS h",
    rest: "WHERE h.age IS NOT NULL",
    series: mapping::XMIN_HORIZON,
    ..VIEW
};
