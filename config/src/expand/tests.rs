use super::*;
use crate::testing::{outline, problems, read};

fn environment() -> Environment {
    Environment::from_iter([
        ("HOST", "db1"),
        ("PORT", "5432"),
        ("EMPTY", ""),
        ("NESTED", "${env:HOST}"),
        ("INJECTION", "x\nadmin: true # {[,: "),
    ])
}

#[test]
fn references_are_expanded() {
    let cases = [
        ("${env:HOST}", "db1"),
        ("${env:HOST}:${env:PORT}", "db1:5432"),
        ("postgresql://${env:HOST}/x?a=b", "postgresql://db1/x?a=b"),
        ("${env:NO:-fallback}", "fallback"),
        ("${env:EMPTY:-fallback}", "fallback"),
        ("'${env:EMPTY}'", ""),
        ("${env:NO:-}", ""),
        ("${env:HOST:-fallback}", "db1"),
        ("${env:NO:-${env:HOST}:1}", "db1:1"),
        ("${env:NO:-${env:ALSO:-deep}}", "deep"),
        ("${env:NESTED}", "${env:HOST}"),
        ("$$", "$"),
        ("$${env:HOST}", "${env:HOST}"),
        ("$$${env:HOST}", "$db1"),
        ("a$b$1 $", "a$b$1 $"),
        ("'(\\d{3,})$'", "(\\d{3,})$"),
        ("${env:INJECTION}", "x\nadmin: true # {[,: "),
    ];
    for (written, expected) in cases {
        let yaml = format!("a: {written}\n");
        let loaded = read(&yaml, &environment(), |root| root.raw("a").map(|node| node.value)).unwrap();
        let Some(Value::Scalar(scalar)) = loaded.config else { panic!("{written} is no scalar") };
        assert_eq!(scalar.text(), expected, "{written}");
    }
}

#[test]
fn references_that_give_nothing_say_why() {
    let missing = "environment variable `NO` is not set; set it, or write `${env:NO:-default}`";
    let cases: [(&str, &[&str]); 8] = [
        ("${env:NO}", &[missing]),
        (
            "${env:NO}:${env:PORT}@${env:NO2}",
            &[missing, "environment variable `NO2` is not set; set it, or write `${env:NO2:-default}`"],
        ),
        ("${env:EMPTY:-${env:NO}}", &[missing]),
        (
            "${HOST}",
            &["`${` without a known source; write `${env:HOST}` or `${file:/path}`, or `$$` for a dollar sign"],
        ),
        (
            "pass${word:x}",
            &["`${` without a known source; write `${env:VAR}` or `${file:/path}`, or `$$` for a dollar sign"],
        ),
        ("${env:HO ST}", &["`HO ST` is not the name of an environment variable; write `${env:VAR}`"]),
        ("'${env:HOST'", &["`${` without a `}`; write `$$` for a dollar sign"]),
        ("${file:/no/such/file}", &["could not read the file `/no/such/file`: No such file or directory (os error 2)"]),
    ];
    for (written, messages) in cases {
        let yaml = format!("x: 1\na: {written}\n");
        let found = problems(&yaml, &environment(), |root| outline(root, &["x", "a"]));
        let expected: Vec<String> = messages.iter().map(|message| format!("c.yaml:2:4: a: {message}")).collect();
        assert_eq!(found, expected, "{written}");
    }
}

#[test]
fn defaults_nest_within_bounds() {
    let nested = |levels: usize| "${env:NO:-".repeat(levels) + "x" + &"}".repeat(levels);
    let of = |levels| problems(&format!("a: {}\n", nested(levels)), &environment(), |root| root.text("a", ""));
    assert_eq!(of(REFERENCE_DEPTH_MAX), Vec::<String>::new());
    assert_eq!(of(REFERENCE_DEPTH_MAX + 1), ["c.yaml:1:4: a: references nested more than 8 deep"]);
}

#[test]
fn secret_files_are_read_without_their_last_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for (content, expected) in
        [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("two\nlines\r\n", "two\nlines"), ("", "")]
    {
        std::fs::write(&path, content).unwrap();
        let yaml = format!("a: ${{file:{}}}\n", path.display());
        let loaded = read(&yaml, &environment(), |root| root.secret("a")).unwrap();
        assert_eq!(loaded.config.unwrap().expose(), expected);
    }
}

