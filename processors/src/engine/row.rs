//! The row that travels through a pipeline: a decoded record of one kind.

use bumpalo::Bump;
use dbintel_schemas::records::{
    EnrichedLog, EnrichedMetrics, EnrichedQuery, EnrichedSession, EnrichedText, RawLog, RawMetrics, RawPoll, RawQuery,
    RawSession, RawText,
};
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{self, ReadError, Schemas, WriterSchema};
use dbintel_schemas::{Record, key};

use super::outbox::{Encoded, Outbox};
use super::staged;

/// A decoded record. It lives in the arena of its batch, and its texts in the fetched bytes: what moves from processor to
/// processor is a pointer.
#[derive(Debug, PartialEq)]
pub enum Row<'a> {
    /// Cumulative counters of a statement; `delta` makes a [`Row::Query`] of it.
    RawQuery(&'a RawQuery<'a>),
    /// Outcome of a poll: context for the others.
    RawPoll(&'a RawPoll<'a>),
    /// What a statement did in an interval.
    Query(&'a mut EnrichedQuery<'a>),
    /// A session of a sample.
    Session(&'a mut EnrichedSession<'a>),
    /// Metrics of an object.
    Metrics(&'a mut EnrichedMetrics<'a>),
    /// A log record from a query of the configuration.
    Log(&'a mut EnrichedLog<'a>),
    /// Text of a statement.
    Text(&'a mut EnrichedText<'a>),
}

/// Where a row comes from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Monitored server.
    pub target: &'a str,
    /// Offset of the raw record.
    pub offset: i64,
    /// Who wrote the record.
    pub source: Source<'a>,
}

/// Who wrote a record, which tells the pipelines that take it.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A poller; pipelines select by its name.
    Poller {
        /// Component id.
        name: &'a str,
        /// Raised by each new owner of the target.
        owner_epoch: i64,
    },
    /// The group that has the processor before ours, for one pipeline.
    Stage {
        /// Name of the pipeline.
        pipeline: &'a str,
        /// Event time of the target in µs, as the first group saw it.
        now: i64,
        /// The timestamp of the raw record was not believed.
        time_clamped: bool,
    },
}

impl<'a> Row<'a> {
    /// Decodes a record of an input topic. Raw sessions, metrics, logs and texts come out in their enriched form at once, since
    /// nothing but the pipeline changes them.
    pub fn read(
        topic: Topic,
        schemas: &Schemas,
        bytes: &'a [u8],
        arena: &'a Bump,
        offset: i64,
    ) -> Result<(Origin<'a>, Row<'a>), ReadError> {
        Ok(match topic {
            Topic::RawQueries => {
                let raw: RawQuery<'a> = decode(schemas, bytes, arena)?;
                (origin(raw.poller, raw.target, raw.owner_epoch, offset), Row::RawQuery(arena.alloc(raw)))
            }
            Topic::RawPolls => {
                let raw: RawPoll<'a> = decode(schemas, bytes, arena)?;
                (origin(raw.poller, raw.target, raw.owner_epoch, offset), Row::RawPoll(arena.alloc(raw)))
            }
            Topic::RawSessions => {
                let raw: RawSession<'a> = decode(schemas, bytes, arena)?;
                (
                    origin(raw.poller, raw.target, raw.owner_epoch, offset),
                    Row::Session(arena.alloc(session(&raw, offset))),
                )
            }
            Topic::RawMetrics => {
                let raw: RawMetrics<'a> = decode(schemas, bytes, arena)?;
                (
                    origin(raw.poller, raw.target, raw.owner_epoch, offset),
                    Row::Metrics(arena.alloc(metrics(&raw, offset))),
                )
            }
            Topic::RawLogs => {
                let raw: RawLog<'a> = decode(schemas, bytes, arena)?;
                (origin(raw.poller, raw.target, raw.owner_epoch, offset), Row::Log(arena.alloc(log(&raw, offset))))
            }
            Topic::RawTexts => {
                let raw: RawText<'a> = decode(schemas, bytes, arena)?;
                (origin(raw.poller, raw.target, raw.owner_epoch, offset), Row::Text(arena.alloc(text(&raw, offset))))
            }
            topic if topic.stage().is_some() => return staged::read(schemas, bytes, arena),
            _ => return Err(ReadError::Resolve(format!("{} is not an input of pipelines", topic.name()))),
        })
    }

