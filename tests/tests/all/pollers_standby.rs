//! A primary and its standby: roles, lag, and what becomes of both when the standby is promoted.

use std::path::Path;
use std::process::Command;

use dbintel_pollers::hosts::{Hosts, Wanted};
use dbintel_pollers::postgresql::Config;
use dbintel_pollers::settings::Endpoint;
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawMetrics, RawPoll};
use dbintel_tests::ports;
use dbintel_tests::process::{Process, Program};
use dbintel_tests::proxy::Proxy;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::servers::{HOST, installed};
use dbintel_tests::wait::eventually;
use tokio_postgres::{Client, NoTls};

use crate::pollers_tape::{LIMIT, Seen, Tape, decode, settings};

struct Standby {
    port: u16,
    _process: Process,
    _scratch: Scratch,
}

/// Copies the data of a running primary and starts a standby on it, as `pg_basebackup` would.
async fn standby_of(primary: &Postgres, admin: &Client) -> Standby {
    let scratch = Scratch::new("standby");
    let (data, port) = (scratch.path().join("data"), ports::free());
    let source: String = admin.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
    admin.simple_query("SELECT pg_backup_start('standby', true)").await.unwrap();
    copy(&source, &data);
    let label: String = admin.query_one("SELECT labelfile FROM pg_backup_stop()", &[]).await.unwrap().get(0);
    scratch.write("data/backup_label", &label);
    scratch.write("data/standby.signal", "");
    for left in ["postmaster.pid", "postmaster.opts"] {
        std::fs::remove_file(data.join(left)).unwrap();
    }
    let source = format!("host=127.0.0.1 port={} user=postgres application_name=follower", primary.port);
    let mut server = Program::new(installed("postgres-18").join("bin/postgres"), scratch.path());
    server = server.arguments(["-D", data.to_str().unwrap()]);
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        "shared_preload_libraries=pg_stat_statements".to_owned(),
        "fsync=off".to_owned(),
        "dynamic_shared_memory_type=mmap".to_owned(),
        "wal_receiver_status_interval=1s".to_owned(),
        format!("primary_conninfo={source}"),
    ] {
        server = server.arguments(["-c".to_owned(), setting]);
    }
    server.refuses_root = true;
    let mut process = Process::start(server);
    process.wait_until(|process| process.log().contains("ready to accept read-only connections"));
    Standby { port, _process: process, _scratch: scratch }
}

fn copy(from: &str, to: &Path) {
    // Files of a running server come and go.
    let copied = Command::new("cp").args(["-a", from]).arg(to).output().unwrap();
    assert!(to.join("PG_VERSION").exists(), "{copied:?}");
}

async fn connect(port: u16) -> Client {
    let conninfo = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&conninfo, NoTls).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    client
}

