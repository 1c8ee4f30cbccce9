//! The poller of MySQL and MariaDB: counters are those of the server, texts hold no literal, sessions are joined.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_pollers::mysql::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::{QueryCounters, RawQuery, RawSession, RawText};
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::wait::eventually;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use crate::pollers_tape::{LIMIT, Seen, Tape, decode};

/// What the server counts of a digest, and the field that it is.
const COUNTS: [(&str, &str); 15] = [
    ("COUNT_STAR", "calls"),
    ("SUM_TIMER_WAIT DIV 1000", "total_exec_time_ns"),
    ("SUM_LOCK_TIME DIV 1000", "lock_time_ns"),
    ("SUM_ROWS_SENT + SUM_ROWS_AFFECTED", "rows"),
    ("SUM_ROWS_AFFECTED", "rows_affected"),
    ("SUM_ROWS_EXAMINED", "rows_examined"),
    ("SUM_ERRORS", "errors"),
    ("SUM_WARNINGS", "warnings"),
    ("SUM_NO_INDEX_USED", "no_index_used"),
    ("SUM_NO_GOOD_INDEX_USED", "no_good_index_used"),
    ("SUM_SELECT_SCAN", "select_scan"),
    ("SUM_SELECT_FULL_JOIN", "select_full_join"),
    ("SUM_CREATED_TMP_TABLES", "tmp_tables"),
    ("SUM_CREATED_TMP_DISK_TABLES", "tmp_disk_tables"),
    ("SUM_SORT_ROWS", "sort_rows"),
];

/// A shop with an account of its own, and an account that may watch it.
async fn open_shop(mysql: &Mysql) {
    mysql
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.goods (id int PRIMARY KEY, price int)",
            "INSERT INTO shop.goods VALUES (1, 1), (2, 2), (3, 3)",
            "CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'",
            "GRANT ALL ON shop.* TO 'shop'@'%'",
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
            "GRANT PROCESS ON *.* TO 'watcher'@'%'",
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'events_statements_current'",
        ])
        .await;
}

fn watcher(mysql: &Mysql) -> Config {
    let mut config = Config { username: "watcher".to_owned(), ..Config::default() };
    config.password = dbintel_config::Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
    config.sessions.interval = Duration::from_millis(100);
    config.statements.interval = Duration::from_millis(200);
    config.texts.interval = Duration::from_millis(100);
    config
}

async fn shop(mysql: &Mysql) -> Conn {
    mysql.client("shop", "shop", Some("shop")).await
}

/// Sorts on disk what it joins without an index.
const SORTED: &str = "SELECT price, COUNT(*) FROM (SELECT a.price FROM goods a JOIN goods b ON a.price = b.price) AS pairs \
     GROUP BY price ORDER BY COUNT(*)";

async fn work(client: &mut Conn, times: usize) {
    // Temporary tables go to disk at once.
    client.query_drop("SET SESSION big_tables = ON").await.unwrap();
    for time in 0..times {
        client.query_drop(format!("UPDATE goods SET price = price + {time} WHERE id < {}", time + 3)).await.unwrap();
        client.query_drop("SELECT COUNT(*) FROM goods WHERE price > 'hunter2' /* hunter2 */").await.unwrap();
        client.query_drop("SELECT nothing FROM goods").await.unwrap_err();
        client.query_drop(SORTED).await.unwrap();
    }
}

/// Counters of each digest, in the order of [`COUNTS`].
type Counters = BTreeMap<String, Vec<i64>>;

async fn of_the_server(mysql: &Mysql) -> Counters {
    let expressions = COUNTS.map(|(expression, _)| format!("CAST({expression} AS SIGNED)")).join(", ");
    let sql = format!(
        "SELECT DIGEST, {expressions} FROM performance_schema.events_statements_summary_by_digest \
         WHERE SCHEMA_NAME = 'shop' AND (DIGEST_TEXT LIKE 'UPDATE%' OR DIGEST_TEXT LIKE 'SELECT COUNT%' \
         OR DIGEST_TEXT LIKE 'SELECT `price`%' OR DIGEST_TEXT LIKE 'SELECT `nothing`%')"
    );
    let counters = |row: &Row| {
        let values = (1..=COUNTS.len()).map(|place| row.get::<i64, _>(place).unwrap());
        (row.get::<String, _>(0).unwrap(), values.collect())
    };
    mysql.rows(&sql).await.iter().map(counters).collect()
}

