//! `dbintel ledger verify` on a live Kafka: it agrees with the naive check of the tests, and notices what somebody tampered with.

use std::time::Duration;

use dbintel_schemas::Topic;
use dbintel_tests::books::{self, Balance};
use serde_json::Value;

use super::{Scene, wait_until_busy};
use crate::cli_rig::{run, text};
use crate::engine::{PIPELINE, send_raw};

/// What `dbintel ledger verify --json` says, and what it exits with.
fn verify(scene: &Scene) -> (Option<i32>, Value) {
    let ended = run(&["ledger", "verify", "--json", "--config", text(&scene.configuration)], &[]);
    let report = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (ended.code, report)
}

/// It finds nothing, and counts as the tests do.
pub fn agrees(scene: &Scene, balance: &Balance) {
    let (code, report) = verify(scene);
    assert_eq!((code, &report["balances"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let partitions = report["partitions"].as_array().unwrap();
    assert_eq!(partitions.len() as u32, scene.partitions);
    let sum = |name: &str| partitions.iter().map(|of| of[name].as_u64().unwrap()).sum::<u64>() as usize;
    let counted = |name: &str| balance.dispositions.get(name).copied().unwrap_or(0);
    assert_eq!((sum("records"), sum("open")), (balance.raw, 0));
    for disposition in ["forwarded", "absorbed", "sampled_out", "quarantined"] {
        assert_eq!(sum(disposition), counted(disposition), "{disposition}");
    }
    assert!(partitions.iter().all(|of| of["pipeline"] == PIPELINE && of["commits_checked_in_part"] == 0));
}

#[test]
fn books_on_a_live_kafka_balance_until_somebody_tampers_with_a_record() {
    let scene = Scene::new(2, 50);
    let flow = scene.flow(1, Duration::from_millis(100));
    let mut processor = scene.processor("state");
    wait_until_busy(&mut processor, 3);
    // While everything runs, and transactions are open and about to end.
    for _ in 0..10 {
        let (code, report) = verify(&scene);
        assert_eq!(code, Some(0), "{report:#}");
    }
    scene.settle(flow, &mut [processor]);

    let outputs = books::read_all(&*scene.bus, Topic::EnrichedQueries, 1);
    let tampered = &outputs[outputs.len() / 2];
    let producer = scene.bus.producer().unwrap();
    send_raw(&*producer, Topic::EnrichedQueries, 1, &tampered.value);
    let (code, report) = verify(&scene);
    assert_eq!((code, &report["balances"]), (Some(1), &Value::Bool(false)), "{report:#}");
    let findings = |partition: usize| report["partitions"][partition]["findings"].as_array().unwrap().clone();
    assert_eq!(findings(0), Vec::<Value>::new());
    let found = findings(1);
    assert_eq!(found.len(), 1, "{found:?}");
    let ended = run(&["ledger", "verify", "--config", text(&scene.configuration), "--partition", "1"], &[]);
    assert!(ended.stdout.contains("The books do not balance: 1 finding"), "{}", ended.stdout);

    // Retention took the beginning of the outputs, which is said and is no finding.
    scene.bus.trim(&dbintel_bus::topic_name(Topic::EnrichedQueries), 0, outputs.len() as i64 / 2).unwrap();
    let (_, report) = verify(&scene);
    assert!(report["partitions"][0]["commits_checked_in_part"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!(report["partitions"][0]["findings"], Value::Array(Vec::new()));
}
