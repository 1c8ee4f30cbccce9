//! MySQL and MariaDB in trouble: slow lines, no connection left, another server at the same address, locked tables, rights that are
//! taken away. Each poll says what happened, nothing piles up, and everything else goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use dbintel_config::Secret;
use dbintel_pollers::mysql::Config;
use dbintel_schemas::Topic;
use dbintel_schemas::records::RawQuery;
use dbintel_tests::ports;
use dbintel_tests::proxy::Proxy;
use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::wait::eventually;
use mysql_async::prelude::Queryable;

use crate::pollers_tape::{LIMIT, Seen, Tape, decode};

const FLAVOURS: [Flavour; 2] = [Flavour::Mysql9, Flavour::MariadbStable];

/// A server with a shop and an account that may watch it.
async fn shop(flavour: Flavour, options: &[&str]) -> Mysql {
    let mysql = Mysql::start_with(flavour, options);
    let rights = match flavour {
        Flavour::Mysql9 => "PROCESS, REPLICATION CLIENT, SHOW VIEW",
        _ => "PROCESS, BINLOG MONITOR, SLAVE MONITOR, SHOW VIEW",
    };
    mysql
        .run(&[
            "CREATE DATABASE shop",
            "CREATE TABLE shop.goods (id int PRIMARY KEY AUTO_INCREMENT, price int)",
            "CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'",
            "GRANT ALL ON shop.* TO 'shop'@'%'",
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            &format!("GRANT {rights} ON *.* TO 'watcher'@'%'"),
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
        ])
        .await;
    mysql
}

/// Watches what answers at this port, often.
fn watcher(port: u16) -> Config {
    let mut config = Config { username: "watcher".to_owned(), ..Config::default() };
    config.password = Secret::new("watcher").into();
    config.endpoint = format!("{HOST}:{port}").parse().unwrap();
    config.connect_timeout = Duration::from_secs(1);
    let classes = [
        &mut config.sessions,
        &mut config.statements,
        &mut config.metrics,
        &mut config.replication,
        &mut config.tables,
        &mut config.sizes,
    ];
    for class in classes {
        class.interval = Duration::from_millis(200);
        class.timeout = Duration::from_secs(2);
    }
    config
}

