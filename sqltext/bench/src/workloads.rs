//! What is measured: statements as people write them, and those that made others slow or crash.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    PostgreSql,
    MySql,
}

pub struct Workload {
    pub name: String,
    pub dialect: Of,
    make: Box<dyn Fn(&Path, Of) -> Vec<Vec<u8>>>,
}

const PLAIN: &str = "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id \
    WHERE o.created_at >= '2026-01-01' AND o.state IN ('new', 'paid') AND c.mail = 'a@example.com' \
    ORDER BY o.created_at DESC LIMIT 50";

impl Workload {
    /// All, for one dialect after the other.
    pub fn all() -> Vec<Self> {
        [(Of::PostgreSql, "postgresql"), (Of::MySql, "mysql")]
            .into_iter()
            .flat_map(|(dialect, name)| Self::of(dialect, name))
            .collect()
    }

    /// The texts to read in one round.
    pub fn texts(&self, folder: &Path) -> Vec<Vec<u8>> {
        (self.make)(folder, self.dialect)
    }

    fn of(dialect: Of, dialect_name: &str) -> Vec<Self> {
        let of = |name: &str, make: Box<dyn Fn(&Path, Of) -> Vec<Vec<u8>>>| Self {
            name: format!("{dialect_name}: {name}"),
            dialect,
            make,
        };
        let text = |name: &str, make: fn() -> String| of(name, Box::new(move |_, _| vec![make().into_bytes()]));
        vec![
            of("corpora, by statement", Box::new(statements)),
            of("corpora, by file", Box::new(files)),
            text("a plain query", || PLAIN.to_owned()),
            text("insert of 1 MB", || long_insert(1_000_000)),
            text("insert of 10 MB", || long_insert(10_000_000)),
            text("insert of 100 MB", || long_insert(100_000_000)),
            text("80 kB of +1", || format!("select 1{}", "+1".repeat(40_000))),
            text("100,000 parentheses", || format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000))),
            text("10 MB of plus signs", || format!("select a {}", "+".repeat(10_000_000))),
            text("10 MB of question marks", || format!("select a {}", "?".repeat(10_000_000))),
            text("10 MB of dollar signs", || format!("select a {}", "$a".repeat(5_000_000))),
            text("10 MB of comment marks", || format!("select a {}", "/*".repeat(5_000_000))),
        ]
    }
}

/// The `.sql` files below a folder that are text, in the order of their names.
fn files(folder: &Path, _: Of) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    collect(folder, "sql", &mut texts);
    texts
}

/// Roughly the statements of the files, cut at a semicolon that ends a line, and those of the dialect's collections.
fn statements(folder: &Path, dialect: Of) -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = files(folder, dialect).iter().flat_map(|text| split(text)).collect();
    let mut collections = Vec::new();
    collect(folder, "jsonl", &mut collections);
    let name = if dialect == Of::MySql { "mysql" } else { "postgresql" };
    for line in collections.iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
        let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
        if entry["dialect"].as_str().is_none_or(|found| found == name) {
            let text = ["sql", "input", "query"].iter().find_map(|field| entry[field].as_str());
            parts.extend(text.map(|sql| sql.as_bytes().to_vec()));
        }
    }
    parts
}

fn collect(folder: &Path, extension: &str, texts: &mut Vec<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, extension, texts);
        } else if path.extension().is_some_and(|found| found == extension) {
            texts.extend(fs::read(&path));
        }
    }
}

fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    text.split(";\n").filter(|part| !part.trim().is_empty()).map(|part| part.as_bytes().to_vec()).collect()
}

fn long_insert(length: usize) -> String {
    let mut sql = "INSERT INTO orders (id, mail, total, note) VALUES ".to_owned();
    let mut row = 0_u64;
    while sql.len() < length {
        row += 1;
        sql += &format!("({row}, 'a{row}@example.com', {row}.50, lower('N {row}')), ");
    }
    sql + "(1, 'x', 2, lower('y'))"
}
