use std::collections::BTreeMap;

use super::*;
use crate::metric::{Kind, Number, Series};
use crate::mysql::views;

/// What the receiver can emit: name, unit, kind and number as its metadata say. Its two of single statements,
/// `mysql.statement_event.count` and `.wait.time`, are records of statements here.
const OF_RECEIVER: &[(&str, &str, Kind, Number)] = &[
    ("mysql.buffer_pool.data_pages", "1", Kind::Sum, Number::Integer),
    ("mysql.buffer_pool.limit", "By", Kind::Sum, Number::Integer),
    ("mysql.buffer_pool.operations", "1", Kind::Counter, Number::Integer),
    ("mysql.buffer_pool.page_flushes", "1", Kind::Counter, Number::Integer),
    ("mysql.buffer_pool.pages", "1", Kind::Sum, Number::Integer),
    ("mysql.buffer_pool.usage", "By", Kind::Sum, Number::Integer),
    ("mysql.client.network.io", "By", Kind::Counter, Number::Integer),
    ("mysql.commands", "1", Kind::Counter, Number::Integer),
    ("mysql.connection.count", "1", Kind::Counter, Number::Integer),
    ("mysql.connection.errors", "1", Kind::Counter, Number::Integer),
    ("mysql.double_writes", "1", Kind::Counter, Number::Integer),
    ("mysql.file.open", "1", Kind::Gauge, Number::Integer),
    ("mysql.handlers", "1", Kind::Counter, Number::Integer),
    ("mysql.index.io.wait.count", "1", Kind::Counter, Number::Integer),
    ("mysql.index.io.wait.time", "ns", Kind::Counter, Number::Integer),
    ("mysql.innodb.data_file.io", "By", Kind::Counter, Number::Integer),
    ("mysql.innodb.history_list.length", "{transactions}", Kind::Gauge, Number::Integer),
    ("mysql.innodb.operation.pending", "1", Kind::Sum, Number::Integer),
    ("mysql.innodb.redo_log.checkpoint.age", "By", Kind::Gauge, Number::Integer),
    ("mysql.innodb.redo_log.lsn.checkpoint", "By", Kind::Gauge, Number::Integer),
    ("mysql.innodb.redo_log.lsn.current", "By", Kind::Gauge, Number::Integer),
    ("mysql.innodb.row_lock.wait.count", "{wait}", Kind::Gauge, Number::Integer),
    ("mysql.innodb.row_lock.wait.duration.avg", "s", Kind::Gauge, Number::Double),
    ("mysql.innodb.row_lock.wait.duration.max", "s", Kind::Gauge, Number::Double),
    ("mysql.innodb.transaction.active.count", "{transaction}", Kind::Gauge, Number::Integer),
    ("mysql.innodb.transaction.active.duration.max", "s", Kind::Gauge, Number::Integer),
    ("mysql.joins", "1", Kind::Counter, Number::Integer),
    ("mysql.locks", "1", Kind::Counter, Number::Integer),
    ("mysql.log_operations", "1", Kind::Counter, Number::Integer),
    ("mysql.max_used_connections", "1", Kind::Sum, Number::Integer),
    ("mysql.myisam.key_cache.block.unused", "{block}", Kind::Gauge, Number::Integer),
    ("mysql.myisam.key_cache.block.used.max", "{block}", Kind::Gauge, Number::Integer),
    ("mysql.myisam.key_cache.disk.operation", "{operation}", Kind::Counter, Number::Integer),
    ("mysql.myisam.key_cache.request", "{request}", Kind::Counter, Number::Integer),
    ("mysql.mysqlx_connections", "1", Kind::Counter, Number::Integer),
    ("mysql.mysqlx_worker_threads", "1", Kind::Sum, Number::Integer),
    ("mysql.opened_resources", "1", Kind::Counter, Number::Integer),
    ("mysql.operations", "1", Kind::Counter, Number::Integer),
    ("mysql.page_operations", "1", Kind::Counter, Number::Integer),
    ("mysql.page_size", "By", Kind::Sum, Number::Integer),
    ("mysql.prepared_statements", "1", Kind::Counter, Number::Integer),
    ("mysql.query.client.count", "1", Kind::Counter, Number::Integer),
    ("mysql.query.count", "1", Kind::Counter, Number::Integer),
    ("mysql.query.execution.time", "s", Kind::Counter, Number::Double),
    ("mysql.query.slow.count", "1", Kind::Counter, Number::Integer),
    ("mysql.replica.sql_delay", "s", Kind::Sum, Number::Integer),
    ("mysql.replica.temp_table.open", "{table}", Kind::Gauge, Number::Integer),
    ("mysql.replica.thread.running", "1", Kind::Gauge, Number::Integer),
    ("mysql.replica.time_behind_source", "s", Kind::Sum, Number::Integer),
    ("mysql.row_locks", "1", Kind::Counter, Number::Integer),
    ("mysql.row_operations", "1", Kind::Counter, Number::Integer),
    ("mysql.server.healthy", "1", Kind::Gauge, Number::Integer),
    ("mysql.session.active.count", "{session}", Kind::Gauge, Number::Integer),
    ("mysql.sorts", "1", Kind::Counter, Number::Integer),
    ("mysql.table.average_row_length", "By", Kind::Sum, Number::Integer),
    ("mysql.table.io.wait.count", "1", Kind::Counter, Number::Integer),
    ("mysql.table.io.wait.time", "ns", Kind::Counter, Number::Integer),
    ("mysql.table.lock_wait.read.count", "1", Kind::Sum, Number::Integer),
    ("mysql.table.lock_wait.read.time", "ns", Kind::Sum, Number::Integer),
    ("mysql.table.lock_wait.write.count", "1", Kind::Sum, Number::Integer),
    ("mysql.table.lock_wait.write.time", "ns", Kind::Sum, Number::Integer),
    ("mysql.table.open", "1", Kind::Gauge, Number::Integer),
    ("mysql.table.rows", "1", Kind::Sum, Number::Integer),
    ("mysql.table.size", "By", Kind::Sum, Number::Integer),
    ("mysql.table_open_cache", "1", Kind::Counter, Number::Integer),
    ("mysql.thread.slow_launch", "1", Kind::Counter, Number::Integer),
    ("mysql.threads", "1", Kind::Sum, Number::Integer),
    ("mysql.tmp_resources", "1", Kind::Counter, Number::Integer),
    ("mysql.uptime", "s", Kind::Counter, Number::Integer),
];

fn all() -> impl Iterator<Item = &'static Series> {
    let of_views = views::all().flat_map(|view| view.series.iter());
    let of_status = STATUS.iter().flat_map(|group| group.iter());
    of_views.chain(of_status).chain(VARIABLES).chain(CHANNEL).chain(BINARY_LOGS).chain([&HEALTHY])
}

#[test]
fn the_table_holds_what_the_receiver_emits() {
    let ours: BTreeMap<_, _> = all().map(|series| (series.metric, (series.unit, series.kind, series.number))).collect();
    for (metric, unit, kind, number) in OF_RECEIVER {
        assert_eq!(ours.get(metric), Some(&(*unit, *kind, *number)), "{metric}");
    }
}

#[test]
fn a_metric_has_one_unit_and_one_kind() {
    let mut known = BTreeMap::new();
    for series in all() {
        let meaning = (series.unit, series.kind, series.number);
        assert_eq!(*known.entry(series.metric).or_insert(meaning), meaning, "{series:?}");
    }
}
