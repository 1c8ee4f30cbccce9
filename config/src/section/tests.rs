use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::environment::Environment;
use crate::secret::Secret;
use crate::testing::{problems, read};

fn environment() -> Environment {
    Environment::from_iter([("PASSWORD", "hunter2"), ("SIZE", "512"), ("OTHER", "hunter3")])
}

/// What `reader` gives for a good file.
fn value<T>(yaml: &str, reader: impl FnOnce(&mut Section) -> T) -> T {
    read(yaml, &environment(), reader).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// One mistake, without the name of the file.
fn problem<T>(yaml: &str, reader: impl FnOnce(&mut Section) -> T) -> String {
    let found = problems(yaml, &environment(), reader);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].strip_prefix("c.yaml:").unwrap().to_owned()
}

#[test]
fn text_and_numbers_are_read_as_what_they_are_asked_for() {
    assert_eq!(value("k: some text\n", |root| root.text("k", "d")), "some text");
    assert_eq!(value("k: 5432\n", |root| root.text("k", "d")), "5432");
    assert_eq!(value("k: ''\n", |root| root.text("k", "d")), "");
    assert_eq!(value("k: x\n", |root| root.optional_text("k")), Some("x".to_owned()));
    assert_eq!(value("k: x\n", |root| root.required_text("k")), "x");
    assert!(value("k: true\n", |root| root.boolean("k", false)));
    assert_eq!(value("k: 12\n", |root| root.integer("k", 1u16, 1..)), 12);
    assert_eq!(value("k: \"12\"\n", |root| root.integer("k", 1usize, ..)), 12);
    assert_eq!(value("k: ${env:SIZE}\n", |root| root.integer("k", 1u64, 1..=1024)), 512);
    assert_eq!(value("k: -3\n", |root| root.optional_integer("k", -5i64..0)), Some(-3));
    assert_eq!(value("k: 100.0\n", |root| root.number("k", 1.0, 0.0..=100.0)).to_bits(), 100f64.to_bits());
    assert_eq!(value("k: 1e3\n", |root| root.optional_number("k", ..)), Some(1000.0));
}

#[test]
fn units_words_and_secrets_are_read_as_what_they_are_asked_for() {
    assert_eq!(value("k: 1h30m\n", |root| root.duration("k", "1s")), Duration::from_secs(5400));
    assert_eq!(value("k: 5s\n", |root| root.optional_duration("k")), Some(Duration::from_secs(5)));
    assert_eq!(value("k: 5s\n", |root| root.duration_within("k", "1s", "1s"..="5s")), Duration::from_secs(5));
    assert_eq!(value("k: 16 MiB\n", |root| root.bytes("k", "1B")), 16 << 20);
    assert_eq!(value("k: 2KiB\n", |root| root.bytes_within("k", "1B", "1B"..="4KiB")), 2048);
    assert_eq!(value("k: ${env:PASSWORD}\n", |root| root.secret("k")), Some(Secret::new("hunter2")));
    assert_eq!(value("k: gzip\n", |root| root.choice("k", &["gzip", "none"], "none")), "gzip");
    assert_eq!(value("k: gzip\n", |root| root.variant("k", &[("gzip", 1), ("none", 2)], "none")), 1);
    assert_eq!(value("k: ::1\n", |root| root.optional_parsed("k", "an address")), Some(std::net::Ipv6Addr::LOCALHOST));
}

#[test]
fn missing_keys_have_their_defaults() {
    assert_eq!(value("", |root| root.text("k", "d")), "d");
    assert_eq!(value("", |root| root.optional_text("k")), None);
    assert_eq!(value("k: ~\n", |root| root.optional_text("k")), None);
    assert!(value("", |root| root.boolean("k", true)));
    assert_eq!(value("", |root| root.integer("k", 7, 1..=9)), 7);
    assert_eq!(value("k:\n", |root| root.optional_integer("k", 1..=9)), None);
    assert_eq!(value("", |root| root.duration("k", "10s")), Duration::from_secs(10));
    assert_eq!(value("", |root| root.bytes("k", "16MiB")), 16 << 20);
    assert_eq!(value("", |root| root.secret("k")), None);
    assert_eq!(value("", |root| root.choice("k", &["gzip", "none"], "gzip")), "gzip");
    assert_eq!(value("", |root| root.parsed::<u8>("k", "3", "a digit")), 3);
    assert_eq!(value("", |root| root.list_of_text("k", &["a", "b"])), ["a", "b"]);
    assert_eq!(value("", |root| root.text_map("k")), BTreeMap::new());
    assert_eq!(value("k:\n", |root| root.section("k").text("x", "d")), "d");
    assert!(value("", |root| root.optional_section("k").is_none()));
    assert!(value("k: {}\n", |root| root.optional_section("k").is_some()));
    assert_eq!(value("", |root| root.sections("k").len() + root.list_of_sections("l").len()), 0);
}

