//! The workload: statements of many shapes, each slow enough to be seen by samples a second apart, from several clients.

use std::time::Duration;

use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::pollers_statements::connect_as;

/// The trace that a comment names.
pub const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Clients of each server, each with its own order of statements.
const CLIENTS: usize = 8;

/// What both dialects take. `{n}` is another number each time, `{nap}` a call that takes half a second.
const BOTH: [&str; 12] = [
    "SELECT {nap}, id FROM goods WHERE id = {n}",
    "select {nap}, G.id from Goods as G join goods H on G.id = H.id where H.price > {n} limit 1",
    "SELECT {nap} FROM goods WHERE id IN ({n}, 2, 3, {n}) AND name <> 'anna''s' LIMIT 1",
    "SELECT {nap} FROM goods WHERE id IN (1) AND name <> 'x' LIMIT 1",
    "WITH cheap AS (SELECT id FROM goods WHERE price < {n}) SELECT {nap}, count(*) FROM cheap",
    "SELECT {nap}, id -- the {n}th\n  FROM goods /* secret {n} */ WHERE price BETWEEN {n} AND 1000 + {n} LIMIT 1",
    "SELECT {nap} /*action='run',controller='shop',traceparent='{trace}'*/",
    "INSERT INTO visits (id, at) SELECT {n}, {nap} IS NULL",
    "UPDATE visits SET at = {nap} IS NULL WHERE id = -{n}",
    "SELECT CASE WHEN {n} > 1.5e3 THEN 'a' ELSE 'b' END, {nap}, NULL, -1",
    "SELECT {nap}, max(price) FROM goods GROUP BY id HAVING max(price) >= {n} ORDER BY 2 DESC LIMIT 3",
    "DELETE FROM visits WHERE id = {n} AND {nap} IS NULL",
];

/// What only PostgreSQL takes.
const POSTGRESQL: [&str; 6] = [
    r#"SELECT pg_sleep(0.5), "id"::text || $tag$ it's {n} $tag$ FROM public."goods" LIMIT 2"#,
    "SELECT pg_sleep(0.5), E'a\\'{n}', interval '{n} days', DATE '2026-01-01'",
    "SELECT pg_sleep(0.5), '{\"a\": {n}}'::jsonb @> '{\"a\": 1}'",
    "SELECT pg_sleep(0.5), ARRAY[1, {n}, 3], array_agg(id) FILTER (WHERE price > {n}) FROM goods",
    "DO $$ BEGIN PERFORM pg_sleep(0.5), '{n}'; END $$",
    "CALL nap({n})",
];

/// What only MySQL and MariaDB take.
const MYSQL: [&str; 5] = [
    "SELECT SLEEP(0.5), `id`, \"it's {n}\" FROM `shop`.`goods` WHERE id = {n} # a remark",
    "SELECT SLEEP(0.5), 0x{n}, b'101', N'{n}', _utf8mb4'{n}' LIMIT 0, {n}",
    "SELECT SQL_NO_CACHE SLEEP(0.5), id DIV {n}, id <=> {n} FROM goods LIMIT 1",
    "CALL nap({n})",
    "SELECT SLEEP(0.5), @a := {n}",
];

