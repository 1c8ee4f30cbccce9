//! Statements with a secret in each: `{s}` is a word, `{n}` a number, and neither is anything but a secret; `{i}` is part of a
//! name.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use dbintel_tests::servers::HOST;
use dbintel_tests::servers::mysql::Mysql;
use dbintel_tests::servers::postgres::Postgres;
use mysql_async::prelude::Queryable;
use tokio::task::JoinSet;

use super::Samples;

/// What every secret has in it: words, numbers.
pub(super) const SECRETS: [&str; 2] = ["geheim", "7734001"];

/// Sessions at once.
const SESSIONS: usize = 12;
/// More than a server keeps of a session's text.
const LONG: usize = 1500;
/// A text that is long for anybody.
const HUGE: usize = 350_000;

/// Statements for PostgreSQL. Some fail, some of them always: that does not hide them.
pub(super) const POSTGRESQL: [&str; 50] = [
    "SELECT pg_sleep(0.1), '{s}'",
    "SELECT pg_sleep(0.1), {n}",
    "SELECT pg_sleep(0.1), E'it\\'s {s}'",
    "SELECT pg_sleep(0.1), U&'d\\0061t {s}'",
    "SELECT pg_sleep(0.1), $$ it's {s} $$",
    "SELECT pg_sleep(0.1), $a$ $b$ {s} $b$ $a$",
    "SELECT pg_sleep(0.1), 'a'\n  ' {s}'",
    "SELECT pg_sleep(0.1), interval '{n} s', DATE '2026-01-01', '{s}'::text",
    "SELECT pg_sleep(0.1) WHERE '{s}' IN ('a', '{s}', 'b') LIMIT {n}",
    "SELECT pg_sleep(0.1), ARRAY['{s}', 'b'], '{\"token\": \"{s}\"}'::jsonb ->> '{s}'",
    "SELECT pg_sleep(0.1) /* {s} /* nested {s} */ {s} */ -- {s}",
    "SELECT pg_sleep(0.1) /*token='{s}',action='{s} {s}'*/",
    "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null # {s}'",
    "COPY (SELECT '{s}') TO STDOUT (FORMAT csv, NULL '{s}')",
    "ALTER ROLE shop PASSWORD '{s}'",
    "CREATE ROLE r{i} LOGIN ENCRYPTED PASSWORD '{s}'",
    "SELECT * FROM dblink('host=127.0.0.1 port=1 user=x password={s}', 'SELECT 1') AS t (a int)",
    "SELECT dblink_connect('postgresql://x:{s}@127.0.0.1:1/shop')",
    "DO $$ BEGIN PERFORM pg_sleep(0.1), '{s}'; END $$",
    "DO LANGUAGE plpgsql 'BEGIN PERFORM pg_sleep(0.1), ''{s}''; END'",
    "CREATE USER MAPPING FOR shop SERVER away OPTIONS (user '{s}', password '{s}')",
    "CREATE SERVER s{i} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{s}')",
    "ALTER SERVER away OPTIONS (ADD sslkey '{s}')",
    "CREATE SUBSCRIPTION s{i} CONNECTION 'host={s} password={s}' PUBLICATION p WITH (connect = false)",
    "ALTER SUBSCRIPTION nobody CONNECTION 'host={s} password={s}'",
    "SELEC '{s}'",
    "SELECT pg_sleep(0.1), '{s}' FROMM nowhere",
    "SELECT '{s}",
    "SELECT $x$ {s}",
    "SELECT 1 /* {s}",
    "{s}",
    "{s}!",
    "{n} {s}",
    "SELECT pg_sleep(0.1), set_config('shop.token', '{s}', false)",
    "SET shop.token = '{s}'",
    "ALTER SYSTEM SET primary_conninfo = 'host=nowhere password={s}'",
    "ALTER DATABASE postgres SET shop.token = '{s}'",
    "COMMENT ON TABLE goods IS '{s}'",
    "CREATE VIEW v{i} AS SELECT '{s}' AS token",
    "CREATE FUNCTION f{i}() RETURNS text LANGUAGE sql AS 'SELECT ''{s}'''",
    "CREATE TABLE t{i} (token text DEFAULT '{s}' CHECK (token <> '{s}'))",
    "INSERT INTO goods (name) VALUES ('{s}'), ('{s}'), (E'{s}')",
    "UPDATE goods SET name = '{s}' WHERE name = '{s}' RETURNING pg_sleep(0.1)",
    "DECLARE c CURSOR WITH HOLD FOR SELECT '{s}'",
    "PREPARE p AS SELECT '{s}'",
    "EXECUTE nothing('{s}', {n})",
    "EXPLAIN (ANALYZE) SELECT pg_sleep(0.1), '{s}'",
    "NOTIFY shop, '{s}'",
    "SELECT pg_sleep(3); PREPARE TRANSACTION '{s}'",
    "SELECT pg_sleep(0.1), pgp_sym_encrypt('x', '{s}')",
];

