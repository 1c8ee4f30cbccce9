//! Where a sink begins: with a position that retention has overtaken, and with none.

use dbintel_tests::otlp_peer::Answer;

use super::scene::{PARTITIONS, Scene, queries};
use crate::sinks_rig::stop;

#[test]
fn a_sink_begins_at_what_is_kept_and_counts_what_retention_deleted() {
    let scene = Scene::new("otlp/overtaken");
    let sink = scene.start("a");
    scene.rig.publish(0..40);
    scene.delivered(40);
    stop(sink);
    let before = scene.positions();
    scene.rig.publish(40..80);
    let ends = scene.ends();
    for partition in 0..PARTITIONS {
        scene.rig.bus.trim(&queries(), partition, ends[partition as usize]).unwrap();
    }
    scene.rig.publish(80..120);
    let sink = scene.start("a");
    scene.delivered(80);
    let lost: i64 = before.iter().map(|(partition, position)| ends[*partition as usize] - position).sum();
    assert!(lost >= 40, "{lost}");
    assert_eq!(sink.metrics().expired.get(), lost.unsigned_abs());
    assert!(scene.rig.exports(scene.id).error_classes.iter().any(|class| class == "expired"));
    let accepted = scene.accepted();
    assert!((80..120).all(|number| accepted.contains(&number)) && !accepted.contains(&40));
    stop(sink);
}

#[test]
fn the_place_where_a_new_sink_begins_holds_over_a_restart_before_the_first_settled_row() {
    let scene = Scene::new("otlp/new");
    scene.rig.publish(500..520);
    scene.peer.answer_always(Answer::Hang);
    let sink = scene.start("a");
    let begun = scene.positions();
    assert_eq!(begun.values().copied().collect::<Vec<i64>>(), scene.ends());
    scene.rig.publish(0..50);
    scene.requested(1);
    stop(sink);
    assert_eq!(scene.positions(), begun);
    scene.peer.answer_always(Answer::Ok);
    let sink = scene.start("a");
    scene.delivered(50);
    scene.assert_all_accepted(50);
    stop(sink);
}