fn published(tape: &Tape) -> Counters {
    let mut latest = Counters::new();
    for value in tape.values(Topic::RawQueries) {
        let row: RawQuery<'_> = decode(&value);
        let place = |name: &str| QueryCounters::FIELDS.iter().position(|field| *field == name).unwrap();
        let values = COUNTS.map(|(_, name)| row.counters.get(place(name)).unwrap_or_else(|| panic!("{name}")));
        latest.insert(row.query_id.to_owned(), values.to_vec());
    }
    latest
}

#[tokio::test]
async fn counters_are_those_of_the_server_at_two_moments() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        open_shop(&mysql).await;
        let mut client = shop(&mysql).await;
        work(&mut client, 3).await;
        let tape = Tape::of(watcher(&mysql));
        for _ in 0..2 {
            work(&mut client, 2).await;
            // A statement is counted a moment after its client was answered.
            let expected = eventually(LIMIT, "the counters of the server", async || {
                let (expected, published) = (of_the_server(&mysql).await, published(&tape));
                let is_there = |(digest, counters): (&String, &Vec<i64>)| published.get(digest) == Some(counters);
                expected.iter().all(is_there).then_some(expected)
            })
            .await;
            assert_eq!(expected.len(), 4, "{flavour:?}: {expected:?}");
            let is_moved = |place: usize| expected.values().any(|counters| counters[place] > 0);
            let unmoved = COUNTS.iter().enumerate().filter(|(place, _)| !is_moved(*place));
            let unmoved: Vec<_> = unmoved.map(|(_, (_, name))| *name).collect();
            assert_eq!(unmoved, ["no_good_index_used"], "{flavour:?}: {expected:?}");
        }
        let snapshots: Vec<_> = tape.polls().into_iter().filter(|poll| poll.snapshot_complete).collect();
        assert_eq!(snapshots.len(), 1, "{flavour:?}: between snapshots only what was executed is read");
        assert!(snapshots[0].entries.is_some() && snapshots[0].entries_max == Some(2000), "{snapshots:?}");
        let rows: Vec<_> = tape.values(Topic::RawQueries);
        let row: RawQuery<'_> = decode(rows.last().unwrap());
        assert_eq!((row.engine, row.role), (flavour.engine(), "primary"));
        assert!(!row.instance.system_identifier.is_empty() && row.instance.started_at.is_some(), "{row:?}");
        assert!(row.entry_since_at.is_some() && row.toplevel.is_none(), "{row:?}");
        tape.stop().await;
    }
}

#[tokio::test]
async fn each_text_is_published_once_and_literals_never() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        open_shop(&mysql).await;
        let mut client = shop(&mysql).await;
        let tape = Tape::of(watcher(&mysql));
        let planted = ["SELECT 'hunter2' AS literal", "SELECT id FROM goods WHERE id IN (1, 2, 3) # hunter2"];
        for sql in planted {
            client.query_drop(sql).await.unwrap();
        }
        mysql.run(&["ALTER USER 'shop'@'%' IDENTIFIED BY 'hunter2'"]).await;
        work(&mut client, 2).await;
        tape.whole_poll("statements").await;
        tape.whole_poll("texts").await;
        tape.next_polls("statements", 3).await;
        tape.stop().await;
        let mut texts = BTreeMap::new();
        for value in tape.values(Topic::RawTexts) {
            let row: RawText<'_> = decode(&value);
            let before =
                texts.insert((row.database_id.to_owned(), row.query_id.to_owned()), row.text.map(str::to_owned));
            assert_eq!(before, None, "{flavour:?}: {row:?} was published twice");
        }
        let shown: BTreeSet<&str> = texts.values().filter_map(|text| text.as_deref()).collect();
        for expected in ["UPDATE `goods` SET `price` = `price` + ? WHERE", "SELECT ?", "FROM `goods` WHERE"] {
            assert!(shown.iter().any(|text| text.contains(expected)), "{flavour:?}: {expected}: {shown:?}");
        }
        assert_nothing_planted(&tape);
    }
}

