//! Which columns the extension has, and what we read from them.

use std::collections::BTreeSet;

use dbintel_schemas::records::QueryCounters;

use crate::failure::Failure;
use crate::poll::Capability;
use crate::postgresql::pg_stat_kcache::CpuTimes;
use crate::postgresql::server::quoted;
use crate::postgresql::transaction::Transaction;
use crate::postgresql::value::Columns;

/// The extension as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Schema that it was created in, quoted.
    pub schema: String,
    /// Its version; not that of the server.
    pub version: String,
    /// `pg_stat_statements.max`.
    pub entries_max: Option<i64>,
    /// There is `pg_stat_statements_info`.
    pub has_info: bool,
    /// What is read from it.
    pub layout: Layout,
    /// Where the CPU times come from; none without `pg_stat_kcache`.
    pub cpu_times: Option<Result<CpuTimes, Capability>>,
}

/// What is read: the list after SELECT, and what each column of it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Identity: userid, dbid, queryid, toplevel and stats_since, then [`Layout::columns`].
    pub select: String,
    /// What follows the identity, in order.
    pub columns: Vec<Column>,
    /// There is a column `toplevel`.
    pub has_toplevel: bool,
}

/// Meaning of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Where its value goes.
    pub field: Field,
    /// The server gives ms with a fraction instead of whole numbers.
    pub milliseconds: bool,
}

/// Where a value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Shortest execution.
    MinExecTime,
    /// Longest execution.
    MaxExecTime,
    /// A counter, by its place in [`QueryCounters`].
    Counter(usize),
}

/// Number of columns before [`Layout::columns`].
pub const IDENTITY_COLUMNS: usize = 5;

/// Counters and the names that their column has had, the newest first. Times are in ms.
const COUNTERS: [(&str, &[&str]); 28] = [
    ("calls", &["calls"]),
    ("rows", &["rows"]),
    ("total_exec_time_ns", &["total_exec_time", "total_time"]),
    ("plans", &["plans"]),
    ("total_plan_time_ns", &["total_plan_time"]),
    ("shared_blks_hit", &["shared_blks_hit"]),
    ("shared_blks_read", &["shared_blks_read"]),
    ("shared_blks_dirtied", &["shared_blks_dirtied"]),
    ("shared_blks_written", &["shared_blks_written"]),
    ("local_blks_hit", &["local_blks_hit"]),
    ("local_blks_read", &["local_blks_read"]),
    ("local_blks_dirtied", &["local_blks_dirtied"]),
    ("local_blks_written", &["local_blks_written"]),
    ("temp_blks_read", &["temp_blks_read"]),
    ("temp_blks_written", &["temp_blks_written"]),
    ("blk_read_time_ns", &["shared_blk_read_time", "blk_read_time"]),
    ("blk_write_time_ns", &["shared_blk_write_time", "blk_write_time"]),
    ("local_blk_read_time_ns", &["local_blk_read_time"]),
    ("local_blk_write_time_ns", &["local_blk_write_time"]),
    ("temp_blk_read_time_ns", &["temp_blk_read_time"]),
    ("temp_blk_write_time_ns", &["temp_blk_write_time"]),
    ("wal_records", &["wal_records"]),
    ("wal_fpi", &["wal_fpi"]),
    ("wal_bytes", &["wal_bytes"]),
    ("jit_functions", &["jit_functions"]),
    ("wal_buffers_full", &["wal_buffers_full"]),
    ("parallel_workers_to_launch", &["parallel_workers_to_launch"]),
    ("parallel_workers_launched", &["parallel_workers_launched"]),
];

/// Time for compiling is given by step. Deforming is a part of generating, and not added.
const COMPILATION: (&str, &[&str]) =
    ("jit_time_ns", &["jit_generation_time", "jit_inlining_time", "jit_optimization_time", "jit_emission_time"]);

const PROBE: &str = "
SELECT n.nspname AS schema, e.extversion AS version, r.rolname AS username,
       current_setting('pg_stat_statements.max', true)::int8 AS entries_max,
       has_schema_privilege(n.oid, 'USAGE') AND (
           SELECT bool_and(has_function_privilege(p.oid, 'EXECUTE')) FROM pg_proc p
           WHERE p.pronamespace = n.oid AND p.proname IN ('pg_stat_statements', 'pg_stat_statements_info')
       ) AS allowed,
       EXISTS (
           SELECT FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'pg_stat_statements_info'
       ) AS has_info
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_roles r ON r.rolname = current_user
WHERE e.extname = 'pg_stat_statements'";

