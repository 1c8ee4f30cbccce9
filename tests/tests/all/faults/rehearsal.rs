//! What asks for an operator, and the command that mends it.

use std::path::Path;
use std::time::Duration;

use dbintel_bus::{
    Bus, Committed, GroupSpec, Isolation, Outgoing, Polled, Position, Producer, ReaderSpec, Receive, Record, Start,
    topic_name,
};
use dbintel_processors::engine::group::INPUTS;
use dbintel_processors::engine::store::{RocksStore, Store as _, StoreBatch, StoreMemory, TableId, split_key};
use dbintel_schemas::Topic;
use dbintel_schemas::topics::changelog;
use dbintel_tests::{books, wait};

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

/// Copies committed records to another cluster, where they get other offsets.
fn copy(from: &Scene, to: &Scene, topic: &str) {
    let producer = to.bus.producer().unwrap();
    for partition in 0..from.partitions {
        let log = from.bus.offsets(topic, partition).unwrap();
        let start = Start::Offset(log.start);
        let partitions = vec![Position { topic: topic.to_owned(), partition, start }];
        let mut reader = from.bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed }).unwrap();
        let mut copied = Copying { producer: &*producer, topic, next: log.start };
        wait::blocking(LIMIT, topic, || {
            reader.read(Duration::from_millis(100), 10_000, &mut copied).unwrap();
            (copied.next >= log.stable_end).then_some(())
        });
    }
    producer.flush(LIMIT).unwrap();
}

struct Copying<'a> {
    producer: &'a dyn Producer,
    topic: &'a str,
    next: i64,
}

impl Receive for Copying<'_> {
    fn record(&mut self, record: Record<'_>) {
        let Record { partition, timestamp, key, value, .. } = record;
        let copied = Outgoing { topic: self.topic, partition, timestamp, key, value, headers: &[] };
        self.producer.send(copied).unwrap();
        self.next = record.offset + 1;
    }

    fn at_end(&mut self, _: usize, _: u32, next_offset: i64) {
        self.next = next_offset;
    }
}

#[test]
fn on_a_copy_of_the_cluster_processors_stop_until_they_are_told_where_to_go_on_and_keep_their_state() {
    let (first, mirror) = (Scene::new(2, 20), Scene::new(2, 20));
    let flow = first.flow(1, Duration::from_millis(100));
    let mut processor = first.processor("state");
    wait_until_busy(&mut processor, 5);
    let next = flow.stop();
    wait_until_caught_up(&*first.bus, 2);
    end(&mut processor);
    for topic in [Topic::RawQueries, Topic::RawPolls].map(topic_name) {
        let half = |partition| first.bus.offsets(&topic, partition).unwrap().end / 2;
        (0..2).for_each(|partition| first.bus.trim(&topic, partition, half(partition)).unwrap());
        copy(&first, &mirror, &topic);
    }
    copy(&first, &mirror, &changelog(GROUP));

    let mut stopped = mirror.processor("state");
    stopped.process.wait_until(|process| process.log().contains("it was copied from another cluster"));
    end(&mut stopped);
    let configuration = text(&mirror.configuration);
    let refused = run(&["group", "seek", "--to", "state", "--config", configuration], &[]);
    assert!(refused.code != Some(0) && refused.stderr.contains("it was copied from another cluster"), "{refused:?}");
    let moved = said(&["group", "seek", "--to", "end", "--yes", "--config", configuration], &[]);
    assert!(moved.contains("moved "), "{moved}");

    // Every statement goes on from its reading on the other cluster.
    let flow = mirror.flow(next, Duration::from_millis(100));
    for state in ["state", "elsewhere"] {
        let mut running = mirror.processor(state);
        wait_until_busy(&mut running, 3);
        end(&mut running);
    }
    let mut last = mirror.processor("state");
    flow.stop();
    wait_until_caught_up(&*mirror.bus, 2);
    end(&mut last);
    for partition in 0..2 {
        let balance = books::verify(&*mirror.bus, GROUP, PIPELINE, partition);
        assert!(balance.dispositions["forwarded"] > 0 && !balance.reasons.contains_key("baseline"), "{balance:?}");
    }
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
