//! Writes the golden fingerprints of a new version of the algorithm; never over those of an earlier one.
#![expect(clippy::print_stdout, reason = "it says what it has written")]

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use dbintel_sqltext::{Dialect, FINGERPRINT_VERSION, Normalizer, Options, SqlMode};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/fingerprints");
    let mut lines = String::new();
    for line in fs::read_to_string(folder.join("statements.jsonl"))?.lines() {
        lines += &format!("{}\n", record(&serde_json::from_str(line)?)?);
    }
    let path = folder.join(format!("v{FINGERPRINT_VERSION}.jsonl"));
    fs::File::create_new(&path)?.write_all(lines.as_bytes())?;
    println!("{}", path.display());
    Ok(())
}

/// The statement with its fingerprint and text, by the usual settings of its server.
fn record(statement: &Value) -> Result<Value, Box<dyn Error>> {
    let field = |name: &str| statement[name].as_str().ok_or_else(|| format!("no {name} in {statement}"));
    let (dialect, sql) = (field("dialect")?, field("sql")?);
    let of = match dialect {
        "postgresql" => Dialect::PostgreSql,
        "mysql" => Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) }),
        other => return Err(format!("no dialect {other}").into()),
    };
    let mut normalizer = Normalizer::new(of, Options::default());
    let found = normalizer.normalize(sql.as_bytes());
    Ok(json!({ "dialect": dialect, "fingerprint": found.fingerprint.to_string(), "sql": sql, "text": found.text }))
}
