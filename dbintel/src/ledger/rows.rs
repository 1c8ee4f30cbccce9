//! What becomes visible of a pipeline: its outputs and what it refused, each with the offset that it came from.

use std::rc::Rc;

use dbintel_bus::{Bus, BusError, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{
    EnrichedLog, EnrichedMetrics, EnrichedQuery, EnrichedSession, EnrichedText, Quarantined, StagedRow,
};
use dbintel_schemas::wire::{ReadError, Schemas};

use crate::stream::Stream;

/// Inputs, and where their rows come out.
pub const FLOWS: [(Topic, Option<Topic>); 6] = [
    (Topic::RawTexts, Some(Topic::EnrichedTexts)),
    (Topic::RawQueries, Some(Topic::EnrichedQueries)),
    (Topic::RawSessions, Some(Topic::EnrichedSessions)),
    (Topic::RawMetrics, Some(Topic::EnrichedMetrics)),
    (Topic::RawLogs, Some(Topic::EnrichedLogs)),
    (Topic::RawPolls, None),
];

/// Something that came of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Came {
    /// Offset of the raw record, or of the input for what was refused; none if the record cannot be read.
    pub origin: Option<i64>,
    /// Its own offset.
    pub offset: i64,
    /// Hash of its value.
    pub hash: u128,
}

/// The primary outputs of a pipeline that came of records of a raw topic, as they stand on their topic.
pub fn outputs<'a>(
    bus: &dyn Bus,
    schemas: &Rc<Schemas>,
    (raw, topic): (Topic, Topic),
    pipeline: &'a str,
    partition: u32,
) -> Result<Stream<'a, Came>, BusError> {
    let schemas = Rc::clone(schemas);
    let rows = Stream::open(bus, &topic_name(topic), partition, move |record| {
        let value = record.value.unwrap_or_default();
        let came = |origin| Came { origin, offset: record.offset, hash: u128::from_le_bytes(hash128(&[value])) };
        match origin(&schemas, raw, topic, value) {
            Err(_) => Some(came(None)),
            Ok((of, Some(origin))) if of == pipeline => Some(came(Some(origin))),
            Ok(_) => None,
        }
    })?;
    Ok(rows.through_open_transactions())
}

/// The rows of a pipeline and a raw topic that wait between groups: the offset of the raw record, and their own.
pub fn staged<'a>(
    bus: &dyn Bus,
    schemas: &Rc<Schemas>,
    (raw, topic): (Topic, Topic),
    pipeline: &'a str,
    partition: u32,
) -> Result<Stream<'a, (i64, i64)>, BusError> {
    let schemas = Rc::clone(schemas);
    Stream::open(bus, &topic_name(topic), partition, move |record| {
        match origin(&schemas, raw, topic, record.value.unwrap_or_default()) {
            Ok((of, Some(origin))) if of == pipeline => Some((origin, record.offset)),
            _ => None,
        }
    })
}

/// What a pipeline of a group refused of an input.
pub fn refused<'a>(
    bus: &dyn Bus,
    schemas: &Rc<Schemas>,
    input: Topic,
    (group, pipeline): (&'a str, &'a str),
    partition: u32,
) -> Result<Stream<'a, Came>, BusError> {
    let schemas = Rc::clone(schemas);
    let rows = Stream::open(bus, &topic_name(Topic::Quarantine), partition, move |record| {
        let value = record.value.unwrap_or_default();
        let mut scratch = Vec::new();
        let refused: Result<Quarantined<'_>, ReadError> = schemas.read(value, &mut scratch);
        let came = |origin| Came { origin, offset: record.offset, hash: 0 };
        match refused {
            Err(_) => Some(came(None)),
            Ok(of) if of.group == group && of.pipeline == pipeline && of.topic == input.name() => {
                Some(came(Some(of.offset)))
            }
            Ok(_) => None,
        }
    })?;
    Ok(rows.through_open_transactions())
}

/// Pipeline and origin of an output; no origin if it is derived, and no row's own, or of another raw topic.
fn origin(schemas: &Schemas, raw: Topic, topic: Topic, value: &[u8]) -> Result<(String, Option<i64>), ReadError> {
    let mut scratch = Vec::new();
    let (pipeline, offset) = match topic {
        topic if topic.stage().is_some() => {
            let row: StagedRow<'_> = schemas.read(value, &mut scratch)?;
            let kind = Topic::parse(row.kind);
            let is_of = FLOWS.iter().any(|flow| flow.0 == raw && (kind == Some(raw) || kind == flow.1));
            (row.pipeline, is_of.then_some(row.origin_offset))
        }
        Topic::EnrichedQueries => {
            let row: EnrichedQuery<'_> = schemas.read(value, &mut scratch)?;
            (row.pipeline, Some(row.origin_offset))
        }
        Topic::EnrichedSessions => {
            let row: EnrichedSession<'_> = schemas.read(value, &mut scratch)?;
            (row.pipeline, Some(row.origin_offset))
        }
        Topic::EnrichedMetrics => {
            let row: EnrichedMetrics<'_> = schemas.read(value, &mut scratch)?;
            (row.pipeline, Some(row.origin_offset))
        }
        Topic::EnrichedLogs => {
            let row: EnrichedLog<'_> = schemas.read(value, &mut scratch)?;
            (row.pipeline, Some(row.origin_offset))
        }
        _ => {
            let row: EnrichedText<'_> = schemas.read(value, &mut scratch)?;
            (row.pipeline, (row.origin_topic == Topic::RawTexts.name()).then_some(row.origin_offset))
        }
    };
    Ok((pipeline.to_owned(), offset))
}