#[test]
fn a_choice_with_settings_can_be_one_word() {
    let partitions = |root: &mut Section| {
        let mut bus = root.section_or_word("bus");
        bus.optional_section("kafka").map(|mut kafka| kafka.integer("partitions", 12, 1..=100))
    };
    assert_eq!(value("bus: kafka\n", partitions), Some(12));
    assert_eq!(value("bus: {kafka: {partitions: 3}}\n", partitions), Some(3));
    assert_eq!(value("bus:\n", partitions), None);
    assert_eq!(value("", partitions), None);
    assert_eq!(
        problem("bus: kafca\n", partitions),
        "1:6: bus.kafca: unknown key `kafca`, did you mean `kafka`? known: kafka"
    );
    assert_eq!(problem("bus: [kafka]\n", partitions), "1:6: bus: expected a mapping, found a list");
}

#[test]
fn mistakes_in_text_and_numbers_say_what_was_found_and_what_is_wanted() {
    assert_eq!(problem("k: [a]\n", |root| root.text("k", "d")), "1:4: k: expected text, found a list");
    assert_eq!(
        problem("k:\n", |root| root.text("k", "localhost:5432")),
        "1:2: k: expected text, found nothing; leave the key out for the default `localhost:5432`"
    );
    assert_eq!(
        problem("x: {}\n", |root| root.section("x").required_text("k")),
        "1:1: x.k: missing; expected text that is not empty"
    );
    assert_eq!(problem("k: ''\n", |root| root.required_text("k")), "1:4: k: expected text that is not empty, found ``");
    assert_eq!(problem("k: on\n", |root| root.boolean("k", true)), "1:4: k: expected `true` or `false`, found `on`");
    assert_eq!(
        problem("k: 0\n", |root| root.integer("k", 5, 1..)),
        "1:4: k: expected a whole number of at least 1, found `0`"
    );
    assert_eq!(problem("k: 1.5\n", |root| root.integer("k", 5, ..)), "1:4: k: expected a whole number, found `1.5`");
    assert_eq!(
        problem("k: 256\n", |root| root.integer("k", 5u8, ..=9)),
        "1:4: k: expected a whole number of at most 9, found `256`"
    );
    assert_eq!(
        problem("k: nan\n", |root| root.number("k", 1.0, 0.0..1.5)),
        "1:4: k: expected a number of at least 0 and below 1.5, found `nan`"
    );
    assert_eq!(problem("k: inf\n", |root| root.number("k", 1.0, ..)), "1:4: k: expected a number, found `inf`");
}

#[test]
fn mistakes_in_units_and_words_say_what_was_found_and_what_is_wanted() {
    assert_eq!(
        problem("k: ten\n", |root| root.duration("k", "1s")),
        "1:4: k: expected a duration such as `10s`, found `ten`"
    );
    assert_eq!(
        problem("k: 0s\n", |root| root.duration_within("k", "1s", "1s"..="1h")),
        "1:4: k: expected a duration such as `10s` from 1s to 1h, found `0s`"
    );
    assert_eq!(problem("k: 16\n", |root| root.bytes("k", "1B")), "1:4: k: expected a size such as `16MiB`, found `16`");
    assert_eq!(
        problem("k: gzp\n", |root| root.choice("k", &["gzip", "none"], "none")),
        "1:4: k: expected one of `gzip`, `none`, found `gzp`, did you mean `gzip`?"
    );
    assert_eq!(
        problem("k: 300\n", |root| root.parsed::<u8>("k", "3", "a small number")),
        "1:4: k: expected a small number, found `300`: number too large to fit in target type"
    );
    assert_eq!(problem("k: {a: 1}\n", |root| root.secret("k")), "1:4: k: expected a secret, found a mapping");
}

