//! Depth and size: no recursion, time in proportion to the length.

use std::fs;
use std::time::Duration;

use crate::subject::{Mode, Outcome, Server, modes, normalise, normalise_cut};

const DEPTH: usize = 100_000;

fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(64 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn depth_is_no_trouble() {
    on_a_small_stack(|| {
        for mode in modes() {
            let comments = format!("SELECT {} hush {} 'hush' FROM shown", "/*".repeat(DEPTH), "*/".repeat(DEPTH));
            let parentheses = format!("SELECT {}1{} FROM shown", "(".repeat(DEPTH), ")".repeat(DEPTH));
            let open = format!("SELECT {}'hush'", "(".repeat(DEPTH));
            let brackets = format!("SELECT {}'hush'{}", "ARRAY[".repeat(DEPTH), "]".repeat(DEPTH));
            let lists = format!("SELECT {}'hush'{}", "a IN (".repeat(DEPTH), ")".repeat(DEPTH));
            let chain = format!("SELECT 1{} FROM shown", "+1".repeat(DEPTH));
            let cases = format!("SELECT {}'hush'{}", "CASE WHEN a THEN ".repeat(DEPTH), " END".repeat(DEPTH));
            let versioned = format!("SELECT {} 'hush' {}", "/*!50000 ".repeat(DEPTH), "*/".repeat(DEPTH));
            for sql in [comments, parentheses, open, brackets, lists, chain, cases, versioned] {
                let Outcome { text, .. } = normalise(&sql, mode);
                assert!(!text.contains("hush") && !text.contains('1'), "{mode:?} {:.80}", sql);
                normalise_cut(&sql, mode);
            }
        }
    });
}

#[test]
fn every_level_counts() {
    let nested = |depth: usize| format!("SELECT {}a{}", "(".repeat(depth), ")".repeat(depth));
    let chain = |length: usize| format!("SELECT a{}", " + b".repeat(length));
    let mode = Server::PostgreSql.usual();
    for make in [&nested as &dyn Fn(usize) -> String, &chain] {
        assert_ne!(normalise(make(2_000), mode).hash, normalise(make(2_001), mode).hash);
        assert_ne!(normalise(make(2_000), mode).hash, normalise(make(64_000), mode).hash);
    }
}

/// A text of at least `length` bytes.
fn repeated(head: &str, unit: &str, tail: &str, length: usize) -> String {
    format!("{head}{}{tail}", unit.repeat(length / unit.len() + 1))
}

/// How long this thread was on a processor, by its kernel: other work on the machine does not count.
fn processor_time() -> Duration {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
}

/// How long it takes to read a text some times.
fn time(sql: &str, mode: Mode, times: usize) -> Duration {
    let start = processor_time();
    for _ in 0..times {
        std::hint::black_box(normalise(sql, mode));
    }
    processor_time() - start
}

/// Fails if a text takes far more time than as many bytes in short texts do. `GRAIN` is how coarse the clock may be.
#[track_caller]
fn assert_linear(short: &str, long: &str, mode: Mode) {
    const SLACK: u32 = 5;
    const GRAIN: Duration = Duration::from_millis(20);
    let times = long.len() / short.len();
    let expected = time(short, mode, times);
    let found = time(long, mode, 1);
    let start: String = long.chars().take(80).collect();
    assert!(found <= expected * SLACK + GRAIN, "{mode:?} {start:?}: {found:?}, and {expected:?} for {times} parts");
}

/// What may make a lexer look again at what it has seen.
const SHAPES: &[(&str, &str, &str)] = &[
    ("SELECT * FROM t WHERE a IN (", "'secret', ", "1)"),
    ("INSERT INTO t VALUES (1, 'a')", ", (1, 'secret')", ""),
    ("INSERT INTO t VALUES (1, 'a')", ", (a, (1), f(2))", ""),
    ("SELECT 1", "+1", ""),
    ("SELECT ", "(", ""),
    ("SELECT ", "(1,", ""),
    ("SELECT ", "a IN (", ""),
    ("SELECT ", "a IN (1, (", ""),
    ("SELECT ", "VALUES (1), (", ""),
    ("SELECT ", "ARRAY[1, ", ""),
    ("SELECT ", "'a' ", ""),
    ("SELECT ", "'a'\n", ""),
    ("SELECT ", "'a'\n-- b\n", ""),
    ("SELECT ", "'\\' ", ""),
    ("SELECT ", "$a", ""),
    ("SELECT ", "$a$ ", ""),
    ("SELECT ", "$$ $a$ ", ""),
    ("SELECT $tag$ ", "$tag ", "$"),
    (
        "SELECT $aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa$ ",
        "$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "",
    ),
    ("SELECT ", "/* ", ""),
    ("SELECT ", "/*!", ""),
    ("SELECT ", "/*!50000 a */ ", ""),
    ("SELECT ", "/* a */ ", ""),
    ("SELECT ", "-- a\n", ""),
    ("SELECT ", "--", ""),
    ("SELECT ", "a.", ""),
    ("SELECT ", "a AS b, ", ""),
    ("SELECT ", "<", ""),
    ("SELECT ", "- ", "1"),
    ("SELECT ", "1_", ""),
    ("SELECT ", "9", ""),
    ("SELECT ", "a", ""),
    ("SELECT \"", "a", ""),
    ("", ";", ""),
    ("", "SELECT 1;\n", ""),
    ("", "\n", ""),
    ("", "\\a\n", ""),
    ("COPY t FROM STDIN;\n", "1\tsecret\n", ""),
    ("COPY t FROM STDIN", ";\n", ""),
    ("", "COPY t FROM STDIN;\nx\n\\.\n", ""),
    ("SELECT 1 ", "/*a='b'*/", ""),
    ("SELECT 1 /*", "a='b',", "*/"),
    ("SELECT * FROM ", "a, ", "b"),
    ("SELECT * FROM ", "a1 JOIN ", "b"),
    ("WITH ", "a AS (SELECT 1), ", "b AS (SELECT 2) SELECT 3"),
    ("CREATE ROLE ", "a ", "PASSWORD 'secret'"),
    ("SELECT ", "?,", "?"),
    ("SELECT ", ":a,", "?"),
];

#[test]
fn time_is_in_proportion_to_the_length() {
    const SHORT: usize = 64 * 1024;
    for server in [Server::PostgreSql, Server::MySql] {
        for (head, unit, tail) in SHAPES {
            let (short, long) = (repeated(head, unit, tail, SHORT), repeated(head, unit, tail, 16 * SHORT));
            assert_linear(&short, &long, server.usual());
        }
    }
}

#[test]
fn a_hundred_megabytes_take_as_long_as_a_hundred_of_one() {
    const SHORT: usize = 1_000_000;
    let unit = "INSERT INTO t (a, b) SELECT a, 'secret' FROM u WHERE c = 12345 AND d IN (1, 2, 3) /* x */; ";
    for server in [Server::PostgreSql, Server::MySql] {
        assert_linear(&repeated("", unit, "", SHORT), &repeated("", unit, "", 100 * SHORT), server.usual());
    }
}

#[test]
fn every_short_text_is_read() {
    const BYTES: &[u8] = b"'\"`$\\-/*!#\n\0E&x_.0a;(\xff";
    for mode in modes() {
        let mut text = [0; 4];
        for number in 0..BYTES.len().pow(4) {
            let mut rest = number;
            for place in &mut text {
                *place = BYTES[rest % BYTES.len()];
                rest /= BYTES.len();
            }
            if mode.is_mysql() && number % 9 != 0 {
                continue;
            }
            normalise(text, mode);
        }
    }
}
