//! `dbintel sql`: a user's own statements, of which no literal comes out again.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use dbintel_tests::scratch::Scratch;
use dbintel_tests::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cli_rig::{Ended, LIMIT, binary, json_lines, run, said, text};

/// What is planted in statements, and comes out of none.
const PLANTED: [&str; 9] =
    ["zara", "4711", "hunter2", "s3cret", "whisper", "doubled", "escaped", "dollars", "application_password"];

const POSTGRESQL: &str = r#"
-- whisper; to nobody
SELECT "Id", name FROM app.users WHERE mail = 'zara;@example.com' AND age > 4711 /* whisper; */;
insert into t (a, b) values (4711, E'it\'s; escaped'), (1, 'a''doubled;');
alter role app with login password 'hunter2';
hunter2;
do $x$ begin perform 'dollars;'; end $x$;
copy people (name) from stdin;
zara s3cret
select whisper;
\.
select "host=db password=application_password;" from t;
select 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',action='show'*/;
select a from t where b = 'zara; select s3cret from whisper
"#;

const MYSQL: &str = r#"
select `a;b` from `app`.`users` where mail = "zara;@example.com" and age > 4711 # whisper;
;
/*!40101 set @a = 'hunter2'; */;
insert into t values (4711, 'it\'s; escaped'), (0x4711, 'a''doubled;');
create user 'app'@'%' identified by 's3cret';
"#;

const COMMANDS: [&str; 3] = ["normalize", "fingerprint", "explain"];
const WITH_BACKSLASHES: [&str; 6] = ["--dialect", "mysql", "--ansi-quotes", "false", "--no-backslash-escapes", "false"];

fn spawn(arguments: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.arg("sql").args(arguments).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs to the end with this on standard input.
fn fed(arguments: &[&str], input: &str) -> Ended {
    let mut child = spawn(arguments);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    Ended { code: output.status.code(), stdout, stderr }
}

#[track_caller]
fn check(arguments: &[&str], input: &str, expected: &[&str]) {
    let ended = fed(arguments, input);
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), expected, "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
}

fn ended(child: &mut Child) -> ExitStatus {
    wait::blocking(LIMIT, "the end", || child.try_wait().unwrap())
}

#[test]
fn each_statement_is_a_line_without_its_literals() {
    let expected = [
        r#"SELECT "Id", name FROM app.users WHERE mail = ? AND age > ?"#,
        "insert into t(a, b) values (?, ?)",
        "alter role app",
        "...",
        "do ?",
        "copy people(name) from stdin",
        r#"select "?" from t"#,
        "select ?",
        "select a from t where b = ...",
    ];
    let without_ambiguity = POSTGRESQL.replace(r"\'s; e", "; e");
    check(&["normalize"], &without_ambiguity, &expected);
    let scratch = Scratch::new("sql");
    let file = scratch.write("statements.sql", &without_ambiguity);
    let of_file = said(&["sql", "normalise", text(&file)], &[]);
    assert_eq!(of_file.lines().collect::<Vec<_>>(), expected);
    check(&["normalize", "-"], "select 'a;b'; ; select 2", &["select ?", "select ?"]);
    check(&["normalize", "--whole"], "select 'a;b'; select 2", &["select ?; select ?"]);
    check(&["normalize", "--null"], "select 'it\\'s\0select 2; select 3\0", &["select ...", "select ?; select ?"]);
    check(&["normalize"], "-- nothing\n;", &[]);
}

#[test]
fn modes_of_mysql_decide_what_is_a_string() {
    let arguments = [&["normalize"], &WITH_BACKSLASHES[..]].concat();
    let expected = [
        "select `a;b` from `app`.`users` where mail = ? and age > ?",
        "set ? = ?",
        "insert into t values (?)",
        "create user ?",
    ];
    check(&arguments, MYSQL, &expected);
    let names = ["normalize", "--dialect", "mysql", "--ansi-quotes", "true"];
    check(&names, "select \"a\" from t", &["select \"a\" from t"]);
    check(&names[..3], "select \"a\" from t", &["select ? from t"]);
    let escapes = ["normalize", "--dialect", "mysql", "--no-backslash-escapes", "true"];
    check(&escapes, r"select 'a\'; select 2", &["select ?", "select ?"]);
}

