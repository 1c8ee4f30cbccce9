use proptest::prelude::*;

use super::*;
use crate::environment::Environment;
use crate::load::Document;
use crate::testing::{outline, problems, read};

fn outline_of(yaml: &str) -> String {
    let keys = ["a", "b", "c", "d", "e"];
    read(yaml, &Environment::empty(), |root| outline(root, &keys)).unwrap().config
}

fn problems_of(yaml: &str) -> Vec<String> {
    problems(yaml, &Environment::empty(), |root| outline(root, &["a", "b", "c"]))
}

#[test]
fn yaml_becomes_a_tree() {
    let cases = [
        ("", ""),
        ("# only a comment\n", ""),
        ("---\n", ""),
        ("a: 1\nb: [x, y]\nc: {d: e}\n", "a=1 b=[x,y] c={d:e}"),
        ("a:\n- x\n- y: 1\n  z: 2\n", "a=[x,{y:1,z:2}]"),
        ("a: |\n  SELECT 1\n  # not a comment\n", "a=SELECT 1\n# not a comment\n"),
        ("a:\nb: ~\nc: ''\nd: 'null'\n", "a=null b=null c= d=null"),
        ("\u{feff}a: 1\n", "a=1"),
        ("a: &x [1, 2]\nb: *x\n", "a=[1,2] b=[1,2]"),
        ("a: &x k\nb: {*x : 1}\n", "a=k b={k:1}"),
        ("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3}\n", "a={p:1,q:2} b={q:3,p:1}"),
        ("a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n", "a={p:1} b={p:2,q:2} c={p:1,q:2}"),
        ("a: {'<<': 1}\n", "a={<<:1}"),
    ];
    for (yaml, expected) in cases {
        assert_eq!(outline_of(yaml), expected, "{yaml}");
    }
}

#[test]
fn what_is_not_a_configuration_is_refused_at_its_place() {
    let cases: [(&str, &[&str]); 13] = [
        ("a: b: c\n", &["c.yaml:1:5: mapping values are not allowed in this context"]),
        ("a:\n\t- b\n", &["c.yaml:2:2: tabs disallowed within this context (block indentation)"]),
        ("a: [b\n", &["c.yaml:2:1: while parsing a flow sequence, expected ',' or ']'"]),
        ("a: *b\n", &["c.yaml:1:4: while parsing node, found unknown anchor"]),
        ("a: 1\n---\nb: 1\n", &["c.yaml:2:1: a second document begins here; a configuration is one document"]),
        ("- a\n", &["c.yaml:1:1: expected a mapping, found a list"]),
        ("just text\n", &["c.yaml:1:1: expected a mapping, found text"]),
        ("a: &x [*x]\n", &["c.yaml:1:8: an alias cannot stand inside what it refers to"]),
        (
            "a: !!str 5\nb: !mine x\n",
            &[
                "c.yaml:1:4: tags such as `!!str` are not supported; leave it out, types follow from the key",
                "c.yaml:2:4: tags such as `!mine` are not supported; leave it out, types follow from the key",
            ],
        ),
        (
            "a: {[x]: 1}\nb: {{y: 1}: 2}\n",
            &["c.yaml:1:5: a key must be text, found a list", "c.yaml:2:5: a key must be text, found a mapping"],
        ),
        ("a: {<<: 7}\n", &["c.yaml:1:9: `<<` takes in a mapping or a list of mappings, found text"]),
        ("a: 1\nb: 2\na: 3\n", &["c.yaml:3:1: a: duplicate key `a`, first written at 1:1"]),
        (
            "a:\n  x: 1\n  x: 2\nb: [{y: 1, 'y': 2}]\n",
            &[
                "c.yaml:3:3: a.x: duplicate key `x`, first written at 2:3",
                "c.yaml:4:12: b[0].y: duplicate key `y`, first written at 4:6",
            ],
        ),
    ];
    for (yaml, expected) in cases {
        assert_eq!(problems_of(yaml), expected, "{yaml}");
    }
}

