//! A group for each processor: faults between them lose nothing, and what comes out is what one group for all gives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_processors::engine::group::INPUTS;
use dbintel_schemas::Topic;
use dbintel_schemas::records::EnrichedQuery;
use dbintel_schemas::wire::Schemas;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::{books, wait};
use serde_json::Value;

use super::{SESSION_TIMEOUT, Scene, end, sample};
use crate::cli_rig::{FREE_PORTS, LIMIT, Running, json_lines, run, said, text};
use crate::engine::{PIPELINE, send_raw, wait_until_caught_up, wait_until_group_caught_up};

const PARTITIONS: u32 = 4;
const GROUPS: [&str; 3] = ["dbintel.delta", "dbintel.text", "dbintel.adaptive_sampler"];

/// The scene's configuration with a sampler, for this pipeline and layout.
fn configuration(scene: &Scene, layout: &str, pipeline: &str) -> PathBuf {
    let content = std::fs::read_to_string(&scene.configuration).unwrap();
    let plain = format!("pipelines: {{{PIPELINE}: {{pollers: [postgresql]}}}}");
    let sampled = format!(
        "processors: {{adaptive_sampler: {{default_sampling_rate: 40}}}}
pipelines: {{{pipeline}: {{pollers: [postgresql], processors: [adaptive_sampler]}}}}"
    );
    let service = format!("service: {{layout: {layout}, ");
    assert!(content.contains(&plain) && content.contains("service: {"));
    let content = content.replace(&plain, &sampled).replace("service: {", &service);
    let written = scene.scratch.write(&format!("{layout}.yaml"), &content);
    said(&["topics", "create", "--config", text(&written)], &[]);
    written
}

/// A process with these groups; all if there are none.
fn start(scene: &Scene, configuration: &Path, state: &str, groups: &[&str]) -> Running {
    let state = scene.scratch.path().join(state);
    let flags = groups.iter().flat_map(|group| ["--group", group]);
    let arguments: Vec<&str> =
        ["processor", "--config", text(configuration)].into_iter().chain(FREE_PORTS).chain(flags).collect();
    let mut running = Running::start(&arguments, &[("DBINTEL_STATE_DIRECTORY", text(&state))]);
    running.port("health");
    running
}

/// Waits until a process has made a commit more in this group.
fn wait_until_busy(running: &mut Running, group: &str) {
    let (port, label) = (running.port("metrics"), format!("group=\"{group}\""));
    let commits = || sample(port, "dbintel_processor_commits_total", &label);
    let wanted = commits() + 1.0;
    running.process.wait_until(|_| sample(port, "dbintel_processor_partitions", &label) > 0.0 && commits() >= wanted);
}

fn wait_until_all_caught_up(scene: &Scene) {
    wait_until_group_caught_up(&*scene.bus, GROUPS[0], &INPUTS, PARTITIONS);
    wait_until_group_caught_up(&*scene.bus, GROUPS[1], &[Topic::StagedText], PARTITIONS);
    wait_until_group_caught_up(&*scene.bus, GROUPS[2], &[Topic::StagedAdaptiveSampler], PARTITIONS);
}

