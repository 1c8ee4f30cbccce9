//! How fast texts are normalised and fingerprinted: `cargo run --release --example speed -- [corpora]`.
//!
//! Without an argument the folder is `sqltext/testdata`. Prints one line per workload: MB/s, and nanoseconds per text.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench prints, and looks at the clock")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use dbintel_sqltext::{Dialect, Normalizer, Options, SqlMode};

const TIME_MIN: Duration = Duration::from_millis(700);
const MYSQL: Dialect = Dialect::MySql(SqlMode { ansi_quotes: Some(false), no_backslash_escapes: Some(false) });

fn main() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let folder = std::env::args().nth(1).map_or(default, Into::into);
    let mut texts = Vec::new();
    collect(&folder, &mut texts);
    let statements: Vec<Vec<u8>> = texts.iter().flat_map(|text| split(text)).collect();
    for (name, dialect) in [("postgresql", Dialect::PostgreSql), ("mysql", MYSQL)] {
        measure(&format!("{name}: corpora, by statement"), dialect, &statements);
        measure(&format!("{name}: corpora, by file"), dialect, &texts);
        measure(&format!("{name}: a plain query"), dialect, &[PLAIN.to_vec()]);
        for megabytes in [1, 10, 100] {
            let name = format!("{name}: one insert of {megabytes} MB");
            measure(&name, dialect, &[long_insert(megabytes * 1_000_000)]);
        }
        measure(&format!("{name}: 80 kB of +1"), dialect, &[[b"select 1", "+1".repeat(40_000).as_bytes()].concat()]);
        measure(&format!("{name}: 100,000 parentheses"), dialect, &[nested(100_000)]);
        measure(&format!("{name}: 10 MB of plus signs"), dialect, &[repeated("+", 10_000_000)]);
        measure(&format!("{name}: 10 MB of question marks"), dialect, &[repeated("?", 10_000_000)]);
        measure(&format!("{name}: 10 MB of dollar signs"), dialect, &[repeated("$a", 5_000_000)]);
        measure(&format!("{name}: 10 MB of comment marks"), dialect, &[repeated("/*", 5_000_000)]);
    }
}

const PLAIN: &[u8] = b"SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id \
    WHERE o.created_at >= '2026-01-01' AND o.state IN ('new', 'paid') AND c.mail = 'a@example.com' \
    ORDER BY o.created_at DESC LIMIT 50";

fn collect(folder: &Path, texts: &mut Vec<Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            texts.extend(fs::read(&path));
        }
    }
}

/// Roughly by statement: at a semicolon that ends a line.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(text);
    text.split(";\n").filter(|statement| !statement.trim().is_empty()).map(|part| part.as_bytes().to_vec()).collect()
}

fn long_insert(length: usize) -> Vec<u8> {
    let mut sql = b"INSERT INTO orders (id, mail, total, note) VALUES ".to_vec();
    let mut row = 0_u64;
    while sql.len() < length {
        row += 1;
        sql.extend_from_slice(format!("({row}, 'a{row}@example.com', {row}.50, lower('N {row}')), ").as_bytes());
    }
    sql.extend_from_slice(b"(1, 'x', 2, lower('y'))");
    sql
}

fn repeated(part: &str, times: usize) -> Vec<u8> {
    ["select a ", &part.repeat(times)].concat().into_bytes()
}

fn nested(depth: usize) -> Vec<u8> {
    ["select ", &"(".repeat(depth), "1", &")".repeat(depth)].concat().into_bytes()
}

/// How long this process has been on a core, where the system tells: others that share the machine do not count.
fn time_on_core() -> Option<Duration> {
    let schedule = fs::read_to_string("/proc/self/schedstat").ok()?;
    schedule.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn measure(name: &str, dialect: Dialect, texts: &[Vec<u8>]) {
    let mut normalizer = Normalizer::new(dialect, Options::default());
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let start = Instant::now();
    let start_of_work = time_on_core();
    let mut rounds = 0_u32;
    while rounds == 0 || start.elapsed() < TIME_MIN {
        for text in texts {
            black_box(normalizer.normalize(black_box(text)).fingerprint);
        }
        rounds += 1;
    }
    let on_core = time_on_core().zip(start_of_work).map(|(end, start)| end.saturating_sub(start));
    let seconds = on_core.unwrap_or_else(|| start.elapsed()).as_secs_f64() / f64::from(rounds);
    println!(
        "{name:45} {:8.0} MB/s {:12.0} ns/text {:9} texts",
        bytes as f64 / seconds / 1e6,
        seconds * 1e9 / texts.len().max(1) as f64,
        texts.len()
    );
}
