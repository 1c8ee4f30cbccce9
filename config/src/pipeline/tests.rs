use super::*;
use crate::environment::Environment;
use crate::testing::{problems, read};

/// Reads the topology and nothing of what stands in it.
fn skim(root: &mut Section) -> (Vec<String>, Vec<Pipeline>) {
    let Topology { pollers, processors, sinks, pipelines, bus, service } = Topology::read(root);
    let mut ids = Vec::new();
    for component in pollers.into_iter().chain(processors).chain(sinks) {
        ids.push(format!("{} {}", component.role.noun(), component.id));
        component.section.skip();
    }
    bus.skip();
    service.skip();
    (ids, pipelines)
}

fn problems_of(yaml: &str) -> Vec<String> {
    problems(yaml, &Environment::empty(), skim)
}

const GOOD: &str = "
pollers:
  postgresql/production: {endpoint: db1:5432}
  postgresql/staging:
processors: {adaptive_sampler: , batch: }
sinks: {otlp: {endpoint: x}, debug: }
bus: {embedded: {}}
pipelines:
  metrics/queries:
    pollers: [postgresql/production, postgresql/staging]
    processors: [batch, adaptive_sampler]
    sinks: [otlp]
  sessions:
    pollers: [postgresql/staging]
service: {log: {level: info}}
";

#[test]
fn pipelines_name_declared_components() {
    let loaded = read(GOOD, &Environment::empty(), skim).unwrap();
    let (ids, pipelines) = loaded.config;
    assert_eq!(
        ids,
        [
            "poller postgresql/production",
            "poller postgresql/staging",
            "processor adaptive_sampler",
            "processor batch",
            "sink otlp",
            "sink debug",
        ]
    );
    let shown = |ids: &[ComponentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let shown: Vec<String> = pipelines
        .iter()
        .map(|pipeline| {
            let Pipeline { name, pollers, processors, sinks } = pipeline;
            format!("{name}: {} > {} > {}", shown(pollers), shown(processors), shown(sinks))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "metrics/queries: postgresql/production postgresql/staging > batch adaptive_sampler > otlp",
            "sessions: postgresql/staging >  > ",
        ]
    );
    let warnings = loaded.warnings.to_string();
    assert_eq!(warnings, "c.yaml:6:30: sinks.debug: warning: declared, but no pipeline uses it\n1 warning");
}

#[test]
fn mistakes_in_pipelines_are_found_at_their_place() {
    let declared = "pollers: {postgresql: }\nprocessors: {batch: }\nsinks: {otlp: }\npipelines:\n";
    let whole = "p: {pollers: [postgresql], processors: [batch], sinks: [otlp]}";
    let cases = [
        (
            "a: {pollers: [postgre]}",
            "6:17: pipelines.a.pollers[0]: undeclared poller `postgre`, did you mean `postgresql`? known: postgresql",
        ),
        ("a: {pollers: [batch]}", "6:17: pipelines.a.pollers[0]: undeclared poller `batch`; known: postgresql"),
        ("a: {pollers: [postgresql], sinks: [otlp, otlp]}", "6:44: pipelines.a.sinks[1]: sink `otlp` is named twice"),
        ("a: {pollers: []}", "6:3: pipelines.a: a pipeline needs at least one of `pollers`"),
        ("a:", "6:3: pipelines.a: a pipeline needs at least one of `pollers`"),
        (
            "a: {pollers: postgresql}",
            "6:16: pipelines.a.pollers: expected a list of texts such as `[a, b]`, found `postgresql`",
        ),
        (
            "a: {pollers: [postgresql], sink: [otlp]}",
            "6:30: pipelines.a.sink: unknown key `sink`, did you mean `sinks`? known: pollers, processors, sinks",
        ),
        (
            "a: {pollers: [postgresql], exporters: [otlp]}",
            "6:30: pipelines.a.exporters: the Collector's `exporters` are `sinks` here; `dbintel config print` shows a configuration with every setting",
        ),
        (
            "a b: {pollers: [postgresql]}",
            "6:3: pipelines[\"a b\"]: `a b` is not a component id: the type has letters, digits and `_`, as in `postgresql/production`",
        ),
    ];
    for (pipeline, expected) in cases {
        let found = problems_of(&format!("{declared}  {whole}\n  {pipeline}\n"));
        assert_eq!(found, [format!("c.yaml:{expected}")], "{pipeline}");
    }
}

#[test]
fn the_top_has_known_sections() {
    let known = "known: pollers, processors, sinks, pipelines, bus, service";
    let collector = "`dbintel config print` shows a configuration with every setting";
    let cases = [
        ("poller: {}", format!("1:1: poller: unknown key `poller`, did you mean `pollers`? {known}")),
        ("receivers: {}", format!("1:1: receivers: the Collector's `receivers` are `pollers` here; {collector}")),
        ("service: {pipelines: {}}", "1:11: service.pipelines: `pipelines` stand at the top of the file, not under `service`".to_owned()),
        ("sinks: {otlp/: {x: 1}}", "1:9: sinks.otlp/: `otlp/` is not a component id: after the slash stands a name of letters, digits, `_`, `-`, `.` and `:`, as in `postgresql/production`".to_owned()),
        ("bus: [kafka]", "1:6: bus: expected a mapping, found a list".to_owned()),
        ("service: {}\nbus: {}\nservice: {}", "3:1: service: duplicate key `service`, first written at 1:1".to_owned()),
    ];
    for (yaml, expected) in cases {
        let found = problems(yaml, &Environment::empty(), |root| {
            let Topology { bus, service, .. } = Topology::read(root);
            bus.skip();
            drop(service);
        });
        assert_eq!(found, [format!("c.yaml:{expected}")], "{yaml}");
    }
}

#[test]
fn names_that_came_from_a_variable_are_shown_as_the_reference() {
    let environment = Environment::from_iter([("SECRET", "hunter2"), ("ODD", "hunter 2")]);
    let yaml = "pollers: {'${env:SECRET}': {x: y}, '${env:ODD}': {x: y}}\n\
                pipelines: {p: {pollers: ['x${env:SECRET}', '${env:ODD}']}, '${env:ODD}': {pollers: ['${env:SECRET}']}}\n";
    let found = problems(yaml, &environment, |root| {
        for component in Topology::read(root).pollers {
            component.refuse_kind(&["mysql"]);
        }
    });
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(!found.iter().any(|problem| problem.contains("hunter")), "{found:?}");
}

#[test]
fn unknown_kinds_are_refused_with_what_is_known() {
    let yaml =
        "pollers: {postgre/a: {endpoint: x}, oracle: {sid: y}}\npipelines: {p: {pollers: [postgre/a, oracle]}}\n";
    let found = problems(yaml, &Environment::empty(), |root| {
        for component in Topology::read(root).pollers {
            component.refuse_kind(&["mysql", "postgresql"]);
        }
    });
    assert_eq!(
        found,
        [
            "c.yaml:1:11: pollers.postgre/a: unknown poller type `postgre`, did you mean `postgresql`? known: mysql, postgresql",
            "c.yaml:1:37: pollers.oracle: unknown poller type `oracle`; known: mysql, postgresql",
        ]
    );
}
