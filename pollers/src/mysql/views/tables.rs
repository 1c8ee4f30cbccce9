//! Tables and indexes, those of the server itself left out.

use crate::mysql::mapping;
use crate::view::{Source, VIEW, View};

/// Reads and writes of tables, the busiest first.
pub const TABLE_IO: View = View {
    name: "table_io_waits_summary_by_table",
    object_type: "table",
    identity: &[("schema", "v.object_schema"), ("table", "v.object_name")],
    from: "performance_schema.table_io_waits_summary_by_table AS v",
    rest: "WHERE v.object_schema NOT IN ('mysql', 'performance_schema', 'sys') ORDER BY v.sum_timer_wait DESC",
    max: 2_000,
    series: mapping::TABLE_IO,
    ..VIEW
};

/// Reads and writes through indexes, the busiest first.
pub const INDEX_IO: View = View {
    name: "table_io_waits_summary_by_index_usage",
    object_type: "index",
    identity: &[("schema", "v.object_schema"), ("table", "v.object_name"), ("index", "COALESCE(v.index_name, 'NONE')")],
    from: "performance_schema.table_io_waits_summary_by_index_usage AS v",
    rest: "WHERE v.object_schema NOT IN ('mysql', 'performance_schema', 'sys') ORDER BY v.sum_timer_wait DESC",
    max: 4_000,
    series: mapping::INDEX_IO,
    ..VIEW
};

/// Waits for locks of tables, the longest first.
pub const TABLE_LOCKS: View = View {
    name: "table_lock_waits_summary_by_table",
    object_type: "table",
    identity: &[("schema", "v.object_schema"), ("table", "v.object_name")],
    from: "performance_schema.table_lock_waits_summary_by_table AS v",
    rest: "WHERE v.object_schema NOT IN ('mysql', 'performance_schema', 'sys') ORDER BY v.sum_timer_wait DESC",
    max: 2_000,
    series: mapping::TABLE_LOCKS,
    ..VIEW
};

/// Sizes, the largest first. They need a right on the table, and no more than any.
pub const TABLE_SIZE: View = View {
    name: "tables",
    object_type: "table",
    identity: &[("schema", "v.table_schema"), ("table", "v.table_name"), ("engine", "COALESCE(v.engine, '')")],
    from: "information_schema.tables AS v",
    rest: "WHERE v.table_type = 'BASE TABLE' AND v.table_schema NOT IN ('mysql', 'performance_schema', 'sys', 'information_schema')
           ORDER BY v.data_length + v.index_length DESC",
    max: 5_000,
    series: mapping::TABLE_SIZE,
    ..VIEW
};

/// Tables with numbers that the server gives, the fullest first.
pub const AUTO_INCREMENT: View = View {
    name: "columns.auto_increment",
    source: Source::Any,
    object_type: "table",
    identity: &[("schema", "a.table_schema"), ("table", "a.table_name"), ("column", "a.column_name")],
    from: "(SELECT c.table_schema, c.table_name, c.column_name, t.auto_increment,
                POW(2, CASE c.data_type WHEN 'tinyint' THEN 8 WHEN 'smallint' THEN 16 WHEN 'mediumint' THEN 24
                    WHEN 'int' THEN 32 ELSE 64 END - IF(c.column_type LIKE '%unsigned%', 0, 1)) - 1 AS max_int
            FROM information_schema.columns AS c
            JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
            WHERE c.extra = 'auto_increment' AND t.auto_increment IS NOT NULL
                AND c.table_schema NOT IN ('mysql', 'performance_schema', 'sys')) AS a",
    rest: "ORDER BY auto_increment / max_int DESC",
    max: 2_000,
    series: mapping::AUTO_INCREMENT,
    ..VIEW
};
