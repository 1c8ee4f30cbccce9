//! What a network and a broker do to processes that go on: they stall, cut connections, and come back.

use std::time::Duration;

use super::{SESSION_TIMEOUT, Scene, aborts, owned, wait_until_busy};
use crate::engine::load::Flow;
use crate::engine::wait_until_caught_up;

const PARTITIONS: u32 = 4;
const STATEMENTS: usize = 200;

fn flow(scene: &Scene, first: i64) -> Flow {
    scene.flow(first, Duration::from_millis(250))
}

#[test]
fn a_process_that_was_frozen_commits_nothing_that_others_have_done() {
    let scene = Scene::new(PARTITIONS, STATEMENTS);
    let flow = flow(&scene, 1);
    let (mut frozen, mut other) = (scene.processor("frozen"), scene.processor("other"));
    wait_until_busy(&mut other, 2);
    wait_until_busy(&mut frozen, 2);
    let (frozen_port, other_port) = (frozen.port("metrics"), other.port("metrics"));
    let before = aborts(frozen_port);
    frozen.process.sigstop();
    other.process.wait_until(|_| owned(other_port) == f64::from(PARTITIONS));
    wait_until_busy(&mut other, 2);
    frozen.process.sigcont();
    frozen.process.wait_until(|_| aborts(frozen_port) > before);
    wait_until_busy(&mut frozen, 2);
    wait_until_busy(&mut other, 2);
    scene.settle(flow, &mut [frozen, other]);
}

#[test]
fn a_broker_that_stalls_and_then_restarts_loses_and_doubles_nothing() {
    let mut scene = Scene::new(PARTITIONS, STATEMENTS);
    let flow_before = flow(&scene, 1);
    let mut processes = [scene.processor("first"), scene.processor("second")];
    processes.iter_mut().for_each(|running| wait_until_busy(running, 2));
    // In the middle of transactions, for longer than sessions last and transactions may be open.
    scene.kafka.process.sigstop();
    std::thread::sleep(SESSION_TIMEOUT * 2);
    scene.kafka.process.sigcont();
    processes.iter_mut().for_each(|running| wait_until_busy(running, 2));
    // Between transactions: a broker that is alone forgets to end those that it finds prepared when it starts (Kafka 4.3
    // takes partitions without a leader for deleted), which nobody could mend.
    let next = flow_before.stop();
    wait_until_caught_up(&*scene.bus, PARTITIONS);
    scene.kafka.restart();
    let flow_after = flow(&scene, next);
    processes.iter_mut().for_each(|running| wait_until_busy(running, 2));
    scene.settle(flow_after, &mut processes);
}

#[test]
fn connections_that_are_cut_and_held_in_the_middle_of_commits_lose_and_double_nothing() {
    let (scene, proxy) = Scene::behind_a_proxy(PARTITIONS, STATEMENTS);
    let flow = flow(&scene, 1);
    let mut processes = [scene.processor("first"), scene.processor("second")];
    for round in 1..=6 {
        processes.iter_mut().for_each(|running| wait_until_busy(running, round));
        assert!(proxy.cut() > 0, "nothing was connected through the proxy");
    }
    // Shorter than a session, and longer: then everybody is a stranger afterwards.
    for time in [SESSION_TIMEOUT / 3, SESSION_TIMEOUT * 2] {
        processes.iter_mut().for_each(|running| wait_until_busy(running, 1));
        proxy.hold();
        std::thread::sleep(time);
        proxy.go_on();
    }
    processes.iter_mut().for_each(|running| wait_until_busy(running, 2));
    scene.settle(flow, &mut processes);
}