fn assert_nothing_planted(tape: &Tape) {
    for topic in [Topic::RawQueries, Topic::RawTexts, Topic::RawPolls, Topic::RawSessions] {
        for value in tape.values(topic) {
            let found = value.windows(7).any(|window| window == b"hunter2");
            assert!(!found, "{topic:?}: {}", String::from_utf8_lossy(&value));
        }
    }
}

/// What the server calls the session, its text, the identity of its statement and where that comes from.
type Session = (String, Option<String>, Option<String>, Option<String>);

fn sessions(tape: &Tape) -> Vec<Session> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let session = |value: &Vec<u8>| {
        let row: RawSession<'_> = decode(value);
        assert_ne!(row.user, Some("watcher"), "ours is none of them");
        (row.session_id.to_owned(), owned(row.text), owned(row.fingerprint), owned(row.fingerprint_source))
    };
    tape.values(Topic::RawSessions).iter().map(session).collect()
}

#[tokio::test]
async fn sessions_are_those_that_work_or_have_a_transaction_open() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        open_shop(&mysql).await;
        let (mut sleeper, mut idle, mut holder) = (shop(&mysql).await, shop(&mysql).await, shop(&mysql).await);
        idle.query_drop("SELECT 1").await.unwrap();
        holder.query_drop("BEGIN").await.unwrap();
        holder.query_drop("UPDATE goods SET price = 'hunter2' + 0 WHERE id = 1").await.unwrap_err();
        holder.query_drop("UPDATE goods SET price = 7 WHERE id = 1").await.unwrap();
        let ids = [&sleeper, &idle, &holder].map(|client| client.id().to_string());
        let asleep = tokio::spawn(async move {
            sleeper.query_drop("SELECT SLEEP(3), id FROM goods WHERE price <> 'hunter2' LIMIT 1").await
        });
        let tape = Tape::of(watcher(&mysql));
        let seen = eventually(LIMIT, "both sessions", async || {
            let seen = sessions(&tape);
            ids.iter().step_by(2).all(|id| seen.iter().any(|session| session.0 == *id)).then_some(seen)
        })
        .await;
        let of = |id: &str| seen.iter().find(|session| session.0 == id);
        assert_eq!(of(&ids[1]), None, "{flavour:?}: idle sessions are not sampled");
        let text = of(&ids[0]).unwrap().1.clone().unwrap();
        assert_eq!(text, "SELECT SLEEP(?), id FROM goods WHERE price <> ? LIMIT ?", "{flavour:?}");
        assert_eq!(of(&ids[2]).unwrap().1.as_deref(), Some("UPDATE goods SET price = ? WHERE id = ?"));
        asleep.await.unwrap().unwrap();
        tape.whole_poll("statements").await;
        let fingerprint = of(&ids[0]).unwrap().2.clone();
        eventually(LIMIT, "the text of the statement", async || {
            let values = tape.values(Topic::RawTexts);
            values.iter().any(|value| decode::<RawText<'_>>(value).fingerprint == fingerprint.as_deref()).then_some(())
        })
        .await;
        let poll = tape.whole_poll("sessions").await;
        assert!(poll.connections_used.unwrap() >= 3 && poll.connections_max == Some(50), "{poll:?}");
        tape.stop().await;
        assert_nothing_planted(&tape);
    }
}

