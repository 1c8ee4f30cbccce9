//! `dbintel quarantine` on a live Kafka: what a foreign producer sent is listed, shown without its bytes, given back and deleted.

use std::time::Duration;

use dbintel_schemas::Topic;

use super::{Scene, ledger, wait_until_busy};
use crate::cli_rig::{Ended, json_lines, run, text};
use crate::engine::{check_books, send_raw, wait_until_caught_up};

const GARBAGE: &[u8] = b"secret bytes of a stranger";

fn quarantine(scene: &Scene, arguments: &[&str]) -> Ended {
    let arguments: Vec<&str> = ["quarantine"].iter().chain(arguments).copied().collect();
    run(&[&arguments[..], &["--config", text(&scene.configuration)]].concat(), &[])
}

fn listed(scene: &Scene, arguments: &[&str]) -> Vec<serde_json::Value> {
    let ended = quarantine(scene, &[&["list", "--json"], arguments].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    json_lines(&ended.stdout)
}

#[test]
fn what_is_in_quarantine_is_listed_shown_given_back_and_deleted() {
    let scene = Scene::new(2, 20);
    let flow = scene.flow(1, Duration::from_millis(100));
    let mut processor = scene.processor("state");
    wait_until_busy(&mut processor, 2);
    let stranger = scene.bus.producer().unwrap();
    send_raw(&*stranger, Topic::RawQueries, 1, GARBAGE);
    wait_until_busy(&mut processor, 3);
    flow.stop();
    wait_until_caught_up(&*scene.bus, 2);

    let found = listed(&scene, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    let (partition, offset) = (&found[0]["partition"], found[0]["offset"].to_string());
    assert_eq!(
        (partition.as_i64(), &found[0]["reason"], &found[0]["topic"]),
        (Some(1), &"decode".into(), &"raw.queries".into())
    );
    assert!(listed(&scene, &["--reason", "panic"]).is_empty() && listed(&scene, &["--partition", "0"]).is_empty());
    let ended = quarantine(&scene, &["list"]);
    assert!(ended.stdout.contains("decode") && !ended.stdout.contains("stranger"), "{}", ended.stdout);

    let hidden = quarantine(&scene, &["show", "1", &offset]);
    assert!(
        hidden.stdout.contains("26 bytes (--reveal shows them)") && !hidden.stdout.contains("stranger"),
        "{hidden:?}"
    );
    let shown = quarantine(&scene, &["show", "1", &offset, "--reveal"]);
    assert!(shown.stdout.contains("secret bytes of a stranger"), "{shown:?}");
    let missing = quarantine(&scene, &["show", "1", "4711"]);
    assert!(missing.code == Some(2) && missing.stderr.contains("has no record 1:4711"), "{missing:?}");

    let dry = quarantine(&scene, &["retry", "--all", "--dry-run"]);
    assert!(
        dry.code == Some(0) && dry.stdout.contains(&format!("would write 1:{offset} to raw.queries partition 1")),
        "{dry:?}"
    );
    let again = quarantine(&scene, &["retry", &format!("1:{offset}")]);
    assert_eq!(again.code, Some(0), "{again:?}");
    wait_until_caught_up(&*scene.bus, 2);
    // It is no better than before.
    assert_eq!(listed(&scene, &[]).len(), 2);
    super::end(&mut processor);
    let balance = check_books(&*scene.bus, 2);
    assert_eq!(balance.dispositions["quarantined"], 2);
    ledger::agrees(&scene, &balance);

    let before = (found[0]["offset"].as_i64().unwrap() + 1).to_string();
    let asked = quarantine(&scene, &["drop", "1", &before]);
    assert!(asked.stdout.contains("would delete 1 records") && listed(&scene, &[]).len() == 2, "{asked:?}");
    let done = quarantine(&scene, &["drop", "1", &before, "--yes"]);
    assert!(done.code == Some(0) && done.stdout.contains("deleted 1 records"), "{done:?}");
    assert_eq!(listed(&scene, &[]).len(), 1);
}
