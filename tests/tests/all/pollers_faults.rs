//! Servers that stop, lock, refuse and freeze: no poller gets stuck, and each fault stands in `raw.polls`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use dbintel_config::Secret;
use dbintel_pollers::limits::{Circuit, Limits};
use dbintel_pollers::postgresql::{Config, probe};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawPoll, RawQuery};
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::pgbouncer::PgBouncer;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;
use tokio_postgres::Client;

use crate::pollers_statements::{open_shop, watcher};
use crate::pollers_tape::{LIMIT, Seen, Tape, decode, settings};

#[tokio::test]
async fn a_restart_begins_a_new_epoch_with_a_complete_snapshot() {
    for major in [Major::V12, Major::V18] {
        let mut postgres = Postgres::start(major);
        open_shop(&postgres).await;
        let tape = Tape::of(watcher(&postgres));
        let before = tape.whole_poll("statements").await;
        postgres.process.stop();
        // Until it is gone, the server may say that it is stopping.
        let is_refused = |poll: &Seen| poll.outcome == "refused" && poll.error_class.as_deref() == Some("io");
        let refused = tape.poll_with("a refused poll", is_refused).await;
        assert_eq!(refused.server_started_at, before.server_started_at);
        postgres.start_again();
        let after =
            tape.poll_with("polls after the start", |poll| poll.class == "statements" && poll.outcome == "ok").await;
        assert!(after.server_started_at > before.server_started_at, "{after:?}");
        assert!(after.snapshot_complete);
        for class in ["sessions", "metrics", "tables", "sizes"] {
            tape.whole_poll(class).await;
        }
        tape.stop().await;
        assert_one_identity(&tape);
    }
}

/// The data is the same, so the identifier and the timeline are; numbers of polls rise.
fn assert_one_identity(tape: &Tape) {
    let mut identities = BTreeSet::new();
    let mut last = 0;
    for value in tape.values(Topic::RawPolls) {
        let poll: RawPoll<'_> = decode(&value);
        identities.insert((
            poll.instance.system_identifier.to_owned(),
            poll.instance.timeline,
            poll.engine_version.to_owned(),
        ));
        if poll.poll_class == "sessions" {
            assert!(poll.poll_seq > last);
            last = poll.poll_seq;
        }
    }
    assert_eq!(identities.len(), 1, "{identities:?}");
    let record_ids: Vec<_> =
        tape.values(Topic::RawQueries).iter().map(|value| decode::<RawQuery<'_>>(value).record_id).collect();
    assert_eq!(record_ids.iter().collect::<BTreeSet<_>>().len(), record_ids.len());
}

#[tokio::test]
async fn an_exclusive_lock_on_a_table_stops_nothing() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let admin = open_shop(&postgres).await;
        admin.batch_execute("CREATE TABLE free AS SELECT 1 AS id; CREATE INDEX ON goods (id)").await.unwrap();
        let locker = postgres.client("postgres").await;
        locker.batch_execute("BEGIN; LOCK TABLE goods IN ACCESS EXCLUSIVE MODE").await.unwrap();
        // Somebody who waits for such a lock is as much in the way as somebody who has it.
        admin.batch_execute("CREATE TABLE awaited ()").await.unwrap();
        let reader = postgres.client("postgres").await;
        reader.batch_execute("BEGIN; LOCK TABLE awaited IN ACCESS SHARE MODE").await.unwrap();
        let waiter = postgres.client("postgres").await;
        let waiting = tokio::spawn(async move { waiter.batch_execute("DROP TABLE awaited").await });
        eventually(LIMIT, "the waiting DROP", async || {
            let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            (admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
        })
        .await;

        let tape = Tape::of(watcher(&postgres));
        for class in ["sessions", "statements", "metrics", "tables"] {
            tape.next_polls(class, 3).await;
        }
        let sizes = tape.next_polls("sizes", 3).await;
        assert!(sizes.iter().all(|poll| names(poll).contains("pg_relation_size") && poll.outcome == "ok"), "{sizes:?}");
        let size = |table: &str| {
            let identity = format!("database=postgres,schema=public,table={table}");
            tape.metrics().get(&("postgresql.table.size".to_owned(), identity)).copied()
        };
        assert_eq!((size("goods"), size("awaited"), size("free")), (None, None, Some(8192.0)));
        let failed: Vec<_> = tape.polls().into_iter().filter(|poll| poll.outcome != "ok").collect();
        assert!(failed.is_empty(), "{failed:?}");

        locker.batch_execute("COMMIT").await.unwrap();
        reader.batch_execute("COMMIT").await.unwrap();
        waiting.await.unwrap().unwrap();
        let whole = tape.whole_poll("sizes").await;
        assert_eq!((names(&whole), size("goods")), (BTreeSet::new(), Some(0.0)));
        tape.stop().await;
    }
}