#[test]
fn no_literal_comes_out_of_any_command() {
    let dialects: [(&str, &[&str]); 3] =
        [(POSTGRESQL, &[]), (MYSQL, &WITH_BACKSLASHES), (MYSQL, &WITH_BACKSLASHES[..2])];
    for (statements, dialect) in dialects {
        for command in COMMANDS {
            for separator in [&[][..], &["--whole"], &["--null"]] {
                for format in [&[][..], &["--json"]] {
                    let arguments = [&[command], dialect, separator, format].concat();
                    let ended = fed(&arguments, statements);
                    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
                    assert!(!ended.stdout.is_empty(), "{arguments:?}");
                    for planted in PLANTED {
                        let found = ended.stdout.contains(planted) || ended.stderr.contains(planted);
                        assert!(!found, "{planted} came out of {arguments:?}: {}{}", ended.stdout, ended.stderr);
                    }
                }
            }
        }
    }
}

#[test]
fn an_object_says_all_there_is() {
    let input = "select a from t where b = 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',\
                 action='show'*/; alter role app password 'hunter2'; select 'cut";
    let objects = json_lines(&fed(&["normalize", "--json"], input).stdout);
    let [whole, secret, cut] = objects.as_slice() else { panic!("{objects:?}") };
    let keys: Vec<&str> = whole.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["cut", "fingerprint", "tables", "tables_certain", "tags", "text", "traceparent", "verb", "version"];
    assert_eq!(keys, [&expected[..], &["withheld"]].concat());
    assert_eq!((&whole["text"], &whole["verb"]), (&"select a from t where b = ?".into(), &"SELECT".into()));
    assert_eq!((&whole["tables"], &whole["tables_certain"]), (&serde_json::json!(["t"]), &true.into()));
    assert_eq!((&whole["version"], &whole["cut"], &whole["withheld"]), (&1.into(), &false.into(), &Value::Null));
    assert_eq!(whole["tags"], serde_json::json!({"action": "show"}));
    assert_eq!(whole["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!((&secret["withheld"], &secret["cut"]), (&"secret_statement".into(), &false.into()));
    assert_eq!((&cut["withheld"], &cut["cut"]), (&"unterminated_string".into(), &true.into()));
}

#[test]
fn a_fingerprint_is_one_for_all_spellings_and_another_for_a_cut_text() {
    let spellings = "select * from t where a = 5; SELECT  *\nFROM T -- x\nWHERE a = $1; select * from t where a = ?";
    let ended = fed(&["fingerprint"], spellings);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines, [lines[0]; 3]);
    assert!(lines[0].len() == 32 && lines[0].bytes().all(|byte| byte.is_ascii_hexdigit()), "{lines:?}");
    let cut = fed(&["fingerprint"], "select * from t where a = 'x");
    assert!(cut.stdout.ends_with(" cut\n") && !cut.stdout.contains(lines[0]), "{}", cut.stdout);
    assert!(cut.stderr.contains("all from byte 26 on is hidden: unterminated_string"), "{}", cut.stderr);
    let unknown = fed(&["fingerprint"], "hunter2");
    assert!(unknown.stdout.ends_with(" withheld unknown_statement\n"), "{}", unknown.stdout);
    let shards = "select * from events_2024_01; select * from events_2025_11";
    let apart = fed(&["fingerprint"], shards).stdout;
    let together = fed(&["fingerprint", "--generalise-names"], shards).stdout;
    let is_one = |lines: &str| lines.lines().collect::<BTreeSet<_>>().len() == 1;
    assert!(!is_one(&apart) && is_one(&together), "{apart}{together}");
}

#[test]
fn tokens_are_explained_and_revealed_only_if_asked_to() {
    let input = "select a from t where b = 'zara' -- whisper\n; alter role app password 'hunter2'";
    let explained = fed(&["explain"], input).stdout;
    let lines: Vec<Vec<&str>> = explained.lines().map(|line| line.split_whitespace().collect()).collect();
    for line in [
        "statement 1, bytes 0..45",
        "word 0..6 select",
        "literal 26..32 ?",
        "comment 33..43 -",
        "text select a from t where b = ?",
        "verb SELECT",
        "tables t (certain)",
        "statement 2, bytes 46..79",
        "word 61..69 -",
        "withheld secret_statement",
    ] {
        assert!(lines.contains(&line.split(' ').collect()), "{line} is not in {explained}");
    }
    let revealed = fed(&["explain", "--reveal"], input).stdout;
    assert!(["'zara'", "-- whisper", "'hunter2'"].iter().all(|literal| revealed.contains(literal)), "{revealed}");
    let objects = json_lines(&fed(&["explain", "--json"], input).stdout);
    let literal = serde_json::json!({"kind": "literal", "start": 26, "end": 32, "shown": "?"});
    assert_eq!((objects.len(), &objects[0]["tokens"][7]), (2, &literal));
}

#[test]
fn what_cannot_be_done_is_told() {
    let missing = run(&["sql", "normalize", "no-such-file.sql"], &[]);
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert!(missing.stderr.contains("could not read no-such-file.sql: No such file"), "{}", missing.stderr);
    let folder = run(&["sql", "normalize", "/"], &[]);
    assert!(folder.code == Some(1) && folder.stderr.contains("could not read /: "), "{}", folder.stderr);
    for (arguments, told) in [
        (&["--dialect", "oracle"][..], "possible values: postgresql, mysql"),
        (&["--ansi-quotes", "true"], "are for --dialect mysql"),
        (&["--whole", "--null"], "cannot be used with"),
    ] {
        let ended = fed(&[&["normalize"], arguments].concat(), "");
        assert!(ended.code == Some(2) && ended.stderr.contains(told), "{arguments:?}: {}", ended.stderr);
    }
    for command in COMMANDS {
        let help = said(&["sql", command, "--help"], &[]);
        assert!(help.contains("Example:\n") && help.contains(&format!("dbintel sql {command}")), "{help}");
    }
}

const LONG_BYTES: usize = 20_000_000;

#[test]
fn a_long_input_is_read_to_its_end() {
    let statement = "select a, b from orders where mail = 'zara;@example.com' and id in (4711, 4712);\n";
    let count = LONG_BYTES / statement.len();
    let scratch = Scratch::new("sql");
    let many = scratch.write("many.sql", &statement.repeat(count));
    let ended = run(&["sql", "normalize", text(&many)], &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "no progress where there is no terminal");
    assert_eq!(ended.stdout, "select a, b from orders where mail = ? and id in (?)\n".repeat(count));
    let list = "'zara', ".repeat(LONG_BYTES / 8);
    let one = scratch.write("one.sql", &format!("select a from t where b in ({list} 4711)"));
    assert_eq!(said(&["sql", "normalize", text(&one)], &[]), "select a from t where b in (?)\n");
}

#[test]
fn it_ends_with_its_reader() {
    let scratch = Scratch::new("sql");
    let many = scratch.write("many.sql", &"select a from t where b = 1;\n".repeat(LONG_BYTES / 29));
    let mut child = spawn(&["normalize", text(&many)]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "select a from t where b = ?\n");
    assert!(ended(&mut child).success());
    assert_eq!(std::io::read_to_string(child.stderr.take().unwrap()).unwrap(), "");
}

#[test]
fn statements_come_out_as_they_come_in_and_an_interrupt_ends_it_at_once() {
    let mut child = spawn(&["normalize"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..2 {
        input.write_all(b"select 'zara;'; select").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "select ?\n");
        input.write_all(b" 4711;").unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "select ?\n");
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(ended(&mut child).signal(), Some(Signal::INT.as_raw()));
}