/// Waits for a row, and for a table as a whole, and who is in the way; transactions and since when they are open.
#[tokio::test]
async fn who_waits_is_seen_with_who_is_in_the_way() {
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        open_shop(&mysql).await;
        mysql.run(&["UPDATE performance_schema.setup_instruments SET ENABLED = 'YES', TIMED = 'YES' WHERE NAME = 'wait/lock/metadata/sql/mdl'"]).await;
        let (mut holder, mut waiter, mut changer) = (shop(&mysql).await, shop(&mysql).await, shop(&mysql).await);
        let [of_holder, of_waiter, of_changer] = [&holder, &waiter, &changer].map(|client| client.id().to_string());
        holder.query_drop("BEGIN").await.unwrap();
        holder.query_drop("UPDATE goods SET price = 7 WHERE id = 1").await.unwrap();
        let waits = tokio::spawn(async move { waiter.query_drop("UPDATE goods SET price = 8 WHERE id = 1").await });
        eventually(LIMIT, "the wait for the row", async || {
            let waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
            (mysql.rows(waiting).await[0].get::<u64, _>(0) == Some(1)).then_some(())
        })
        .await;
        let changes = tokio::spawn(async move { changer.query_drop("ALTER TABLE goods ADD COLUMN more int").await });
        let tape = Tape::of(watcher(&mysql));
        eventually(LIMIT, "both waits", async || {
            let rows = tape.values(Topic::RawSessions);
            let of =
                |id: &str| rows.iter().rev().map(|row| decode::<RawSession<'_>>(row)).find(|row| row.session_id == id);
            let (row, table, idle) = (of(&of_waiter)?, of(&of_changer)?, of(&of_holder)?);
            let is_blocked = |session: &RawSession<'_>| {
                session.wait_event_type == Some("Lock")
                    && session.blocking_session_ids.iter().any(|id| *id == of_holder)
            };
            let began = idle.transaction_started_at.zip(idle.server_time);
            let is_open = began.is_some_and(|(began, now)| (0..=30_000_000).contains(&(now - began)));
            (is_blocked(&row) && row.wait_event == Some("row lock") && is_blocked(&table) && is_open).then_some(())
        })
        .await;
        let poll = tape.whole_poll("sessions").await;
        assert_eq!(poll.lock_waiters, Some(2), "{flavour:?}: {poll:?}");
        tape.stop().await;
        holder.query_drop("ROLLBACK").await.unwrap();
        waits.await.unwrap().unwrap();
        changes.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn one_connection_is_all_that_a_server_sees() {
    let mysql = Mysql::start(Flavour::Mysql9);
    open_shop(&mysql).await;
    let tape = Tape::of(watcher(&mysql));
    tape.next_polls("statements", 3).await;
    let ours = "SELECT COUNT(*) FROM performance_schema.threads WHERE PROCESSLIST_USER = 'watcher'";
    assert_eq!(mysql.rows(ours).await[0].get::<u64, _>(0), Some(1));
    tape.stop().await;
    eventually(LIMIT, "the end of the connection", async || {
        (mysql.rows(ours).await[0].get::<u64, _>(0) == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_said_and_fails_nothing() {
    let mysql = Mysql::start(Flavour::MariadbStable);
    open_shop(&mysql).await;
    mysql.run(&["REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'watcher'@'%'"]).await;
    let tape = Tape::of(watcher(&mysql));
    let poll = tape.whole_poll("statements").await;
    let missing: Vec<&str> = poll.capabilities.iter().map(|(name, ..)| name.as_str()).collect();
    assert!(missing.contains(&"performance_schema") && missing.contains(&"PROCESS"), "{missing:?}");
    assert!(tape.whole_poll("sessions").await.outcome == "ok");
    tape.stop().await;

    let off = Mysql::start_with(Flavour::MariadbStable, &["--performance-schema=OFF"]);
    let grants = [
        "CREATE DATABASE shop",
        "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
        "GRANT PROCESS ON *.* TO 'watcher'@'%'",
    ];
    off.run(&grants).await;
    off.run(&["CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'", "GRANT ALL ON shop.* TO 'shop'@'%'"]).await;
    let mut client = shop(&off).await;
    let id = client.id().to_string();
    let asleep = tokio::spawn(async move { client.query_drop("SELECT SLEEP(2), 'hunter2'").await });
    let tape = Tape::of(watcher(&off));
    let seen = eventually(LIMIT, "the session", async || sessions(&tape).into_iter().find(|seen| seen.0 == id)).await;
    assert_eq!((seen.1.as_deref(), seen.3.as_deref()), (Some("SELECT SLEEP(?), ?"), Some("text")));
    asleep.await.unwrap().unwrap();
    tape.stop().await;
    assert_nothing_planted(&tape);
}

/// Instruments that are switched off are said, and the statement that is told mends it.
#[tokio::test]
async fn instruments_that_are_switched_off_are_said() {
    for flavour in [Flavour::Mysql9, Flavour::MariadbStable] {
        let off = ["wait/io/table/%=OFF", "wait/lock/metadata/%=OFF", "memory/%=OFF"];
        let options: Vec<_> = off.iter().map(|off| format!("--performance-schema-instrument={off}")).collect();
        let mysql = Mysql::start_with(flavour, &options.iter().map(String::as_str).collect::<Vec<_>>());
        open_shop(&mysql).await;
        let tape = Tape::of(watcher(&mysql));
        let said = tape.whole_poll("settings").await.capabilities;
        tape.stop().await;
        let prefix = "performance_schema.setup_instruments.";
        let instruments: Vec<_> = said.iter().filter(|(name, ..)| name.starts_with(prefix)).collect();
        let names: BTreeSet<_> = instruments.iter().map(|(name, ..)| &name[prefix.len()..]).collect();
        let expected = ["memory/sql/%", "wait/io/table/sql/handler", "wait/lock/metadata/sql/mdl"];
        assert_eq!(names, expected.into(), "{flavour:?}");
        assert_eq!(said.iter().any(|(name, ..)| name == "userstat"), flavour != Flavour::Mysql9);
        for (_, _, remedy) in instruments {
            let (_, statement) = remedy.split_once(", or ").unwrap();
            mysql.run(&[statement]).await;
        }
        mysql.run(if flavour == Flavour::Mysql9 { &[] } else { &["SET GLOBAL userstat = ON"] }).await;
        let tape = Tape::of(watcher(&mysql));
        let rest = tape.whole_poll("settings").await.capabilities;
        let rest: Vec<_> = rest.iter().filter(|(name, ..)| name.starts_with(prefix) || name == "userstat").collect();
        assert!(rest.is_empty(), "{flavour:?}: {rest:?}");
        tape.stop().await;
    }
}

#[tokio::test]
async fn a_restart_and_a_truncated_table_begin_new_entries() {
    let mut mysql = Mysql::start(Flavour::Mysql9);
    open_shop(&mysql).await;
    work(&mut shop(&mysql).await, 2).await;
    let tape = Tape::of(watcher(&mysql));
    let entries = |tape: &Tape| -> BTreeSet<Option<i64>> {
        let values = tape.values(Topic::RawQueries);
        let rows = values.iter().map(|value| decode::<RawQuery<'_>>(value));
        rows.filter(|row| row.database == Some("shop") && row.counters.errors() == Some(0))
            .map(|row| row.entry_since_at)
            .collect()
    };
    tape.whole_poll("statements").await;
    let before = entries(&tape).len();
    mysql.run(&["TRUNCATE performance_schema.events_statements_summary_by_digest"]).await;
    work(&mut shop(&mysql).await, 2).await;
    tape.whole_poll("statements").await;
    let after = entries(&tape).len();
    assert!(after > before, "{before}, {after}");
    mysql.process.stop();
    tape.poll_with("a poll that is refused", |poll| poll.outcome == "refused").await;
    let polls_before = tape.polls().len();
    mysql.start_again();
    work(&mut shop(&mysql).await, 1).await;
    let first = eventually(LIMIT, "a poll of statements after the restart", async || {
        let is_it = |poll: &Seen| poll.class == "statements" && poll.outcome == "ok";
        tape.polls().into_iter().skip(polls_before).find(is_it)
    })
    .await;
    assert!(first.snapshot_complete, "{first:?}");
    tape.stop().await;
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up_at_the_deadline() {
    let mut mysql = Mysql::start(Flavour::Mariadb11);
    open_shop(&mysql).await;
    let mut config = watcher(&mysql);
    config.sessions.timeout = Duration::from_millis(300);
    let tape = Tape::of(config);
    tape.whole_poll("sessions").await;
    mysql.process.signal(rustix::process::Signal::STOP);
    let poll = tape.poll_with("a poll that takes too long", |poll| poll.outcome == "timeout").await;
    assert_eq!(poll.error_class.as_deref(), Some("timeout"));
    mysql.process.signal(rustix::process::Signal::CONT);
    tape.whole_poll("sessions").await;
    tape.stop().await;
}