#[test]
fn secret_files_are_bounded_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let shown = path.display().to_string();
    let cases: [(Vec<u8>, String); 2] = [
        (vec![b'x'; 65_537], format!("the file `{shown}` has more than 65536 bytes")),
        (vec![0xff], format!("could not read the file `{shown}`: stream did not contain valid UTF-8")),
    ];
    for (content, message) in cases {
        std::fs::write(&path, content).unwrap();
        let yaml = format!("a: ${{file:{shown}}}\n");
        let found = problems(&yaml, &environment(), |root| root.secret("a"));
        assert_eq!(found, [format!("c.yaml:1:4: a: {message}")]);
    }
}

#[test]
fn references_are_bounded_in_all() {
    let environment = Environment::from_iter([("LONG", "x".repeat(1024 * 1024))]);
    let yaml = |references: usize| format!("a: [{}]\n", "'${env:LONG}', ".repeat(references));
    let of = |references| problems(&yaml(references), &environment, |root| root.list_of_text("a", &[]));
    assert_eq!(of(16), Vec::<String>::new());
    assert_eq!(of(17), ["c.yaml:1:245: a[16]: references give more than 16777216 bytes in all"]);
}

#[test]
fn keys_are_expanded_and_stay_unique() {
    let names = |root: &mut crate::Section| {
        let skip = |(name, section): (String, crate::Section)| {
            section.skip();
            name
        };
        root.sections("a").into_iter().map(skip).collect::<Vec<_>>()
    };
    let loaded = read("a:\n  ${env:HOST}: {b: 1}\n", &environment(), names).unwrap();
    assert_eq!(loaded.config, ["db1"]);
    let cases: [(&str, &[&str]); 2] = [
        (
            "a:\n  db1: {b: 1}\n  ${env:HOST}: {b: 2}\n",
            &["c.yaml:3:3: a.${env:HOST}: duplicate key `${env:HOST}`, first written at 2:3"],
        ),
        (
            "a:\n  ${env:NO}: {b: 1}\n",
            &["c.yaml:2:3: a.${env:NO}: environment variable `NO` is not set; set it, or write `${env:NO:-default}`"],
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(problems(yaml, &environment(), names), expected, "{yaml}");
    }
}

#[test]
fn what_could_not_be_resolved_is_reported_once() {
    let yaml = "a: ${env:NO}\nb: [${env:NO}]\nc: ${env:NO}\nd: ${env:NO}\n${env:NO}: 1\n";
    let found = problems(yaml, &environment(), |root| {
        let defaults = (root.integer("a", 7, 1..=9), root.list_of_text("b", &[]), root.duration("c", "1s"));
        assert_eq!(defaults, (7, Vec::new(), std::time::Duration::from_secs(1)));
        drop(root.section("d"));
    });
    let places: Vec<&str> = found.iter().map(|problem| problem.split(": environment").next().unwrap()).collect();
    assert_eq!(
        places,
        ["c.yaml:1:4: a", "c.yaml:2:5: b[0]", "c.yaml:3:4: c", "c.yaml:4:4: d", "c.yaml:5:1: ${env:NO}",]
    );
}

#[test]
fn hiding_keeps_the_length_and_can_be_undone() {
    let cases = ["", "no reference", "a: [${env:X}, $${y:{z}}] # ${\nb: ${env:Ä:-#,}\n", "${", "}${}"];
    for text in cases {
        let hidden = hide_references(text);
        assert_eq!(hidden.chars().count(), text.chars().count(), "{text}");
        assert_eq!(reveal_references(&hidden), text);
    }
    assert_eq!(hide_references("{${a}}"), "{$\u{fdd0}a\u{fdd1}}");
}

#[test]
fn an_environment_does_not_show_its_values() {
    let environment = Environment::from_iter([("PASSWORD", "hunter2")]);
    assert_eq!(format!("{environment:?}"), "{\"PASSWORD\"}");
    assert_eq!(environment.get("PASSWORD"), Some("hunter2"));
    assert!(Environment::of_process().get("PATH").is_some());
}
