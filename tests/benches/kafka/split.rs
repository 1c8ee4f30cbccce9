//! The whole pipeline with a group for each processor, all in one process, one worker each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{Bus, planned_topics, topic_name};
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::StoreMemory;
use dbintel_processors::engine::{Group, GroupConfig, Metrics, Pipeline};
use dbintel_schemas::Topic;
use prometheus::core::Collector as _;

use crate::engine::{Chain, pipeline};
use crate::measure::{Meter, Outcome};
use crate::workload::PARTITIONS;

/// Runs the groups until the last one has done everything.
pub fn run(bus: Arc<dyn Bus>, state: &Path, name: &str) -> Outcome<Meter> {
    let stages = [Topic::StagedText, Topic::StagedAdaptiveSampler];
    let names: Vec<String> = (0..=stages.len()).map(|number| format!("{name}-{number}")).collect();
    let readers = stages.iter().filter_map(|topic| topic.stage()).map(|kind| format!("dbintel.{kind}"));
    let groups: Vec<String> = names.iter().cloned().chain(readers).collect();
    bus.create_topics(&planned_topics(PARTITIONS, &groups.iter().map(String::as_str).collect::<Vec<_>>()))?;
    // What another round has left there.
    for (topic, partition) in stages.iter().flat_map(|topic| (0..PARTITIONS).map(move |partition| (topic, partition))) {
        let topic = topic_name(*topic);
        bus.trim(&topic, partition, bus.offsets(&topic, partition)?.end)?;
    }
    let whole = pipeline(Chain::Whole)?;
    let mut running = Vec::new();
    for (number, processor) in whole.processors.iter().enumerate() {
        let part = Pipeline { processors: vec![processor.clone()], next: stages.get(number).copied(), ..whole.clone() };
        let mut config = GroupConfig::new(&names[number], vec![part], state.to_path_buf());
        config.inputs = if number == 0 { INPUTS.to_vec() } else { vec![stages[number - 1]] };
        let metrics = Metrics::register(&prometheus::Registry::new(), &names[number])?;
        let stores = StoreMemory::new(16 << 20).stores();
        running.push((Group::start(config, Arc::clone(&bus), metrics.clone(), stores)?, metrics));
    }
    while !running.iter().all(|(group, _)| group.readiness()()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut meter = Meter::default();
    meter.begin();
    let input = [topic_name(INPUTS[1])];
    let ends = |partition| Ok(bus.offsets(&input[0], partition)?.stable_end);
    let rows: i64 = (0..PARTITIONS).map(ends).sum::<Outcome<i64>>()?;
    let is_done = |number: usize| rows_of(&running[number].1, "") == rows_of(&running[number - 1].1, "forwarded");
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let committed: i64 = bus.committed(&names[0], &input)?.iter().map(|position| position.next_offset).sum();
        if committed >= rows && (1..running.len()).all(is_done) {
            break;
        }
    }
    let last = &running[running.len() - 1].1;
    (meter.rows, meter.commits) = (rows as u64, last.commits.get());
    meter.committing = Duration::from_secs_f64(last.commit_seconds.get_sample_sum());
    let meter = meter.end();
    eprintln!("{name}: {} rows forwarded", rows_of(last, "forwarded"));
    running.into_iter().for_each(|(group, _)| group.stop());
    Ok(meter)
}

/// Rows of a group with a disposition that begins so.
fn rows_of(metrics: &Metrics, disposition: &str) -> u64 {
    let is_meant = |metric: &&prometheus::proto::Metric| {
        let mut labels = metric.get_label().iter().filter(|label| label.name() == "disposition");
        labels.any(|label| label.value().starts_with(disposition))
    };
    let families = metrics.rows.collect();
    let counted = families.iter().flat_map(|family| family.get_metric());
    counted.filter(is_meant).map(|metric| metric.get_counter().get_value() as u64).sum()
}