#[tokio::test]
async fn a_server_that_answers_a_byte_a_second_is_given_up_and_found_again() {
    for flavour in FLAVOURS {
        let mysql = shop(flavour, &[]).await;
        let proxy = Proxy::start(ports::free(), &format!("{HOST}:{}", mysql.port));
        let port = proxy.address().rsplit_once(':').unwrap().1.parse().unwrap();
        let tape = Tape::of(watcher(port));
        tape.whole_poll("sessions").await;
        proxy.trickle(Duration::from_secs(1));
        let is_given_up = |poll: &Seen| poll.error_class.as_deref() == Some("timeout");
        tape.poll_with("a poll that is given up", is_given_up).await;
        let is_refused = |poll: &Seen| poll.outcome == "refused" && is_given_up(poll);
        tape.poll_with("a connection that is given up", is_refused).await;
        // One connection, and one more that ends what the first one did.
        for _ in 0..10 {
            let ours = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'watcher'";
            let ours: i64 = mysql.rows(ours).await[0].get(0).unwrap();
            assert!(ours <= 2, "{flavour:?}: {ours}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        proxy.trickle(Duration::ZERO);
        for class in ["sessions", "statements", "metrics"] {
            tape.whole_poll(class).await;
        }
        tape.stop().await;
    }
}

#[tokio::test]
async fn a_server_without_connections_left_is_told_and_waited_for() {
    for flavour in FLAVOURS {
        let mysql = shop(flavour, &["--max-connections=10"]).await;
        let mut taken = Vec::new();
        let options = mysql_async::OptsBuilder::default().ip_or_hostname(HOST).tcp_port(mysql.port);
        let options = options.user(Some("shop")).pass(Some("shop")).prefer_socket(false);
        while let Ok(client) = mysql_async::Conn::new(options.clone()).await {
            taken.push(client);
        }
        let tape = Tape::of(watcher(mysql.port));
        let is_full = |poll: &Seen| poll.outcome == "refused" && poll.error_class.as_deref() == Some("1040");
        let refused = eventually(LIMIT, "two refused polls", async || {
            let polls = tape.polls();
            (polls.iter().filter(|poll| is_full(poll)).count() >= 2).then_some(polls)
        })
        .await;
        assert!(refused.iter().all(is_full), "{flavour:?}: {refused:?}");
        for client in taken {
            client.disconnect().await.unwrap();
        }
        tape.whole_poll("sessions").await;
        tape.whole_poll("statements").await;
        tape.stop().await;
    }
}

#[tokio::test]
async fn another_server_at_the_same_address_is_another_server() {
    let (old, new) = (shop(Flavour::MariadbStable, &[]).await, shop(Flavour::Mysql9, &[]).await);
    let port = ports::free();
    let before = Proxy::start(port, &format!("{HOST}:{}", old.port));
    let tape = Tape::of(watcher(port));
    tape.whole_poll("statements").await;
    drop(before);
    let is_free = async || std::net::TcpListener::bind((HOST, port)).is_ok().then_some(());
    eventually(LIMIT, "the port", is_free).await;
    let after = Proxy::start(port, &format!("{HOST}:{}", new.port));
    let is_new = |poll: &Seen| poll.class == "statements" && poll.outcome == "ok" && poll.server_started_at.is_some();
    tape.poll_with("a poll of the new server", is_new).await;
    let instances = || -> BTreeSet<(String, String)> {
        let of = |value: &Vec<u8>| {
            let row: RawQuery<'_> = decode(value);
            (row.engine.to_owned(), row.instance.system_identifier.to_owned())
        };
        tape.values(Topic::RawQueries).iter().map(of).collect()
    };
    let seen = eventually(LIMIT, "rows of both", async || Some(instances()).filter(|seen| seen.len() >= 2)).await;
    let engines: Vec<_> = seen.iter().map(|(engine, _)| engine.as_str()).collect();
    assert_eq!(engines, ["mariadb", "mysql"], "no row has the engine of one and the identity of the other");
    tape.whole_poll("metrics").await;
    tape.stop().await;
    drop(after);
}

/// Neither a table that somebody holds nor a lock on the whole server is in our way, however long it lasts.
#[tokio::test]
async fn locked_tables_stop_nothing() {
    for flavour in FLAVOURS {
        let mysql = shop(flavour, &[]).await;
        let mut holder = mysql.admin().await;
        let tape = Tape::of(watcher(mysql.port));
        tape.whole_poll("sizes").await;
        for lock in ["LOCK TABLES shop.goods WRITE", "FLUSH TABLES WITH READ LOCK"] {
            holder.query_drop(lock).await.unwrap();
            for class in ["sessions", "statements", "metrics", "replication", "tables", "sizes"] {
                for poll in tape.next_polls(class, 3).await {
                    assert_eq!(poll.outcome, "ok", "{flavour:?}, {lock}: {poll:?}");
                }
            }
            holder.query_drop("UNLOCK TABLES").await.unwrap();
        }
        tape.stop().await;
    }
}

/// Rights that are taken away while we are connected cost what they gave.
#[tokio::test]
async fn rights_that_are_taken_away_cost_only_what_they_gave() {
    for flavour in FLAVOURS {
        let mysql = shop(flavour, &[]).await;
        let tape = Tape::of(watcher(mysql.port));
        tape.whole_poll("replication").await;
        let right = if flavour == Flavour::Mysql9 { "REPLICATION CLIENT" } else { "SLAVE MONITOR" };
        mysql.run(&[&format!("REVOKE {right} ON *.* FROM 'watcher'@'%'")]).await;
        // Rights for the whole server are those of the login.
        let ids = mysql.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'watcher'").await;
        for id in ids {
            mysql.run(&[&format!("KILL {}", id.get::<u64, _>(0).unwrap())]).await;
        }
        let is_told = |poll: &Seen| {
            let mut names = poll.capabilities.iter().map(|(name, ..)| name.as_str());
            poll.class == "replication" && poll.outcome == "ok" && names.any(|name| name == "replica_status")
        };
        tape.poll_with("a poll without replication", is_told).await;
        for class in ["sessions", "statements", "metrics", "tables", "sizes"] {
            tape.whole_poll(class).await;
        }
        tape.stop().await;
    }
}
