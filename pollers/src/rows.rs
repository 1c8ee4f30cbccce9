//! Rows that a poll read, owned, so that they can wait for the bus; and the records that they become.

use std::sync::Arc;

use dbintel_bus::{Publisher, SendError};
use dbintel_schemas::records::{MetricPoint, QueryCounters, RawMetrics, RawQuery, RawSession, RawText, RawVerbatim};
use dbintel_schemas::{List, Record, TextMap, Topic};

use crate::metric::{Series, Value};
use crate::poll::{Stamp, pairs};
use crate::text::StatementText;

pub use self::log::LogRow;

mod log;

/// Rows that are published without giving way to other tasks.
pub const ROWS_AT_ONCE: usize = 500;
/// Header with the trace that a statement belongs to.
const TRACEPARENT: &str = "traceparent";

/// The rows of one poll: all of one kind.
#[derive(Debug, Clone)]
pub enum Rows {
    /// None at all.
    None,
    /// Counters of statements.
    Queries(Vec<QueryRow>),
    /// Texts of statements.
    Texts(Vec<TextRow>),
    /// Sessions.
    Sessions(Vec<SessionRow>),
    /// Metrics of objects.
    Metrics(Vec<MetricRow>),
    /// Log records.
    Logs(Vec<LogRow>),
}

/// Identity of a statement on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementId {
    /// Name of the database; none when dropped or not told.
    pub database: Option<Arc<str>>,
    /// Identifier of the database.
    pub database_id: String,
    /// Name of the role that executed.
    pub user: Option<Arc<str>>,
    /// Identifier of the role.
    pub user_id: String,
    /// Identifier of the statement.
    pub query_id: String,
    /// Executed as a top-level statement.
    pub toplevel: Option<bool>,
}

/// Counters of one statement.
#[derive(Debug, Clone)]
pub struct QueryRow {
    /// Which statement.
    pub id: StatementId,
    /// Start of the counters, in µs since the epoch.
    pub entry_since_at: Option<i64>,
    /// The poll published every statement.
    pub snapshot: bool,
    /// Shortest execution, in ns.
    pub min_exec_time_ns: Option<i64>,
    /// Longest execution, in ns.
    pub max_exec_time_ns: Option<i64>,
    /// The counters.
    pub counters: QueryCounters,
}

/// Text of one statement.
#[derive(Debug, Clone)]
pub struct TextRow {
    /// Which statement.
    pub id: StatementId,
    /// The text.
    pub statement: StatementText,
}

/// One session. The fields are those of the record, documented in `raw.sessions.avsc`.
#[derive(Debug, Clone, Default)]
pub struct SessionRow {
    pub session_id: String,
    pub session_started_at: Option<i64>,
    pub database: Option<String>,
    pub database_id: Option<String>,
    pub user: Option<String>,
    pub application: Option<String>,
    pub client_address: Option<String>,
    pub client_port: Option<i64>,
    pub backend_type: Option<String>,
    pub state: Option<String>,
    pub state_changed_at: Option<i64>,
    pub wait_event_type: Option<String>,
    pub wait_event: Option<String>,
    pub query_id: Option<String>,
    pub query_started_at: Option<i64>,
    pub transaction_started_at: Option<i64>,
    pub blocking_session_ids: Vec<String>,
    /// Text of the current or last statement, where the server tells it.
    pub statement: Option<StatementText>,
    pub attributes: Vec<(&'static str, String)>,
}

/// Metrics of one object.
#[derive(Debug, Clone)]
pub struct MetricRow {
    /// server, database, table, index, replica.
    pub object_type: &'static str,
    /// The view that the values come from: tells rows of one object apart.
    pub view: &'static str,
    /// Identity of the object.
    pub object: Vec<(&'static str, String)>,
    /// Last reset of these statistics, in µs since the epoch.
    pub statistics_reset_at: Option<i64>,
    /// Values that the server gave; what it did not give is not there.
    pub points: Vec<Point>,
}

impl MetricRow {
    /// How far the server's clock is ahead of ours; both in µs since the epoch.
    pub fn clock(series: &'static Series, server: i64, ours: i64) -> MetricRow {
        let skew = server.saturating_sub(ours) as f64 / 1e6;
        let points = vec![Point::new(series, Value::Double(skew))];
        MetricRow { object_type: "server", view: "clock", object: Vec::new(), statistics_reset_at: None, points }
    }
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Which metric.
    pub series: &'static Series,
    /// The value.
    pub value: Value,
    /// An attribute that the server names.
    pub label: Option<(&'static str, String)>,
}

impl Point {
    /// A value with the attributes of its series alone.
    pub fn new(series: &'static Series, value: Value) -> Point {
        Point { series, value, label: None }
    }