/// The server itself ends what takes too long, and the connection stays.
#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    let many = "DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE format('CREATE TABLE t_%s (id int PRIMARY KEY)', n); END LOOP; END $$";
    admin.batch_execute(many).await.unwrap();
    let mut config = watcher(&postgres);
    config.sizes.timeout = Duration::from_millis(10);
    let tape = Tape::of(config);
    let ended = tape.poll_with("a poll that was ended", |poll| poll.class == "sizes" && poll.outcome != "ok").await;
    assert_eq!((ended.outcome.as_str(), ended.error_class.as_deref()), ("timeout", Some("57014")));
    assert!(ended.duration_ns < 1_000_000_000, "{ended:?}");
    let tables = tape.whole_poll("tables").await;
    assert_eq!(tables.error, None);
    tape.stop().await;
}

/// Somebody locks what one of many views reads: that view is left out, and read again later.
#[tokio::test]
async fn a_view_that_takes_too_long_costs_only_itself() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let locker = postgres.client("postgres").await;
    locker.batch_execute("BEGIN; LOCK TABLE pg_subscription IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut config = watcher(&postgres);
    config.replication.interval = Duration::from_millis(100);
    let tape = Tape::of(config);
    let first = tape.poll_with("a poll that waited", |poll| poll.class == "replication").await;
    assert_eq!((first.outcome.as_str(), first.error_class.as_deref()), ("timeout", Some("55P03")));
    let without = tape.whole_poll("replication").await;
    assert!(names(&without).contains("pg_stat_subscription") && without.rows["raw.metrics"] > 5, "{without:?}");
    locker.batch_execute("COMMIT").await.unwrap();
    let is_whole = |poll: &Seen| poll.class == "replication" && poll.outcome == "ok" && names(poll).is_empty();
    tape.poll_with("a poll of all views", is_whole).await;
    tape.stop().await;
}

fn names(poll: &Seen) -> BTreeSet<&str> {
    poll.capabilities.iter().map(|(name, ..)| name.as_str()).collect()
}

#[tokio::test]
async fn a_lock_on_the_catalogue_is_a_time_out() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let tape = Tape::of(watcher(&postgres));
    tape.whole_poll("metrics").await;
    let locker = postgres.client("postgres").await;
    locker.batch_execute("BEGIN; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let blocked = tape.poll_with("a poll that waited for a lock", |poll| poll.outcome == "timeout").await;
    assert_eq!(blocked.error_class.as_deref(), Some("55P03"), "{blocked:?}");
    assert!(blocked.error.is_some_and(|error| error.contains("exclusive lock")));
    assert!(blocked.duration_ns >= 400_000_000, "{}", blocked.duration_ns);
    locker.batch_execute("ROLLBACK").await.unwrap();
    for class in ["sessions", "statements", "metrics"] {
        tape.poll_with("polls after the lock", |poll| poll.class == class && poll.outcome == "ok").await;
    }
    tape.stop().await;
}

#[tokio::test]
async fn a_frozen_server_is_given_up_and_found_again() {
    let mut postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let mut config = Config { connect_timeout: Duration::from_millis(500), ..watcher(&postgres) };
    config.sessions.timeout = Duration::from_millis(200);
    let tape = Tape::of(config);
    tape.whole_poll("sessions").await;
    postgres.process.sigstop();
    let given_up = tape.poll_with("a poll that was given up", |poll| poll.outcome == "timeout").await;
    assert_eq!(given_up.error_class.as_deref(), Some("timeout"));
    let refused = tape.poll_with("a refused poll", |poll| poll.outcome == "refused").await;
    assert_eq!(refused.error_class.as_deref(), Some("timeout"), "{refused:?}");
    postgres.process.sigcont();
    let again = tape.poll_with("a poll that went well", |poll| poll.outcome == "ok").await;
    assert_eq!(again.server_started_at, given_up.server_started_at);
    tape.whole_poll("statements").await;
    tape.stop().await;
}

/// Makes the size of each table and of each index take so long.
async fn slow_down(admin: &Client, seconds: f64) {
    let sql = format!(
        "CREATE INDEX ON goods (id); CREATE OR REPLACE FUNCTION pg_catalog.pg_relation_size(regclass) RETURNS bigint
         LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN 0; END'"
    );
    admin.batch_execute(&sql).await.unwrap();
}

