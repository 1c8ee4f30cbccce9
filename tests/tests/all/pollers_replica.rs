//! Replication of MySQL and MariaDB, as the replica and its source see it.

use std::time::Duration;

use dbintel_pollers::mysql::Config;
use dbintel_tests::ports;
use dbintel_tests::proxy::Proxy;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::wait::eventually;

use crate::pollers_tape::{LIMIT, Seen, Tape};

fn watcher(mysql: &Mysql) -> Config {
    let mut config = Config { username: "watcher".to_owned(), ..Config::default() };
    config.password = dbintel_config::Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{}", mysql.port).parse().unwrap();
    config.replication.interval = Duration::from_millis(200);
    config
}

async fn set_up(mysql: &Mysql, flavour: Flavour) {
    let rights = match flavour {
        Flavour::Mysql9 => "PROCESS, REPLICATION CLIENT",
        _ => "PROCESS, BINLOG MONITOR, SLAVE MONITOR",
    };
    mysql
        .run(&[
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            &format!("GRANT {rights} ON *.* TO 'watcher'@'%'"),
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
        ])
        .await;
}

/// What the replica is told; the delay keeps a change from being applied at once.
/// Two servers behind one address.
#[tokio::test]
async fn an_endpoint_that_balances_over_servers_is_told_with_its_members() {
    for flavour in Flavour::ALL {
        let servers = [Mysql::start(flavour), Mysql::start(flavour)];
        for server in &servers {
            set_up(server, flavour).await;
        }
        let addresses = servers.each_ref().map(|server| format!("{HOST}:{}", server.port));
        let proxy = Proxy::balance(ports::free(), &addresses.each_ref().map(String::as_str));
        let mut config = watcher(&servers[0]);
        config.endpoint = proxy.address().parse().unwrap();
        config.metrics.interval = Duration::from_millis(200);
        let tape = Tape::of(config);
        let is_told = |poll: &Seen| {
            poll.capabilities.iter().any(|(name, consequence, _)| {
                let is_there = |server: &Mysql| consequence.contains(&format!(":{} (primary, version", server.port));
                name == "endpoint" && servers.iter().all(is_there)
            })
        };
        for _ in 0..3 {
            tape.whole_poll("metrics").await;
            assert!(!tape.polls().iter().any(is_told));
            proxy.cut();
        }
        tape.poll_with("the members of the endpoint", is_told).await;
        tape.stop().await;
    }
}

fn follow(source: &Mysql, flavour: Flavour) -> [String; 2] {
    match flavour {
        Flavour::Mysql9 => [
            format!(
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '{HOST}', SOURCE_PORT = {}, SOURCE_USER = 'follower',
                 SOURCE_PASSWORD = 'follower', GET_SOURCE_PUBLIC_KEY = 1, SOURCE_DELAY = 7",
                source.port
            ),
            "START REPLICA".to_owned(),
        ],
        _ => [
            format!(
                "CHANGE MASTER TO MASTER_HOST = '{HOST}', MASTER_PORT = {}, MASTER_USER = 'follower',
                 MASTER_PASSWORD = 'follower', MASTER_USE_GTID = no, MASTER_DELAY = 7, MASTER_SSL = 0",
                source.port
            ),
            "START SLAVE".to_owned(),
        ],
    }
}

#[tokio::test]
async fn both_ends_of_a_replication_are_seen() {
    for flavour in Flavour::ALL {
        let source = Mysql::start_with(flavour, &["--server-id=1", "--log-bin=log"]);
        let replica = Mysql::start_with(flavour, &["--server-id=2", "--read-only=ON"]);
        set_up(&replica, flavour).await;
        source.run(&["CREATE USER 'follower'@'%' IDENTIFIED BY 'follower'"]).await;
        source.run(&["GRANT REPLICATION SLAVE ON *.* TO 'follower'@'%'", "CREATE DATABASE shop"]).await;
        let [change, start] = follow(&source, flavour);
        replica.run(&[&change, &start]).await;
        let tape = Tape::of(watcher(&replica));
        let of = |tape: &Tape, metric: &str, more: &str| {
            let channel = format!("mysql.replica.channel.name=,{more}source={HOST}");
            tape.metrics().get(&(metric.to_owned(), channel)).copied()
        };
        let running = |tape: &Tape, thread: &str| {
            of(tape, "mysql.replica.thread.running", &format!("mysql.replica.thread.type={thread},"))
        };
        eventually(LIMIT, "a replica that waits", async || {
            let (io, sql, delay) =
                (running(&tape, "io")?, running(&tape, "sql")?, of(&tape, "mysql.replica.sql_delay", "")?);
            let behind = of(&tape, "mysql.replica.time_behind_source", "")?;
            (io == 1.0 && sql == 1.0 && delay == 7.0 && (1.0..=20.0).contains(&behind)).then_some(())
        })
        .await;
        let stop = if flavour == Flavour::Mysql9 { "STOP REPLICA SQL_THREAD" } else { "STOP SLAVE SQL_THREAD" };
        replica.run(&[stop]).await;
        eventually(LIMIT, "a thread that stands", async || (running(&tape, "sql")? == 0.0).then_some(())).await;
        assert_eq!(running(&tape, "io"), Some(1.0), "{flavour:?}");
        let poll = tape.whole_poll("replication").await;
        assert_eq!(poll.role, "standby");
        replica.run(&["SET GLOBAL read_only = OFF"]).await;
        let is_of_primary = |poll: &Seen| poll.outcome == "ok" && poll.role == "primary";
        let promoted = tape.poll_with("a poll of a primary", is_of_primary).await;
        assert!(promoted.poll_seq > poll.poll_seq);
        tape.stop().await;

        set_up(&source, flavour).await;
        let tape = Tape::of(watcher(&source));
        tape.whole_poll("replication").await;
        let logs = source.rows("SHOW BINARY LOGS").await;
        let bytes: f64 = logs.iter().map(|row| row.get::<u64, _>(1).unwrap() as f64).sum();
        let value = |metric: &str| tape.metrics().get(&(metric.to_owned(), String::new())).copied();
        assert_eq!((value("mysql.binlog.files"), value("mysql.binlog.size")), (Some(logs.len() as f64), Some(bytes)));
        tape.stop().await;
    }
}