fn verify(configuration: &Path) -> Value {
    let ended = run(&["ledger", "verify", "--json", "--config", text(configuration)], &[]);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Rows of a group and pipeline with a disposition, over all partitions.
fn sum(report: &Value, group: &str, what: &str) -> u64 {
    let all = report["partitions"].as_array().unwrap().iter();
    all.filter(|of| of["group"] == group).map(|of| of[what].as_u64().unwrap()).sum()
}

/// The outputs of a pipeline by partition and origin, without its name.
fn outputs(scene: &Scene, pipeline: &str) -> BTreeMap<(u32, i64), String> {
    let schemas = Schemas::new();
    let mut found = BTreeMap::new();
    for partition in 0..PARTITIONS {
        for record in books::read_all(&*scene.bus, Topic::EnrichedQueries, partition) {
            let mut scratch = Vec::new();
            let row: EnrichedQuery<'_> = schemas.read(&record.value, &mut scratch).unwrap();
            if row.pipeline == pipeline {
                let shown = format!("{:?}", EnrichedQuery { pipeline: "", ..row });
                assert!(found.insert((partition, row.origin_offset), shown).is_none(), "twice");
            }
        }
    }
    found
}

#[test]
fn a_group_for_each_processor_survives_faults_and_gives_what_one_group_gives() {
    let scene = Scene::new(PARTITIONS, 100);
    let split = configuration(&scene, "split", PIPELINE);
    let flow = scene.flow(1, Duration::from_millis(200));
    let mut whole = start(&scene, &split, "whole", &[]);
    let mut part = start(&scene, &split, "part", &["text", "dbintel.adaptive_sampler"]);
    GROUPS.iter().for_each(|group| wait_until_busy(&mut whole, group));
    GROUPS[1..].iter().for_each(|group| wait_until_busy(&mut part, group));

    whole.process.kill9();
    wait_until_busy(&mut part, GROUPS[1]);
    let mut whole = start(&scene, &split, "whole", &[]);
    GROUPS.iter().for_each(|group| wait_until_busy(&mut whole, group));
    part.process.sigstop();
    std::thread::sleep(SESSION_TIMEOUT * 2);
    part.process.sigcont();
    part.process.kill9();
    let mut part = start(&scene, &split, "elsewhere", &["text"]);
    wait_until_busy(&mut part, GROUPS[1]);
    GROUPS.iter().for_each(|group| wait_until_busy(&mut whole, group));
    flow.stop();
    wait_until_all_caught_up(&scene);
    end(&mut part);
    end(&mut whole);

    let report = verify(&split);
    assert_eq!(report["balances"], true, "{report:#}");
    let of = |group: usize, what: &str| sum(&report, GROUPS[group], what);
    assert!(of(0, "absorbed") > 0 && of(2, "sampled_out") > 0 && of(2, "forwarded") > 0, "{report:#}");
    assert_eq!((of(0, "forwarded"), of(1, "forwarded")), (of(1, "records"), of(2, "records")), "{report:#}");
    let known = json_lines(&said(&["group", "show", "--json", "--config", text(&split)], &[]));
    assert!(GROUPS.iter().all(|group| known.iter().any(|line| line["group"] == *group)), "{known:?}");

    // The same rows, in one group.
    let compact = configuration(&scene, "compact", "reference");
    let refused = run(&["processor", "--config", text(&compact)], &[]);
    assert!(refused.code == Some(1) && refused.stderr.contains("has never run and dbintel.delta has"), "{refused:?}");
    let seek = ["group", "seek", "--group", "dbintel.enrich", "--to", "beginning", "--yes", "--config", text(&compact)];
    assert!(said(&seek, &[]).contains("moved "));
    let mut reference = start(&scene, &compact, "reference", &[]);
    wait_until_caught_up(&*scene.bus, PARTITIONS);
    end(&mut reference);
    let (found, expected) = (outputs(&scene, PIPELINE), outputs(&scene, "reference"));
    assert_eq!(found.len() as u64, of(2, "forwarded"));
    assert_eq!(found, expected);

    // Books between groups notice what somebody tampered with.
    let producer = scene.bus.producer().unwrap();
    for topic in [Topic::StagedText, Topic::EnrichedQueries] {
        let rows = books::read_all(&*scene.bus, topic, 1);
        send_raw(&*producer, topic, 1, &rows[rows.len() / 4].value);
    }
    let report = verify(&split);
    let findings = |group: &str| {
        let all = report["partitions"].as_array().unwrap().iter();
        all.filter(|of| of["group"] == group).map(|of| of["findings"].as_array().unwrap().len()).sum::<usize>()
    };
    assert!(report["balances"] == false && findings(GROUPS[0]) > 0 && findings(GROUPS[2]) > 0, "{report:#}");
}

#[test]
fn a_group_that_is_not_there_is_refused_with_those_that_are() {
    let scene = Scene::new(1, 1);
    let split = configuration(&scene, "split", PIPELINE);
    let refused = run(&["processor", "--config", text(&split), "--group", "verification"], &[]);
    assert!(refused.code != Some(0) && refused.stderr.contains("dbintel.delta, dbintel.text"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_one_machine_the_groups_share_the_embedded_log() {
    let (postgres, scratch) = (Postgres::start(Major::V18), Scratch::new("split"));
    let client = postgres.client("postgres").await;
    client.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let configuration = format!(
        "service: {{layout: split}}
pollers: {{postgresql: {{endpoint: '127.0.0.1:{}', username: postgres, collection_interval: 500ms}}}}
processors: {{adaptive_sampler: {{default_sampling_rate: 100}}}}
sinks: {{prometheus: {{}}}}
pipelines: {{main: {{pollers: [postgresql], processors: [adaptive_sampler], sinks: [prometheus]}}}}
",
        postgres.port
    );
    let configuration = scratch.write("dbintel.yaml", &configuration);
    let state = [("DBINTEL_STATE_DIRECTORY", text(scratch.path()))];
    let arguments: Vec<&str> =
        ["up", "--quiet", "--config", text(&configuration)].into_iter().chain(FREE_PORTS).collect();
    for life in 0..2 {
        let mut up = Running::start(&arguments, &state);
        up.wait_until_ready();
        wait::eventually(LIMIT, "a statement on the export page", async || {
            client.batch_execute("SELECT count(*) FROM pg_class").await.unwrap();
            up.sample("export", "query_calls_total{").map(drop)
        })
        .await;
        match life {
            0 => drop(up.process.kill9()),
            _ => end(&mut up),
        }
    }
    let ended = run(&["ledger", "verify", "--json", "--config", text(&configuration)], &state);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    assert_eq!(report["balances"], true, "{report:#}");
    let of = |group: usize, what: &str| sum(&report, GROUPS[group], what);
    assert!(of(2, "forwarded") > 0, "{report:#}");
    assert_eq!(of(0, "forwarded"), of(1, "records") + of(1, "open"), "{report:#}");
}