#[test]
fn mistakes_in_collections_are_found_at_their_items() {
    assert_eq!(
        problem("k: x\n", |root| root.list_of_text("k", &[])),
        "1:4: k: expected a list of texts such as `[a, b]`, found `x`"
    );
    assert_eq!(problem("k: [a, [b]]\n", |root| root.list_of_text("k", &[])), "1:8: k[1]: expected text, found a list");
    assert_eq!(
        problem("k: [a]\n", |root| root.text_map("k")),
        "1:4: k: expected a mapping of names to texts, found a list"
    );
    assert_eq!(problem("k: {a: ~}\n", |root| root.secret_map("k")), "1:8: k.a: expected text, found nothing");
    assert_eq!(problem("k: yes\n", |root| drop(root.section("k"))), "1:4: k: expected a mapping, found text");
    assert_eq!(
        problem("k: [a]\n", |root| drop(root.sections("k"))),
        "1:4: k: expected a mapping of names to settings, found a list"
    );
    assert_eq!(problem("k: {a: 1}\n", |root| drop(root.sections("k"))), "1:8: k.a: expected a mapping, found text");
    assert_eq!(
        problem("k: {a: 1}\n", |root| drop(root.list_of_sections("k"))),
        "1:4: k: expected a list of mappings, found a mapping"
    );
    assert_eq!(
        problem("k:\n- x: 1\n- y: 1\n", |root| root
            .list_of_sections("k")
            .iter_mut()
            .for_each(|item| drop(item.raw("x")))),
        "3:3: k[1].y: unknown key `y`; known: x"
    );
}

#[test]
fn keys_that_nobody_asked_for_are_unknown() {
    let reader = |root: &mut Section| {
        root.text("endpoint", "");
        let mut retry = root.section("retry_on_failure");
        retry.duration("initial_interval", "5s");
        retry.duration("max_interval", "30s");
    };
    let yaml = "endpiont: x\nretry_on_failure:\n  max_intervall: 1s\n  colour: red\n";
    assert_eq!(
        problems(yaml, &environment(), reader),
        [
            "c.yaml:1:1: endpiont: unknown key `endpiont`, did you mean `endpoint`? known: endpoint, retry_on_failure",
            "c.yaml:3:3: retry_on_failure.max_intervall: unknown key `max_intervall`, did you mean `max_interval`? known: initial_interval, max_interval",
            "c.yaml:4:3: retry_on_failure.colour: unknown key `colour`; known: initial_interval, max_interval",
        ]
    );
    assert_eq!(problem("k: {x: 1}\n", |root| drop(root.section("k"))), "1:5: k.x: unknown key `x`; known: none");
    assert_eq!(value("k: {x: 1}\n", |root| root.section("k").skip()), ());
    assert_eq!(problem("x: 1\n", |root| [root.finish(), root.finish()]), "1:1: x: unknown key `x`; known: none");
}

#[test]
fn components_add_their_own_problems() {
    let reader = |root: &mut Section| {
        let mut tls = root.section("tls");
        tls.refuse("ca", "is `ca_file` here");
        let ca_file = tls.optional_text("ca_file");
        if tls.is_set("ca_file") && tls.is_set("insecure") {
            tls.problem("ca_file", "means nothing beside `insecure`");
        }
        tls.boolean("insecure", false);
        tls.problem("key_file", "needed here");
        tls.problem_here("is wrong");
        tls.warning("insecure", "is a risk");
        tls.warning_here("is odd");
        ca_file
    };
    let yaml = "tls:\n  insecure: true\n  ca_file: /x\n  ca: y\n";
    assert_eq!(
        problems(yaml, &environment(), reader),
        [
            "c.yaml:1:1: tls: is wrong",
            "c.yaml:1:1: tls: warning: is odd",
            "c.yaml:1:1: tls.key_file: needed here",
            "c.yaml:2:13: tls.insecure: warning: is a risk",
            "c.yaml:3:12: tls.ca_file: means nothing beside `insecure`",
            "c.yaml:4:3: tls.ca: is `ca_file` here",
        ]
    );
}

#[test]
fn a_problem_in_an_entry_of_a_mapping_is_at_its_value() {
    let found = problem("k:\n  a: 1\n  ${env:OTHER}: 2\n", |root| {
        root.secret_map("k");
        root.problem_in("k", "hunter3", "is wrong");
        root.problem_in("k", "nobody", "is wrong");
    });
    assert_eq!(found, "3:17: k.${env:OTHER}: is wrong");
}

