//! The statements of the corpora on real servers: what the statistics of a server show of a statement has the fingerprint of
//! the statement as it was sent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbintel_sqltext::{Dialect, Fingerprint, Normalizer, Options, SqlMode, tokens};
use dbintel_tests::servers::mysql::{Flavour, Mysql};
use dbintel_tests::servers::postgres::{Major, Postgres};
use mysql_async::prelude::Queryable;
use serde_json::Value;
use tokio::time::timeout;

const MYSQL: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) });

/// One that takes longer is left to itself.
const STATEMENT_LIMIT: Duration = Duration::from_secs(2);

/// What would end the server, or the test's hold on it.
const LEFT_OUT: [&str; 10] = [
    "SHUTDOWN",
    "RESTART",
    "KILL",
    "SLEEP",
    "LOCK",
    "ALTER SYSTEM",
    "SESSION AUTHORIZATION",
    "SET ROLE",
    "ALTER USER",
    "RESET",
];

/// Parts of texts that are shown of statements that nobody sent, or that are known by another fingerprint on purpose.
const ARGUED: [(&str, &str); 7] = [
    (
        "pg_catalog.date_part($1, cast($2 as timestamp without time zone))",
        "the body of a function of PostgreSQL 13 itself",
    ),
    ("`123foo`", "a name that begins with digits, where a number may stand: taken for one, as it may be one"),
    ("`12_13_foo`", "likewise"),
    ("PREPARE SELECT ?", "the text in a string of a PREPARE"),
    ("@@`max_allowed_packet`", "sent by the test's client"),
    ("`performance_schema`", "sent by this test"),
    ("CREATE SCHEMA WORK", "sent by this test"),
];

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sqltext/testdata")
}

/// The texts of a collection.
fn listed(file: &str) -> Vec<String> {
    let lines = fs::read_to_string(corpora().join(file)).unwrap();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["sql"].as_str().unwrap().to_owned()).collect()
}

/// The statements of texts, each once, in order.
fn statements(texts: &[String], dialect: Dialect) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut statements = Vec::new();
    for text in texts {
        let mut start = 0;
        let ends = tokens(dialect, text.as_bytes()).filter(|token| &text[token.start..token.end] == ";");
        let ends: Vec<usize> = ends.map(|token| token.start).chain([text.len()]).collect();
        for end in ends {
            let statement = text[start..end].trim().to_owned();
            start = (end + 1).min(text.len());
            let upper = statement.to_uppercase();
            let is_left_out = LEFT_OUT.iter().any(|word| upper.contains(word));
            if !statement.is_empty() && !is_left_out && seen.insert(statement.clone()) {
                statements.push(statement);
            }
        }
    }
    statements
}

/// Fingerprints of whole texts.
fn fingerprints<'t>(texts: impl IntoIterator<Item = &'t String>, dialect: Dialect) -> Vec<(Fingerprint, &'t String)> {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    let mut found = Vec::new();
    for text in texts {
        let statement = normalizer.normalize(text.as_bytes());
        if statement.is_whole() {
            found.push((statement.fingerprint, text));
        }
    }
    found
}

/// Shown texts that no statement which was sent is known by, and the number of all.
fn strangers(sent: &[String], shown: &[String], dialect: Dialect) -> (Vec<String>, usize) {
    let known: BTreeSet<Fingerprint> =
        fingerprints(sent, dialect).into_iter().map(|(fingerprint, _)| fingerprint).collect();
    let shown = fingerprints(shown, dialect);
    let is_argued = |text: &str| ARGUED.iter().any(|(part, _)| text.contains(part));
    let strangers = shown.iter().filter(|(fingerprint, text)| !known.contains(fingerprint) && !is_argued(text));
    (strangers.map(|(_, text)| (*text).clone()).collect(), shown.len())
}

async fn shown_by_postgresql(major: Major, sent: &[String]) -> Vec<String> {
    let postgres =
        Postgres::start_with(major, &[("pg_stat_statements.max", "20000"), ("pg_stat_statements.track", "top")]);
    let admin = postgres.client("postgres").await;
    admin.batch_execute("CREATE EXTENSION pg_stat_statements").await.unwrap();
    admin.batch_execute("CREATE DATABASE work").await.unwrap();
    let mut client = postgres.client("work").await;
    for statement in sent {
        let answered = timeout(STATEMENT_LIMIT, client.simple_query(statement)).await.is_ok();
        if client.is_closed() || !answered {
            client = postgres.client("work").await;
        }
    }
    let sql =
        "SELECT query FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid WHERE datname = 'work'";
    admin.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn shown_by_mysql(flavour: Flavour, sent: &[String]) -> Vec<String> {
    let mysql =
        Mysql::start_with(flavour, &["--max-digest-length=16384", "--performance-schema-max-digest-length=16384"]);
    mysql.run(&["CREATE DATABASE work"]).await;
    let mut client = mysql.admin().await;
    client.query_drop("USE work").await.unwrap();
    client.query_drop("TRUNCATE performance_schema.events_statements_summary_by_digest").await.unwrap();
    for statement in sent {
        // Most of them fail, as there are no such tables: they are counted all the same.
        if !matches!(
            timeout(STATEMENT_LIMIT, client.query_drop(statement)).await,
            Ok(Ok(()) | Err(mysql_async::Error::Server(_)))
        ) {
            client = mysql.admin().await;
            client.query_drop("USE work").await.unwrap();
        }
    }
    let sql =
        "SELECT DIGEST_TEXT FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST_TEXT IS NOT NULL";
    let rows = mysql.rows(sql).await;
    rows.into_iter().map(mysql_async::from_row::<String>).collect()
}

#[tokio::test]
async fn what_postgresql_shows_of_a_statement_has_its_fingerprint() {
    let mut texts = listed("pg-query-fingerprint/fingerprint.jsonl");
    texts.extend(listed("libpg-query-normalize/normalize.jsonl"));
    texts.extend(listed("sqlfluff/postgres.jsonl"));
    let files = fs::read_dir(corpora().join("postgres-regress")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "sql")).collect();
    files.sort();
    texts.extend(files.iter().map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()));
    let sent = statements(&texts, Dialect::PostgreSql);
    for major in [Major::V13, Major::V18] {
        let shown = shown_by_postgresql(major, &sent).await;
        let (strangers, all) = strangers(&sent, &shown, Dialect::PostgreSql);
        assert!(all > 1000, "{major:?} shows {all}");
        assert_eq!(strangers, [""; 0], "{major:?}, of {all}");
    }
}

#[tokio::test]
async fn what_mysql_shows_of_a_statement_has_its_fingerprint() {
    for flavour in Flavour::ALL {
        let own = if flavour == Flavour::Mysql9 { "sqlfluff/mysql.jsonl" } else { "sqlfluff/mariadb.jsonl" };
        let files = ["go-sqllexer/mysql.jsonl", "percona/fingerprint.jsonl", "percona/slow_logs.jsonl", own];
        let texts: Vec<String> = files.into_iter().flat_map(listed).collect();
        let sent = statements(&texts, MYSQL);
        let shown = shown_by_mysql(flavour, &sent).await;
        let (strangers, all) = strangers(&sent, &shown, MYSQL);
        assert!(all > 100, "{flavour:?} shows {all}");
        assert_eq!(strangers, [""; 0], "{flavour:?}, of {all}");
    }
}
