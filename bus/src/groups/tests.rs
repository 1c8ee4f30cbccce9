//! Groups: shares, hand-over, fencing.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

struct Scene {
    groups: Groups,
    now: Instant,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "an instant can only be had from the clock; only differences matter")]
    fn new() -> Scene {
        Scene { groups: Groups::new(TIMEOUT), now: Instant::now() }
    }

    fn join(&mut self, slot: &str) -> u64 {
        self.groups.join("g", slot, &["t".to_owned()], 5, self.now).unwrap()
    }

    fn observe(&mut self, id: u64) -> Event {
        self.groups.observe("g", id, self.now)
    }

    fn assigned(&mut self, id: u64) -> (Ownership, Vec<u32>) {
        match self.observe(id) {
            Event::Assigned { generation, partitions } => {
                (Ownership { group: "g".to_owned(), member: id, generation }, partitions)
            }
            other => panic!("expected an assignment, got {other:?}"),
        }
    }
}

#[test]
fn shares_are_even_and_in_order() {
    let cases: [(u32, usize, &[&[u32]]); 4] = [
        (5, 1, &[&[0, 1, 2, 3, 4]]),
        (5, 2, &[&[0, 1, 2], &[3, 4]]),
        (1, 3, &[&[0], &[], &[]]),
        (4, 4, &[&[0], &[1], &[2], &[3]]),
    ];
    for (partitions, members, expected) in cases {
        assert_eq!(shares(partitions, members), expected, "{partitions} over {members}");
    }
}

#[test]
fn partitions_move_only_when_they_were_given_back() {
    let mut scene = Scene::new();
    let a = scene.join("a");
    let (of_a, partitions) = scene.assigned(a);
    assert_eq!(partitions, [0, 1, 2, 3, 4]);
    let b = scene.join("b");
    assert_eq!(scene.observe(b), Event::None, "a has not given back");
    assert_eq!(scene.observe(a), Event::Revoked);
    assert!(scene.groups.begin_commit(&of_a), "what was begun may still be finished");
    scene.groups.end_commit(&of_a);
    scene.groups.release("g", a);
    assert!(!scene.groups.begin_commit(&of_a), "after the release nothing can be committed");
    assert_eq!(scene.observe(b), Event::None, "a has not asked for its new share");
    assert_eq!(scene.assigned(a).1, [0, 1, 2]);
    let (of_b, partitions) = scene.assigned(b);
    assert_eq!(partitions, [3, 4]);
    assert!(scene.groups.begin_commit(&of_b));
    assert!(!scene.groups.begin_commit(&of_a), "an older generation owns nothing");
}

#[test]
fn a_silent_member_is_dropped_at_the_deadline() {
    let mut scene = Scene::new();
    let a = scene.join("a");
    let (of_a, _) = scene.assigned(a);
    let b = scene.join("b");
    assert_eq!(scene.observe(b), Event::None);
    assert_eq!(scene.groups.deadline("g"), Some(scene.now + TIMEOUT));
    scene.now += TIMEOUT;
    assert_eq!(scene.assigned(b).1, [0, 1, 2, 3, 4]);
    assert!(!scene.groups.begin_commit(&of_a));
    assert_eq!(scene.observe(a), Event::Lost);
}

#[test]
fn a_commit_in_flight_holds_the_hand_over_back() {
    let mut scene = Scene::new();
    let a = scene.join("a");
    let (of_a, _) = scene.assigned(a);
    let b = scene.join("b");
    assert!(scene.groups.begin_commit(&of_a));
    scene.now += TIMEOUT;
    assert_eq!(scene.observe(b), Event::None, "the commit may still become visible");
    scene.groups.end_commit(&of_a);
    assert_eq!(scene.assigned(b).1, [0, 1, 2, 3, 4]);
}

#[test]
fn a_commit_of_a_replaced_member_is_waited_for() {
    let mut scene = Scene::new();
    let first = scene.join("a");
    let (of_first, _) = scene.assigned(first);
    assert!(scene.groups.begin_commit(&of_first));
    let second = scene.join("a");
    assert_eq!(scene.observe(second), Event::None, "it would read positions that are about to change");
    scene.groups.end_commit(&of_first);
    assert_eq!(scene.assigned(second).1, [0, 1, 2, 3, 4]);
}

#[test]
fn leaving_hands_over_at_once() {
    let mut scene = Scene::new();
    let (a, b) = (scene.join("a"), scene.join("b"));
    assert_eq!(scene.observe(a), Event::None);
    assert_eq!(scene.assigned(b).1, [3, 4]);
    assert_eq!(scene.assigned(a).1, [0, 1, 2]);
    scene.groups.leave("g", b, scene.now);
    assert_eq!(scene.observe(a), Event::Revoked);
    scene.groups.release("g", a);
    assert_eq!(scene.assigned(a).1, [0, 1, 2, 3, 4]);
    scene.groups.leave("g", a, scene.now);
    assert!(scene.groups.by_name.is_empty(), "an empty group is forgotten");
}

#[test]
fn a_second_member_on_a_slot_replaces_the_first() {
    let mut scene = Scene::new();
    let first = scene.join("a");
    let (of_first, _) = scene.assigned(first);
    let second = scene.join("a");
    assert!(!scene.groups.begin_commit(&of_first));
    assert_eq!(scene.observe(first), Event::Lost);
    assert_eq!(scene.assigned(second).1, [0, 1, 2, 3, 4]);
}

#[test]
fn a_share_that_nobody_took_is_divided_anew() {
    let mut scene = Scene::new();
    let a = scene.join("a");
    let b = scene.join("b");
    assert_eq!(scene.observe(a), Event::None);
    assert_eq!(scene.assigned(b).1, [3, 4]);
    // a was offered its share and did not ask: a third member takes part in a new division.
    let c = scene.join("c");
    assert_eq!(scene.observe(b), Event::Revoked);
    scene.groups.release("g", b);
    assert_eq!(scene.observe(b), Event::None);
    assert_eq!(scene.observe(c), Event::None);
    assert_eq!(scene.assigned(a).1, [0, 1]);
    assert_eq!(scene.assigned(b).1, [2, 3]);
    assert_eq!(scene.assigned(c).1, [4]);
}

/// Found by seed 1798907 of the simulation: each newcomer dropped the one before.
#[test]
fn members_that_come_again_after_a_deadline_are_not_dropped_for_the_silence_of_others() {
    let mut scene = Scene::new();
    scene.join("gone");
    scene.now += TIMEOUT * 2;
    // They were dropped while nobody asked.
    let mut members = [("a", u64::MAX), ("b", u64::MAX), ("c", u64::MAX)];
    for _ in 0..3 {
        for (slot, member) in &mut members {
            if scene.observe(*member) == Event::Lost {
                *member = scene.join(slot);
            }
        }
    }
    assert_eq!(scene.groups.by_name["g"].deadline, None, "{:?}", scene.groups);
}

#[test]
fn members_of_a_group_read_the_same_topics() {
    let mut scene = Scene::new();
    scene.join("a");
    let other = ["u".to_owned()];
    assert!(scene.groups.join("g", "b", &other, 5, scene.now).is_err());
    assert!(scene.groups.join("another", "b", &other, 5, scene.now).is_ok());
}
