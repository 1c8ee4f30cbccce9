//! `dbintel sink` as a process: killed, and asked to end.

use std::time::Duration;

use dbintel_tests::otlp_peer::Answer;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;
use rustix::process::Signal;
use tokio::time::Instant;

use super::scene::{PARTITIONS, Scene, later};
use crate::cli_rig::{FREE_PORTS, Running, said, text};
use crate::sinks_rig::{LIMIT, PIPELINE, stop};

/// Time to deliver what is open, to commit and to leave the group.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// Time until another member has the partitions of one that left; of one that is only gone it is the session time-out, 10 s.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(5);

fn configuration(scene: &Scene) -> String {
    format!(
        "pollers: {{postgresql/shop: {{endpoint: '127.0.0.1:1', username: nobody}}}}
processors: {{adaptive_sampler: {{}}}}
sinks:
  {}:
    endpoint: {}
    compression: none
    timeout: 60s
    start_at: now
    batch: {{timeout: 50ms}}
    retry_on_failure: {{initial_interval: 20ms, max_interval: 200ms}}
pipelines: {{{PIPELINE}: {{pollers: [postgresql/shop], processors: [adaptive_sampler], sinks: [{}]}}}}
bus: {{kafka: {{bootstrap_servers: ['{}'], partitions: {PARTITIONS}}}}}
",
        scene.id, scene.peer.grpc, scene.id, scene.kafka.bootstrap
    )
}

fn start(scene: &Scene, scratch: &Scratch) -> Running {
    let file = scratch.write("dbintel.yaml", &configuration(scene));
    said(&["topics", "create", "--config", text(&file)], &[]);
    // The last one is for a sink that is scraped.
    let ports = FREE_PORTS.into_iter().take(4);
    let arguments: Vec<&str> = ["sink", "--config", text(&file)].into_iter().chain(ports).collect();
    let mut running = Running::start(&arguments, &[]);
    running.wait_until_ready();
    running
}

#[test]
fn a_sink_that_is_killed_while_requests_hang_delivers_every_row_in_its_next_life() {
    let (scene, scratch) = (Scene::new("otlp/killed"), Scratch::new("sink"));
    let mut running = start(&scene, &scratch);
    scene.peer.answer_next(vec![Answer::Ok; 6]);
    scene.peer.answer_always(Answer::Hang);
    scene.rig.publish(0..100);
    scene.requested(8);
    scene.rig.publish(100..200);
    wait::blocking(LIMIT, "a commit", || (!scene.passed().is_empty()).then_some(()));
    running.process.kill9();
    scene.assert_nothing_passed_unaccepted();
    assert!(scene.passed().len() < 200, "something was open");
    scene.peer.answer_always(Answer::Ok);
    running.process.start_again();
    scene.delivered(200);
    scene.assert_all_accepted(200);
    assert!(running.process.stop().success());
}

#[test]
fn a_sink_that_is_asked_to_end_in_the_middle_of_retries_commits_and_leaves_its_group() {
    let (scene, scratch) = (Scene::new("otlp/asked"), Scratch::new("sink"));
    let mut running = start(&scene, &scratch);
    scene.peer.answer_next(vec![Answer::Ok; 6]);
    scene.peer.answer_always(later());
    scene.rig.publish(0..100);
    scene.requested(12);
    running.process.signal(Signal::TERM);
    assert!(running.process.wait_for_end(STOP_LIMIT).success(), "{}", running.process.log());
    assert!(!running.process.log().contains("ended before"), "{}", running.process.log());
    scene.assert_nothing_passed_unaccepted();
    let started = Instant::now();
    scene.peer.answer_always(Answer::Ok);
    let next = scene.start("next");
    assert!(started.elapsed() < HAND_OVER_LIMIT, "{:?}", started.elapsed());
    scene.delivered(100);
    scene.assert_all_accepted(100);
    stop(next);
}