    fn attributes(&self) -> Vec<(&str, &str)> {
        let label = self.label.as_ref().map(|(name, value)| (*name, value.as_str()));
        self.series.attributes.iter().copied().chain(label).collect()
    }
}

/// Fills the fields that all raw records share.
macro_rules! record {
    ($record:ident, $stamp:expr, $labels:expr, $row_key:expr, $reset_at:expr, { $($fields:tt)* }) => {{
        let (stamp, identity) = (&$stamp, &*$stamp.identity);
        let row_key: &[&[u8]] = $row_key;
        $record {
            record_id: $crate::rows::record_id(stamp, row_key),
            poller: &identity.poller,
            target: &identity.target,
            labels: TextMap::from_slice($labels),
            engine: identity.engine,
            engine_version: &identity.engine_version,
            role: identity.role,
            instance: stamp.instance($reset_at),
            owner_epoch: identity.owner_epoch,
            poll_seq: stamp.poll_seq,
            observed_at: stamp.observed_at,
            server_time: stamp.server_time,
            interval_ns: stamp.interval_ns,
            $($fields)*
        }
    }};
}
pub(crate) use record;

/// Sends a record; its timestamp is the end of the read.
pub fn send<'a, R: Record<'a>>(bus: &Publisher, stamp: &Stamp, record: &R) -> Result<(), SendError> {
    bus.publish(record, &stamp.identity.target, stamp.observed_at / 1000)
}

/// The identity of a row: which poll, and which row of it.
pub fn record_id(stamp: &Stamp, row_key: &[&[u8]]) -> [u8; 16] {
    let key = dbintel_schemas::record_id::hash128(row_key);
    dbintel_schemas::record_id::record_id(&stamp.identity.target, stamp.identity.owner_epoch, stamp.poll_seq, &key)
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Rows::None => 0,
            Rows::Queries(rows) => rows.len(),
            Rows::Texts(rows) => rows.len(),
            Rows::Sessions(rows) => rows.len(),
            Rows::Metrics(rows) => rows.len(),
            Rows::Logs(rows) => rows.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether newer rows of the same kind say everything that these say.
    pub fn are_cumulative(&self) -> bool {
        matches!(self, Rows::Queries(_) | Rows::Metrics(_))
    }

    /// Keeps the first `length` rows; returns the number of those that went.
    pub fn truncate(&mut self, length: usize) -> u64 {
        let before = self.len();
        match self {
            Rows::None => {}
            Rows::Queries(rows) => rows.truncate(length),
            Rows::Texts(rows) => rows.truncate(length),
            Rows::Sessions(rows) => rows.truncate(length),
            Rows::Metrics(rows) => rows.truncate(length),
            Rows::Logs(rows) => rows.truncate(length),
        }
        (before - self.len()) as u64
    }

    /// Where the rows go.
    pub fn topic(&self) -> Option<Topic> {
        match self {
            Rows::None => None,
            Rows::Queries(_) => Some(Topic::RawQueries),
            Rows::Texts(_) => Some(Topic::RawTexts),
            Rows::Sessions(_) => Some(Topic::RawSessions),
            Rows::Metrics(_) => Some(Topic::RawMetrics),
            Rows::Logs(_) => Some(Topic::RawLogs),
        }
    }

    /// Publishes at most [`ROWS_AT_ONCE`] rows from `first` on; returns how many the bus took, and the error that stopped it.
    pub fn publish(&self, first: usize, stamp: &Stamp, bus: &Publisher) -> (usize, Option<SendError>) {
        let labels = pairs(&stamp.identity.labels);
        let mut taken = 0;
        for index in (first..self.len()).take(ROWS_AT_ONCE) {
            let result = match self {
                Rows::None => Ok(()),
                Rows::Queries(rows) => rows[index].publish(stamp, &labels, bus),
                Rows::Texts(rows) => rows[index].publish(stamp, &labels, bus),
                Rows::Sessions(rows) => rows[index].publish(stamp, &labels, bus),
                Rows::Metrics(rows) => rows[index].publish(stamp, &labels, bus),
                Rows::Logs(rows) => rows[index].publish(index, stamp, &labels, bus),
            };
            match result {
                Ok(()) => taken += 1,
                Err(error) => return (taken, Some(error)),
            }
        }
        (taken, None)
    }
}

impl StatementId {
    fn row_key<'a>(&'a self, kind: &'a [u8]) -> [&'a [u8]; 5] {
        let toplevel: &[u8] = match self.toplevel {
            None => b"",
            Some(false) => b"f",
            Some(true) => b"t",
        };
        [kind, self.database_id.as_bytes(), self.user_id.as_bytes(), self.query_id.as_bytes(), toplevel]
    }
}

impl QueryRow {
    fn publish(&self, stamp: &Stamp, labels: &[(&str, &str)], bus: &Publisher) -> Result<(), SendError> {
        send(
            bus,
            stamp,
            &record!(RawQuery, stamp, labels, &self.id.row_key(b"query"), stamp.statistics_reset_at, {
                database: self.id.database.as_deref(),
                database_id: &self.id.database_id,
                user: self.id.user.as_deref(),
                user_id: &self.id.user_id,
                query_id: &self.id.query_id,
                toplevel: self.id.toplevel,
                entry_since_at: self.entry_since_at,
                snapshot: self.snapshot,
                min_exec_time_ns: self.min_exec_time_ns,
                max_exec_time_ns: self.max_exec_time_ns,
                counters: self.counters,
                attributes: TextMap::empty(),
            }),
        )
    }
}

impl TextRow {
    fn publish(&self, stamp: &Stamp, labels: &[(&str, &str)], bus: &Publisher) -> Result<(), SendError> {
        let said = Said::of(&self.statement);
        publish_verbatim(&self.statement, &said, &self.executed(), stamp, labels, bus)?;
        send(
            bus,
            stamp,
            &record!(RawText, stamp, labels, &self.id.row_key(b"text"), stamp.statistics_reset_at, {
                database: self.id.database.as_deref(),
                database_id: &self.id.database_id,
                user: self.id.user.as_deref(),
                user_id: &self.id.user_id,
                query_id: &self.id.query_id,
                toplevel: self.id.toplevel,
                fingerprint: said.fingerprint.as_deref(),
                fingerprint_version: said.version,
                verb: said.verb,
                tables: List::from_slice(&said.tables),
                tables_certain: self.statement.tables_certain,
                text: self.statement.text.as_deref(),
                text_length: self.statement.length,
                truncated: self.statement.truncated,
                withheld: self.statement.withheld,
            }),
        )
    }