async fn wait_for_cancel(postgres: &Postgres) {
    let cancelled = "canceling statement due to user request";
    eventually(LIMIT / 3, cancelled, async || postgres.process.log().contains(cancelled).then_some(())).await;
}

#[tokio::test]
async fn a_statement_in_flight_is_ended_in_the_server_at_a_stop() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    slow_down(&admin, 60.0).await;
    let tape = Tape::of(watcher(&postgres));
    eventually(LIMIT, "a statement in flight", async || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbintel' AND wait_event = 'PgSleep'";
        (admin.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_secs(2), tape.stop()).await.expect("pollers stop within two seconds");
    wait_for_cancel(&postgres).await;
}

#[tokio::test]
async fn a_poll_that_is_given_up_is_ended_in_the_server() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    // Each statement is in time, but both together are not.
    slow_down(&admin, 2.5).await;
    let mut config = watcher(&postgres);
    config.sizes.timeout = Duration::from_secs(3);
    let tape = Tape::of(config);
    let given_up = tape.poll_with("a poll that was given up", |poll| poll.class == "sizes").await;
    assert_eq!((given_up.outcome.as_str(), given_up.error_class.as_deref()), ("timeout", Some("timeout")));
    wait_for_cancel(&postgres).await;
    tape.stop().await;
}

/// Connections from this machine to a port, as the kernel sees them.
fn connections_to(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!(":{port:04X}");
    let is_it = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|address| address.ends_with(&remote)) && fields.next() == Some(ESTABLISHED)
    };
    table.lines().filter(is_it).count()
}

/// The pooler lets us in, and then no server answers.
#[tokio::test]
async fn connections_on_which_nothing_is_answered_do_not_pile_up() {
    let postgres = Postgres::start(Major::V18);
    let pooler = PgBouncer::in_front_of(&postgres);
    pooler.client("postgres").await.simple_query("SELECT 1").await.unwrap();
    let console = pooler.client("pgbouncer").await;
    console.simple_query("PAUSE").await.unwrap();
    let connect_timeout = Duration::from_millis(200);
    let tape = Tape::of(Config { via_pooler: true, connect_timeout, ..settings(pooler.port) });
    let refused =
        eventually(LIMIT, "three refused polls", async || Some(tape.polls()).filter(|polls| polls.len() >= 3)).await;
    let is_refused = |poll: &Seen| poll.outcome == "refused" && poll.error_class.as_deref() == Some("timeout");
    assert!(refused.iter().all(is_refused), "{refused:?}");
    // The one that stays is the console's.
    let alone = async || (connections_to(pooler.port) == 1).then_some(());
    eventually(LIMIT / 3, "the end of our connections", alone).await;
    console.simple_query("RESUME").await.unwrap();
    tape.whole_poll("sessions").await;
    tape.stop().await;
}

#[tokio::test]
async fn a_database_that_refuses_us_stops_no_other() {
    let scratch = Scratch::new("hba");
    let rules = scratch.write("hba.conf", "host closed watcher 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 trust\n");
    let postgres = Postgres::start_with(Major::V18, &[("hba_file", rules.to_str().unwrap())]);
    open_shop(&postgres).await.simple_query("CREATE DATABASE closed").await.unwrap();
    let tape = Tape::of(Config { connections_max: 1, ..watcher(&postgres) });
    let of = |polls: Vec<Seen>, database: &str, outcome: &str| {
        let is_it = |poll: &Seen| poll.database.as_deref() == Some(database) && poll.outcome == outcome;
        polls.into_iter().filter(is_it).collect::<Vec<_>>()
    };
    let polls = eventually(LIMIT, "polls of the other database", async || {
        let polls = tape.polls();
        (of(polls.clone(), "postgres", "ok").len() >= 30).then_some(polls)
    })
    .await;
    let refused = of(polls, "closed", "refused");
    assert!((1..=6).contains(&refused.len()), "{refused:?}");
    let error = refused[0].error.as_deref().unwrap();
    assert_eq!((refused[0].error_class.as_deref(), error.contains("127.0.0.1")), (Some("28000"), false), "{error}");
    tape.stop().await;
}

/// A server that asks for passwords.
pub fn guarded(scratch: &Scratch) -> Postgres {
    let rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let rules = scratch.write("hba.conf", rules);
    Postgres::start_with(Major::V18, &[("hba_file", rules.to_str().unwrap()), ("password_encryption", "scram-sha-256")])
}