/// Statements for MySQL and MariaDB.
pub(super) const MYSQL: [&str; 32] = [
    "SELECT SLEEP(2.5), '{s}'",
    "SELECT SLEEP(2.5), \"it's {s}\"",
    "SELECT SLEEP(2.5), {n}, 'a' '{s}' \"{s}\"",
    "SELECT SLEEP(2.5), 'it\\'s {s}', N'{s}', _utf8mb4'{s}'",
    "SELECT SLEEP(2.5) # {s}",
    "SELECT SLEEP(2.5) -- {s}\n, 1 /* {s} */",
    "SELECT /*+ MAX_EXECUTION_TIME({n}) */ SLEEP(2.5), '{s}'",
    "SELECT SLEEP(2.5) /*! , '{s}' */",
    "SELECT SLEEP(2.5) /*token='{s}',action='{s} {s}'*/",
    "SELECT SLEEP(2.5) FROM DUAL WHERE '{s}' IN ('a', '{s}') LIMIT {n}",
    "SELECT SLEEP(2.5), JSON_EXTRACT('{\"a\": \"{s}\"}', '$.{s}')",
    "SELECT SLEEP(2.5), @token := '{s}'",
    "SELECT SLEEP(2.5), TIMESTAMP '2026-01-01 00:00:00', DATE_ADD(NOW(), INTERVAL '{n}' SECOND)",
    "SELECT SLEEP(2.5), AES_ENCRYPT('x', '{s}')",
    "INSERT INTO goods (id, name) SELECT SLEEP(2.5), '{s}'",
    "UPDATE goods SET name = '{s}' WHERE name <> '{s}' AND SLEEP(0.5) = 0",
    "INSERT INTO goods (id, name) VALUES (1, '{s}'), ({n}, \"{s}\")",
    "DO SLEEP(2.5), '{s}'",
    "SET @token = '{s}'",
    "SET @token = CONCAT('{s}', SLEEP(2.5))",
    "SET PASSWORD FOR 'shop'@'%' = '{s}'",
    "CREATE USER 'u{i}'@'%' IDENTIFIED BY '{s}'",
    "ALTER USER 'shop'@'%' IDENTIFIED BY '{s}'",
    "CREATE SERVER s{i} FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x', PASSWORD '{s}')",
    "CREATE PROCEDURE p{i}() SELECT '{s}'",
    "PREPARE p FROM 'SELECT SLEEP(0.1), \"{s}\"'",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{s}'",
    "SELEC '{s}'",
    "SELECT '{s}",
    "{s}",
    "SELECT SLEEP(0.1), '{s}' INTO OUTFILE '/nowhere/{s}'",
    "LOAD DATA INFILE '/nowhere/{s}' INTO TABLE goods",
];

/// The statement of a list with a secret that only it has.
fn statement(list: &[&str], number: usize) -> String {
    list[number]
        .replace("{i}", &number.to_string())
        .replace("{s}", &word(number))
        .replace("{n}", &format!("77340010{number:02}"))
}

/// The secret word of a statement.
pub(super) fn word(number: usize) -> String {
    format!("geheim{number:02}")
}

/// Texts that are too long for a session, cut in the middle of a secret at one byte after the other, and huge ones.
fn long(sleep: &str) -> Vec<String> {
    let secrets = |length: usize| "geheim7734001".repeat(length / 13 + 1);
    let cut = (0..8).map(|more| format!("SELECT {sleep}, '{}{}'", "x".repeat(more * 3), secrets(LONG)));
    let list = format!("SELECT {sleep} WHERE 1 IN (773400100{})", ", 7734001".repeat(HUGE / 9));
    let rows = format!("INSERT INTO goods (name) VALUES ('{}'){}", secrets(20), ", ('geheim')".repeat(HUGE / 12));
    let half = format!("SELECT {sleep}, \"{}", secrets(LONG));
    let comment = format!("SELECT {sleep} /* {} */", secrets(LONG));
    cut.chain([list, rows, half, comment, format!("SELECT {sleep}, '{}'", secrets(HUGE))]).collect()
}

