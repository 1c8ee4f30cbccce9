//! What has to come out: deltas and sampling of the same rows by a plain hash map, knowing nothing of the processors. Each output
//! of a run is compared with it, field by field.

use std::collections::HashMap;
use std::sync::LazyLock;

use dbintel_bus::{Bus, Start, topic_name};
use dbintel_schemas::Topic;
use dbintel_schemas::record_id::hash128;
use dbintel_schemas::records::{EnrichedQuery, QueryCounters, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_tests::books::{read_all, read_from};

use crate::engine::Chain;
use crate::measure::Outcome;
use crate::workload::PARTITIONS;

static SCHEMAS: LazyLock<Schemas> = LazyLock::new(Schemas::new);

type Values = [Option<i64>; QueryCounters::FIELDS.len()];

/// Where the outputs of the next run begin, for each partition.
pub fn ends(bus: &dyn Bus) -> Outcome<Vec<i64>> {
    let topic = topic_name(Topic::EnrichedQueries);
    (0..PARTITIONS).map(|partition| Ok(bus.offsets(&topic, partition)?.end)).collect()
}

/// Compares all outputs from these offsets on with what has to come out, and gives their number.
pub fn check(bus: &dyn Bus, chain: Chain, from: &[i64]) -> Outcome<u64> {
    let mut rows = 0;
    for (partition, from) in (0..PARTITIONS).zip(from) {
        rows += check_partition(bus, chain, partition, *from)
            .map_err(|error| format!("{chain:?}, partition {partition}, outputs from {from}: {error}"))?;
    }
    Ok(rows)
}

fn check_partition(bus: &dyn Bus, chain: Chain, partition: u32, from: i64) -> Outcome<u64> {
    let mut outputs = read_from(bus, Topic::EnrichedQueries, partition, Start::Offset(from)).into_iter();
    let (mut seen, mut rows) = (HashMap::new(), 0);
    for input in read_all(bus, Topic::RawQueries, partition) {
        let mut scratch = Vec::new();
        let raw: RawQuery<'_> = SCHEMAS.read(&input.value, &mut scratch)?;
        let Some(expected) = expect(&raw, input.offset, chain, &mut seen) else { continue };
        let Some(output) = outputs.next() else {
            return Err(format!("the output of offset {} is missing", input.offset).into());
        };
        let mut scratch = Vec::new();
        let found: EnrichedQuery<'_> = SCHEMAS.read(&output.value, &mut scratch)?;
        if found != expected {
            return Err(format!("offset {}: {found:?} instead of {expected:?}", output.offset).into());
        }
        rows += 1;
    }
    match outputs.next() {
        None => Ok(rows),
        Some(more) => Err(format!("an output too many at offset {}", more.offset).into()),
    }
}

/// A statement so far.
struct Seen {
    counters: Values,
    total: Values,
}

/// What comes out for a row, if anything does.
fn expect<'a>(
    raw: &RawQuery<'a>,
    offset: i64,
    chain: Chain,
    seen: &mut HashMap<String, Seen>,
) -> Option<EnrichedQuery<'a>> {
    let mut row = enriched(raw, offset);
    if chain == Chain::Pass {
        return Some(row);
    }
    let now: Values = std::array::from_fn(|index| raw.counters.get(index));
    let key = format!("{} {}", raw.target, raw.query_id);
    let Some(before) = seen.get_mut(&key) else {
        seen.insert(key, Seen { counters: now, total: [None; QueryCounters::FIELDS.len()] });
        return None;
    };
    let delta: Values = std::array::from_fn(|index| Some(now[index]? - before.counters[index]?));
    before.counters = now;
    if delta.iter().flatten().all(|delta| *delta == 0) {
        return None;
    }
    row.delta_valid = delta.iter().flatten().all(|delta| *delta >= 0);
    if row.delta_valid {
        for (total, delta) in before.total.iter_mut().zip(delta) {
            // Unknown until there is something to add.
            *total = delta.map(|delta| total.unwrap_or(0) + delta);
        }
        row.delta = QueryCounters::of_values(delta);
        row.mean_exec_time_ns = mean(&row.delta);
    } else {
        row.delta_reason = Some("eviction");
    }
    row.total = QueryCounters::of_values(before.total);
    let is_kept = chain == Chain::Delta || !row.delta_valid || sample(&mut row);
    is_kept.then_some(row)
}

/// The enriched form of a row: everything but what is computed.
pub fn enriched<'a>(raw: &RawQuery<'a>, offset: i64) -> EnrichedQuery<'a> {
    EnrichedQuery {
        record_id: raw.record_id,
        pipeline: "main",
        origin_offset: offset,
        poller: raw.poller,
        target: raw.target,
        engine: raw.engine,
        engine_version: raw.engine_version,
        role: raw.role,
        instance: raw.instance,
        observed_at: raw.observed_at,
        interval_ns: raw.interval_ns,
        database: raw.database,
        database_id: raw.database_id,
        user: raw.user,
        user_id: raw.user_id,
        query_id: raw.query_id,
        toplevel: raw.toplevel,
        min_exec_time_ns: raw.min_exec_time_ns,
        max_exec_time_ns: raw.max_exec_time_ns,
        cumulative_mean_exec_time_ns: mean(&raw.counters),
        ..EnrichedQuery::default()
    }
}

fn mean(counters: &QueryCounters) -> Option<i64> {
    Some(counters.total_exec_time_ns()? / counters.calls()?)
}

/// The eight rules of the bench as code, and the coin: 56 bits of a hash of the record and the salt, here the default one.
fn sample(row: &mut EnrichedQuery<'_>) -> bool {
    let ms = |ns: Option<i64>| ns.unwrap_or(0) as f64 / 1e6;
    let count = |value: Option<i64>| value.unwrap_or(0);
    let delta = &row.delta;
    let rules = [
        ("slow", ms(row.mean_exec_time_ns) > 100_000.0, 1.0),
        ("slower", ms(delta.total_exec_time_ns()) > 100_000.0, 1.0),
        ("reads", count(delta.shared_blks_read()) > 550, 0.5),
        ("writes", count(delta.shared_blks_written()) > 1000, 1.0),
        ("temporary", count(delta.temp_blks_written()) > 0, 1.0),
        ("io", ms(delta.blk_read_time_ns()) + ms(delta.blk_write_time_ns()) > 100_000.0, 1.0),
        ("rows", count(delta.rows()) > 100_000, 1.0),
        ("wal", count(delta.wal_bytes()) > 1_000_000, 1.0),
        ("default", true, 0.1),
    ];
    let (rule, _, probability) = rules.into_iter().find(|(_, is_true, _)| *is_true).expect("the last one is true");
    let hash = hash128(&[&row.record_id, b"dbintel"]);
    let coin = (u128::from_le_bytes(hash) as u64 >> 8) as i64;
    row.sampling_rule = Some(rule);
    row.sampling_probability = probability;
    row.sampling_randomness = Some(coin);
    row.sampling_weight = 1.0 / probability;
    (coin as f64) < probability * 2f64.powi(56)
}