#[test]
fn references_stand_unquoted_wherever_a_scalar_can() {
    let environment = Environment::from_iter([("DB", "orders"), ("PORT", "5432")]);
    let cases = [
        ("a: [${env:DB}]\n", "a=[orders]"),
        ("a: [x, ${env:DB}:${env:PORT}, y]\n", "a=[x,orders:5432,y]"),
        ("a: {${env:DB}: {b: ${env:PORT}}}\n", "a={orders:{b:5432}}"),
        ("a:\n  ${env:DB}:\n    b: 1\n", "a={orders:{b:1}}"),
        ("a: ${env:NO:-one: two #three, [four]}\n", "a=one: two #three, [four]"),
        ("a: [\"${env:DB}\", '$${x}', $${y}]\n", "a=[orders,${x},${y}]"),
        ("a: |\n  ${env:DB} { [ , : #\n", "a=orders { [ , : #\n"),
        ("a: 1 # ${env:\nb: 2\n", "a=1 b=2"),
    ];
    for (yaml, expected) in cases {
        let keys = ["a", "b"];
        assert_eq!(read(yaml, &environment, |root| outline(root, &keys)).unwrap().config, expected, "{yaml}");
    }
}

#[test]
fn places_are_true_behind_hidden_references() {
    let environment = Environment::from_iter([("DB", "orders")]);
    let found =
        problems("a: [${env:DB}, ${env:DB}, {é: 1, x: 1, x: 2}]\n", &environment, |root| outline(root, &["a"]));
    assert_eq!(found, ["c.yaml:1:40: a[2].x: duplicate key `x`, first written at 1:34"]);
}

#[test]
fn other_encodings_are_refused() {
    let report = Report::new("c.yaml");
    assert!(parse(b"a: 1\nb: caf\xe9\n", &report).is_none());
    let (problems, _) = report.take();
    assert_eq!(problems.to_string(), "c.yaml:2:7: not UTF-8 text; save the file as UTF-8\n1 problem");
}

#[test]
fn aliases_cannot_blow_a_file_up() {
    let mut yaml = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let alias = format!("*a{}", level - 1);
        yaml.push_str(&format!("b{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    assert_eq!(problems_of(&yaml), ["c.yaml:5:40: more than 100000 keys and values, aliases followed"]);
}

#[test]
fn anchors_within_anchors_are_bounded() {
    let anchors: String = (0..50).map(|level| format!("&a{level} [")).collect();
    let yaml = format!("a: {anchors}{}{}\n", "x, ".repeat(10_000), "]".repeat(50));
    assert_eq!(problems_of(&yaml), ["c.yaml:1:240: more than 100000 keys and values, aliases followed"]);
}

#[test]
fn aliases_of_long_texts_are_bounded() {
    let yaml = format!("a: &a {}\nb: [{}]\n", "x".repeat(100 * 1024), "*a, ".repeat(2_000));
    assert_eq!(problems_of(&yaml), ["c.yaml:2:3957: more than 100000 keys and values, aliases followed"]);
}

#[test]
fn depth_is_bounded_with_and_without_aliases() {
    let nested = |levels: usize, inner: &str| "[".repeat(levels) + inner + &"]".repeat(levels);
    let fits = format!("a: {}\n", nested(DEPTH_MAX - 2, "x"));
    assert_eq!(problems_of(&fits), Vec::<String>::new());
    let deep = format!("a: {}\n", nested(DEPTH_MAX - 1, "x"));
    assert_eq!(problems_of(&deep), ["c.yaml:1:67: nested more than 64 levels deep"]);
    let aliased = format!("a: &a {}\nb: {}\n", nested(40, "x"), nested(40, "*a"));
    assert_eq!(problems_of(&aliased), ["c.yaml:2:44: nested more than 64 levels deep"]);
}

/// Pieces that YAML is made of, and references.
const PIECES: [&str; 26] = [
    "a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ", ", "&x ", "*x", "<<", "? ", "|\n", "> ", "\"", "'", "#",
    "${env:A}", "${", "}", "$$", "---\n", "!!str ", "\t",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&bytes, &Report::new("c.yaml"));
    }

    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        read_and_drop(&text);
    }

    #[test]
    fn random_yaml_never_panics(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        let yaml: String = picks.into_iter().map(|pick| PIECES[pick]).collect();
        read_and_drop(&yaml);
    }
}

/// Either outcome is fine, as long as a refusal says why.
fn read_and_drop(yaml: &str) {
    let environment = Environment::from_iter([("A", "a: [")]);
    let document = Document::from_text("c.yaml", yaml, &environment);
    let refused = document.and_then(|document| document.read(|root| root.text("a", ""))).err();
    assert!(refused.is_none_or(|problems| !problems.is_empty()), "{yaml}");
}
