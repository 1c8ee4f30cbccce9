//! The engine on the workload: how long a group takes from its assignment to the last commit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, planned_topics, topic_name};
use dbintel_config::{Document, Environment};
use dbintel_processors::adaptive_sampler::{AdaptiveSampler, Config};
use dbintel_processors::delta::Delta;
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{
    Context, Disposition, Group, GroupConfig, Metrics, Pipeline, Processor, ProcessorFactory, Row, StateError,
};
use dbintel_processors::text::Text;

use crate::measure::{Meter, Outcome};
use crate::oracle::enriched;
use crate::workload::PARTITIONS;

/// Eight numeric rules: with the default rate about 12 % of the rows are kept.
const RULES: &str = "default_sampling_rate: 10
rules:
  - {name: slow, condition: mean_exec_time > 100000, sampling_rate: 100, priority: 1}
  - {name: slower, condition: total_exec_time > 100000, sampling_rate: 100, priority: 2}
  - {name: reads, condition: shared_blks_read > 550, sampling_rate: 50, priority: 3}
  - {name: writes, condition: shared_blks_written > 1000, sampling_rate: 100, priority: 4}
  - {name: temporary, condition: temp_blks_written > 0, sampling_rate: 100, priority: 5}
  - {name: io, condition: (blk_read_time + blk_write_time) > 100000, sampling_rate: 100, priority: 6}
  - {name: rows, condition: rows > 100000, sampling_rate: 100, priority: 7}
  - {name: wal, condition: wal_bytes > 1000000, sampling_rate: 100, priority: 8}
";

/// What stands in the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// Nothing is computed: every row is written, without state.
    Pass,
    /// `delta` alone: every row with a delta is written.
    Delta,
    /// `delta` and `adaptive_sampler`.
    Sampling,
    /// All that a query goes through.
    Whole,
}

/// The pipeline of a chain.
pub fn pipeline(chain: Chain) -> Outcome<Pipeline> {
    Ok(Pipeline { name: "main".into(), pollers: vec!["postgresql".into()], processors: processors(chain)?, next: None })
}

fn processors(chain: Chain) -> Outcome<Vec<(String, ProcessorFactory)>> {
    let document = Document::from_text("rules.yaml", RULES, &Environment::empty())?;
    let rules = Arc::new(document.read(Config::read)?.config);
    let delta: (String, ProcessorFactory) = ("delta".into(), Arc::new(|| Box::new(Delta::new())));
    let text: (String, ProcessorFactory) = ("text".into(), Arc::new(|| Box::new(Text::new())));
    let sampler: (String, ProcessorFactory) =
        ("adaptive_sampler".into(), Arc::new(move || Box::new(AdaptiveSampler::new(Arc::clone(&rules)))));
    let pass: (String, ProcessorFactory) = ("pass".into(), Arc::new(|| Box::new(Pass)));
    Ok(match chain {
        Chain::Pass => vec![pass],
        Chain::Delta => vec![delta],
        Chain::Sampling => vec![delta, sampler],
        Chain::Whole => vec![delta, text, sampler],
    })
}

/// What the engine itself costs.
struct Pass;

impl Processor for Pass {
    fn process<'a>(&mut self, row: &mut Row<'a>, context: &mut Context<'a, '_>) -> Result<Disposition, StateError> {
        if let Row::RawQuery(raw) = row {
            *row = Row::Query(context.arena().alloc(enriched(raw, context.offset)));
        }
        Ok(Disposition::Forwarded)
    }
}

/// Runs a group of this name until it has done everything.
pub fn run(bus: Arc<dyn Bus>, state: &Path, group: &str, chain: Chain, workers: usize) -> Outcome<Meter> {
    bus.create_topics(&planned_topics(PARTITIONS, &[group]))?;
    let mut config = GroupConfig::new(group, vec![pipeline(chain)?], state.to_path_buf());
    config.workers = workers;
    let metrics = Metrics::register(&prometheus::Registry::new(), group)?;
    let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let rows: i64 =
        (0..PARTITIONS).map(|partition| Ok(bus.offsets(&topics[1], partition)?.stable_end)).sum::<Outcome<i64>>()?;
    let running = Group::start(config, Arc::clone(&bus), metrics.clone(), StoreMemory::new(64 << 20).stores())?;
    let ready = running.readiness();
    while !ready() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut meter = Meter::default();
    meter.begin();
    let done = || metrics.rows.with_label_values(&["main", "forwarded", ""]).get();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let committed = bus.committed(group, &topics[1..2])?;
        if committed.iter().map(|position| position.next_offset).sum::<i64>() >= rows {
            break;
        }
    }
    (meter.rows, meter.commits) = (rows as u64, metrics.commits.get());
    meter.committing = Duration::from_secs_f64(metrics.commit_seconds.get_sample_sum());
    let meter = meter.end();
    running.stop();
    eprintln!("{group}: {} rows forwarded", done());
    Ok(meter)
}
