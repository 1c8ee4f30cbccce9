//! Counters of statements, without their texts: `pg_stat_statements(false)` reads no text file.
//!
//! All rows are read; published are those that changed since they were last published, and all of them in a complete
//! snapshot: after each connect, every ten minutes, and after rows were lost on the way to the bus.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use dbintel_schemas::records::QueryCounters;
use tokio_postgres::Row;

use crate::metric::Value;
use crate::poll::{Capability, Entries};
use crate::rows::{MetricRow, Point, QueryRow, StatementId};

use self::columns::{Extension, Field, IDENTITY_COLUMNS, Layout};
use super::mapping;
use super::names::Names;
use super::transaction::Transaction;
use super::value::{Columns, Micros, milliseconds_to_ns};
use crate::failure::Failure;

pub mod breaks;
pub mod columns;
pub mod texts;

/// Most statements that are read; the server's own default bound is 5,000.
pub const STATEMENTS_MAX: usize = 100_000;

/// What tells one statement of a server from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// OID of the database.
    pub database: u32,
    /// OID of the role.
    pub user: u32,
    /// Identifier of the statement.
    pub query: i64,
    /// Executed as a top-level statement; none before PostgreSQL 14.
    pub toplevel: Option<bool>,
}

/// One statement as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Statement {
    /// Which one.
    pub key: Key,
    /// Start of its counters, in µs since the epoch.
    pub since_at: Option<i64>,
    /// Shortest execution, in ns.
    pub min_exec_time_ns: Option<i64>,
    /// Longest execution, in ns.
    pub max_exec_time_ns: Option<i64>,
    /// Its counters.
    pub counters: QueryCounters,
}

/// All statements as they were read.
#[derive(Debug, Default)]
pub struct Reading {
    /// The statements.
    pub statements: Vec<Statement>,
    /// How full the server's table is.
    pub entries: Entries,
    /// Last reset, in µs since the epoch; none before PostgreSQL 14.
    pub statistics_reset_at: Option<i64>,
    /// They are all statements of the server.
    pub complete: bool,
    /// What was missing.
    pub missing: Vec<Capability>,
}

/// Reads all counters.
pub async fn read(transaction: &Transaction<'_>, extension: &Extension) -> Result<Reading, Failure> {
    let Extension { schema, layout, .. } = extension;
    let select = &layout.select;
    let limit = STATEMENTS_MAX + 1;
    let sql = format!("SELECT {select} FROM {schema}.pg_stat_statements(false) LIMIT {limit}");
    let rows = transaction.query(&sql, &[]).await?;
    let mut reading = Reading::default();
    for row in rows.iter().take(STATEMENTS_MAX) {
        reading.statements.extend(statement(row, layout)?);
    }
    reading.entries = Entries { held: Some(rows.len() as i64), max: extension.entries_max, evictions: None };
    let hidden = rows.len().min(STATEMENTS_MAX) - reading.statements.len();
    if hidden > 0 {
        reading.missing.push(hidden_statements(hidden));
    }
    if rows.len() > STATEMENTS_MAX {
        reading.missing.push(too_many_statements());
    }
    reading.complete = reading.missing.is_empty();
    if !layout.has_toplevel {
        let merged = merge_levels(&mut reading.statements);
        reading.missing.extend((merged > 0).then(|| no_levels(merged)));
    }
    match &extension.cpu_times {
        Some(Ok(cpu_times)) => cpu_times.add(transaction, &mut reading.statements).await?,
        Some(Err(missing)) => reading.missing.push(missing.clone()),
        None => {}
    }
    if extension.has_info {
        let sql = format!("SELECT dealloc, stats_reset FROM {schema}.pg_stat_statements_info");
        let row = transaction.query_one(&sql, &[]).await?;
        reading.entries.evictions = Columns(&row).optional("dealloc")?;
        reading.statistics_reset_at = Columns(&row).micros("stats_reset")?;
    }
    Ok(reading)
}

/// What a reading says of the server and of each of its databases.
pub fn metrics(reading: &Reading, names: &Names) -> Vec<MetricRow> {
    let row = |object_type, object, points| {
        let statistics_reset_at = reading.statistics_reset_at;
        MetricRow { object_type, view: "pg_stat_statements", object, statistics_reset_at, points }
    };
    let mut by_database: BTreeMap<u32, i64> = BTreeMap::new();
    for statement in &reading.statements {
        let sum = by_database.entry(statement.key.database).or_default();
        *sum = sum.saturating_add(statement.counters.total_exec_time_ns().unwrap_or(0));
    }
    let of_databases = by_database.into_iter().filter_map(|(oid, sum)| {
        let database = names.database(oid)?.to_string();
        let point = Point::new(&mapping::STATEMENTS_BY_DATABASE, Value::Double(sum as f64 / 1e9));
        Some(row("database", vec![("database", database)], vec![point]))
    });
    let Entries { held, max, evictions } = reading.entries;
    let of_server = mapping::STATEMENTS.iter().zip([held, max, evictions]);
    let points = of_server.filter_map(|(series, value)| Some(Point::new(series, Value::Integer(value?)))).collect();
    std::iter::once(row("server", Vec::new(), points)).chain(of_databases).collect()
}

