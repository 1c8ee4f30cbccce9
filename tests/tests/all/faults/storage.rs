//! Storage that lets the processors down: a full disk under the state, a changelog that somebody emptied, and a topic that has
//! got more partitions.

use std::time::Duration;

use dbintel_schemas::topics::changelog;
use dbintel_tests::books;
use rdkafka::admin::{AdminOptions, NewPartitions};

use super::{Scene, end, ledger, processor, wait_until_busy};
use crate::bus_embedded::disk::SmallDisk;
use crate::cli_rig::{run, said, text};
use crate::engine::{GROUP, PIPELINE, wait_until_caught_up};

const MEBIBYTE: usize = 1 << 20;
const PARTITIONS: u32 = 2;

#[test]
fn on_a_full_disk_the_state_stops_and_goes_on_when_there_is_space_and_others_work_meanwhile() {
    let scene = Scene::new(PARTITIONS, 1000);
    let disk = SmallDisk::mount(64 * MEBIBYTE, 0);
    let flow = scene.flow(1, Duration::from_millis(300));
    let mut full = processor(&scene.configuration, disk.path());
    wait_until_busy(&mut full, 3);
    disk.take_space();
    full.process.wait_until(|process| process.log().contains("No space left on device"));
    assert!(full.process.running(), "{}", full.process.log());
    // Whoever has space takes the partitions over.
    let mut other = scene.processor("other");
    wait_until_busy(&mut other, 5);
    disk.free_space();
    end(&mut other);
    wait_until_busy(&mut full, 3);
    scene.settle(flow, &mut [full]);
}

#[test]
fn a_changelog_that_was_emptied_is_said_and_the_group_goes_on_with_baselines_once_it_is_told_to() {
    let scene = Scene::new(PARTITIONS, 20);
    let flow = scene.flow(1, Duration::from_millis(100));
    let mut first = scene.processor("first");
    wait_until_busy(&mut first, 3);
    let next = flow.stop();
    wait_until_caught_up(&*scene.bus, PARTITIONS);
    end(&mut first);
    let topic = changelog(GROUP);
    for partition in 0..PARTITIONS {
        let end = scene.bus.offsets(&topic, partition).unwrap().end;
        scene.bus.trim(&topic, partition, end).unwrap();
    }
    let mut stopped = scene.processor("elsewhere");
    stopped.process.wait_until(|process| process.log().contains("dbintel group seek --to state"));
    end(&mut stopped);

    let seek = ["group", "seek", "--to", "state", "--config", text(&scene.configuration)];
    let asked = said(&seek, &[]);
    assert!(asked.contains("its state is gone; it would begin anew after commit"), "{asked}");
    let done = said(&[&seek[..], &["--yes"]].concat(), &[]);
    assert!(done.contains("it begins anew after commit") && done.contains("moved "), "{done}");
    let flow = scene.flow(next, Duration::from_millis(100));
    let mut again = scene.processor("elsewhere");
    wait_until_busy(&mut again, 3);
    flow.stop();
    wait_until_caught_up(&*scene.bus, PARTITIONS);
    end(&mut again);
    let mut balance = books::Balance::default();
    (0..PARTITIONS).for_each(|partition| balance.add(&books::verify(&*scene.bus, GROUP, PIPELINE, partition)));
    ledger::agrees(&scene, &balance);
    assert_eq!(balance.reasons["baseline"], 2 * super::TARGETS * scene.statements, "each statement began twice");
}

#[test]
fn a_topic_that_gets_more_partitions_stops_nobody_and_is_said() {
    let scene = Scene::new(PARTITIONS, 20);
    // Clients notice soon.
    let content = std::fs::read_to_string(&scene.configuration).unwrap();
    let property = "kafka:\n    properties: {topic.metadata.refresh.interval.ms: 1000}\n";
    let eager = scene.scratch.write("eager.yaml", &content.replace("kafka:\n", property));
    let flow = scene.flow(1, Duration::from_millis(100));
    let mut running = processor(&eager, &scene.scratch.path().join("state"));
    wait_until_busy(&mut running, 3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let more = NewPartitions::new("dbintel.raw.queries", PARTITIONS as usize + 2);
    let admin = scene.kafka.admin();
    let created = runtime.block_on(admin.create_partitions([&more], &AdminOptions::new())).unwrap();
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let described = run(&["topics", "describe", "--config", text(&scene.configuration)], &[]);
    assert!(described.code == Some(1) && described.stdout.contains("partitions"), "{described:?}");
    let mut other = processor(&eager, &scene.scratch.path().join("other"));
    other.process.wait_until(|process| process.log().contains("those beyond are not read"));
    wait_until_busy(&mut running, 3);
    wait_until_busy(&mut other, 3);
    end(&mut other);
    scene.settle(flow, &mut [running]);
}