    fn executed(&self) -> Executed<'_> {
        Executed {
            database: self.id.database.as_deref(),
            database_id: Some(&self.id.database_id),
            session_id: None,
            query_id: Some(&self.id.query_id),
        }
    }
}

impl SessionRow {
    fn publish(&self, stamp: &Stamp, labels: &[(&str, &str)], bus: &Publisher) -> Result<(), SendError> {
        let started_at = self.session_started_at.unwrap_or(0).to_be_bytes();
        let row_key: [&[u8]; 3] = [b"session", self.session_id.as_bytes(), &started_at];
        let blockers: Vec<&str> = self.blocking_session_ids.iter().map(String::as_str).collect();
        let attributes: Vec<_> = self.attributes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let none = StatementText::default();
        let statement = self.statement.as_ref().unwrap_or(&none);
        let said = Said::of(statement);
        publish_verbatim(statement, &said, &self.executed(), stamp, labels, bus)?;
        let traceparent = statement.traceparent.map(|trace| trace.to_string());
        let tags: Vec<_> = statement.tags.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let record = record!(RawSession, stamp, labels, &row_key, None, {
            session_id: &self.session_id,
            session_started_at: self.session_started_at,
            database: self.database.as_deref(),
            database_id: self.database_id.as_deref(),
            user: self.user.as_deref(),
            application: self.application.as_deref(),
            client_address: self.client_address.as_deref(),
            client_port: self.client_port,
            backend_type: self.backend_type.as_deref(),
            state: self.state.as_deref(),
            state_changed_at: self.state_changed_at,
            wait_event_type: self.wait_event_type.as_deref(),
            wait_event: self.wait_event.as_deref(),
            query_id: self.query_id.as_deref(),
            query_started_at: self.query_started_at,
            transaction_started_at: self.transaction_started_at,
            blocking_session_ids: List::from_slice(&blockers),
            text: statement.text.as_deref(),
            text_truncated: statement.truncated,
            withheld: statement.withheld,
            fingerprint: said.fingerprint.as_deref(),
            fingerprint_source: said.source,
            fingerprint_version: said.version,
            verb: said.verb,
            tables: List::from_slice(&said.tables),
            traceparent: traceparent.as_deref(),
            tags: TextMap::from_slice(&tags),
            attributes: TextMap::from_slice(&attributes),
        });
        let header = traceparent.as_deref().map(|trace| (TRACEPARENT, trace.as_bytes()));
        bus.publish_with(&record, &stamp.identity.target, stamp.observed_at / 1000, header.as_slice())
    }