#[test]
fn messages_show_no_value_of_a_variable() {
    let yaml = "a: ${env:PASSWORD}\nb: ${env:PASSWORD}\nc: ${env:OTHER}\nd: x${env:PASSWORD}\ne: [[${env:PASSWORD}]]\n";
    let found = problems(yaml, &environment(), |root| {
        root.integer("a", 1, ..);
        drop(root.section("b"));
        root.choice("c", &["hunter2"], "hunter2");
        root.parsed::<Talkative>("d", "", "anything else");
        root.list_of_text("e", &[]);
    });
    assert_eq!(
        found,
        [
            "c.yaml:1:4: a: expected a whole number, found what `${env:PASSWORD}` gives",
            "c.yaml:2:4: b: expected a mapping, found what `${env:PASSWORD}` gives",
            "c.yaml:3:4: c: expected one of `hunter2`, found what `${env:OTHER}` gives",
            "c.yaml:4:4: d: expected anything else, found what `x${env:PASSWORD}` gives",
            "c.yaml:5:5: e[0]: expected text, found a list",
        ]
    );
}

#[test]
fn text_where_a_mapping_should_be_is_not_quoted() {
    let of = |yaml: &str, reader: fn(&mut Section)| problem(yaml, reader);
    let found = [
        of("k: api-key=NRAK-123\n", |root| drop(root.secret_map("k"))),
        of("k: NRAK-123\n", |root| drop(root.text_map("k"))),
        of("k: NRAK-123\n", |root| drop(root.section("k"))),
        of("k: NRAK-123\n", |root| drop(root.optional_section("k"))),
        of("k: NRAK-123\n", |root| drop(root.sections("k"))),
        of("k: {a: NRAK-123}\n", |root| drop(root.sections("k"))),
        of("k: [NRAK-123]\n", |root| drop(root.list_of_sections("k"))),
        of("k: {<<: NRAK-123}\n", |root| drop(root.secret_map("k"))),
        of("NRAK-123\n", |_| ()),
    ];
    for message in found {
        assert!(message.ends_with(", found text"), "{message}");
    }
}

#[test]
fn credentials_of_an_address_are_not_quoted() {
    assert_eq!(
        problem("k: https://user:hunter1@host/x\n", |root| root.optional_parsed::<Talkative>("k", "a host")),
        "1:4: k: expected a host, found `https://****@host/x`"
    );
}

#[test]
fn keys_that_came_from_a_variable_are_shown_as_the_reference() {
    let yaml = "${env:PASSWORD}: 1\nb: {${env:PASSWORD}: [1]}\nc: {'${env:OTHER}': 1}\nd: ${env:PASSWORD}\n";
    let found = problems(yaml, &environment(), |root| {
        root.text_map("b");
        root.sections("c");
        drop(root.section_or_word("d"));
    });
    assert_eq!(
        found,
        [
            "c.yaml:1:1: ${env:PASSWORD}: unknown key `${env:PASSWORD}`; known: b, c, d",
            "c.yaml:2:22: b.${env:PASSWORD}: expected text, found a list",
            "c.yaml:3:21: c.${env:OTHER}: expected a mapping, found text",
            "c.yaml:4:4: d.${env:PASSWORD}: unknown key `${env:PASSWORD}`; known: none",
        ]
    );
}

/// Refuses all but empty text, and repeats it.
#[derive(Debug)]
struct Talkative;

impl std::str::FromStr for Talkative {
    type Err = String;

    fn from_str(text: &str) -> Result<Talkative, String> {
        if text.is_empty() { Ok(Talkative) } else { Err(text.to_owned()) }
    }
}

#[test]
fn debugging_shows_no_text() {
    let shown = value("k: hunter1\nl: ${env:PASSWORD}\n", |root| {
        let shown = format!("{root:?}");
        drop((root.raw("k"), root.raw("l")));
        shown
    });
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn long_values_are_cut_in_messages() {
    let yaml = format!("k: {}\n", "x".repeat(100));
    let expected = format!("1:4: k: expected a duration such as `10s`, found `{}…`", "x".repeat(60));
    assert_eq!(problem(&yaml, |root| root.duration("k", "1s")), expected);
}
