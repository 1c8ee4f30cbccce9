//! `text: raw`: texts as they were sent are in one restricted topic, and nowhere else.

use dbintel_schemas::Topic;
use dbintel_schemas::records::RawVerbatim;
use dbintel_tests::servers::postgres::{Major, Postgres};

use crate::cli_rig::{run, text};
use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{Tape, decode};

const PLANTED: &[u8] = b"hunter2";

fn holds(tape: &Tape, topic: Topic) -> bool {
    tape.values(topic).iter().any(|value| value.windows(PLANTED.len()).any(|window| window == PLANTED))
}

#[tokio::test]
async fn texts_as_they_were_sent_are_in_one_topic_of_those_who_ask_for_it() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    let (mut raw, plain) = (watcher(&postgres), watcher(&postgres));
    raw.text.raw = true;
    for (config, is_raw) in [(raw, true), (plain, false)] {
        let tape = Tape::of(config);
        let shop = connect_as(&postgres, "shop").await;
        let sleeper =
            tokio::spawn(async move { shop.simple_query("SELECT pg_sleep(1), 'hunter2' -- hunter2").await.map(drop) });
        admin.batch_execute("ALTER ROLE shop PASSWORD 'hunter2'").await.unwrap();
        sleeper.await.unwrap().unwrap();
        // Texts are read after the statements that were not seen before.
        tape.whole_poll("statements").await;
        tape.whole_poll("statements").await;
        tape.next_polls("sessions", 2).await;
        tape.stop().await;
        assert_eq!(holds(&tape, Topic::RawVerbatim), is_raw);
        assert_eq!(tape.values(Topic::RawVerbatim).is_empty(), !is_raw);
        let is_other = |topic: &Topic| *topic != Topic::RawVerbatim && topic.stage().is_none();
        for topic in Topic::ALL.into_iter().filter(is_other) {
            assert!(!holds(&tape, topic), "{topic}");
        }
        if is_raw {
            let values = tape.values(Topic::RawVerbatim);
            let rows: Vec<RawVerbatim<'_>> = values.iter().map(|value| decode(value)).collect();
            let is_sent = |row: &&RawVerbatim<'_>| row.text == "SELECT pg_sleep(1), 'hunter2' -- hunter2";
            let sent = rows.iter().find(is_sent).expect("the text of the session");
            assert!(sent.session_id.is_some() && sent.fingerprint.is_some() && !sent.truncated, "{sent:?}");
            assert!(rows.iter().any(|row| row.session_id.is_none()), "texts of the statistics, too");
        }
    }
}

#[test]
fn who_asks_for_it_is_warned() {
    let scratch = dbintel_tests::scratch::Scratch::new("raw");
    let file = scratch.write(
        "dbintel.yaml",
        "pollers: {postgresql: {username: m, text: raw}}\nsinks: {debug: {}}\n\
         pipelines: {main: {pollers: [postgresql], sinks: [debug]}}\n",
    );
    let validated = run(&["validate", "--config", text(&file)], &[]);
    assert_eq!(validated.code, Some(0), "{}", validated.stderr);
    let said = validated.stdout + &validated.stderr;
    assert!(said.contains("warning") && said.contains("raw.verbatim"), "{said}");
}
