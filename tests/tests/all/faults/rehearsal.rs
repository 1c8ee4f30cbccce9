//! What asks for an operator, and the command that mends it.

use std::path::Path;
use std::time::Duration;

use dbintel_bus::{Bus, Committed, GroupSpec, Polled, Record, topic_name};
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::{RocksStore, Store as _, StoreBatch, StoreMemory, TableId, split_key};
use dbintel_tests::wait;

use super::{Scene, end, ledger, wait_until_busy};
use crate::cli_rig::{LIMIT, json_lines, run, said, text};
use crate::engine::{GROUP, PIPELINE, check_books, wait_until_caught_up};

/// Puts positions into the group, as whoever restores a group from a copy would.
fn put(bus: &dyn Bus, positions: &[Committed]) {
    let spec = GroupSpec {
        group: GROUP.to_owned(),
        topics: INPUTS.iter().map(|topic| topic_name(*topic)).collect(),
        changelog: None,
        slot: "stranger".into(),
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

/// Writes a value that no release has written into every store below a directory, as a release of the future would.
fn write_values_of_the_future(stores: &Path) -> usize {
    let memory = StoreMemory::new(8 << 20);
    let table = TableId::of(&format!("{PIPELINE}/delta/baselines"));
    let mut written = 0;
    for entry in std::fs::read_dir(stores).unwrap().flatten() {
        let store = RocksStore::open(&entry.path(), &memory).unwrap();
        let place = store.place().unwrap().unwrap();
        let mut batch = StoreBatch::default();
        for (full_key, _) in store.scan(&table.0.to_be_bytes(), usize::MAX).unwrap().iter() {
            let (found, key) = split_key(full_key);
            if found == table {
                batch.put(table, key, |out| out.extend_from_slice(&[99, 1, 2, 3]));
                written += 1;
            }
        }
        store.write(&batch, &place).unwrap();
        store.persist().unwrap();
    }
    written
}

#[test]
fn state_of_another_release_stops_the_processors_until_it_is_discarded() {
    let scene = Scene::new(2, 20);
    let state = scene.scratch.path().join("state");
    let environment = [("DBINTEL_STATE_DIRECTORY", text(&state))];
    let configuration = text(&scene.configuration);
    let ask = |arguments: &[&str]| run(&[arguments, &["--config", configuration]].concat(), &environment);
    let list = || json_lines(&ask(&["state", "list", "--json"]).stdout);
    assert!(ask(&["state", "discard", "--yes"]).stdout.contains("there is no such store"));

    let flow = scene.flow(1, Duration::from_millis(100));
    let mut processor = scene.processor("state");
    wait_until_busy(&mut processor, 3);
    assert!(list().iter().all(|store| store["in_use"] == true), "{:?}", list());
    let refused = ask(&["state", "discard", "--yes"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("2 stores are in use"), "{refused:?}");
    let next = flow.stop();
    wait_until_caught_up(&*scene.bus, 2);
    end(&mut processor);
    let before = list();
    assert!(before.len() == 2 && before.iter().all(|store| store["behind"] == 0 && store["note"] == "-"), "{before:?}");

    let written = write_values_of_the_future(&state.join("slot-0/processors").join(GROUP));
    assert!(written > 0, "there are baselines");
    let flow = scene.flow(next, Duration::from_millis(100));
    let mut stopped = scene.processor("state");
    stopped.process.wait_until(|process| process.log().contains("dbintel state discard"));
    end(&mut stopped);

    let asked = ask(&["state", "discard"]);
    assert!(asked.stdout.ends_with("nothing was changed: --yes does it\n") && list().len() == 2, "{asked:?}");
    let one = ask(&["state", "discard", "--partition", "0", "--yes"]);
    assert_eq!((one.code, &*one.stdout), (Some(0), "dbintel.enrich slot 0 partition 0: deleted\n"), "{one:?}");
    let other = ask(&["state", "rebuild", "--yes"]);
    assert!(other.stdout.starts_with("dbintel.enrich slot 0 partition 1: filled up to commit "), "{other:?}");
    let filled = list();
    assert!(filled.len() == 1 && filled[0]["behind"] == 0, "{filled:?}");

    let mut again = scene.processor("state");
    wait_until_busy(&mut again, 2);
    scene.settle(flow, &mut [again]);
}
