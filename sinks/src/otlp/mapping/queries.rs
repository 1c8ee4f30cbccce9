//! `enriched.queries`: the interval's deltas as one log record, and our own running totals as cumulative sums.
//!
//! A running total never falls, survives restarts and resets of the server, and is sent again with the next row: a point
//! that arrives twice or not at all changes nothing. Its start is not known to the record, so that the points carry none.
//! A total that is still 0 is not sent, except calls, rows and time.

use dbintel_schemas::records::EnrichedQuery;

use super::super::request::{Item, Kind};
use super::attributes::Attributes;
use super::resource::Server;
use super::{Mapped, Mapper, Number, data_point, hex, log_record, point, seconds};
use crate::delivery::Ticket;

/// Name of the log record.
const EVENT: &str = "db.server.top_query";

/// What a counter is called.
struct Name {
    /// Field of `QueryCounters`.
    counter: &'static str,
    /// Attribute of the event for PostgreSQL.
    postgresql: &'static str,
    /// Attribute of the event for MySQL and MariaDB.
    mysql: &'static str,
    /// Metric of the running total; empty when there is none.
    metric: &'static str,
    /// Unit of the metric. `s`: the counter is in ns, attribute and metric in seconds.
    unit: &'static str,
    description: &'static str,
}

const fn name(
    counter: &'static str,
    postgresql: &'static str,
    mysql: &'static str,
    metric: &'static str,
    unit: &'static str,
    description: &'static str,
) -> Name {
    Name { counter, postgresql, mysql, metric, unit, description }
}

