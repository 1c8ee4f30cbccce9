//! What a server lacks is said, with what mends it, and fails nothing else.

use std::collections::BTreeSet;

use dbintel_pollers::postgresql::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawQuery, RawText};
use dbintel_tests::servers::postgres::{Major, Postgres};

use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{Seen, Tape, decode, settings};

#[tokio::test]
async fn what_is_missing_is_said_and_fails_nothing() {
    for major in [Major::V12, Major::V18] {
        let postgres = Postgres::start(major);
        let admin = postgres.client("postgres").await;
        admin.batch_execute("CREATE ROLE poor LOGIN").await.unwrap();
        let tape = Tape::of(Config { username: "poor".to_owned(), ..settings(postgres.port) });
        let said = tape.whole_poll("statements").await;
        assert!(said.capabilities.iter().any(|(name, _, remedy)| {
            name == "pg_stat_statements" && remedy == "CREATE EXTENSION pg_stat_statements; in database \"postgres\""
        }));
        tape.stop().await;

        admin.batch_execute("CREATE EXTENSION pg_stat_statements; SELECT 1 AS hidden").await.unwrap();
        let tape = Tape::of(Config { username: "poor".to_owned(), ..settings(postgres.port) });
        for class in ["sessions", "statements", "metrics", "tables", "sizes"] {
            tape.whole_poll(class).await;
        }
        let is_grant = |poll: &Seen| {
            let mut names = poll.capabilities.iter().filter(|(_, _, remedy)| remedy.starts_with("GRANT pg_monitor"));
            names.any(|(name, ..)| name == "pg_read_all_stats")
        };
        let polls = tape.polls();
        assert!(polls.iter().any(|poll| poll.class == "metrics" && is_grant(poll)));
        assert!(polls.iter().any(|poll| poll.class == "statements" && is_grant(poll) && !poll.snapshot_complete));
        assert!(polls.iter().all(|poll| poll.outcome == "ok"), "{polls:?}");
        // What would be counted from the sessions that we see is not known, and not 0.
        let sessions = polls.iter().filter(|poll| poll.class == "sessions");
        for poll in sessions {
            assert!(is_grant(poll), "{poll:?}");
            assert_eq!((poll.connections_used, poll.active_sessions, poll.lock_waiters), (None, None, None));
            assert_eq!((poll.connections_max, poll.in_recovery), (Some(100), Some(false)));
        }
        tape.stop().await;
    }
}

/// An administrator took rights from everybody that everybody has by default.
#[tokio::test]
async fn rights_that_were_taken_away_cost_only_what_they_give() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    let sql =
        "REVOKE SELECT ON pg_stat_archiver FROM PUBLIC; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
               REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC";
    admin.batch_execute(sql).await.unwrap();
    let tape = Tape::of(watcher(&postgres));
    let first = tape.poll_with("the first metrics", |poll| poll.class == "metrics").await;
    assert_eq!((first.outcome.as_str(), first.error_class.as_deref()), ("error", Some("42501")), "{first:?}");
    for _ in 0..3 {
        let later = tape.next_polls("metrics", 1).await.remove(0);
        assert_eq!(later.outcome, "ok", "{later:?}");
        let names: BTreeSet<_> = later.capabilities.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["pg_control_system", "pg_stat_archiver"].into());
    }
    assert_eq!(tape.whole_poll("statements").await.capabilities, []);
    assert!(tape.metrics().keys().any(|(metric, _)| metric == "postgresql.commits"));
    tape.stop().await;
}

/// The same for what is read in each database: the others of its class are read.
#[tokio::test]
async fn a_view_of_a_database_that_may_not_be_read_costs_only_itself() {
    let postgres = Postgres::start(Major::V18);
    let admin = open_shop(&postgres).await;
    let sql = "REVOKE SELECT ON pg_stat_user_indexes FROM PUBLIC; CREATE SEQUENCE orders";
    admin.batch_execute(sql).await.unwrap();
    let tape = Tape::of(watcher(&postgres));
    let first = tape.poll_with("the first tables", |poll| poll.class == "tables").await;
    assert_eq!((first.outcome.as_str(), first.error_class.as_deref()), ("error", Some("42501")), "{first:?}");
    for _ in 0..3 {
        let later = tape.next_polls("tables", 1).await.remove(0);
        assert_eq!((later.outcome.as_str(), names(&later)), ("ok", ["pg_stat_user_indexes"].into()), "{later:?}");
    }
    assert!(tape.metrics().keys().any(|(metric, _)| metric == "postgresql.table.count"));
    let sizes = tape.poll_with("sizes", |poll| poll.class == "sizes" && poll.outcome == "ok").await;
    assert_eq!(names(&sizes), ["pg_index_size", "pg_sequences"].into());
    admin.batch_execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO watcher").await.unwrap();
    tape.poll_with("sizes with sequences", |poll| poll.class == "sizes" && names(poll) == ["pg_index_size"].into())
        .await;
    tape.stop().await;
}

