//! Members that come and go while requests hang, wait, or cannot be sent.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_sinks::otlp::{Config, SendingQueue};
use dbintel_tests::otlp_peer::Answer;
use dbintel_tests::wait;
use tokio::time::Instant;

use super::scene::{Scene, later, wait_until_ready};
use crate::sinks_rig::{LIMIT, stop};

/// 2 s for what is open; the rest for the heartbeat by which the other one learns of it, the commit and the new assignment.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(6);

#[test]
fn partitions_change_hands_soon_while_requests_hang_and_while_they_wait() {
    let scene = Scene::new("otlp/handed");
    scene.peer.answer_always(Answer::Hang);
    let hasty = Config { timeout: Duration::from_secs(8), ..scene.config() };
    let first = scene.start_with("a", hasty.clone());
    scene.rig.publish(0..100);
    scene.requested(4);
    let joined = Instant::now();
    let second = scene.start_with("b", hasty);
    wait_until_ready(&first);
    assert!(joined.elapsed() < HAND_OVER_LIMIT, "{:?}", joined.elapsed());
    assert_eq!(scene.passed().len(), 0, "nothing was accepted");
    scene.peer.answer_always(later());
    scene.requested(scene.peer.requests().len() + 8);
    let left = Instant::now();
    stop(second);
    assert!(left.elapsed() < HAND_OVER_LIMIT, "{:?}", left.elapsed());
    assert_eq!(scene.passed().len(), 0, "nothing was accepted");
    scene.peer.answer_always(Answer::Ok);
    scene.delivered(100);
    scene.assert_all_accepted(100);
    stop(first);
}

#[test]
fn while_the_receiver_is_away_members_pause_and_deliver_all_of_it_in_order_afterwards() {
    const ROWS: usize = 4000;
    let mut scene = Scene::new("otlp/paused");
    let narrow = Config { sending_queue: SendingQueue { num_consumers: 4, queue_size: 2 }, ..scene.config() };
    let first = scene.start_with("a", narrow.clone());
    scene.peer.stop();
    scene.rig.publish(0..ROWS / 2);
    wait::blocking(LIMIT, "a pause", || (first.metrics().paused.get() == 1).then_some(()));
    let second = scene.start_with("b", narrow);
    scene.rig.publish(ROWS / 2..ROWS);
    wait::blocking(LIMIT, "a pause after the hand-over", || (second.metrics().paused.get() == 1).then_some(()));
    scene.peer.start_again();
    scene.delivered(ROWS as i64);
    scene.assert_all_accepted(ROWS);
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for number in scene.accepted() {
        let before = last.insert(number % 8, number);
        assert!(before.is_none_or(|before| before < number), "{number} came after {before:?}");
    }
    stop(first);
    stop(second);
}