/// The versioned table of names, in the order of the fields of `QueryCounters`; see [`super::MAPPING_VERSION`].
#[rustfmt::skip]
const NAMES: [Name; 43] = [
    name("calls", "postgresql.calls", "mysql.events_statements_summary_by_digest.count_star", "dbintel.query.calls", "{call}", "Executions of the statement."),
    name("rows", "postgresql.rows", "mysql.events_statements_summary_by_digest.returned_rows", "dbintel.query.rows", "{row}", "Rows that the statement returned or affected."),
    name("total_exec_time_ns", "postgresql.total_exec_time", "mysql.events_statements_summary_by_digest.sum_timer_wait", "dbintel.query.time", "s", "Time spent executing the statement."),
    name("plans", "dbintel.plans", "dbintel.plans", "", "", ""),
    name("total_plan_time_ns", "postgresql.total_plan_time", "dbintel.total_plan_time", "dbintel.query.plan_time", "s", "Time spent planning the statement."),
    name("shared_blks_hit", "postgresql.shared_blks_hit", "dbintel.shared_blks_hit", "dbintel.query.shared_blocks.hit", "{block}", "Shared blocks found in the cache."),
    name("shared_blks_read", "postgresql.shared_blks_read", "dbintel.shared_blks_read", "dbintel.query.shared_blocks.read", "{block}", "Shared blocks read."),
    name("shared_blks_dirtied", "postgresql.shared_blks_dirtied", "dbintel.shared_blks_dirtied", "dbintel.query.shared_blocks.dirtied", "{block}", "Shared blocks dirtied."),
    name("shared_blks_written", "postgresql.shared_blks_written", "dbintel.shared_blks_written", "dbintel.query.shared_blocks.written", "{block}", "Shared blocks written."),
    name("local_blks_hit", "dbintel.local_blks_hit", "dbintel.local_blks_hit", "", "", ""),
    name("local_blks_read", "dbintel.local_blks_read", "dbintel.local_blks_read", "", "", ""),
    name("local_blks_dirtied", "dbintel.local_blks_dirtied", "dbintel.local_blks_dirtied", "", "", ""),
    name("local_blks_written", "dbintel.local_blks_written", "dbintel.local_blks_written", "", "", ""),
    name("temp_blks_read", "postgresql.temp_blks_read", "dbintel.temp_blks_read", "dbintel.query.temp_blocks.read", "{block}", "Temporary blocks read."),
    name("temp_blks_written", "postgresql.temp_blks_written", "dbintel.temp_blks_written", "dbintel.query.temp_blocks.written", "{block}", "Temporary blocks written."),
    name("blk_read_time_ns", "dbintel.blk_read_time", "dbintel.blk_read_time", "dbintel.query.block_time.read", "s", "Time reading blocks."),
    name("blk_write_time_ns", "dbintel.blk_write_time", "dbintel.blk_write_time", "dbintel.query.block_time.write", "s", "Time writing blocks."),
    name("local_blk_read_time_ns", "dbintel.local_blk_read_time", "dbintel.local_blk_read_time", "", "s", ""),
    name("local_blk_write_time_ns", "dbintel.local_blk_write_time", "dbintel.local_blk_write_time", "", "s", ""),
    name("temp_blk_read_time_ns", "dbintel.temp_blk_read_time", "dbintel.temp_blk_read_time", "", "s", ""),
    name("temp_blk_write_time_ns", "dbintel.temp_blk_write_time", "dbintel.temp_blk_write_time", "", "s", ""),
    name("wal_records", "dbintel.wal_records", "dbintel.wal_records", "", "", ""),
    name("wal_fpi", "dbintel.wal_fpi", "dbintel.wal_fpi", "", "", ""),
    name("wal_bytes", "dbintel.wal_bytes", "dbintel.wal_bytes", "dbintel.query.wal", "By", "Write-ahead log that the statement wrote."),
    name("jit_time_ns", "dbintel.jit_time", "dbintel.jit_time", "", "s", ""),
    name("cpu_time_ns", "dbintel.cpu_time", "dbintel.cpu_time", "dbintel.query.cpu_time", "s", "CPU time of the statement."),
    name("errors", "dbintel.errors", "dbintel.errors", "dbintel.query.errors", "{error}", "Executions that failed."),
    name("rows_examined", "dbintel.rows_examined", "mysql.events_statements_summary_by_digest.examined_rows", "", "", ""),
    name("jit_functions", "dbintel.jit_functions", "dbintel.jit_functions", "", "", ""),
    name("wal_buffers_full", "dbintel.wal_buffers_full", "dbintel.wal_buffers_full", "", "", ""),
    name("parallel_workers_to_launch", "dbintel.parallel_workers_to_launch", "dbintel.parallel_workers_to_launch", "", "", ""),
    name("parallel_workers_launched", "dbintel.parallel_workers_launched", "dbintel.parallel_workers_launched", "", "", ""),
    name("rows_affected", "dbintel.rows_affected", "dbintel.rows_affected", "", "", ""),
    name("warnings", "dbintel.warnings", "dbintel.warnings", "dbintel.query.warnings", "{warning}", "Warnings of the statement."),
    name("lock_time_ns", "dbintel.lock_time", "dbintel.lock_time", "dbintel.query.lock_time", "s", "Time that the statement waited for locks of tables."),
    name("no_index_used", "dbintel.no_index_used", "dbintel.no_index_used", "dbintel.query.no_index_used", "{call}", "Executions that scanned a table without an index."),
    name("no_good_index_used", "dbintel.no_good_index_used", "dbintel.no_good_index_used", "", "", ""),
    name("select_scan", "dbintel.select_scan", "dbintel.select_scan", "", "", ""),
    name("select_full_join", "dbintel.select_full_join", "dbintel.select_full_join", "", "", ""),
    name("tmp_tables", "dbintel.tmp_tables", "dbintel.tmp_tables", "", "", ""),
    name("tmp_disk_tables", "dbintel.tmp_disk_tables", "dbintel.tmp_disk_tables", "dbintel.query.temp_disk_tables", "{table}", "Temporary tables that the statement made on disk."),
    name("sort_rows", "dbintel.sort_rows", "dbintel.sort_rows", "", "", ""),
    name("sort_merge_passes", "dbintel.sort_merge_passes", "dbintel.sort_merge_passes", "", "", ""),
];

/// Counters whose total is sent while it is 0.
const SENT_AT_ZERO: [&str; 3] = ["calls", "rows", "total_exec_time_ns"];

