//! Prints how many rows a second of processor time one core decodes and encodes. Run it with `--release`, on Linux.
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::fs;
use std::hint::black_box;

use dbintel_schemas::records::{EnrichedQuery, InstanceEpoch, QueryCounters, RawQuery};
use dbintel_schemas::wire::Schemas;
use dbintel_schemas::{Record, TextMap};

/// Different rows, so that the processor cannot learn one by heart.
const ROWS: u32 = 1024;
const ROUNDS: u32 = 2000;
const REPETITIONS: usize = 3;

const LABELS: [(&str, &str); 2] = [("environment", "production"), ("team", "payments")];

fn main() {
    let raw: Vec<RawQuery<'_>> = (0..ROWS).map(raw_query).collect();
    let enriched: Vec<EnrichedQuery<'_>> = raw.iter().map(enriched_query).collect();
    measure("RawQuery", &raw, |datum| black_box(&RawQuery::decode(datum)).is_ok());
    measure("EnrichedQuery", &enriched, |datum| black_box(&EnrichedQuery::decode(datum)).is_ok());
    measure_foreign(&raw);
}

/// Reads rows of a writer whose schema has one field more.
fn measure_foreign(records: &[RawQuery<'_>]) {
    let fields_end = RawQuery::SCHEMA.rfind(']').expect("a record has fields");
    let more = r#", {"name": "added", "type": "long", "default": 0}"#;
    let schema = [&RawQuery::SCHEMA[..fields_end], more, &RawQuery::SCHEMA[fields_end..]].concat();
    let mut schemas = Schemas::new();
    schemas.insert_registry(1, &schema).expect("the schema is valid");
    let framed = records.iter().map(|record| [&[0, 0, 0, 0, 1], &encoded(record)[..], &[0]].concat());
    let framed: Vec<Vec<u8>> = framed.collect();
    let mut scratch = Vec::new();
    let start = processor_time_ns();
    assert!(framed.iter().all(|bytes| schemas.read::<RawQuery<'_>>(bytes, &mut scratch).is_ok()));
    let each_us = (processor_time_ns() - start) / f64::from(ROWS) / 1e3;
    println!("RawQuery of a foreign schema: {each_us:.1} us a row");
}

fn measure<'a, R: Record<'a>>(name: &str, records: &[R], decode: impl Fn(&[u8]) -> bool) {
    let data: Vec<Vec<u8>> = records.iter().map(encoded).collect();
    let bytes = data.iter().map(Vec::len).sum::<usize>() / data.len();
    for _ in 0..REPETITIONS {
        let decoded = rows_per_second(|| assert!(data.iter().all(|datum| decode(black_box(datum)))));
        let mut out = Vec::new();
        let encoded = rows_per_second(|| {
            for record in records {
                out.clear();
                black_box(record).encode(&mut out);
                black_box(&out);
            }
        });
        println!("{name}: {bytes} bytes, decode {decoded:.2} M rows/s, encode {encoded:.2} M rows/s");
    }
}

fn encoded<'a, R: Record<'a>>(record: &R) -> Vec<u8> {
    let mut datum = Vec::new();
    record.encode(&mut datum);
    datum
}

/// Millions a second.
fn rows_per_second(mut round: impl FnMut()) -> f64 {
    let start = processor_time_ns();
    (0..ROUNDS).for_each(|_| round());
    f64::from(ROUNDS) * f64::from(ROWS) / (processor_time_ns() - start) * 1e3
}

/// Time that this thread has run; what other processes take does not count.
fn processor_time_ns() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0.0)
}

fn raw_query(row: u32) -> RawQuery<'static> {
    RawQuery {
        record_id: *b"0123456789abcdef",
        poller: "postgresql/production",
        target: "orders-primary",
        labels: TextMap::from_slice(&LABELS),
        engine: "postgresql",
        engine_version: "18.1",
        role: "primary",
        instance: InstanceEpoch {
            system_identifier: "7123456789012345678",
            started_at: Some(1_750_000_000_000_000),
            timeline: Some(1),
            statistics_reset_at: Some(1_750_000_000_000_000),
        },
        poll_seq: i64::from(row),
        observed_at: 1_760_000_000_000_000,
        server_time: Some(1_760_000_000_000_123),
        interval_ns: Some(10_000_123_456),
        database: Some("orders"),
        database_id: "16384",
        user: Some("orders_app"),
        user_id: "16385",
        query_id: "-4892374892374892374",
        toplevel: Some(true),
        entry_since_at: Some(1_759_000_000_000_000),
        min_exec_time_ns: Some(12_345),
        max_exec_time_ns: Some(98_765_432),
        counters: counters(row),
        ..RawQuery::default()
    }
}

fn enriched_query(raw: &RawQuery<'static>) -> EnrichedQuery<'static> {
    EnrichedQuery {
        record_id: raw.record_id,
        pipeline: "default",
        origin_offset: 123_456_789,
        poller: raw.poller,
        target: raw.target,
        labels: raw.labels,
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
        delta_valid: true,
        delta: raw.counters,
        ..EnrichedQuery::default()
    }
}

/// Counters of all sizes; about a third of them are zero, and MySQL's are null.
fn counters(row: u32) -> QueryCounters {
    let mut counters = QueryCounters::default();
    let mut random = u64::from(row).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // What PostgreSQL before 18 tells.
    for index in 0..25 {
        random = random.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        let is_zero = (random >> 40).is_multiple_of(3);
        let size = 16 + (random >> 56) % 46;
        counters.set(index, Some(if is_zero { 0 } else { (random >> size).cast_signed() >> 2 }));
    }
    counters
}
