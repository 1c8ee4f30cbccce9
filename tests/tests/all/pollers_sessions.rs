//! Samples of sessions: waits, blockers, and what they tell about the server.

use std::collections::BTreeMap;
use std::time::Duration;

use dbintel_pollers::postgresql::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::RawSession;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use tokio_postgres::Client;

use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{LIMIT, Tape, decode};

/// One session of one sample.
#[derive(Debug, Clone)]
struct Session {
    id: String,
    user: Option<String>,
    application: Option<String>,
    database: Option<String>,
    state: Option<String>,
    wait: (Option<String>, Option<String>),
    blockers: Vec<String>,
    query_id: Option<String>,
    text: Option<String>,
    times: [Option<i64>; 4],
    client: (Option<String>, Option<i64>),
    attributes: BTreeMap<String, String>,
}

fn sessions(tape: &Tape) -> Vec<Session> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let session = |value: &Vec<u8>| {
        let record: RawSession<'_> = decode(value);
        Session {
            id: record.session_id.to_owned(),
            user: owned(record.user),
            application: owned(record.application),
            database: owned(record.database),
            state: owned(record.state),
            wait: (owned(record.wait_event_type), owned(record.wait_event)),
            blockers: record.blocking_session_ids.iter().map(str::to_owned).collect(),
            query_id: owned(record.query_id),
            text: owned(record.text),
            times: [
                record.session_started_at,
                record.transaction_started_at,
                record.query_started_at,
                record.state_changed_at,
            ],
            client: (owned(record.client_address), record.client_port),
            attributes: record.attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    };
    tape.values(Topic::RawSessions).iter().map(session).collect()
}

async fn pid(client: &Client) -> String {
    client.query_one("SELECT pg_backend_pid()::text", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_lock_chain_shows_who_waits_for_whom() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let admin = open_shop(&postgres).await;
        admin.batch_execute("INSERT INTO goods VALUES (1, 1)").await.unwrap();
        let (holder, waiter) = (connect_as(&postgres, "shop").await, connect_as(&postgres, "shop").await);
        let (holder_id, waiter_id) = (pid(&holder).await, pid(&waiter).await);
        let tape = Tape::of(watcher(&postgres));
        holder.batch_execute("BEGIN; UPDATE goods SET price = 2").await.unwrap();
        let waiting = tokio::spawn(async move { waiter.batch_execute("UPDATE goods SET price = 3").await });

        let is_waiting = |session: &Session| session.id == waiter_id && session.wait.0.as_deref() == Some("Lock");
        let seen =
            eventually(LIMIT, "the waiting session", async || sessions(&tape).into_iter().find(is_waiting)).await;
        let expected_wait = (Some("Lock".to_owned()), Some("transactionid".to_owned()));
        assert_eq!((&seen.wait, &seen.blockers), (&expected_wait, &vec![holder_id.clone()]));
        assert_eq!((seen.state.as_deref(), seen.database.as_deref()), (Some("active"), Some("postgres")));
        assert_eq!((seen.user.as_deref(), seen.client.0.as_deref()), (Some("shop"), Some("127.0.0.1")));
        assert!(seen.client.1.is_some() && seen.times.iter().all(Option::is_some));
        assert_eq!(seen.text.as_deref(), Some("UPDATE goods SET price = ?"));
        assert_eq!(seen.query_id.is_some(), major == Major::V18);
        let attribute = |name: &str| seen.attributes.get(name).map(String::as_str);
        assert_eq!((attribute("lock_type"), attribute("lock_mode")), (Some("transactionid"), Some("ShareLock")));
        assert_eq!(attribute("lock_wait_started_at").is_some(), major == Major::V18);
        assert!(attribute("xmin_age").is_some_and(|age| age.parse::<i64>().is_ok()), "{seen:?}");
        let root = sessions(&tape).into_iter().find(|session| session.id == holder_id).unwrap();
        assert_eq!((root.state.as_deref(), root.blockers.len()), (Some("idle in transaction"), 0));

        let poll = tape.whole_poll("sessions").await;
        assert_eq!((poll.lock_waiters, poll.active_sessions), (Some(1), Some(1)), "{poll:?}");
        assert_eq!((poll.connections_max, poll.in_recovery, poll.role.as_str()), (Some(100), Some(false), "primary"));
        holder.batch_execute("COMMIT").await.unwrap();
        waiting.await.unwrap().unwrap();
        let poll = tape.whole_poll("sessions").await;
        assert_eq!((poll.lock_waiters, poll.active_sessions), (Some(0), Some(0)), "{poll:?}");

        // A table as a whole has a name.
        holder.batch_execute("BEGIN; LOCK TABLE goods").await.unwrap();
        let reader = connect_as(&postgres, "shop").await;
        let waiting = tokio::spawn(async move { reader.batch_execute("SELECT * FROM goods").await });
        let relation = eventually(LIMIT, "a session that waits for a table", async || {
            sessions(&tape).into_iter().find_map(|session| session.attributes.get("lock_relation").cloned())
        })
        .await;
        assert_eq!(relation, "goods");
        holder.batch_execute("COMMIT").await.unwrap();
        waiting.await.unwrap().unwrap();
        tape.stop().await;
        assert_only_others_are_seen(&tape);
    }
}

