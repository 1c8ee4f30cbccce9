//! What asks for an operator, and the command that mends it.

use std::time::Duration;

use dbintel_bus::{Bus, Committed, GroupSpec, Polled, Record, topic_name};
use dbintel_processors::engine::group::INPUTS;
use dbintel_tests::wait;

use super::{Scene, end, ledger, wait_until_busy};
use crate::cli_rig::{LIMIT, json_lines, run, said, text};
use crate::engine::{GROUP, check_books, wait_until_caught_up};

/// Puts positions into the group, as whoever restores a group from a copy would.
fn put(bus: &dyn Bus, positions: &[Committed]) {
    let spec = GroupSpec {
        group: GROUP.to_owned(),
        topics: INPUTS.iter().map(|topic| topic_name(*topic)).collect(),
        changelog: None,
        slot: "stranger".to_owned(),
        fetch_bytes_max: 1 << 20,
    };
    let mut member = bus.join(&spec).unwrap();
    wait::blocking(LIMIT, "partitions", || {
        let polled = member.poll(Duration::from_millis(100), 1, &mut |_: Record<'_>| {}).unwrap();
        matches!(polled, Polled::Assigned(_)).then_some(())
    });
    member.commit(positions).unwrap();
    member.close().unwrap();
}

#[test]
fn positions_of_another_state_stop_the_processors_until_the_group_is_moved_to_its_state() {
    let scene = Scene::new(2, 20);
    let configuration = text(&scene.configuration);
    let flow = scene.flow(1, Duration::from_millis(100));
    let mut processor = scene.processor("state");
    wait_until_busy(&mut processor, 3);
    let busy = run(&["group", "seek", "--to", "state", "--config", configuration], &[]);
    assert!(busy.code == Some(0), "looking is allowed at any time: {busy:?}");
    let next = flow.stop();
    wait_until_caught_up(&*scene.bus, 2);
    end(&mut processor);

    let topics: Vec<String> = INPUTS.iter().map(|topic| topic_name(*topic)).collect();
    let committed = scene.bus.committed(GROUP, &topics).unwrap();
    let of_another = |position: &Committed| Committed {
        next_offset: position.next_offset + 7,
        metadata: "4711:0".to_owned(),
        ..position.clone()
    };
    put(&*scene.bus, &committed.iter().map(of_another).collect::<Vec<_>>());
    let shown = json_lines(&said(&["group", "show", "--json", "--config", configuration], &[]));
    assert!(
        shown.iter().filter(|line| line["group"] == GROUP).all(|line| line["note"]
            .as_str()
            .unwrap()
            .contains("beyond the end")
            || line["metadata"] == "4711:0"),
        "{shown:?}"
    );

    // It says what is wrong and what to do, and processes nothing.
    let mut stopped = scene.processor("other");
    stopped.process.wait_until(|process| process.log().contains("dbintel group seek --to state"));
    end(&mut stopped);

    let asked = said(&["group", "seek", "--to", "state", "--config", configuration], &[]);
    assert!(asked.contains("offsets come again") && asked.ends_with("nothing was moved: --yes does it\n"), "{asked}");
    let done = said(&["group", "seek", "--to", "state", "--yes", "--config", configuration], &[]);
    assert!(done.contains(&format!("moved {} positions of {GROUP}", committed.len())), "{done}");
    assert_eq!(scene.bus.committed(GROUP, &topics).unwrap(), committed, "the positions of the last commit");

    let flow = scene.flow(next, Duration::from_millis(100));
    let mut again = scene.processor("other");
    wait_until_busy(&mut again, 2);
    let busy = run(&["group", "seek", "--to", "end", "--yes", "--config", configuration], &[]);
    assert!(busy.code == Some(1) && busy.stderr.contains("somebody is in the group"), "{busy:?}");
    flow.stop();
    wait_until_caught_up(&*scene.bus, 2);
    end(&mut again);
    let balance = check_books(&*scene.bus, 2);
    ledger::agrees(&scene, &balance);
}