/// What the server's settings leave uncounted is said, and what mends it; what mends it does.
#[tokio::test]
async fn settings_that_leave_something_uncounted_are_said() {
    let poor = [
        ("track_activities", "off"),
        ("track_counts", "off"),
        ("compute_query_id", "off"),
        ("pg_stat_statements.track", "none"),
    ];
    let expected = [
        "compute_query_id",
        "pg_stat_statements.track",
        "pg_stat_statements.track_planning",
        "track_activities",
        "track_activity_query_size",
        "track_counts",
        "track_functions",
        "track_io_timing",
        "track_wal_io_timing",
    ];
    let postgres = Postgres::start_with(Major::V18, &poor);
    let admin = open_shop(&postgres).await;
    let tape = Tape::of(watcher(&postgres));
    let said = tape.whole_poll("settings").await;
    assert_eq!(advice(&said), expected.map(str::to_owned).into());
    tape.stop().await;

    for (name, _, remedy) in said.capabilities.iter().filter(|(_, _, remedy)| remedy.starts_with("ALTER SYSTEM")) {
        // What was given on the command line is stronger than what ALTER SYSTEM writes.
        if poor.iter().all(|(setting, _)| setting != name) {
            let remedy = remedy.split([':', ',']).next().unwrap();
            for statement in remedy.split("; ") {
                admin.simple_query(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
            }
        }
    }
    let tape = Tape::of(watcher(&postgres));
    let rest = advice(&tape.whole_poll("settings").await);
    assert_eq!(
        rest,
        poor.iter().map(|(name, _)| *name).chain(["track_activity_query_size"]).map(str::to_owned).collect()
    );
    tape.stop().await;
}

/// Names of what is not there for want of a setting; what a version does not count is no advice.
fn advice(poll: &Seen) -> BTreeSet<String> {
    let of_settings = poll.capabilities.iter().filter(|(_, _, remedy)| remedy.starts_with("ALTER SYSTEM"));
    of_settings.map(|(name, ..)| name.clone()).collect()
}

fn names(poll: &Seen) -> BTreeSet<&str> {
    poll.capabilities.iter().map(|(name, ..)| name.as_str()).collect()
}

/// The extension of PostgreSQL 12 on a newer server, as after an upgrade, and what becomes of it when it is updated.
#[tokio::test]
async fn an_old_extension_is_read_and_its_update_is_noticed() {
    let postgres = Postgres::start(Major::V18);
    let admin = postgres.client("postgres").await;
    let sql = "CREATE EXTENSION pg_stat_statements VERSION '1.7'; CREATE ROLE shop LOGIN; CREATE ROLE watcher LOGIN;
               GRANT pg_monitor TO watcher";
    admin.batch_execute(sql).await.unwrap();
    let shop = connect_as(&postgres, "shop").await;
    shop.simple_query("SELECT pg_sleep(0.01)").await.unwrap();
    let tape = Tape::of(watcher(&postgres));
    tape.whole_poll("statements").await;
    assert_eq!(what_is_told(&tape), (false, false, false));
    admin.batch_execute("ALTER EXTENSION pg_stat_statements UPDATE").await.unwrap();
    shop.simple_query("SELECT pg_sleep(0.01)").await.unwrap();
    let failed = tape.poll_with("a poll that met the update", |poll| poll.outcome == "error").await;
    assert_eq!((failed.class.as_str(), failed.error_class.as_deref()), ("statements", Some("42703")), "{failed:?}");
    let after = tape.poll_with("a poll after it", |poll| poll.class == "statements" && poll.outcome == "ok").await;
    assert!(after.snapshot_complete);
    assert_eq!(what_is_told(&tape), (true, true, true));
    tape.stop().await;
}

/// Before 1.9 the extension does not tell the level of a statement, and on a newer server has two rows for one that ran
/// on both.
#[tokio::test]
async fn levels_that_are_not_told_are_counted_together() {
    let postgres = Postgres::start_with(Major::V18, &[("pg_stat_statements.track", "all")]);
    let admin = postgres.client("postgres").await;
    let sql = "CREATE EXTENSION pg_stat_statements VERSION '1.8'; CREATE ROLE shop LOGIN; CREATE ROLE watcher LOGIN;
               GRANT pg_monitor TO watcher; CREATE FUNCTION nested() RETURNS void LANGUAGE plpgsql
               AS 'BEGIN PERFORM count(*) FROM pg_class; END'";
    admin.batch_execute(sql).await.unwrap();
    let shop = connect_as(&postgres, "shop").await;
    for _ in 0..2 {
        shop.simple_query("SELECT nested()").await.unwrap();
        shop.simple_query("SELECT count(*) FROM pg_class").await.unwrap();
    }
    shop.simple_query("SELECT nested()").await.unwrap();
    let sql = "SELECT queryid::text, sum(calls)::int8 FROM pg_stat_statements WHERE userid = 'shop'::regrole
               GROUP BY queryid HAVING count(*) = 2";
    let row = admin.query_one(sql, &[]).await.unwrap();
    let (query_id, calls): (String, i64) = (row.get(0), row.get(1));
    assert_eq!(calls, 5);

    let tape = Tape::of(watcher(&postgres));
    let poll = tape.polls_after(0, "statements", 1).await.remove(0);
    let remedies: Vec<_> = poll.capabilities.iter().map(|(name, _, remedy)| (name.as_str(), remedy.as_str())).collect();
    assert_eq!(remedies, [("pg_stat_statements.toplevel", "ALTER EXTENSION pg_stat_statements UPDATE")]);
    assert!(poll.snapshot_complete);
    tape.polls_after(0, "texts", 1).await;
    tape.stop().await;
    let values = tape.values(Topic::RawQueries);
    let rows = values.iter().map(|value| decode::<RawQuery<'_>>(value));
    let rows: Vec<_> = rows.filter(|row| row.query_id == query_id && row.user == Some("shop")).collect();
    assert_eq!(rows.iter().map(|row| row.counters.calls()).collect::<Vec<_>>(), [Some(5)]);
    assert!(rows[0].toplevel.is_none() && rows[0].min_exec_time_ns < rows[0].max_exec_time_ns);
    let texts = tape.values(Topic::RawTexts);
    let texts = texts.iter().map(|value| decode::<RawText<'_>>(value));
    assert_eq!(texts.filter(|text| text.query_id == query_id && text.user == Some("shop")).count(), 1);
}

/// A database without encoding takes any bytes as a statement; elsewhere the server then gives no text at all.
#[tokio::test]
async fn a_text_that_our_database_cannot_hold_costs_texts_alone() {
    let postgres = Postgres::start_with(Major::V18, &[("pg_stat_statements.track", "all")]);
    let admin = open_shop(&postgres).await;
    admin.simple_query("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").await.unwrap();
    let bytes = postgres.client("bytes").await;
    bytes.simple_query("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let sql = r"DO $$ BEGIN EXECUTE 'SELECT 1 AS ' || convert_from('\x636166e9', 'SQL_ASCII'); END $$";
    bytes.simple_query(sql).await.unwrap();

    let tape = Tape::of(watcher(&postgres));
    let failed = tape.polls_after(0, "texts", 3).await.remove(0);
    assert_eq!((failed.outcome.as_str(), failed.error_class.as_deref()), ("error", Some("22021")));
    assert!(failed.error.is_some_and(|error| !error.contains("e9")));
    let said = tape.next_polls("statements", 5).await.pop().unwrap();
    let remedies: Vec<_> = said.capabilities.iter().map(|(_, _, remedy)| remedy.as_str()).collect();
    assert!(said.outcome == "ok" && remedies.len() == 1 && remedies[0].contains("SQL_ASCII"), "{said:?}");
    tape.stop().await;
    // A read that fails costs the server as much as one that does not.
    assert_eq!(tape.polls().iter().filter(|poll| poll.class == "texts").count(), 3);

    let tape = Tape::of(Config { connect_database: "bytes".to_owned(), ..watcher(&postgres) });
    let read = tape.polls_after(0, "texts", 1).await.remove(0);
    assert!(read.outcome == "ok" && read.rows["raw.texts"] > 10, "{read:?}");
    assert_eq!(tape.whole_poll("statements").await.capabilities, []);
    tape.stop().await;
}

/// Whether the last record of the shop tells plans, the level, and the start of its counters. Times it always tells.
fn what_is_told(tape: &Tape) -> (bool, bool, bool) {
    let values = tape.values(Topic::RawQueries);
    let mut rows = values.iter().map(|value| decode::<RawQuery<'_>>(value)).filter(|row| row.user == Some("shop"));
    let last = rows.next_back().unwrap();
    assert!(last.counters.total_exec_time_ns() > Some(10_000_000) && last.max_exec_time_ns > Some(10_000_000));
    (last.counters.plans().is_some(), last.toplevel.is_some(), last.entry_since_at.is_some())
}