impl Mapper {
    pub(super) fn query(&mut self, row: &EnrichedQuery<'_>, text: Option<&str>, ticket: Ticket, out: &mut Mapped) {
        let server = Server { target: row.target, engine: row.engine, version: row.engine_version, labels: row.labels };
        let resource = self.resource(|out| server.write(out));
        let record = top_query(row, text);
        out.logs.push(Item {
            ticket,
            resource: resource.clone(),
            metric: None,
            bytes: record.into(),
            at: row.observed_at,
        });
        let attributes = statement_attributes(row);
        for (index, name) in NAMES.iter().enumerate().filter(|(_, name)| !name.metric.is_empty()) {
            let Some(total) = row.total.get(index) else { continue };
            if total == 0 && !SENT_AT_ZERO.contains(&name.counter) {
                continue;
            }
            let value = if name.unit == "s" { Number::Double(seconds(total)) } else { Number::Int(total) };
            let metric = self.metric(name.metric, name.unit, name.description, Kind::Counter);
            let bytes = point(value, None, row.observed_at, &attributes);
            out.metrics.push(Item {
                ticket,
                resource: resource.clone(),
                metric: Some(metric),
                bytes,
                at: row.observed_at,
            });
        }
    }
}

/// Encodes the `LogRecord`. When the deltas are not valid it tells why, and no values.
fn top_query(row: &EnrichedQuery<'_>, text: Option<&str>) -> Vec<u8> {
    let mut record = log_record(EVENT, row.observed_at);
    let mut attributes = Attributes::new(log_record::ATTRIBUTES, &mut record);
    attributes.text("db.system.name", row.engine);
    attributes.text("db.namespace", row.database);
    attributes.text("db.query.text", text);
    identify(row, &mut attributes);
    attributes.text("dbintel.record_id", hex(&row.record_id).as_str());
    attributes.text("dbintel.pipeline", row.pipeline);
    attributes.text("dbintel.role", row.role);
    attributes.statement(row.verb, row.tables, row.fingerprint);
    attributes.boolean("dbintel.delta_valid", row.delta_valid);
    attributes.text("dbintel.delta_reason", row.delta_reason);
    attributes.sampling(row.sampling_rule, row.sampling_probability, row.sampling_weight);
    if row.delta_valid {
        values(row, &mut attributes);
    }
    attributes.map(row.attributes);
    record
}

fn values(row: &EnrichedQuery<'_>, attributes: &mut Attributes<'_>) {
    attributes.double("dbintel.interval", row.interval_ns.map(seconds));
    for (index, name) in NAMES.iter().enumerate() {
        let attribute = if row.engine == "postgresql" { name.postgresql } else { name.mysql };
        match row.delta.get(index) {
            Some(value) if name.unit == "s" => attributes.double(attribute, seconds(value)),
            value => attributes.int(attribute, value),
        }
    }
    attributes.double("dbintel.mean_exec_time", row.mean_exec_time_ns.map(seconds));
    attributes.double("dbintel.cumulative_mean_exec_time", row.cumulative_mean_exec_time_ns.map(seconds));
    attributes.double("dbintel.min_exec_time", row.min_exec_time_ns.map(seconds));
    attributes.double("dbintel.max_exec_time", row.max_exec_time_ns.map(seconds));
}

/// Which statement it is, as the contrib receivers say it.
fn identify(row: &EnrichedQuery<'_>, attributes: &mut Attributes<'_>) {
    if row.engine == "postgresql" {
        attributes.text("postgresql.queryid", row.query_id);
        attributes.text("postgresql.rolname", row.user);
    } else {
        attributes.text("mysql.events_statements_summary_by_digest.digest", row.query_id);
        attributes.text("user.name", row.user);
    }
    attributes.boolean("dbintel.toplevel", row.toplevel);
}

/// Attributes of the points of a statement: its identity, never its text. Names of database and user may be missing;
/// their identifiers are always there.
fn statement_attributes(row: &EnrichedQuery<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut attributes = Attributes::new(data_point::ATTRIBUTES, &mut out);
    attributes.text("db.namespace", row.database.or(Some(row.database_id)));
    identify(row, &mut attributes);
    if row.user.is_none() && !row.user_id.is_empty() {
        attributes.text("postgresql.userid", row.user_id);
    }
    out
}

#[cfg(test)]
mod tests {
    use dbintel_schemas::records::QueryCounters;

    use super::*;

    #[test]
    fn each_counter_has_one_name() {
        let named: Vec<&str> = NAMES.iter().map(|name| name.counter).collect();
        assert_eq!(named, QueryCounters::FIELDS, "a counter is missing in the table, or the order differs");
        for name in &NAMES {
            assert_eq!(name.counter.ends_with("_ns"), name.unit == "s", "{}", name.counter);
        }
    }
}
