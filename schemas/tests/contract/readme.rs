//! README.md has the table of topics as the code has it.

const README: &str = include_str!("../../README.md");

#[test]
fn the_table_of_topics_is_current() {
    let expected = dbintel_schemas::topics::markdown();
    assert!(
        README.contains(&format!("<!-- topics -->\n{expected}<!-- end of topics -->\n")),
        "README.md is not current: run `cargo run -p dbintel-schemas --example write_readme`"
    );
}
