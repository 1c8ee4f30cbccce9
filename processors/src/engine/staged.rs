//! Rows between groups, where each processor has a group of its own.
//!
//! One topic leads to each group: what was in one order stays in it, whatever the kinds of the rows. A row takes along what
//! only the first group can know: the event time of its target and the offset of its raw record. So the groups behind decide
//! as one group with all processors would.

use bumpalo::Bump;
use dbintel_schemas::records::StagedRow;
use dbintel_schemas::topics::Topic;
use dbintel_schemas::wire::{ReadError, Schemas};

use super::outbox::{Encoded, Outbox};
use super::row::{Origin, Row, Source, decode};
use super::targets::Observed;

/// What surrounds a row on its way.
pub struct Way<'w> {
    /// Name of its pipeline.
    pub pipeline: &'w str,
    /// Where it comes from.
    pub origin: &'w Origin<'w>,
    /// What it told about its target.
    pub observed: &'w Observed,
}

/// Decodes a row that another group wrote.
pub fn read<'a>(schemas: &Schemas, bytes: &'a [u8], arena: &'a Bump) -> Result<(Origin<'a>, Row<'a>), ReadError> {
    let staged: StagedRow<'a> = decode(schemas, bytes, arena)?;
    let row = match Topic::parse(staged.kind) {
        Some(Topic::RawQueries) => Row::RawQuery(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::RawPolls) => Row::RawPoll(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::EnrichedQueries) => Row::Query(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::EnrichedSessions) => Row::Session(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::EnrichedMetrics) => Row::Metrics(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::EnrichedLogs) => Row::Log(arena.alloc(decode(schemas, staged.row, arena)?)),
        Some(Topic::EnrichedTexts) => Row::Text(arena.alloc(decode(schemas, staged.row, arena)?)),
        _ => return Err(ReadError::Resolve("it is no kind of row that goes from group to group".to_owned())),
    };
    let StagedRow { pipeline, target, now_at: now, time_clamped, origin_offset: offset, .. } = staged;
    Ok((Origin { target, offset, source: Source::Stage { pipeline, now, time_clamped } }, row))
}

/// Encodes a row for the group that reads `topic`.
pub fn write<'o>(
    row: &Row<'_>,
    way: &Way<'_>,
    topic: Topic,
    outbox: &'o mut Outbox,
    partition: u32,
    timestamp: i64,
) -> Encoded<'o> {
    let envelope = StagedRow {
        pipeline: way.pipeline,
        target: way.origin.target,
        now_at: way.observed.now,
        time_clamped: way.observed.clamped,
        origin_offset: way.origin.offset,
        ..StagedRow::default()
    };
    match row {
        Row::RawQuery(raw) => outbox.staged(*raw, envelope, topic, partition, timestamp),
        Row::RawPoll(raw) => outbox.staged(*raw, envelope, topic, partition, timestamp),
        Row::Query(row) => outbox.staged(&**row, envelope, topic, partition, timestamp),
        Row::Session(row) => outbox.staged(&**row, envelope, topic, partition, timestamp),
        Row::Metrics(row) => outbox.staged(&**row, envelope, topic, partition, timestamp),
        Row::Log(row) => outbox.staged(&**row, envelope, topic, partition, timestamp),
        Row::Text(row) => outbox.staged(&**row, envelope, topic, partition, timestamp),
    }
}

#[cfg(test)]
mod tests {
    use dbintel_schemas::records::{RawSession, RawText};

    use super::*;
    use crate::delta::Delta;
    use crate::engine::group::INPUTS;
    use crate::engine::processor::{Context, Disposition, Processor, Tick};
    use crate::engine::{ProcessorFactory, StateError};
    use crate::testing::{Bench, Input, factory, framed, query_input, rank, raw_poll, raw_query};
    use crate::text::Text;

    /// Says what time it is: with a session, and at each full ten seconds.
    struct Clock;

    impl Processor for Clock {
        fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
            if let Row::Session(session) = row {
                session.application = Some(context.text(&format!("{} {}", context.now, context.offset)));
            }
            Ok(Disposition::Forwarded)
        }

        fn tick_interval(&self) -> Option<i64> {
            Some(10_000_000)
        }