#[tokio::test]
async fn a_wrong_password_is_refused_rarely_and_never_shown() {
    let scratch = Scratch::new("hba");
    let postgres = guarded(&scratch);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'the-right-password'").await.unwrap();
    let config = Config { password: Secret::new("the-wrong-password").into(), ..watcher(&postgres) };
    let tape = Tape::of(config.clone());
    let polls =
        eventually(LIMIT, "three refused polls", async || Some(tape.polls()).filter(|polls| polls.len() >= 3)).await;
    assert!(
        polls.iter().all(|poll| poll.outcome == "refused" && poll.error_class.as_deref() == Some("28P01")),
        "{polls:?}"
    );
    assert!(polls[0].error.as_deref().is_some_and(|error| error.contains("check `username` and `password`")));
    // The first waits are at least 0.5 and 1 s, and the second connection for databases does not even try.
    assert!(polls[2].started_at - polls[0].started_at >= 1_500_000);
    assert!(polls.iter().all(|poll| poll.role == "unknown" && poll.database.is_none()));
    assert!(polls[1].skipped_polls > 0 || polls[2].skipped_polls > 0, "{polls:?}");
    let refusal = probe(&config).await.unwrap_err();
    assert!(
        !refusal.to_string().contains("the-wrong-password") && !format!("{refusal:?}").contains("the-wrong-password")
    );

    admin.batch_execute("ALTER ROLE watcher PASSWORD 'the-wrong-password'").await.unwrap();
    tape.poll_with("a poll after the password was mended", |poll| poll.outcome == "ok").await;
    tape.stop().await;
    for topic in [Topic::RawPolls, Topic::RawTexts, Topic::RawSessions, Topic::RawQueries] {
        for value in tape.values(topic) {
            assert!(!value.windows(9).any(|window| window == b"-password"), "{}", String::from_utf8_lossy(&value));
        }
    }
}

#[tokio::test]
async fn a_probe_says_what_it_found() {
    let postgres = Postgres::start(Major::V18);
    let found = probe(&settings(postgres.port)).await.unwrap();
    assert_eq!((found.version.as_str(), found.role), ("PostgreSQL 18.4", "primary"));
    assert_eq!(found.missing.iter().map(|missing| missing.name.as_str()).collect::<Vec<_>>(), ["pg_stat_statements"]);
    open_shop(&postgres).await;
    assert_eq!(probe(&watcher(&postgres)).await.unwrap().missing, []);
    let nowhere = Config { connect_database: "nowhere".to_owned(), ..settings(postgres.port) };
    assert!(probe(&nowhere).await.unwrap_err().to_string().contains("check `connect_database`"));
}

#[tokio::test]
async fn an_open_circuit_leaves_the_heartbeat() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let tape = Tape::of(watcher(&postgres));
    for class in ["sessions", "statements", "metrics", "tables", "sizes"] {
        tape.whole_poll(class).await;
    }
    let open = Limits { server: Circuit::Open, ..Limits::default() };
    assert!(tape.fleet.steer("shop", open));
    for class in ["statements", "metrics", "tables", "sizes"] {
        let is_it = |poll: &Seen| poll.class == class && poll.outcome == "skipped";
        let skipped = tape.poll_with(&format!("skipped {class}"), is_it).await;
        assert_eq!((skipped.statements_sent, skipped.rows.len()), (0, 0));
    }
    let before = tape.polls().len();
    tape.next_polls("statements", 5).await;
    let heartbeats = tape.polls().into_iter().skip(before).filter(|poll| poll.class == "sessions");
    assert!(heartbeats.count() <= 1);
    assert!(tape.fleet.steer("shop", Limits::default()));
    for class in ["statements", "metrics", "tables", "sizes"] {
        tape.poll_with("polls with the circuit closed", |poll| poll.class == class && poll.outcome == "ok").await;
    }
    let polls = tape.polls();
    let read: Vec<_> = polls.iter().filter(|poll| poll.class == "statements" && poll.outcome == "ok").collect();
    let longest = read.windows(2).max_by_key(|pair| pair[1].started_at - pair[0].started_at).unwrap();
    let between = (longest[1].started_at - longest[0].started_at) * 1000;
    assert!(between > 1_000_000_000 && longest[1].interval_ns > Some(between / 10 * 9), "{longest:?}");
    assert!(!tape.fleet.steer("nowhere", Limits::default()));
    tape.stop().await;
}

#[tokio::test]
async fn nothing_more_is_published_after_a_stop() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let tape = Tape::of(watcher(&postgres));
    tape.whole_poll("sessions").await;
    tokio::time::timeout(Duration::from_secs(2), tape.stop()).await.expect("pollers stop within two seconds");
    let polls = tape.polls();
    let rows: i64 = polls.iter().flat_map(|poll| poll.rows.get("raw.sessions")).sum();
    assert_eq!(tape.values(Topic::RawSessions).len() as i64, rows);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(tape.polls().len(), polls.len());
}
