use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::metric::{Kind, Number, Series};
use crate::postgresql::views;

/// What the receiver can emit: name, unit, kind and number as its metadata say. The five of `pgvector` come from texts of
/// statements, and are not here.
const OF_RECEIVER: [(&str, &str, Kind, Number); 38] = [
    ("postgresql.backends", "1", Kind::Sum, Number::Integer),
    ("postgresql.bgwriter.buffers.allocated", "{buffers}", Kind::Counter, Number::Integer),
    ("postgresql.bgwriter.buffers.writes", "{buffers}", Kind::Counter, Number::Integer),
    ("postgresql.bgwriter.checkpoint.count", "{checkpoints}", Kind::Counter, Number::Integer),
    ("postgresql.bgwriter.duration", "ms", Kind::Counter, Number::Double),
    ("postgresql.bgwriter.maxwritten", "1", Kind::Counter, Number::Integer),
    ("postgresql.blks_hit", "{blks_hit}", Kind::Counter, Number::Integer),
    ("postgresql.blks_read", "{blks_read}", Kind::Counter, Number::Integer),
    ("postgresql.blocks_read", "1", Kind::Counter, Number::Integer),
    ("postgresql.commits", "1", Kind::Counter, Number::Integer),
    ("postgresql.connection.max", "{connections}", Kind::Gauge, Number::Integer),
    ("postgresql.database.count", "{databases}", Kind::Sum, Number::Integer),
    ("postgresql.database.locks", "{lock}", Kind::Gauge, Number::Integer),
    ("postgresql.db_size", "By", Kind::Sum, Number::Integer),
    ("postgresql.deadlocks", "{deadlock}", Kind::Counter, Number::Integer),
    ("postgresql.function.calls", "{call}", Kind::Counter, Number::Integer),
    ("postgresql.index.scans", "{scans}", Kind::Counter, Number::Integer),
    ("postgresql.index.size", "By", Kind::Gauge, Number::Integer),
    ("postgresql.operations", "1", Kind::Counter, Number::Integer),
    ("postgresql.query.conflicts", "{query}", Kind::Counter, Number::Integer),
    ("postgresql.query.execution.time", "s", Kind::Counter, Number::Double),
    ("postgresql.replication.data_delay", "By", Kind::Gauge, Number::Integer),
    ("postgresql.rollbacks", "1", Kind::Counter, Number::Integer),
    ("postgresql.rows", "1", Kind::Sum, Number::Integer),
    ("postgresql.sequential_scans", "{sequential_scan}", Kind::Counter, Number::Integer),
    ("postgresql.table.count", "{table}", Kind::Sum, Number::Integer),
    ("postgresql.table.size", "By", Kind::Sum, Number::Integer),
    ("postgresql.table.vacuum.count", "{vacuum}", Kind::Counter, Number::Integer),
    ("postgresql.temp.io", "By", Kind::Counter, Number::Integer),
    ("postgresql.temp_files", "{temp_file}", Kind::Counter, Number::Integer),
    ("postgresql.tup_deleted", "{tup_deleted}", Kind::Counter, Number::Integer),
    ("postgresql.tup_fetched", "{tup_fetched}", Kind::Counter, Number::Integer),
    ("postgresql.tup_inserted", "{tup_inserted}", Kind::Counter, Number::Integer),
    ("postgresql.tup_returned", "{tup_returned}", Kind::Counter, Number::Integer),
    ("postgresql.tup_updated", "{tup_updated}", Kind::Counter, Number::Integer),
    ("postgresql.wal.age", "s", Kind::Gauge, Number::Integer),
    ("postgresql.wal.delay", "s", Kind::Gauge, Number::Double),
    ("postgresql.wal.lag", "s", Kind::Gauge, Number::Integer),
];

fn all() -> impl Iterator<Item = &'static Series> {
    let of_views = views::all().into_iter().flat_map(|view| view.series.iter());
    of_views.chain(&STATEMENTS).chain(std::iter::once(&STATEMENTS_BY_DATABASE))
}

#[test]
fn the_table_holds_what_the_receiver_emits() {
    let ours: BTreeMap<_, _> = all().map(|series| (series.metric, (series.unit, series.kind, series.number))).collect();
    for (metric, unit, kind, number) in OF_RECEIVER {
        assert_eq!(ours.get(metric), Some(&(unit, kind, number)), "{metric}");
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

#[test]
fn views_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for view in views::all() {
        assert!(names.insert(view.name), "{}", view.name);
    }
}
