//! What the server waited for, its files, its memory and its errors, by kind.

use crate::mysql::mapping;
use crate::view::{VIEW, View};

/// Waits that are instrumented, the longest first.
pub const WAITS: View = View {
    name: "events_waits_summary_global_by_event_name",
    object_type: "wait",
    identity: &[("event", "v.event_name")],
    from: "performance_schema.events_waits_summary_global_by_event_name AS v",
    rest: "WHERE v.count_star > 0 AND v.event_name <> 'idle' ORDER BY v.sum_timer_wait DESC",
    max: 300,
    series: mapping::WAITS,
    ..VIEW
};

/// Files that were used.
pub const FILES: View = View {
    name: "file_summary_by_event_name",
    object_type: "file",
    identity: &[("event", "v.event_name")],
    from: "performance_schema.file_summary_by_event_name AS v",
    rest: "WHERE v.count_star > 0 ORDER BY v.sum_timer_wait DESC",
    max: 100,
    series: mapping::FILES,
    ..VIEW
};

/// Memory that is counted and in use.
pub const MEMORY: View = View {
    name: "memory_summary_global_by_event_name",
    object_type: "memory",
    identity: &[("event", "v.event_name")],
    from: "performance_schema.memory_summary_global_by_event_name AS v",
    rest: "WHERE v.current_number_of_bytes_used > 0 ORDER BY v.current_number_of_bytes_used DESC",
    max: 200,
    series: mapping::MEMORY,
    ..VIEW
};

/// Errors that were raised.
pub const ERRORS: View = View {
    name: "events_errors_summary_global_by_error",
    object_type: "error",
    identity: &[("error", "v.error_name"), ("number", "v.error_number")],
    from: "performance_schema.events_errors_summary_global_by_error AS v",
    rest: "WHERE v.sum_error_raised > 0 AND v.error_number IS NOT NULL ORDER BY v.sum_error_raised DESC",
    max: 200,
    series: mapping::ERRORS,
    ..VIEW
};