    /// The same row for one of several pipelines, which may change it.
    pub fn for_pipeline(&self, arena: &'a Bump) -> Row<'a> {
        match self {
            Row::RawQuery(raw) => Row::RawQuery(raw),
            Row::RawPoll(raw) => Row::RawPoll(raw),
            Row::Query(row) => Row::Query(arena.alloc(**row)),
            Row::Session(row) => Row::Session(arena.alloc(**row)),
            Row::Metrics(row) => Row::Metrics(arena.alloc(**row)),
            Row::Log(row) => Row::Log(arena.alloc(**row)),
            Row::Text(row) => Row::Text(arena.alloc(**row)),
        }
    }

    /// Marks the row as the pipeline's own.
    pub fn enter(&mut self, pipeline: &'a str, time_clamped: bool) {
        match self {
            Row::RawQuery(_) | Row::RawPoll(_) => {}
            Row::Query(row) => (row.pipeline, row.time_clamped) = (pipeline, time_clamped),
            Row::Session(row) => (row.pipeline, row.time_clamped) = (pipeline, time_clamped),
            Row::Metrics(row) => (row.pipeline, row.time_clamped) = (pipeline, time_clamped),
            Row::Log(row) => (row.pipeline, row.time_clamped) = (pipeline, time_clamped),
            Row::Text(row) => row.pipeline = pipeline,
        }
    }

    /// Encodes the row for the topic of its kind; none for kinds that no topic takes.
    pub(super) fn write<'o>(
        &self,
        outbox: &'o mut Outbox,
        partition: u32,
        timestamp: i64,
    ) -> Option<(Topic, Encoded<'o>)> {
        Some(match self {
            Row::RawQuery(_) | Row::RawPoll(_) => return None,
            Row::Query(row) => (Topic::EnrichedQueries, outbox.primary(&**row, row.target, None, partition, timestamp)),
            Row::Session(row) => {
                (Topic::EnrichedSessions, outbox.primary(&**row, row.target, row.traceparent, partition, timestamp))
            }
            Row::Metrics(row) => {
                (Topic::EnrichedMetrics, outbox.primary(&**row, row.target, None, partition, timestamp))
            }
            Row::Log(row) => (Topic::EnrichedLogs, outbox.primary(&**row, row.target, None, partition, timestamp)),
            Row::Text(row) => {
                (Topic::EnrichedTexts, outbox.primary(&**row, &key::of_text(row), None, partition, timestamp))
            }
        })
    }
}

/// Decodes a record in place when we wrote it, and through its writer's schema otherwise.
pub(super) fn decode<'a, R: Record<'a>>(schemas: &Schemas, bytes: &'a [u8], arena: &'a Bump) -> Result<R, ReadError> {
    match wire::unframe(bytes)? {
        (WriterSchema::Fingerprint(fingerprint), datum) if fingerprint == R::FINGERPRINT => Ok(R::decode(datum)?),
        _ => {
            let mut scratch = Vec::new();
            let datum = arena.alloc_slice_copy(schemas.datum::<R>(bytes, &mut scratch)?);
            Ok(R::decode(datum)?)
        }
    }
}

fn origin<'a>(name: &'a str, target: &'a str, owner_epoch: i64, offset: i64) -> Origin<'a> {
    Origin { target, offset, source: Source::Poller { name, owner_epoch } }
}

/// Copies the fields that a raw record and its enriched form have in common.
macro_rules! enrich {
    ($kind:ident, $raw:expr, $offset:expr, { $($field:ident),* $(,)? }) => {
        $kind { origin_offset: $offset, $($field: $raw.$field,)* ..$kind::default() }
    };
}

/// The enriched form of a statement's row, without its values.
pub fn query<'a>(raw: &RawQuery<'a>, offset: i64) -> EnrichedQuery<'a> {
    enrich!(EnrichedQuery, raw, offset, {
        record_id, poller, target, labels, engine, engine_version, role, instance, observed_at, interval_ns, database,
        database_id, user, user_id, query_id, toplevel, min_exec_time_ns, max_exec_time_ns, attributes,
    })
}

fn session<'a>(raw: &RawSession<'a>, offset: i64) -> EnrichedSession<'a> {
    enrich!(EnrichedSession, raw, offset, {
        record_id, poller, target, labels, engine, engine_version, role, instance, observed_at, interval_ns, session_id,
        session_started_at, database, database_id, user, application, client_address, client_port, backend_type, state,
        state_changed_at, wait_event_type, wait_event, query_id, query_started_at, transaction_started_at,
        blocking_session_ids, text, text_truncated, withheld, fingerprint, fingerprint_source, fingerprint_version, verb,
        tables, traceparent, tags, attributes,
    })
}

fn metrics<'a>(raw: &RawMetrics<'a>, offset: i64) -> EnrichedMetrics<'a> {
    enrich!(EnrichedMetrics, raw, offset, {
        record_id, poller, target, labels, engine, engine_version, role, instance, observed_at, interval_ns, object_type,
        object, points,
    })
}

fn log<'a>(raw: &RawLog<'a>, offset: i64) -> EnrichedLog<'a> {
    enrich!(EnrichedLog, raw, offset, {
        record_id, poller, target, labels, engine, engine_version, role, instance, observed_at, interval_ns, query,
        occurred_at, severity, severity_number, body, body_truncated, withheld, attributes,
    })
}

fn text<'a>(raw: &RawText<'a>, offset: i64) -> EnrichedText<'a> {
    let text = enrich!(EnrichedText, raw, offset, {
        record_id, target, labels, engine, database, database_id, user, user_id, query_id, toplevel, fingerprint,
        fingerprint_version, verb, tables, tables_certain, text, text_length, truncated, withheld, observed_at,
    });
    EnrichedText { origin_topic: Topic::RawTexts.name(), ..text }
}
