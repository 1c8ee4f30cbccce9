//! Faults of brokers where there are three, with every topic on all of them: while one is away the flow goes on, and nothing is
//! lost or doubled. `BROKER_ROUNDS` plays each kind of fault on further brokers.

use std::time::Duration;

use dbintel_bus::{planned_topics, topic_name};
use dbintel_schemas::topics::Topic;
use dbintel_tests::process::Process;
use dbintel_tests::servers::kafka::{Kafka, Setup};

use super::{SESSION_TIMEOUT, SHORT_SESSIONS, Scene, number_of, say, wait_until_busy};
use crate::cli_rig::Running;
use crate::engine::GROUP;

const BROKERS: usize = 3;
const PARTITIONS: u32 = 4;

fn broker(scene: &mut Scene, number: usize) -> &mut Process {
    match number {
        0 => &mut scene.kafka.process,
        _ => &mut scene.kafka.others[number - 1],
    }
}

/// Waits until the processors go on, although a broker is away.
fn flows(processes: &mut [Running]) {
    processes.iter_mut().for_each(|running| wait_until_busy(running, 3));
}

#[test]
fn any_of_three_brokers_may_die_freeze_or_stop_and_the_books_balance() {
    let kafka = Kafka::set_up(&Setup { properties: &[SHORT_SESSIONS], brokers: Some(BROKERS), ..Setup::default() });
    let bootstrap = kafka.bootstrap.replace(',', "','");
    let mut scene = Scene::on(kafka, &bootstrap, PARTITIONS, 100);
    let topics: Vec<String> = planned_topics(PARTITIONS, &[GROUP]).into_iter().map(|topic| topic.name).collect();
    assert!(topics.contains(&topic_name(Topic::EnrichedQueries)));
    let all = [&topics[..], &["__consumer_offsets", "__transaction_state"].map(str::to_owned)].concat();
    let rounds = number_of("BROKER_ROUNDS", 1) as usize;
    let flow = scene.flow(1, Duration::from_millis(250));
    let mut processes = [scene.processor("one"), scene.processor("two")];
    flows(&mut processes);
    for number in 0..BROKERS * rounds {
        scene.kafka.wait_until_in_sync(&all, BROKERS);
        let victim = number % BROKERS;
        match (number + number / BROKERS) % 3 {
            1 => {
                broker(&mut scene, victim).sigstop();
                std::thread::sleep(SESSION_TIMEOUT * 2);
                flows(&mut processes);
                broker(&mut scene, victim).sigcont();
            }
            2 => {
                broker(&mut scene, victim).stop();
                processes[0].process.kill9();
                processes[0] = scene.processor("one");
                flows(&mut processes);
                broker(&mut scene, victim).start_again();
            }
            _ => {
                broker(&mut scene, victim).kill9();
                flows(&mut processes);
                broker(&mut scene, victim).start_again();
            }
        }
        say!("fault {} of {}", number + 1, BROKERS * rounds);
    }
    scene.settle(flow, &mut processes);
}