/// To ask the server for each of many waiting sessions who is in its way would cost more than it tells.
#[tokio::test]
async fn a_pile_up_is_sampled_without_blockers() {
    let postgres = Postgres::start_with(Major::V18, &[("max_connections", "150")]);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("BEGIN; LOCK TABLE goods").await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..101 {
        let shop = connect_as(&postgres, "shop").await;
        waiting.push(tokio::spawn(async move { shop.simple_query("SELECT FROM goods").await.map(drop) }));
    }
    let tape = Tape::of(watcher(&postgres));
    let poll = tape.poll_with("a poll of all", |poll| poll.lock_waiters == Some(101)).await;
    let names: Vec<_> = poll.capabilities.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!((poll.outcome.as_str(), names), ("ok", vec!["pg_blocking_pids"]));
    assert!(poll.rows["raw.sessions"] >= 102);
    assert!(sessions(&tape).iter().all(|session| session.blockers.is_empty()));
    admin.batch_execute("COMMIT").await.unwrap();
    for session in waiting {
        session.await.unwrap().unwrap();
    }
    let after = tape.whole_poll("sessions").await;
    assert_eq!((after.lock_waiters, after.capabilities), (Some(0), vec![]));
    tape.stop().await;
}

/// Neither our sessions nor idle ones are sampled.
fn assert_only_others_are_seen(tape: &Tape) {
    let sessions = sessions(tape);
    let ours = |session: &&Session| {
        session.application.as_deref() == Some("dbintel") || session.user.as_deref() == Some("watcher")
    };
    assert_eq!(sessions.iter().find(ours).map(|session| &session.id), None);
    assert!(sessions.iter().all(|session| session.state.as_deref() != Some("idle")));
}

#[tokio::test]
async fn the_identifier_joins_sessions_with_statements() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    let tape = Tape::of(watcher(&postgres));
    let shop = connect_as(&postgres, "shop").await;
    tape.whole_poll("sessions").await;
    shop.simple_query("SELECT pg_sleep(0.5)").await.unwrap();
    let sql = "SELECT queryid::text FROM pg_stat_statements WHERE query = 'SELECT pg_sleep($1)'";
    let query_id: Option<String> = admin.query_one(sql, &[]).await.unwrap().get(0);
    let sleeps = |session: &Session| session.wait.1.as_deref() == Some("PgSleep");
    let seen: Vec<_> = sessions(&tape).into_iter().filter(sleeps).collect();
    assert!(seen.len() >= 2 && seen.iter().all(|session| session.query_id == query_id), "{seen:?}");
    tape.stop().await;
}

#[tokio::test]
async fn connections_of_the_server_are_counted() {
    let postgres = Postgres::start_with(Major::V18, &[("max_connections", "20")]);
    let admin = open_shop(&postgres).await;
    let tape = Tape::of(Config { databases: vec!["postgres".to_owned()], ..watcher(&postgres) });
    let mut clients = Vec::new();
    for more in [0, 3, 4] {
        for _ in 0..more {
            clients.push(connect_as(&postgres, "shop").await);
        }
        tape.next_polls("tables", 1).await;
        let poll = tape.whole_poll("sessions").await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
        let server = admin.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!((poll.connections_used, poll.connections_max), (Some(server), Some(20)));
        assert_eq!(server, 1 + 2 + clients.len() as i64);
    }
    tape.stop().await;
    let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbintel'";
    eventually(Duration::from_secs(5), "the end of our connections", async || {
        (admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}