        fn tick(&mut self, tick: Tick<'_>, context: &mut Context<'_, '_>) -> Result<(), StateError> {
            let message = format!("{} at {}", tick.boundary, context.now);
            let event =
                dbintel_schemas::records::Event { target: tick.target, message: &message, ..Default::default() };
            context.emit(&event, tick.target);
            Ok(())
        }
    }

    /// Texts, readings of statements, sessions and the outcome of each poll; a session of the past and one of the far future.
    fn inputs() -> Vec<Input> {
        let mut inputs = Vec::new();
        for seq in 1..=40_i64 {
            let at = seq * 1_000_000;
            for (number, id) in ["1", "2", "3"].into_iter().enumerate() {
                let offset = (seq - 1) * 3 + number as i64;
                inputs.push(query_input(offset, &raw_query(id, seq, seq * (number as i64 + 1) / 2)));
            }
            let text = RawText {
                poller: "postgresql",
                target: "db1",
                database_id: "16384",
                query_id: if seq % 2 == 0 { "1" } else { "2" },
                fingerprint: Some(if seq % 2 == 0 { "aa" } else { "bb" }),
                text: Some("select ?"),
                ..RawText::default()
            };
            let observed_at = match seq {
                20 => at - 15_000_000,
                30 => at + 86_400_000_000,
                _ => at,
            };
            let session = RawSession { poller: "postgresql", target: "db1", observed_at, ..RawSession::default() };
            let poll = raw_poll(seq, false);
            let mut push = |topic: &str, at: i64, value: Vec<u8>| {
                inputs.push(Input { topic: rank(topic), offset: seq - 1, timestamp: at / 1000, value });
            };
            push("raw.texts", at, framed(&text));
            push("raw.sessions", observed_at, framed(&session));
            push("raw.polls", at, framed(&poll));
        }
        inputs
    }

    fn stage(kind: &str) -> (String, ProcessorFactory) {
        let make = match kind {
            "delta" => factory(Delta::new),
            "text" => factory(Text::new),
            _ => factory(|| Clock),
        };
        (kind.to_owned(), make)
    }

    /// Brings inputs through a group in transactions of some rows, the first of each of which fails once.
    fn run(mut bench: Bench, inputs: &[Input], rows: usize) -> Bench {
        for some in inputs.chunks(rows) {
            bench.push(some);
            bench.process(1 + rows / 2).unwrap();
            bench.rollback();
            bench.push(some);
            bench.process(rows).unwrap();
            bench.commit();
        }
        bench
    }

    /// What one group sends to the next, as that one gets it.
    fn between(bench: &Bench, topic: Topic) -> Vec<Input> {
        let input = |(offset, value): (usize, &[u8])| Input {
            topic: 0,
            offset: offset as i64,
            timestamp: 0,
            value: value.to_vec(),
        };
        bench.values(topic.name()).into_iter().enumerate().map(input).collect()
    }

    #[test]
    fn a_group_for_each_processor_gives_what_one_group_for_all_gives() {
        let (to_text, to_clock) = (Topic::StagedText, Topic::StagedAdaptiveSampler);
        let whole = run(Bench::new(vec![stage("delta"), stage("text"), stage("clock")]), &inputs(), 1000);
        for rows in [3, 17, 1000] {
            let first = run(Bench::of(INPUTS.to_vec(), vec![stage("delta")], Some(to_text)), &inputs(), 1000);
            let rows_of_text = between(&first, to_text);
            let second = run(Bench::of(vec![to_text], vec![stage("text")], Some(to_clock)), &rows_of_text, rows);
            let third = run(Bench::of(vec![to_clock], vec![stage("clock")], None), &between(&second, to_clock), rows);
            for topic in ["enriched.queries", "enriched.sessions", "enriched.texts"] {
                assert!(!whole.values(topic).is_empty(), "{topic}");
                assert_eq!(third.values(topic), whole.values(topic), "{topic}, {rows} rows");
            }
            let events: Vec<&[u8]> = [&second, &third].into_iter().flat_map(|bench| bench.values("events")).collect();
            let mut all = whole.values("events");
            let (ticks, news): (Vec<&[u8]>, Vec<&[u8]>) =
                all.drain(..).partition(|event| String::from_utf8_lossy(event).contains(" at "));
            assert!(ticks.len() >= 3, "{} ticks", ticks.len());
            assert_eq!(events, [news, ticks].concat());
        }
    }

    #[test]
    fn rows_of_another_pipeline_and_of_no_kind_are_told_apart() {
        let first = run(Bench::of(INPUTS.to_vec(), vec![stage("delta")], Some(Topic::StagedText)), &inputs(), 1000);
        let mut rows = between(&first, Topic::StagedText);
        let all = rows.len() as i64;
        let change = |row: &mut Input, envelope: fn(StagedRow<'_>) -> StagedRow<'_>| {
            row.value = framed(&envelope(crate::testing::decoded(&row.value)));
        };
        change(&mut rows[2], |row| StagedRow { pipeline: "other", ..row });
        change(&mut rows[3], |row| StagedRow { kind: "ledger", ..row });
        change(&mut rows[4], |row| StagedRow { row: b"no record", ..row });
        rows[5].value.truncate(12);
        let second = run(Bench::of(vec![Topic::StagedText], vec![stage("text")], None), &rows, 1000);
        let of = |disposition: &str| {
            second.ledger().into_iter().filter(move |line| line.0 == disposition).map(|line| line.2).sum::<i64>()
        };
        assert_eq!(of("quarantined"), 3);
        assert!(second.ledger().contains(&("absorbed".into(), "other_pipeline".into(), 1)));
        assert_eq!(of("forwarded") + of("absorbed") + of("quarantined"), all);
    }
}