pub(super) async fn prepare_postgresql(server: &Postgres) {
    let admin = server.client("postgres").await;
    // The extension dblink and the wrapper in name alone: theirs would need the client library.
    let sql = "CREATE EXTENSION pg_stat_statements; CREATE ROLE shop LOGIN;
               CREATE FUNCTION dblink(text, text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1';
               CREATE FUNCTION dblink_connect(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
               CREATE TABLE goods (name text); INSERT INTO goods VALUES ('a');
               CREATE FOREIGN DATA WRAPPER postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw";
    admin.batch_execute(sql).await.unwrap();
    admin.batch_execute("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0").await.unwrap();
}

pub(super) async fn prepare_mysql(server: &Mysql, password: &str) {
    let watcher = format!("CREATE USER 'watcher'@'%' IDENTIFIED BY '{password}'");
    server
        .run(&[
            "UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' WHERE NAME = 'events_statements_current'",
            "CREATE DATABASE shop",
            "CREATE TABLE shop.goods (id bigint, name text)",
            "INSERT INTO shop.goods VALUES (1, 'a')",
            "CREATE USER 'shop'@'%' IDENTIFIED BY 'shop'",
            "CREATE USER 'boss'@'%' IDENTIFIED BY 'boss'",
            "GRANT ALL ON *.* TO 'boss'@'%' WITH GRANT OPTION",
            &watcher,
            "GRANT SELECT ON performance_schema.* TO 'watcher'@'%'",
            "GRANT PROCESS ON *.* TO 'watcher'@'%'",
        ])
        .await;
}

/// Executes each statement, and again in a transaction that stays open for a while, whatever became of it.
pub(super) async fn execute_on_postgresql(server: &Postgres, samples: &Samples) {
    let listed = (0..POSTGRESQL.len()).map(|number| statement(&POSTGRESQL, number));
    let all: Vec<String> = listed.chain(long("pg_sleep(0.1)")).collect();
    for some in all.chunks(SESSIONS) {
        let mut sessions = JoinSet::new();
        for statement in some {
            let (client, statement, samples) = (server.client("postgres").await, statement.clone(), samples.clone());
            sessions.spawn(async move {
                let _ = client.simple_query(&statement).await;
                client.simple_query("BEGIN").await.unwrap();
                let _ = client.simple_query(&statement).await;
                samples.one_of_each().await;
            });
        }
        let (port, raw) = (server.port, "SELECT pg_sleep(2.5), '\u{e4}geheim'".chars().map(|c| c as u8).collect());
        sessions.spawn_blocking(move || send_bytes(port, raw));
        while let Some(ended) = sessions.join_next().await {
            ended.unwrap();
        }
    }
}

/// Sends a text that is no UTF-8 to a database that takes any bytes, and waits for its end.
fn send_bytes(port: u16, sql: Vec<u8>) {
    let mut stream = TcpStream::connect((HOST, port)).unwrap();
    let mut send = |kind: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        stream.write_all(&[kind, &length, body].concat()).unwrap();
    };
    send(b"", b"\0\x03\0\0user\0postgres\0database\0bytes\0client_encoding\0SQL_ASCII\0\0");
    send(b"Q", &[&sql[..], b"\0"].concat());
    send(b"X", b"");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.windows(8).any(|window| window == b"SELECT 1"), "{}", answer.escape_ascii());
}

/// Executes each statement in a transaction that stays open for a while, as a user who may do everything. What would change
/// accounts or tables, and so end the transaction, first waits for a lock.
pub(super) async fn execute_on_mysql(server: &Mysql, samples: &Samples) {
    let listed = (0..MYSQL.len()).map(|number| statement(&MYSQL, number).into_bytes());
    let bytes = b"SELECT SLEEP(2.5), '\xe4geheim', \"\xff\xfegeheim\"".to_vec();
    let long = long("SLEEP(2.5)").into_iter().map(String::into_bytes);
    let all: Vec<Vec<u8>> = listed.chain(long).chain([bytes]).collect();
    let mut admin = server.admin().await;
    for some in all.chunks(SESSIONS) {
        let mut sessions = JoinSet::new();
        admin.query_drop("FLUSH TABLES WITH READ LOCK").await.unwrap();
        for statement in some {
            let mut client = server.client("boss", "boss", Some("shop")).await;
            let (statement, samples) = (statement.clone(), samples.clone());
            sessions.spawn(async move {
                client.query_drop("SET NAMES latin1").await.unwrap();
                client.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT").await.unwrap();
                let _ = client.query_drop(statement).await;
                samples.one_of_each().await;
            });
        }
        samples.one_of_each().await;
        admin.query_drop("UNLOCK TABLES").await.unwrap();
        while let Some(ended) = sessions.join_next().await {
            ended.unwrap();
        }
    }
}
