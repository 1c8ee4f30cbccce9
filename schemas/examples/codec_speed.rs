//! Prints how many rows a second of processor time one core decodes and encodes. Run it with `--release`, on Linux.
#![expect(clippy::print_stdout, reason = "it prints its result")]

use std::fs;
use std::hint::black_box;

use dbintel_schemas::records::{EnrichedQuery, InstanceEpoch, QueryCounters, RawQuery};
use dbintel_schemas::{Record, TextMap};

/// Different rows, so that the processor cannot learn one by heart.
const ROWS: i64 = 1024;
const ROUNDS: u32 = 2000;
const REPETITIONS: usize = 3;

const LABELS: [(&str, &str); 2] = [("environment", "production"), ("team", "payments")];

fn main() {
    let raw: Vec<RawQuery<'_>> = (0..ROWS).map(raw_query).collect();
    let enriched: Vec<EnrichedQuery<'_>> = raw.iter().map(enriched_query).collect();
    measure("RawQuery", &raw);
    measure("EnrichedQuery", &enriched);
}

fn measure<R: for<'a> Reread<'a>>(name: &str, records: &[R]) {
    let data: Vec<Vec<u8>> = records.iter().map(encoded).collect();
    let bytes = data.iter().map(Vec::len).sum::<usize>() / data.len();
    for _ in 0..REPETITIONS {
        let decoded = rows_per_second(|| data.iter().for_each(|datum| R::reread(black_box(datum))));
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

fn rows_per_second(mut round: impl FnMut()) -> f64 {
    let start = processor_time_ns();
    (0..ROUNDS).for_each(|_| round());
    f64::from(ROUNDS) * ROWS as f64 / (processor_time_ns() - start) * 1e3
}

/// Time that this thread has run; what other processes take does not count.
fn processor_time_ns() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0.0)
}

fn raw_query() -> RawQuery<'static> {
    RawQuery {
        record_id: *b"0123456789abcdef",
        poller: "postgresql/production",
        target: "orders-primary",
        labels: TextMap::from_slice(&LABELS),
        engine: "postgresql",
        engine_version: "18.1",
        role: "primary",
        instance: instance(),
        poll_seq: 123_456,
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
        counters: counters(1),
        ..RawQuery::default()
    }
}

fn enriched_query() -> EnrichedQuery<'static> {
    let raw = raw_query();
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
        delta: counters(1000),
        ..EnrichedQuery::default()
    }
}

fn instance() -> InstanceEpoch<'static> {
    InstanceEpoch {
        system_identifier: "7123456789012345678",
        started_at: Some(1_750_000_000_000_000),
        timeline: Some(1),
        statistics_reset_at: Some(1_750_000_000_000_000),
    }
}

/// Counters of a busy statement, over `scale`; about a third of them are zero, and MySQL's are null.
fn counters(scale: i64) -> QueryCounters {
    let mut counters = QueryCounters::default();
    for index in 0..QueryCounters::FIELDS.len() - 3 {
        let value = if index % 3 == 2 { 0 } else { 7_i64.pow(u32::try_from(index % 14).unwrap_or(0)) / scale };
        counters.set(index, Some(value));
    }
    counters
}