#[tokio::test]
async fn both_ends_of_a_replication_are_seen() {
    let primary = Postgres::start_with(Major::V18, &[("autovacuum", "off")]);
    let admin = primary.client("postgres").await;
    admin.batch_execute("CREATE EXTENSION pg_stat_statements; CREATE TABLE written (id int)").await.unwrap();
    let standby = standby_of(&primary, &admin).await;
    let (source, follower) = (Tape::of(settings(primary.port)), Tape::of(settings(standby.port)));
    let reader = connect(standby.port).await;
    let is_caught_up =
        |poll: &crate::pollers_tape::Seen| poll.class == "sessions" && poll.replication_lag_ns == Some(0);
    let caught_up = follower.poll_with("a standby without lag", is_caught_up).await;
    assert_eq!((caught_up.role.as_str(), caught_up.in_recovery), ("standby", Some(true)));
    assert_eq!(source.whole_poll("sessions").await.in_recovery, Some(false));

    admin.simple_query("INSERT INTO written VALUES (1)").await.unwrap();
    eventually(LIMIT, "a transaction on the standby", async || {
        let sql = "SELECT pg_last_xact_replay_timestamp() IS NOT NULL";
        reader.query_one(sql, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    reader.simple_query("SELECT pg_wal_replay_pause()").await.unwrap();
    let mut moments = Vec::new();
    for rows in [1_000, 20_000] {
        admin.simple_query(&format!("INSERT INTO written SELECT generate_series(1, {rows})")).await.unwrap();
        moments.push(compare_delay(&source, &admin).await);
    }
    assert!(moments[0] > 0.0 && moments[1] > moments[0] + 100_000.0, "{moments:?}");
    let is_behind = |poll: &crate::pollers_tape::Seen| poll.replication_lag_ns.is_some_and(|lag| lag > 100_000_000);
    follower.poll_with("a standby with lag", is_behind).await;

    reader.simple_query("SELECT pg_wal_replay_resume()").await.unwrap();
    follower.poll_with("a standby without lag", is_caught_up).await;
    compare_lag(&source, &admin).await;
    assert_one_source(&source, &follower);
    reader.simple_query("SELECT pg_promote()").await.unwrap();
    let promoted = follower.poll_with("a promoted server", |poll| poll.role == "primary" && poll.outcome == "ok").await;
    assert!(!promoted.in_recovery.unwrap_or(false));
    let changed = follower.polls().into_iter().find(|poll| poll.error_class.as_deref() == Some("server_changed"));
    assert!(changed.is_some_and(|poll| poll.outcome == "error"));
    source.stop().await;
    follower.stop().await;
    assert_eq!(timelines(&follower), [1, 2]);
}

#[tokio::test]
async fn of_several_hosts_the_one_that_is_wanted_is_polled() {
    let mut primary = Postgres::start_with(Major::V18, &[("autovacuum", "off")]);
    let admin = primary.client("postgres").await;
    admin.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let standby = standby_of(&primary, &admin).await;
    let both = |wanted| {
        let others = vec![Endpoint { host: "127.0.0.1".to_owned(), port: standby.port }];
        Config { hosts: Hosts { others, wanted }, ..settings(primary.port) }
    };
    let (writer, reader) = (Tape::of(both(Wanted::Primary)), Tape::of(both(Wanted::PreferStandby)));
    assert_eq!(writer.whole_poll("sessions").await.role, "primary");
    assert_eq!(reader.whole_poll("sessions").await.role, "standby");

    primary.process.kill9();
    let is_told = |poll: &crate::pollers_tape::Seen| {
        poll.error.as_ref().is_some_and(|error| error.contains("a primary is wanted"))
    };
    let none = writer.poll_with("that there is no primary", is_told).await;
    // The one that is away is the one that matters.
    let error = none.error.unwrap();
    assert!(none.error_class.as_deref() == Some("io") && error.contains("error connecting to server"), "{error}");
    connect(standby.port).await.simple_query("SELECT pg_promote()").await.unwrap();
    let goes_on = |poll: &crate::pollers_tape::Seen| {
        poll.started_at > none.started_at && poll.role == "primary" && poll.outcome == "ok"
    };
    writer.poll_with("polls of the promoted server", goes_on).await;
    writer.stop().await;
    reader.stop().await;
    assert_eq!(timelines(&writer), [1, 2]);
}

/// A primary and its standby have the same data, and so the same identifier.
#[tokio::test]
async fn an_endpoint_that_balances_over_a_cluster_is_told_with_its_members() {
    let primary = Postgres::start(Major::V18);
    let admin = primary.client("postgres").await;
    admin.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    let standby = standby_of(&primary, &admin).await;
    let address = |port: u16| format!("{HOST}:{port}");
    let proxy = Proxy::balance(ports::free(), &[&address(primary.port), &address(standby.port)]);
    let endpoint = proxy.address().parse().unwrap();
    let tape = Tape::of(Config { connections_max: 2, endpoint, ..settings(primary.port) });
    let balanced = |poll: &Seen| poll.capabilities.iter().find(|(name, ..)| name == "endpoint").cloned();
    let is_told = |poll: &Seen| {
        balanced(poll).is_some_and(|(_, consequence, _)| {
            consequence.contains(&format!("{} (primary, version 18", address(primary.port)))
                && consequence.contains(&format!("{} (standby, version 18", address(standby.port)))
        })
    };
    for _ in 0..20 {
        // Whatever goes on, the connections end now and then.
        tape.next_polls("sessions", 2).await;
        proxy.cut();
        if tape.polls().iter().any(is_told) {
            break;
        }
    }
    tape.poll_with("the members of the endpoint", is_told).await;
    for value in tape.values(Topic::RawMetrics) {
        // No row of one has the name of the other.
        let row: RawMetrics<'_> = decode(&value);
        let recovery = row.points.iter().find(|point| point.name == "postgresql.recovery");
        if let Some(recovery) = recovery {
            assert_eq!(row.role, if recovery.int_value == Some(1) { "standby" } else { "primary" });
        }
    }
    tape.stop().await;
}

fn timelines(tape: &Tape) -> Vec<i64> {
    let all = tape.values(Topic::RawPolls);
    let mut timelines: Vec<_> = all.iter().filter_map(|value| decode::<RawPoll<'_>>(value).instance.timeline).collect();
    timelines.dedup();
    timelines
}

/// Both have the same data, and so the same identifier, but each has a start of its own.
fn assert_one_source(source: &Tape, follower: &Tape) {
    let identity = |tape: &Tape| {
        let values = tape.values(Topic::RawPolls);
        let poll: RawPoll<'_> = decode(values.last().unwrap());
        (poll.instance.system_identifier.to_owned(), poll.instance.started_at)
    };
    let (source, follower) = (identity(source), identity(follower));
    assert!(source.0 == follower.0 && source.1 != follower.1, "{source:?} {follower:?}");
}

const CLIENT: &str = "application_name=follower,replication_client=127.0.0.1";

/// Delay in bytes as published, which the server says too.
async fn compare_delay(tape: &Tape, admin: &Client) -> f64 {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::float8 FROM pg_stat_replication";
    wait_for_standby(admin, "flush_lsn").await;
    let before: f64 = admin.query_one(sql, &[]).await.unwrap().get(0);
    tape.whole_poll("replication").await;
    let key = ("postgresql.replication.data_delay".to_owned(), CLIENT.to_owned());
    let published = tape.metrics()[&key];
    let after: f64 = admin.query_one(sql, &[]).await.unwrap().get(0);
    assert!((before..=after).contains(&published), "{published}, server {before} and {after}");
    published
}

/// Waits until the source was told that the standby has done this with everything.
async fn wait_for_standby(admin: &Client, position: &str) {
    let sql = format!("SELECT {position} >= pg_current_wal_lsn() FROM pg_stat_replication");
    eventually(LIMIT, position, async || admin.query_one(&sql, &[]).await.unwrap().get::<_, bool>(0).then_some(()))
        .await;
}

/// The lag is the server's, in whole seconds and with a fraction.
async fn compare_lag(tape: &Tape, admin: &Client) {
    for operation in ["write", "flush", "replay"] {
        let sql = format!("SELECT extract(epoch FROM {operation}_lag)::float8 FROM pg_stat_replication");
        let identity = format!("application_name=follower,operation={operation},replication_client=127.0.0.1");
        eventually(LIMIT, "a poll while the lag rests", async || {
            admin.simple_query("INSERT INTO written VALUES (1)").await.unwrap();
            wait_for_standby(admin, "replay_lsn").await;
            let before: Option<f64> = admin.query_one(&sql, &[]).await.unwrap().get(0);
            tape.next_polls("replication", 1).await;
            let (metrics, after) = (tape.metrics(), admin.query_one(&sql, &[]).await.unwrap().get(0));
            let delay = metrics.get(&("postgresql.wal.delay".to_owned(), identity.clone())).copied();
            let lag = metrics.get(&("postgresql.wal.lag".to_owned(), identity.clone())).copied();
            (before.is_some() && before == after && delay == before && lag == before.map(f64::round)).then_some(())
        })
        .await;
    }
}
