//! The statements of `testdata`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::checker::{Reading, read};
use crate::subject::Server;

pub struct Case {
    /// Where it is from, for messages.
    pub name: String,
    pub server: Server,
    pub sql: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The objects of a file with one a line.
pub fn lines(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A field that must be text.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object[field].as_str().unwrap_or_else(|| panic!("{object} has no {field}"))
}

/// Texts as they are in the corpora: statements, and files of many.
pub fn texts() -> Vec<Case> {
    const FILES: [(&str, Server); 10] = [
        ("go-sqllexer/postgresql.jsonl", Server::PostgreSql),
        ("go-sqllexer/mysql.jsonl", Server::MySql),
        ("pg-query-fingerprint/fingerprint.jsonl", Server::PostgreSql),
        ("libpg-query-normalize/normalize.jsonl", Server::PostgreSql),
        ("percona/fingerprint.jsonl", Server::MySql),
        ("percona/slow_logs.jsonl", Server::MySql),
        ("sqlfluff/postgres.jsonl", Server::PostgreSql),
        ("sqlfluff/mysql.jsonl", Server::MySql),
        ("sqlfluff/mariadb.jsonl", Server::MySql),
        ("tpc/queries.jsonl", Server::PostgreSql),
    ];
    let mut cases = Vec::new();
    for (file, server) in FILES {
        for (line, object) in lines(file).iter().enumerate() {
            let name = object["name"].as_str().unwrap_or("line");
            cases.push(Case {
                name: format!("{file}:{} {name}", line + 1),
                server,
                sql: text(object, "sql").to_owned(),
            });
        }
    }
    for (line, object) in lines("sqlcommenter/examples.jsonl").iter().enumerate() {
        let name = format!("sqlcommenter:{}", line + 1);
        cases.push(Case { name, server: Server::PostgreSql, sql: text(object, "query").to_owned() });
    }
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder("postgres-regress")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let sql = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        cases.push(Case { name, server: Server::PostgreSql, sql });
    }
    assert!(cases.len() > 600, "the corpora are not complete: {}", cases.len());
    cases
}

/// The single statements of [`texts`], cut apart at their semicolons, each once.
pub fn statements() -> Vec<Case> {
    let mut seen = std::collections::HashSet::new();
    let mut statements = Vec::new();
    for case in texts() {
        for sql in split(&case.sql, case.server) {
            if !sql.trim().is_empty() && seen.insert((case.server == Server::MySql, sql.to_owned())) {
                statements.push(Case { name: case.name.clone(), server: case.server, sql: sql.to_owned() });
            }
        }
    }
    statements
}

fn split(sql: &str, server: Server) -> Vec<&str> {
    let reading = match server {
        Server::PostgreSql => Reading::STANDARD,
        Server::MySql => Reading::mysql(false, false)[0],
    };
    let seen = read(sql.as_bytes(), reading);
    let mut taken = vec![false; sql.len()];
    for (from, to) in seen.code.into_iter().chain(seen.hidden) {
        taken[from..to].fill(true);
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, byte) in sql.bytes().enumerate() {
        if byte == b';' && !taken[at] {
            parts.push(&sql[start..at]);
            start = at + 1;
        }
    }
    parts.push(&sql[start..]);
    parts
}
