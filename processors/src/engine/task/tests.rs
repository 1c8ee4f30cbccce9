//! A task without a bus: books, poison, ticks, rollback and the rolling checkpoint.

use std::collections::BTreeMap;

use dbintel_schemas::offset_set::OffsetSet;
use dbintel_schemas::records::{EnrichedQuery, Event, LedgerEntry, Quarantined, RawText};

use super::*;
use crate::delta::Delta;
use crate::engine::group::INPUTS;
use crate::engine::processor::{Context, Processor, Tick};
use crate::engine::state::{StateValue, Table};
use crate::testing::{Bench, Input, decoded, factory, framed, query_input, rank, raw_poll, raw_query};
use crate::text::Text;

fn delta() -> (String, crate::engine::ProcessorFactory) {
    ("delta".into(), factory(Delta::new))
}

/// `polls` polls of `statements` statements, each of which moves in each poll.
fn inputs(statements: i64, polls: std::ops::RangeInclusive<i64>) -> Vec<Input> {
    let ids: Vec<String> = (0..statements).map(|id| format!("{id}")).collect();
    let reading =
        |seq: i64, id: usize| query_input((seq - 1) * statements + id as i64, &raw_query(&ids[id], seq, seq * 10));
    polls.flat_map(|seq| (0..ids.len()).map(move |id| (seq, id))).map(|(seq, id)| reading(seq, id)).collect()
}

/// What became of each offset of `raw.queries`, from the ledger; panics when one is there twice.
fn dispositions(bench: &Bench) -> BTreeMap<i64, String> {
    let mut found = BTreeMap::new();
    for value in bench.values("ledger") {
        let entry = decoded::<LedgerEntry<'_>>(value);
        for input in entry.inputs.iter().filter(|input| input.topic == "raw.queries") {
            for line in input.dispositions.iter() {
                for offset in OffsetSet::decode(input.first_offset, line.offsets).unwrap().iter() {
                    assert!(
                        found.insert(offset, line.disposition.to_owned()).is_none(),
                        "offset {offset} is there twice"
                    );
                }
            }
        }
    }
    found
}

#[test]
fn each_offset_has_one_disposition_and_each_forwarded_one_one_output() {
    let mut bench = Bench::new(vec![delta()]);
    for polls in [1..=3, 4..=4, 5..=9] {
        bench.push(&inputs(20, polls));
        bench.process(7).unwrap();
        bench.commit();
    }
    let dispositions = dispositions(&bench);
    assert_eq!(dispositions.keys().copied().collect::<Vec<_>>(), (0..180).collect::<Vec<_>>());
    let forwarded: Vec<i64> =
        dispositions.iter().filter(|(_, name)| *name == "forwarded").map(|(offset, _)| *offset).collect();
    let origins: Vec<i64> = bench
        .values("enriched.queries")
        .into_iter()
        .map(|value| decoded::<EnrichedQuery<'_>>(value).origin_offset)
        .collect();
    assert_eq!(origins, forwarded);
    let sequence: Vec<i64> =
        bench.values("ledger").into_iter().map(|value| decoded::<LedgerEntry<'_>>(value).commit_seq).collect();
    assert_eq!(sequence, [1, 2, 3]);
}

#[test]
fn an_aborted_transaction_leaves_no_trace() {
    let mut bench = Bench::new(vec![delta()]);
    bench.push(&inputs(5, 1..=2));
    bench.process(100).unwrap();
    bench.rollback();
    assert!(bench.sent.is_empty() && bench.changelog.is_empty());
    bench.push(&inputs(5, 1..=2));
    assert_eq!(bench.process(100).unwrap(), 10);
    bench.commit();
    assert_eq!(bench.values("enriched.queries").len(), 5);
}

#[test]
fn bytes_that_are_no_record_go_to_quarantine_and_the_flow_goes_on() {
    let mut bench = Bench::new(vec![delta()]);
    let mut inputs = inputs(2, 1..=2);
    let whole = inputs[1].value.clone();
    inputs[1].value = vec![0xff, 1, 2, 3];
    inputs[2].value = whole[..whole.len() - 5].to_vec();
    bench.push(&inputs);
    assert_eq!(bench.process(100).unwrap(), 4);
    bench.commit();
    let refused: Vec<Quarantined<'_>> = bench.values("quarantine").into_iter().map(decoded).collect();
    let seen: Vec<_> = refused.iter().map(|record| (record.offset, record.reason, record.value.unwrap())).collect();
    assert_eq!(seen, [(1, "decode", &inputs[1].value[..]), (2, "decode", &inputs[2].value[..])]);
    assert!(refused[0].detail.contains("0xff"), "{}", refused[0].detail);
    assert_eq!((refused[0].topic, refused[0].pipeline, refused[0].group), ("raw.queries", "main", "dbintel.test"));
}

#[test]
fn a_schema_that_is_not_known_holds_the_rows_behind_it() {
    let mut bench = Bench::new(vec![delta()]);
    let mut inputs = inputs(3, 1..=1);
    inputs[1].value[2..10].copy_from_slice(&[7; 8]);
    bench.push(&inputs);
    let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| bench.process(100)));
    let message = *held.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("Fingerprint"), "{message}");
    bench.commit();
    assert_eq!(dispositions(&bench).len(), 1, "only the row before it was processed");
}