    fn executed(&self) -> Executed<'_> {
        Executed {
            database: self.database.as_deref(),
            database_id: self.database_id.as_deref(),
            session_id: Some(&self.session_id),
            query_id: self.query_id.as_deref(),
        }
    }
}

/// What a text says, as records have it.
struct Said<'a> {
    fingerprint: Option<String>,
    source: Option<&'static str>,
    version: Option<i64>,
    verb: Option<&'static str>,
    tables: Vec<&'a str>,
}

impl<'a> Said<'a> {
    fn of(statement: &'a StatementText) -> Said<'a> {
        Said {
            fingerprint: statement.fingerprint.map(|(fingerprint, _)| fingerprint.to_string()),
            source: statement.fingerprint.map(|(_, source)| source.name()),
            version: statement.fingerprint.map(|(fingerprint, _)| i64::from(fingerprint.version)),
            verb: Some(statement.verb).filter(|verb| !verb.is_empty()),
            tables: statement.tables.iter().map(String::as_str).collect(),
        }
    }
}

/// Where a statement was seen.
struct Executed<'a> {
    database: Option<&'a str>,
    database_id: Option<&'a str>,
    session_id: Option<&'a str>,
    query_id: Option<&'a str>,
}

/// Publishes the text as it was sent, if the target asks for that.
fn publish_verbatim(
    statement: &StatementText,
    said: &Said<'_>,
    executed: &Executed<'_>,
    stamp: &Stamp,
    labels: &[(&str, &str)],
    bus: &Publisher,
) -> Result<(), SendError> {
    let Some(text) = &statement.verbatim else { return Ok(()) };
    let Executed { database, database_id, session_id, query_id } = *executed;
    let row_key = [database_id, session_id, query_id].map(|part| part.unwrap_or_default().as_bytes());
    send(
        bus,
        stamp,
        &record!(RawVerbatim, stamp, labels, &[b"verbatim", row_key[0], row_key[1], row_key[2]], None, {
            database,
            database_id,
            session_id,
            query_id,
            fingerprint: said.fingerprint.as_deref(),
            fingerprint_version: said.version,
            text,
            truncated: statement.truncated,
        }),
    )
}

impl MetricRow {
    fn publish(&self, stamp: &Stamp, labels: &[(&str, &str)], bus: &Publisher) -> Result<(), SendError> {
        let object: Vec<_> = self.object.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let attributes: Vec<_> = self.points.iter().map(Point::attributes).collect();
        let points: Vec<_> =
            self.points.iter().zip(&attributes).map(|(point, attributes)| self.point(point, attributes)).collect();
        let mut row_key = vec![b"metrics".as_slice(), self.view.as_bytes()];
        row_key.extend(self.object.iter().map(|(_, value)| value.as_bytes()));
        send(
            bus,
            stamp,
            &record!(RawMetrics, stamp, labels, &row_key, self.statistics_reset_at, {
                object_type: self.object_type,
                object: TextMap::from_slice(&object),
                points: List::from_slice(&points),
            }),
        )
    }

    fn point<'a>(&self, point: &'a Point, attributes: &'a [(&'a str, &'a str)]) -> MetricPoint<'a> {
        let series = point.series;
        let (int_value, double_value) = match point.value {
            Value::Integer(value) => (Some(value), None),
            Value::Double(value) => (None, Some(value)),
        };
        MetricPoint {
            name: series.metric,
            unit: series.unit,
            kind: series.kind.name(),
            int_value,
            double_value,
            started_at: if series.kind.is_cumulative() { self.statistics_reset_at } else { None },
            attributes: TextMap::from_slice(attributes),
        }
    }
}
