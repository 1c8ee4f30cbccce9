//! What retention deletes, whatever the clock did, and what it costs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::Bus;
use crate::embedded::scene::Scene;
use crate::embedded::space::Space;

const TOPIC: &str = "topic";
const HOUR: i64 = 3_600_000;
const NOW: i64 = 1_700_000_000_000;
const KEPT: Duration = Duration::from_secs(3_600);

/// The first offset kept after a pass over blocks that were written at these times.
fn start_after_pass(written_at: &[i64], now: i64) -> i64 {
    let scene = Scene::new(&[(TOPIC, Retention::Time(KEPT))], 0);
    for at in written_at {
        scene.commit(vec![scene.block(TOPIC, *at, b"value")]).unwrap();
    }
    pass(scene.log(), Duration::ZERO, now);
    scene.bus.offsets(TOPIC, 0).unwrap().start
}

#[test]
fn no_time_on_a_clock_stops_it() {
    let (old, fresh, ahead) = (NOW - 2 * HOUR, NOW - HOUR / 2, NOW + 24 * HOUR);
    let cases = [
        (vec![old, old, fresh], 2),
        (vec![fresh, old], 0),
        // The clock was ahead for a while, then set right.
        (vec![old, ahead, ahead, old, fresh], 4),
        (vec![ahead, fresh, old], 0),
        (vec![ahead], 0),
        (vec![old, ahead], 1),
    ];
    for (written_at, expected) in cases {
        assert_eq!(start_after_pass(&written_at, NOW), expected, "{written_at:?}");
    }
    assert_eq!(start_after_pass(&[old, fresh], NOW - 48 * HOUR), 0, "a clock that went back deletes nothing");
    assert_eq!(start_after_pass(&[NOW, NOW - HOUR, NOW - HOUR], NOW + HOUR + 1), 3, "blocks need not be in order");
}

#[test]
fn space_comes_back_and_a_log_with_little_garbage_is_not_rewritten() {
    const ROUNDS: u32 = 24;
    const KIBIBYTE: usize = 1 << 10;
    let topics = ["kept", "little", "large"].map(|topic| (topic, Retention::Unlimited));
    let scene = Scene::new(&topics, 0);
    let noise = noise(768 * KIBIBYTE);
    for _ in 0..ROUNDS {
        let blocks = [("kept", 256), ("little", 256), ("large", 768)];
        let block = |(topic, kibibytes)| scene.block(topic, NOW, &noise[..kibibytes * KIBIBYTE]);
        scene.commit(blocks.map(block).into()).unwrap();
    }
    let (log, end) = (scene.log(), i64::from(ROUNDS));
    log.storage.reclaim(&log.space).unwrap();
    let before = blob_files(&scene);
    assert!(before.len() > 1, "there are several files: {before:?}");

    scene.bus.trim("little", 0, end).unwrap();
    log.storage.reclaim(&log.space).unwrap();
    assert_eq!(blob_files(&scene), before, "a fifth of them is garbage");

    scene.bus.trim("large", 0, end).unwrap();
    log.storage.reclaim(&Space::new(scene.directory.path().to_owned(), u64::MAX)).unwrap();
    assert_eq!(blob_files(&scene), before, "there is no room to rewrite them");
    log.storage.reclaim(&log.space).unwrap();
    let after = blob_files(&scene);
    assert!(after.is_disjoint(&before), "all of them were rewritten: {after:?}");
    let bytes: u64 = after.iter().map(|(_, bytes)| bytes).sum();
    assert!(bytes < 8 << 20, "{bytes} bytes are left of 6 MiB that were kept");
    let kept = scene.topic("kept").partitions[0].id;
    assert!((0..end).all(|offset| log.block_at(kept, offset).unwrap().is_some()));

    scene.bus.trim("kept", 0, 1).unwrap();
    log.storage.reclaim(&log.space).unwrap();
    assert_eq!(blob_files(&scene), after, "rewriting is over");
}

/// Names and sizes of the files that hold the blocks.
fn blob_files(scene: &Scene) -> BTreeSet<(String, u64)> {
    let files = std::fs::read_dir(scene.directory.path()).unwrap().map(Result::unwrap);
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.metadata().unwrap().len()));
    named.filter(|(name, _)| name.ends_with(".blob")).collect()
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(next).collect()
}

#[test]
fn a_thread_that_died_shows() {
    let scene = Scene::new(&[(TOPIC, Retention::Unlimited)], 0);
    scene.bus.health().unwrap();
    let died = std::thread::spawn(|| panic!("this panic is part of a test"));
    while !died.is_finished() {
        std::thread::yield_now();
    }
    let (log, stop) = (Arc::clone(&scene.bus.core.log), Arc::default());
    let maintenance = Maintenance { log, stop, thread: Some(died) };
    assert!(matches!(maintenance.health(), Err(BusError::Fatal { .. })));
}