/// Panics on one statement.
struct Fragile;

impl Processor for Fragile {
    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        match row {
            Row::RawQuery(raw) if raw.query_id == "1" && raw.poll_seq == 2 => panic!("on purpose"),
            _ => Ok(Disposition::Forwarded),
        }
    }
}

#[test]
fn a_record_that_makes_a_processor_panic_is_quarantined_alone() {
    let mut bench = Bench::new(vec![("fragile".into(), factory(|| Fragile)), delta()]);
    let inputs = inputs(3, 1..=3);
    bench.push(&inputs);
    let error = bench.process(100).unwrap_err().to_string();
    assert_eq!(error, "a processor panicked at raw.queries offset 4");
    bench.rollback();
    bench.push(&inputs);
    assert_eq!(bench.process(100).unwrap(), 9);
    bench.commit();
    let refused: Vec<Quarantined<'_>> = bench.values("quarantine").into_iter().map(decoded).collect();
    assert_eq!(refused.iter().map(|record| (record.offset, record.reason)).collect::<Vec<_>>(), [(4, "panic")]);
    assert_eq!(dispositions(&bench).values().filter(|name| *name == "forwarded").count(), 5);
}

/// Counts the rows of a target and tells the count at each tick.
struct Ticking {
    rows: Table<Count>,
}

#[derive(Clone)]
struct Count(u64);

impl StateValue for Count {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        Ok(Self(u64::from_le_bytes(bytes.try_into().unwrap())))
    }
}

impl Processor for Ticking {
    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.rows]
    }

    fn process<'a>(&mut self, row: &mut Row<'a>, _: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        let Row::RawQuery(raw) = row else { return Ok(Disposition::Forwarded) };
        let rows = self.rows.get(raw.target.as_bytes())?.map_or(0, |count| count.0);
        self.rows.insert(raw.target.as_bytes(), Count(rows + 1))?;
        Ok(Disposition::Absorbed("counted"))
    }

    fn tick_interval(&self) -> Option<i64> {
        Some(10_000_000)
    }

    fn tick(&mut self, tick: Tick<'_>, context: &mut Context<'_, '_>) -> Result<(), StateError> {
        let rows = self.rows.get(tick.target.as_bytes())?.map_or(0, |count| count.0);
        let message = format!("{rows} rows at {}", tick.boundary / 1_000_000);
        context.emit(&Event { target: tick.target, message: &message, ..Event::default() }, tick.target);
        Ok(())
    }
}

