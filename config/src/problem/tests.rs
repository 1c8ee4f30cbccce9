use super::*;

fn position(line: usize, column: usize) -> Position {
    Position { line, column }
}

#[test]
fn problems_are_printed_by_place_with_a_count() {
    let report = Report::new("c.yaml");
    let sinks = Path::default().key("sinks");
    report.error(position(9, 1), sinks.key("otlp"), "second");
    report.add(Severity::Warning, position(10, 2), sinks.key("debug"), "third".to_owned());
    report.error(position(2, 30), Path::default(), "first");
    report.error(position(2, 30), Path::default(), "first");
    let (problems, _) = report.take();
    let expected = "c.yaml:2:30: first\n\
                    c.yaml:9:1: sinks.otlp: second\n\
                    c.yaml:10:2: sinks.debug: warning: third\n\
                    2 problems, 1 warning";
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn counts_name_what_there_is() {
    let of = |severities: &[Severity]| {
        let report = Report::new("c.yaml");
        for (place, severity) in severities.iter().enumerate() {
            report.add(*severity, position(place + 1, 1), Path::default(), "x".to_owned());
        }
        report.take().0.to_string().lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(of(&[]), "0 problems");
    assert_eq!(of(&[Severity::Error]), "1 problem");
    assert_eq!(of(&[Severity::Warning, Severity::Warning]), "2 warnings");
    assert_eq!(of(&[Severity::Error, Severity::Warning]), "1 problem, 1 warning");
}

#[test]
fn paths_name_keys_and_items() {
    let cases = [
        (Path::default(), ""),
        (Path::default().key("sinks").key("otlp/a").key("rules").index(2).key("name"), "sinks.otlp/a.rules[2].name"),
        (Path::default().key("labels").key("service.name").key("x y"), "labels[\"service.name\"][\"x y\"]"),
    ];
    for (path, expected) in cases {
        assert_eq!(path.to_string(), expected);
    }
}

#[test]
fn problems_are_json_for_programs() {
    let report = Report::new("c\\d.yaml");
    report.error(position(1, 2), Path::default().key("k"), "found `\"x\"`\n\u{1}é");
    report.add(Severity::Warning, position(3, 4), Path::default(), "w".to_owned());
    assert_eq!(
        report.take().0.to_json(),
        r#"[{"file":"c\\d.yaml","line":1,"column":2,"path":"k","severity":"error","message":"found `\"x\"`\n\u0001é"},{"file":"c\\d.yaml","line":3,"column":4,"path":"","severity":"warning","message":"w"}]"#
    );
    assert_eq!(
        Problems::with_file("c.yaml", "gone".to_owned()).to_json(),
        r#"[{"file":"c.yaml","line":null,"column":null,"path":"","severity":"error","message":"gone"}]"#
    );
    assert_eq!(Problems::default().to_json(), "[]");
}
