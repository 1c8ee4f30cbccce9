use proptest::prelude::*;

use super::*;
use crate::environment::Environment;
use crate::section::Section;
use crate::testing::read;

fn everything(root: &mut Section) {
    let mut server = root.section("server");
    server.text("endpoint", "localhost:5432");
    server.optional_text("database");
    server.secret("password");
    server.secret("token");
    server.integer("port", 5432, 1..=65535);
    server.duration("interval", "10s");
    server.choice("compression", &["gzip", "none"], "gzip");
    server.list_of_text("schemas", &["public"]);
    server.secret_map("headers");
    server.text_map("labels");
    drop(root.section("empty"));
    drop(root.optional_section("tls"));
    for (_, mut database) in root.sections("databases") {
        database.number("error_percent", 25.0, 0.0..=100.0);
    }
    for mut rule in root.list_of_sections("rules") {
        rule.text("name", "");
        rule.list_of_text("on", &[]);
    }
    root.raw("statements");
}

const FILE: &str = r#"
server:
  endpoint: ${env:HOST}:5432
  password: ${env:PASSWORD}
  token: written-here
  port: ${env:PORT}
  headers: {api-key: "${env:PASSWORD}", x: y}
  labels: {team: db, host: "${env:HOST}", note: "costs $${5}: cheap", flag: "yes"}
databases:
  ${env:HOST}: {}
  billing: {error_percent: 50}
rules:
  - {name: slow, on: [a, b]}
  - {}
statements: [{a: [1, ~]}, "x: y"]
"#;

const PRINTED: &str = r#"server:
  endpoint: ${env:HOST}:5432
  database: null
  password: "****"
  token: "****"
  port: 5432
  interval: 10s
  compression: gzip
  schemas:
    - public
  headers:
    api-key: "****"
    x: "****"
  labels:
    team: db
    host: ${env:HOST}
    note: "costs $${5}: cheap"
    flag: "yes"
empty: {}
databases:
  ${env:HOST}:
    error_percent: 25
  billing:
    error_percent: 50
rules:
  - name: slow
    "on":
      - a
      - b
  - name: ""
    "on": []
statements:
  - a:
      - "1"
      - null
  - "x: y"
"#;

fn environment() -> Environment {
    Environment::from_iter([("HOST", "db1"), ("PASSWORD", "hunter2"), ("PORT", "5432")])
}

#[test]
fn the_printed_configuration_is_complete_masked_and_loads_again() {
    let printed = read(FILE, &environment(), everything).unwrap().effective.to_yaml();
    assert_eq!(printed, PRINTED);
    let again = read(&printed, &environment(), everything).unwrap().effective.to_yaml();
    assert_eq!(again, PRINTED);
}

#[test]
fn addresses_are_printed_without_credentials() {
    let cases = [
        ("https://user:hunter2@registry:8081/a?b=c", "https://****@registry:8081/a?b=c"),
        ("https://user:p@ss@registry", "https://****@registry"),
        ("'a://b:c@d,e://f:g@h'", "a://****@d,e://****@h"),
        ("https://user:hunter2@${env:HOST}:1", "https://****@${env:HOST}:1"),
        ("https://registry/a@b", "https://registry/a@b"),
        ("user@host", "user@host"),
    ];
    for (written, printed) in cases {
        let loaded = read(&format!("k: {written}\n"), &environment(), |root| root.text("k", "")).unwrap();
        assert_eq!(loaded.effective.to_yaml().replace('"', ""), format!("k: {printed}\n"), "{written}");
    }
}

#[test]
fn settings_say_what_they_are() {
    let reader = |root: &mut Section| root.doc("Where it listens.").integer("port", 80, 1..=65535);
    let effective = read("port: 81\n", &environment(), reader).unwrap().effective;
    let [setting] = effective.settings() else { panic!("one setting was asked for") };
    assert_eq!(setting.path.to_string(), "port");
    assert_eq!(setting.kind, Kind::Integer);
    assert_eq!(setting.wanted, "a whole number from 1 to 65535");
    assert_eq!(setting.default.as_deref(), Some("80"));
    assert_eq!(setting.doc, Some("Where it listens."));
    assert_eq!(setting.value, Printable::Plain("81".to_owned()));
}

#[test]
fn a_section_that_is_opened_twice_is_printed_whole() {
    let reader = |root: &mut Section| {
        for key in ["a", "b"] {
            let mut section = root.section("s");
            section.integer(key, 1, ..);
            section.skip();
        }
    };
    assert_eq!(read("", &environment(), reader).unwrap().effective.to_yaml(), "s:\n  a: 1\n  b: 1\n");
    assert_eq!(read("", &environment(), |_| ()).unwrap().effective.to_yaml(), "{}\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_survives_being_printed(
        text in prop_oneof![any::<String>(), "[a-z0-9 ${}:#,'\"&*!|>~.-]{0,12}", "(true|null|~|1e5|0x1|-|\\?|)"]
    ) {
        prop_assume!(!text.chars().any(|character| ('\u{fdd0}'..='\u{fdd6}').contains(&character)));
        let key = format!("key{text}");
        let yaml = format!("k: {}\n{}: v\n", yaml_text(&escaped(&text)), yaml_text(&escaped(&key)));
        let loaded = read(&yaml, &Environment::empty(), |root| (root.text("k", "default"), root.text(&key, "default")));
        let config = loaded.map_err(|problems| TestCaseError::fail(format!("{yaml}{problems}")))?.config;
        prop_assert_eq!(config, (text, "v".to_owned()));
    }
}