/// All servers with the workload's tables, by the names of their targets.
pub struct Servers {
    pub postgres: Vec<(&'static str, Postgres)>,
    pub mysql: Vec<(&'static str, Mysql)>,
}

impl Servers {
    /// Starts them.
    pub async fn start() -> Servers {
        let postgres = vec![("pg13", Postgres::start(Major::V13)), ("pg18", Postgres::start(Major::V18))];
        let mysql = vec![
            ("mysql9", Mysql::start(Flavour::Mysql9)),
            ("mariadb10", Mysql::start(Flavour::MariadbStable)),
            ("mariadb11", Mysql::start(Flavour::Mariadb11)),
        ];
        for (_, server) in &postgres {
            prepare_postgres(server).await;
        }
        for (_, server) in &mysql {
            prepare_mysql(server).await;
        }
        Servers { postgres, mysql }
    }

    /// Executes the workload on all of them at once. Each statement is executed to its end.
    pub async fn work(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            for (_, server) in &self.postgres {
                clients.spawn(work_on_postgres(connect_as(server, "shop").await, client, until));
            }
            for (name, server) in &self.mysql {
                // MariaDB counts no statement of the binary protocol.
                let binary = *name == "mysql9";
                clients.spawn(work_on_mysql(server.client("shop", "shop", Some("shop")).await, client, binary, until));
            }
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }
}

fn filled(statement: &str, nap: &str, number: usize) -> String {
    let number = (number + 2).to_string();
    statement.replace("{nap}", nap).replace("{n}", &number).replace("{trace}", TRACEPARENT)
}

/// Longer than the servers keep of a session, and with few tokens, as MariaDB cuts what it normalised after 1,024 bytes as well. The first two differ in their ends alone; the third begins like no other.
fn long(nap: &str, number: usize) -> [String; 3] {
    let condition = |column: &str| vec![format!("{column} <> '{}{number}'", "padding ".repeat(10)); 14].join(" AND ");
    let twin = format!("SELECT {nap} FROM goods WHERE {}", condition("name"));
    [
        format!("{twin} ORDER BY id LIMIT 1"),
        format!("{twin} ORDER BY price LIMIT 1"),
        format!("SELECT id, {nap} FROM goods WHERE {} LIMIT 1", condition("name")),
    ]
}

async fn prepare_postgres(server: &Postgres) {
    let admin = server.client("postgres").await;
    let sql = "CREATE EXTENSION pg_stat_statements; CREATE ROLE shop LOGIN; CREATE TABLE goods (id int, price int, name text);
               CREATE TABLE visits (id int, at bool); GRANT ALL ON goods, visits TO shop;
               INSERT INTO goods SELECT n, n, n::text FROM generate_series(1, 3) AS n;
               CREATE FUNCTION sleep(seconds float8) RETURNS void LANGUAGE sql AS 'SELECT pg_sleep(seconds)';
               CREATE PROCEDURE nap(n int) LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); END';";
    admin.batch_execute(sql).await.unwrap();
}

async fn prepare_mysql(server: &Mysql) {
    server
        .run(&[
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'events_statements_current'",
            "CREATE DATABASE shop",
            "CREATE TABLE shop.goods (id int, price int, name varchar(20))",
            "CREATE TABLE shop.visits (id int, at bool)",
            "INSERT INTO shop.goods VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c')",
            "CREATE PROCEDURE shop.nap(n int) DO SLEEP(0.5)",
            "CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'",
            "GRANT ALL ON shop.* TO 'shop'@'%'",
            "CREATE USER 'watcher'@'%' IDENTIFIED BY 'watcher'",
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
            "GRANT PROCESS ON *.* TO 'watcher'@'%'",
        ])
        .await;
}

async fn work_on_postgres(client: Client, number: usize, until: Instant) {
    // Half a second for the statement, however many rows it has.
    let nap = "(SELECT pg_sleep(0.5))";
    let statements: Vec<&str> = BOTH.into_iter().chain(POSTGRESQL).collect();
    for turn in number * 3.. {
        let statement = filled(statements[turn % statements.len()], nap, turn);
        client.simple_query(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        if turn % 4 == 0 {
            client.simple_query(&long(nap, turn)[turn / 4 % 3]).await.unwrap();
        }
        if turn % 7 == 0 {
            // By the extended protocol, with a parameter.
            client.query("SELECT pg_sleep(0.5), id FROM goods WHERE id = $1", &[&1]).await.unwrap();
            client.simple_query("BEGIN").await.unwrap();
            client.simple_query("UPDATE visits SET at = true WHERE id = 77").await.unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            client.simple_query("COMMIT").await.unwrap();
        }
        if Instant::now() > until {
            return;
        }
    }
}

async fn work_on_mysql(mut client: Conn, number: usize, binary: bool, until: Instant) {
    let nap = "(SELECT SLEEP(0.5))";
    let statements: Vec<String> =
        BOTH.into_iter().chain(MYSQL).map(|statement| statement.replace("Goods", "goods")).collect();
    for turn in number * 3.. {
        let statement = filled(&statements[turn % statements.len()], nap, turn);
        client.query_drop(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        if turn % 4 == 0 {
            client.query_drop(&long(nap, turn)[turn / 4 % 3]).await.unwrap();
        }
        if turn % 7 == 0 {
            if binary {
                client.exec_drop("SELECT SLEEP(0.5), id FROM goods WHERE id = ?", (1,)).await.unwrap();
            } else {
                client.query_drop("SELECT SLEEP(0.5), id FROM goods WHERE id = 1").await.unwrap();
            }
            client.query_drop("BEGIN").await.unwrap();
            client.query_drop("UPDATE visits SET at = true WHERE id = 77").await.unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
            client.query_drop("COMMIT").await.unwrap();
        }
        if Instant::now() > until {
            return;
        }
    }
}
