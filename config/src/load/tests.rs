use super::*;
use crate::testing::read;

#[test]
fn a_file_is_loaded_and_named_in_its_problems() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dbintel.yaml");
    std::fs::write(&path, "interval: ten\nbus: 1\n").unwrap();
    let document = load(&path, &Environment::empty()).unwrap();
    let problems = document.read(|root| root.duration("interval", "10s")).unwrap_err();
    let shown = path.display();
    let expected = format!(
        "{shown}:1:11: interval: expected a duration such as `10s`, found `ten`\n\
         {shown}:2:1: bus: unknown key `bus`; known: interval\n2 problems"
    );
    assert_eq!(problems.to_string(), expected);
}

#[test]
fn what_cannot_be_read_is_a_problem_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let of = |path: &FilePath| load(path, &Environment::empty()).unwrap_err().to_string();
    let missing = folder.path().join("missing.yaml");
    let expected = "could not read the configuration: No such file or directory (os error 2)";
    assert_eq!(of(&missing), format!("{}: {expected}\n1 problem", missing.display()));
    let large = folder.path().join("large.yaml");
    std::fs::write(&large, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let expected = "could not read the configuration: it has more than 1048576 bytes";
    assert_eq!(of(&large), format!("{}: {expected}\n1 problem", large.display()));
}

#[test]
fn warnings_do_not_stop_a_configuration() {
    let loaded = read("k: 1\n", &Environment::empty(), |root| {
        root.warning("k", "is old");
        root.integer("k", 0, ..)
    });
    let loaded = loaded.unwrap();
    assert_eq!(loaded.config, 1);
    assert_eq!(loaded.warnings.to_string(), "c.yaml:1:4: k: warning: is old\n1 warning");
}

#[test]
#[should_panic(expected = "every section is read before the document is done")]
fn a_section_does_not_outlive_its_document() {
    let _ = read("a: {b: 1}\n", &Environment::empty(), |root| root.section("a"));
}

#[test]
fn documents_and_sections_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Document>();
    is_send::<Section>();
    is_send::<Problems>();
}
