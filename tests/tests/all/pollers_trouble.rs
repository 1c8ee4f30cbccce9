//! Servers in trouble that is not theirs alone: slow lines, no connection left, another server at the same address, a change of
//! the time zone, passwords that expire. Each poll says what happened, nothing piles up, and what was said is true afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use dbintel_config::Secret;
use dbintel_pollers::postgresql::Config;
use dbintel_pollers::{mysql, settings::Endpoint};
use dbintel_schemas::Topic;
use dbintel_schemas::records::{RawQuery, RawSession};
use dbintel_tests::ports;
use dbintel_tests::proxy::Proxy;
use dbintel_tests::scratch::Scratch;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use dbintel_tests::wait::eventually;

use crate::pollers_faults::guarded;
use crate::pollers_statements::{connect_as, open_shop, watcher};
use crate::pollers_tape::{LIMIT, Seen, Tape, decode};

fn address(port: u16) -> String {
    format!("{HOST}:{port}")
}

async fn backends(postgres: &Postgres) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbintel'";
    postgres.client("postgres").await.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_server_that_answers_a_byte_a_second_is_given_up_and_found_again() {
    let postgres = Postgres::start(Major::V18);
    open_shop(&postgres).await;
    let port = ports::free();
    let proxy = Proxy::start(port, &address(postgres.port));
    let mut config = Config { connect_timeout: Duration::from_secs(1), ..watcher(&postgres) };
    config.endpoint = Endpoint { host: HOST.to_owned(), port };
    (config.sessions.timeout, config.statements.timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let tape = Tape::of(config);
    tape.whole_poll("sessions").await;
    proxy.trickle(Duration::from_secs(1));
    let is_given_up = |poll: &Seen| poll.error_class.as_deref() == Some("timeout");
    tape.poll_with("a poll that is given up", is_given_up).await;
    let is_refused = |poll: &Seen| poll.outcome == "refused" && is_given_up(poll);
    tape.poll_with("a connection that is given up", is_refused).await;
    // Whatever is under way on the slow line, the server sees no more of us than it always does.
    let most = Config::default().connections_max as i64;
    for _ in 0..10 {
        assert!(backends(&postgres).await <= most);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    proxy.trickle(Duration::ZERO);
    for class in ["sessions", "statements", "metrics"] {
        tape.whole_poll(class).await;
    }
    tape.stop().await;
}

#[tokio::test]
async fn a_server_without_connections_left_is_told_and_waited_for() {
    let postgres = Postgres::start_with(
        Major::V18,
        &[("max_connections", "8"), ("superuser_reserved_connections", "2"), ("reserved_connections", "0")],
    );
    let admin = open_shop(&postgres).await;
    let mut taken = Vec::new();
    for _ in 0..6 {
        if let Ok((client, connection)) =
            tokio_postgres::connect(&shop_conninfo(&postgres), tokio_postgres::NoTls).await
        {
            tokio::spawn(async move { drop(connection.await) });
            taken.push(client);
        }
    }
    let tape = Tape::of(watcher(&postgres));
    let is_full = |poll: &Seen| poll.outcome == "refused" && poll.error_class.as_deref() == Some("53300");
    let refused = eventually(LIMIT, "two refused polls", async || {
        let polls = tape.polls();
        (polls.iter().filter(|poll| is_full(poll)).count() >= 2).then_some(polls)
    })
    .await;
    assert!(refused.iter().all(is_full), "{refused:?}");
    drop(taken);
    tape.whole_poll("sessions").await;
    tape.whole_poll("statements").await;
    tape.stop().await;
    drop(admin);
}

fn shop_conninfo(postgres: &Postgres) -> String {
    format!("host={HOST} port={} user=shop dbname=postgres", postgres.port)
}

#[tokio::test]
async fn another_server_at_the_same_address_is_another_server() {
    let (old, new) = (Postgres::start(Major::V12), Postgres::start(Major::V18));
    let (_old, _new) = (open_shop(&old).await, open_shop(&new).await);
    for server in [&old, &new] {
        let shop = connect_as(server, "shop").await;
        for _ in 0..3 {
            shop.simple_query("SELECT count(*) FROM goods").await.unwrap();
        }
    }
    let port = ports::free();
    let before = Proxy::start(port, &address(old.port));
    let mut config = watcher(&old);
    config.endpoint = Endpoint { host: HOST.to_owned(), port };
    let tape = Tape::of(config);
    tape.whole_poll("statements").await;
    drop(before);
    let is_free = async || std::net::TcpListener::bind((HOST, port)).is_ok().then_some(());
    eventually(LIMIT, "the port", is_free).await;
    let after = Proxy::start(port, &address(new.port));
    tape.whole_poll("statements").await;
    tape.whole_poll("metrics").await;
    tape.stop().await;
    drop(after);
    let rows = tape.values(Topic::RawQueries);
    let rows: Vec<RawQuery<'_>> = rows.iter().map(|value| decode(value)).collect();
    let instances: BTreeSet<_> = rows
        .iter()
        .map(|row| (row.engine_version.split('.').next().unwrap(), row.instance.system_identifier))
        .collect();
    assert_eq!(instances.iter().map(|(major, _)| *major).collect::<BTreeSet<_>>(), BTreeSet::from(["12", "18"]));
    assert_eq!(instances.len(), 2, "no row has the version of one and the identity of the other: {instances:?}");
}

#[tokio::test]
async fn the_time_zone_of_the_server_changes_no_time() {
    // In this zone clocks go back by an hour at 2026-10-25 01:00 UTC.
    let postgres = Postgres::start_with(Major::V18, &[("timezone", "Europe/Berlin")]);
    let admin = open_shop(&postgres).await;
    let shop = connect_as(&postgres, "shop").await;
    shop.batch_execute("BEGIN; SELECT count(*) FROM goods").await.unwrap();
    let tape = Tape::of(watcher(&postgres));
    tape.whole_poll("sessions").await;
    admin
        .batch_execute(
            "ALTER ROLE watcher SET timezone = 'Pacific/Kiritimati'; ALTER ROLE watcher SET datestyle = 'German'",
        )
        .await
        .unwrap();
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'watcher'";
    admin.simple_query(sql).await.unwrap();
    tape.whole_poll("sessions").await;
    tape.whole_poll("statements").await;
    tape.stop().await;
    let sessions = tape.values(Topic::RawSessions);
    let sessions: Vec<RawSession<'_>> = sessions.iter().map(|value| decode(value)).collect();
    let started: BTreeSet<_> = sessions
        .iter()
        .filter(|session| session.user == Some("shop"))
        .map(|session| session.transaction_started_at)
        .collect();
    assert_eq!(started.len(), 1, "{started:?}");
    let sql = "SELECT (extract(epoch FROM xact_start) * 1e6)::bigint FROM pg_stat_activity WHERE usename = 'shop'";
    assert_eq!(started.first().copied().flatten(), Some(admin.query_one(sql, &[]).await.unwrap().get(0)));
    let skews = sessions.iter().filter_map(|session| Some(session.server_time? - session.observed_at));
    assert!(skews.clone().count() > 0 && skews.into_iter().all(|skew| skew.abs() < 5_000_000));
}

#[tokio::test]
async fn a_password_that_expires_is_told_and_its_renewal_is_noticed() {
    let scratch = Scratch::new("hba");
    let postgres = guarded(&scratch);
    let admin = open_shop(&postgres).await;
    admin.batch_execute("ALTER ROLE watcher PASSWORD 'watcher' VALID UNTIL '2000-01-01'").await.unwrap();
    let tape = Tape::of(Config { password: Secret::new("watcher").into(), ..watcher(&postgres) });
    let refused = tape.poll_with("a refusal", |poll| poll.outcome == "refused").await;
    assert_eq!(refused.error_class.as_deref(), Some("28P01"), "{refused:?}");
    admin.batch_execute("ALTER ROLE watcher VALID UNTIL 'infinity'").await.unwrap();
    tape.whole_poll("sessions").await;
    tape.stop().await;
    // The class of polls that fail with it says that the password is at fault, on MySQL too.
    for flavour in Flavour::ALL {
        let mysql = Mysql::start(flavour);
        mysql.run(&["CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher' PASSWORD EXPIRE"]).await;
        mysql
            .run(&["GRANT SELECT ON performance_schema.* TO 'watcher'@'%'", "GRANT PROCESS ON *.* TO 'watcher'@'%'"])
            .await;
        let mut config = mysql::Config { username: "watcher".to_owned(), ..mysql::Config::default() };
        config.password = Secret::new("watcher").into();
        config.endpoint = address(mysql.port).parse().unwrap();
        let tape = Tape::of(config);
        let refused = tape.poll_with("a refusal", |poll| poll.outcome == "refused").await;
        let class = refused.error_class.as_deref().unwrap_or_default();
        assert!(["1820", "1862"].contains(&class), "{flavour:?}: {refused:?}");
        assert!(refused.error.as_deref().unwrap().contains("expired"), "{flavour:?}: {refused:?}");
        mysql.run(&["ALTER USER 'watcher'@'%' IDENTIFIED BY 'watcher' PASSWORD EXPIRE NEVER"]).await;
        tape.whole_poll("sessions").await;
        tape.stop().await;
    }
}