/// A statement; none if it is hidden from us, which the server shows by a null identifier.
fn statement(row: &Row, layout: &Layout) -> Result<Option<Statement>, Failure> {
    let Some(query) = row.try_get::<_, Option<i64>>(2)? else { return Ok(None) };
    let key = Key { user: row.try_get(0)?, database: row.try_get(1)?, query, toplevel: row.try_get(3)? };
    let since_at = row.try_get::<_, Option<Micros>>(4)?.and_then(|micros| micros.0);
    let counters = QueryCounters::default();
    let mut statement = Statement { key, since_at, min_exec_time_ns: None, max_exec_time_ns: None, counters };
    for (place, column) in layout.columns.iter().enumerate() {
        let place = IDENTITY_COLUMNS + place;
        let value = match column.milliseconds {
            true => row.try_get::<_, Option<f64>>(place)?.and_then(milliseconds_to_ns),
            false => row.try_get(place)?,
        };
        match column.field {
            Field::MinExecTime => statement.min_exec_time_ns = value,
            Field::MaxExecTime => statement.max_exec_time_ns = value,
            Field::Counter(index) => statement.counters.set(index, value),
        }
    }
    Ok(Some(statement))
}

/// An extension older than its server (before 1.9, on PostgreSQL 14 or later) gives two rows without telling which is
/// which to a statement that ran on both levels: they become one. Returns how many did.
fn merge_levels(statements: &mut Vec<Statement>) -> usize {
    let mut merged: Vec<Statement> = Vec::with_capacity(statements.len());
    let mut places: HashMap<Key, usize> = HashMap::with_capacity(statements.len());
    for statement in statements.iter() {
        match places.entry(statement.key) {
            Entry::Occupied(place) => merged[*place.get()].add(statement),
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(*statement);
            }
        }
    }
    let gone = statements.len() - merged.len();
    *statements = merged;
    gone
}

impl Statement {
    /// Adds what the server counted apart.
    fn add(&mut self, other: &Statement) {
        let both = |one: Option<i64>, other: Option<i64>, join: fn(i64, i64) -> i64| match (one, other) {
            (Some(one), Some(other)) => Some(join(one, other)),
            (one, other) => one.or(other),
        };
        self.since_at = both(self.since_at, other.since_at, i64::min);
        self.min_exec_time_ns = both(self.min_exec_time_ns, other.min_exec_time_ns, i64::min);
        self.max_exec_time_ns = both(self.max_exec_time_ns, other.max_exec_time_ns, i64::max);
        for index in 0..QueryCounters::FIELDS.len() {
            let sum = both(self.counters.get(index), other.counters.get(index), i64::saturating_add);
            self.counters.set(index, sum);
        }
    }
}

fn no_levels(merged: usize) -> Capability {
    Capability {
        name: "pg_stat_statements.toplevel".to_owned(),
        consequence: format!("{merged} statements are counted together with themselves as called by functions"),
        remedy: "ALTER EXTENSION pg_stat_statements UPDATE".to_owned(),
    }
}

fn hidden_statements(count: usize) -> Capability {
    Capability {
        name: "pg_read_all_stats".to_owned(),
        consequence: format!("{count} statements of other roles are hidden"),
        remedy: "GRANT pg_monitor to the poller's role".to_owned(),
    }
}

fn too_many_statements() -> Capability {
    Capability {
        name: "pg_stat_statements.max".to_owned(),
        consequence: format!("only {STATEMENTS_MAX} statements are read"),
        remedy: format!("set pg_stat_statements.max to {STATEMENTS_MAX} or less"),
    }
}

/// What was last published of each statement. Holds what the last reading held, so at most [`STATEMENTS_MAX`].
#[derive(Debug, Default)]
pub struct Published {
    fingerprints: HashMap<Key, u64>,
    snapshot_at: Option<Duration>,
}

/// What of a reading is to be published.
#[derive(Debug, Default)]
pub struct Selection {
    /// The statements.
    pub statements: Vec<Statement>,
    /// They are all statements.
    pub snapshot: bool,
}

impl Published {
    /// Makes the next selection a complete snapshot.
    pub fn forget(&mut self) {
        self.snapshot_at = None;
    }

    /// Selects what changed, or everything if the last complete snapshot is `snapshot_interval` old at `now`; and takes
    /// note of it as published.
    pub fn select(&mut self, statements: &[Statement], now: Duration, snapshot_interval: Duration) -> Selection {
        let snapshot = self.snapshot_at.is_none_or(|at| now.saturating_sub(at) >= snapshot_interval);
        let mut fingerprints = HashMap::with_capacity(statements.len());
        let mut selection = Selection { statements: Vec::new(), snapshot };
        for statement in statements {
            let fingerprint = fingerprint(statement);
            let unchanged = self.fingerprints.get(&statement.key) == Some(&fingerprint);
            if snapshot || !unchanged {
                selection.statements.push(*statement);
            }
            fingerprints.insert(statement.key, fingerprint);
        }
        self.fingerprints = fingerprints;
        if snapshot {
            self.snapshot_at = Some(now);
        }
        selection
    }
}

fn fingerprint(statement: &Statement) -> u64 {
    let mut hasher = DefaultHasher::new();
    (statement.since_at, statement.min_exec_time_ns, statement.max_exec_time_ns).hash(&mut hasher);
    for index in 0..QueryCounters::FIELDS.len() {
        statement.counters.get(index).hash(&mut hasher);
    }
    hasher.finish()
}

impl Selection {
    /// The rows to publish.
    pub fn into_rows(self, names: &Names) -> Vec<QueryRow> {
        let row = |statement: Statement| QueryRow {
            id: statement.key.named(names),
            entry_since_at: statement.since_at,
            snapshot: self.snapshot,
            min_exec_time_ns: statement.min_exec_time_ns,
            max_exec_time_ns: statement.max_exec_time_ns,
            counters: statement.counters,
        };
        self.statements.into_iter().map(row).collect()
    }
}

impl Key {
    /// The identity as records have it.
    pub fn named(&self, names: &Names) -> StatementId {
        StatementId {
            database: names.database(self.database),
            database_id: self.database.to_string(),
            user: names.role(self.user),
            user_id: self.user.to_string(),
            query_id: self.query.to_string(),
            toplevel: self.toplevel,
        }
    }
}

#[cfg(test)]
mod tests;