#[test]
fn ticks_come_between_the_rows_whatever_the_batches() {
    for limit in [1, 5, 100] {
        let mut bench = Bench::new(vec![("ticking".into(), factory(|| Ticking { rows: Table::new("rows") }))]);
        bench.push(&inputs(2, 1..=25));
        bench.process(limit).unwrap();
        bench.commit();
        let told: Vec<&str> =
            bench.values("events").into_iter().map(|value| decoded::<Event<'_>>(value).message).collect();
        assert_eq!(told, ["18 rows at 10", "38 rows at 20"], "limit {limit}");
    }
}

#[test]
fn the_checkpoint_lets_old_changelog_go_and_the_rest_is_enough() {
    let mut bench = Bench::new(vec![delta()]);
    let statements = 2000;
    // Statements that never move again are in the rest only because the checkpoint rewrites them.
    bench.push(&inputs(statements, 1..=1));
    bench.process(10_000).unwrap();
    bench.commit();
    for seq in 2..=200 {
        let moving: Vec<Input> = inputs(statements, seq..=seq).into_iter().take(500).collect();
        bench.push(&moving);
        bench.process(10_000).unwrap();
        bench.commit();
    }
    assert!(bench.restore_from > 0, "a cycle of the checkpoint is over after {} parts", bench.changelog.len());
    let rest: usize = bench.changelog[bench.restore_from as usize..].iter().map(Vec::len).sum();
    let whole: usize = bench.changelog.iter().map(Vec::len).sum();
    assert!(rest * 2 < whole, "{rest} of {whole} bytes are still needed");

    let mut moved = bench.moved();
    moved.push(&inputs(statements, 201..=201));
    moved.process(10_000).unwrap();
    moved.commit();
    let last = moved.values("enriched.queries").split_off(199 * 500);
    let deltas: Vec<i64> =
        last.into_iter().map(|value| decoded::<EnrichedQuery<'_>>(value).delta.calls().unwrap()).collect();
    let expected: Vec<i64> = (0..2000).map(|id| if id < 500 { 10 } else { 2000 }).collect();
    assert_eq!(deltas, expected, "every baseline came back");
}

/// Parts of a changelog as format 3 has them, each behind its length (32 bits, little-endian): `recorded().changelog`. A format that
/// follows gets a file of its own beside it.
const RECORDED: &[u8] = include_bytes!("../../../testdata/changelog-3.bin");

/// What the recorded changelog came of: statements with texts, a poll, a session of each of three polls.
fn recorded() -> Bench {
    let mut bench = Bench::new(vec![delta(), ("text".into(), factory(Text::new))]);
    for seq in 1..=3 {
        let text = RawText {
            poller: "postgresql",
            target: "db1",
            database_id: "16384",
            query_id: "1",
            fingerprint: Some("00112233445566778899aabbccddeeff"),
            verb: Some("SELECT"),
            text: Some("SELECT ?"),
            ..RawText::default()
        };
        let input = |topic, offset, value| Input { topic: rank(topic), offset, timestamp: seq * 1000, value };
        bench.push(&[input("raw.texts", seq - 1, framed(&text))]);
        bench.push(&inputs(4, seq..=seq));
        bench.push(&[input("raw.polls", seq - 1, framed(&raw_poll(seq, seq == 2)))]);
        bench.process(100).unwrap();
        bench.commit();
    }
    bench
}

#[test]
fn a_changelog_that_a_release_wrote_is_read_for_ever() {
    let mut bench = Bench::new(vec![delta(), ("text".into(), factory(Text::new))]);
    let mut rest = RECORDED;
    while let Some((length, parts)) = rest.split_first_chunk::<4>() {
        let (part, behind) = parts.split_at(u32::from_le_bytes(*length) as usize);
        bench.changelog.push(part.to_vec());
        rest = behind;
    }
    let mut goes_on = bench.moved();
    let mut today = recorded();
    for bench in [&mut goes_on, &mut today] {
        bench.push(&inputs(4, 4..=4));
        bench.process(100).unwrap();
        bench.commit();
    }
    let last = |bench: &Bench| {
        bench.values("enriched.queries").into_iter().rev().take(4).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    assert_eq!(last(&goes_on), last(&today));
    assert_eq!(decoded::<EnrichedQuery<'_>>(&last(&goes_on)[3]).delta.calls(), Some(10));
    let fingerprints =
        last(&goes_on).iter().filter(|value| decoded::<EnrichedQuery<'_>>(value).fingerprint.is_some()).count();
    assert_eq!(fingerprints, 1, "the text of one statement is known");
}

#[test]
fn the_store_is_never_ahead_of_the_last_commit() {
    let mut bench = Bench::new(vec![delta()]);
    bench.push(&inputs(80_000, 1..=1));
    bench.process(10_000).unwrap();
    assert_eq!(bench.store().place().unwrap(), None, "nothing is written before the commit");
    bench.commit();
    bench.push(&inputs(80_000, 2..=2));
    bench.process(10_000).unwrap();
    bench.rollback();
    let place = bench.store().place().unwrap().unwrap();
    assert_eq!((place.marker.commit_seq, place.changelog_next as usize), (1, bench.changelog.len()));
}

#[test]
fn a_topic_rank_exists_for_each_input() {
    assert_eq!(INPUTS.map(|topic| rank(topic.name())), [0, 1, 2, 3, 4, 5]);
}