impl Extension {
    /// Looks for the extension; without it, what is missing.
    pub async fn probe(
        transaction: &Transaction<'_>,
        database: &str,
    ) -> Result<Result<Extension, Capability>, Failure> {
        let rows = transaction.query(PROBE, &[]).await?;
        let Some(row) = rows.first() else {
            let remedy = format!("CREATE EXTENSION pg_stat_statements; in database {}", quoted(database));
            return Ok(Err(missing(remedy)));
        };
        let row = Columns(row);
        let schema = quoted(&row.text("schema")?.unwrap_or_default());
        let entries_max = row.optional("entries_max")?;
        if entries_max.is_none() {
            let remedy = "add pg_stat_statements to shared_preload_libraries and restart the server";
            return Ok(Err(missing(remedy.to_owned())));
        }
        if row.optional("allowed")? != Some(true) {
            let username = quoted(&row.text("username")?.unwrap_or_default());
            let remedy = format!(
                "GRANT USAGE ON SCHEMA {schema} TO {username}; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {username}"
            );
            return Ok(Err(missing(remedy)));
        }
        let columns = transaction.columns(&format!("{schema}.pg_stat_statements(false)")).await?;
        let layout = Layout::of(&columns.into_iter().collect());
        let (version, has_info) = (row.text("version")?.unwrap_or_default(), row.required("has_info")?);
        let cpu_times = CpuTimes::probe(transaction, layout.has_toplevel).await?;
        Ok(Ok(Extension { schema, version, entries_max, has_info, layout, cpu_times }))
    }
}

fn missing(remedy: String) -> Capability {
    let consequence = "there are no counters of statements".to_owned();
    Capability { name: "pg_stat_statements".to_owned(), consequence, remedy }
}

impl Layout {
    /// What to read from an extension with these columns.
    pub fn of(available: &BTreeSet<String>) -> Layout {
        let mut select = identity(available);
        let mut columns = Vec::new();
        let mut add = |field, milliseconds, expression: String| {
            let kind = if milliseconds { "float8" } else { "int8" };
            select.push(format!("({expression})::{kind}"));
            columns.push(Column { field, milliseconds });
        };
        for (field, names) in
            [(Field::MinExecTime, ["min_exec_time", "min_time"]), (Field::MaxExecTime, ["max_exec_time", "max_time"])]
        {
            if let Some(name) = newest(&names, available) {
                add(field, true, name.to_owned());
            }
        }
        for (counter, names) in COUNTERS {
            if let (Some(name), Some(field)) = (newest(names, available), field(counter)) {
                add(field, counter.ends_with("_ns"), name.to_owned());
            }
        }
        let (counter, steps) = COMPILATION;
        if let Some(field) = field(counter)
            && steps.iter().all(|step| available.contains(*step))
        {
            add(field, true, steps.join(" + "));
        }
        Layout { select: select.join(", "), columns, has_toplevel: available.contains("toplevel") }
    }
}

fn identity(available: &BTreeSet<String>) -> Vec<String> {
    let or_null = |name: &str, kind: &str| match available.contains(name) {
        true => name.to_owned(),
        false => format!("NULL::{kind}"),
    };
    let names = ["userid", "dbid", "queryid"].map(str::to_owned).into_iter();
    names.chain([or_null("toplevel", "bool"), or_null("stats_since", "timestamptz")]).collect()
}

fn newest<'a>(names: &[&'a str], available: &BTreeSet<String>) -> Option<&'a str> {
    names.iter().copied().find(|name| available.contains(*name))
}

fn field(counter: &str) -> Option<Field> {
    QueryCounters::FIELDS.iter().position(|name| *name == counter).map(Field::Counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: &str) -> Layout {
        Layout::of(&columns.split(' ').map(str::to_owned).collect())
    }

    /// Columns of the extension 1.7 (PostgreSQL 12) and 1.12 (18) that we read.
    const OLDEST: &str =
        "userid dbid queryid query calls total_time min_time max_time rows blk_read_time blk_write_time";
    const NEWEST: &str = "userid dbid toplevel queryid query plans total_plan_time calls total_exec_time min_exec_time \
        max_exec_time rows shared_blk_read_time shared_blk_write_time local_blk_read_time wal_bytes \
        jit_generation_time jit_inlining_time jit_optimization_time jit_emission_time jit_deform_time stats_since";

    #[test]
    fn every_counter_has_a_place_in_the_record() {
        for (counter, _) in COUNTERS.into_iter().chain([COMPILATION]) {
            assert!(field(counter).is_some(), "{counter}");
        }
    }

    #[test]
    fn columns_are_taken_as_they_are_found() {
        let old = layout(OLDEST);
        assert!(!old.has_toplevel);
        assert!(old.select.starts_with("userid, dbid, queryid, NULL::bool, NULL::timestamptz, (min_time)::float8"));
        assert!(old.select.contains("(total_time)::float8") && old.select.contains("(blk_read_time)::float8"));
        let new = layout(NEWEST);
        assert!(new.has_toplevel);
        assert!(new.select.starts_with("userid, dbid, queryid, toplevel, stats_since, (min_exec_time)::float8"));
        assert!(new.select.ends_with(
            "(jit_generation_time + jit_inlining_time + jit_optimization_time + jit_emission_time)::float8"
        ));
        assert!(new.select.contains("(wal_bytes)::int8"));
    }

    #[test]
    fn the_text_is_never_selected() {
        assert!(!layout(NEWEST).select.split(", ").any(|expression| expression.contains("query)")));
        assert_eq!(layout(NEWEST).select.matches("query").count(), 1);
    }

    #[test]
    fn each_selected_column_has_a_meaning() {
        for columns in [OLDEST, NEWEST] {
            let layout = layout(columns);
            assert_eq!(layout.select.split(", ").count(), IDENTITY_COLUMNS + layout.columns.len());
        }
    }
}
