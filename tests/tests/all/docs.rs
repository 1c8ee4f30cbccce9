//! What the documents say about the code is true: examples, commands, targets, links.

mod errata;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Documents for people.
const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/guide-errata.md", "docs/metrics.md"];

const EXAMPLE_LINES_MAX: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The first fenced block of this language after a place in a text.
fn block<'t>(text: &'t str, after: &str, language: &str) -> &'t str {
    let section = text.split_once(after).unwrap_or_else(|| panic!("no `{after}`")).1;
    let block = section.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no block after `{after}`")).1;
    block.split_once("\n```").unwrap().0
}

#[test]
fn the_example_of_a_processor_is_the_one_that_is_compiled() {
    let module = text("processors/src/engine/mod.rs");
    let documentation: Vec<&str> = module
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let documentation = documentation.join("\n");
    let compiled = block(&documentation, "# Adding a processor", "");
    let architecture = text("ARCHITECTURE.md");
    let shown = block(&architecture, "## Adding a processor", "rust");
    assert_eq!(shown, compiled, "ARCHITECTURE.md shows another example than processors/src/engine/mod.rs");
    let code = shown.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("//"));
    assert!(code.count() <= EXAMPLE_LINES_MAX);
}

#[test]
fn the_table_of_metrics_is_the_one_that_is_published() {
    let shown = text("docs/metrics.md");
    assert!(shown == dbintel_tests::metrics::markdown(), "run `cargo run -p dbintel-tests --bin write-metrics`");
}

#[test]
fn links_lead_to_files_and_headings() {
    for document in DOCUMENTS {
        let content = text(document);
        let folder = Path::new(document).parent().unwrap();
        for link in links(&content) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target: PathBuf = if file.is_empty() { document.into() } else { folder.join(file) };
            assert!(root().join(&target).exists(), "{document}: {link} leads nowhere");
            let found = heading.is_empty() || headings(&text(&target)).contains(heading);
            assert!(found, "{document}: {link} has no such heading");
        }
    }
}

/// What stands in `](…)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// The anchors of a document's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| -> String {
        let kept =
            title.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
        kept.replace(' ', "-")
    };
    titles.map(anchor).collect()
}

#[test]
fn files_and_folders_that_are_named_exist() {
    for document in DOCUMENTS {
        for word in text(document).split('`').skip(1).step_by(2) {
            let is_path = word.contains('/') && !word.contains([' ', '<', '{', '*', ':', '…']);
            let first = word.split('/').next().unwrap();
            if is_path && !first.is_empty() && root().join(first).is_dir() {
                assert!(root().join(word).exists(), "{document}: {word} does not exist");
            }
        }
    }
}

#[test]
fn every_crate_has_a_paragraph_in_the_code_map() {
    let architecture = text("ARCHITECTURE.md");
    let map = architecture.split_once("## Code map").unwrap().1.split_once("\n## ").unwrap().0;
    let manifest = text("Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    for member in members.split('"').skip(1).step_by(2) {
        assert!(map.contains(&format!("### {member}")), "the code map has nothing about {member}");
    }
}

#[test]
fn targets_of_make_that_are_named_exist() {
    let makefile = text("Makefile");
    for document in DOCUMENTS {
        let content = text(document);
        for rest in content.split("make ").skip(1) {
            let target: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let written_as_code = rest[target.len()..].starts_with(['`', '\n']);
            if written_as_code && !target.is_empty() {
                assert!(makefile.contains(&format!("\n{target}:")), "{document}: there is no `make {target}`");
            }
        }
    }
}

#[test]
fn make_shows_its_targets() {
    let output =
        Command::new("make").arg("-C").arg(root()).args(["--no-print-directory", "--silent"]).output().unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    for target in ["run", "test", "bench", "lint", "fmt", "advisories"] {
        assert!(shown.contains(&format!("make {target} ")), "{shown}");
    }
}

/// Commands that stand between backticks.
fn spoken(text: &str) -> Vec<String> {
    text.split('`').filter_map(|code| command(code.trim_start().strip_prefix("dbintel ")?)).collect()
}

/// The words of a command, up to its first argument.
fn command(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.trim_end_matches([',', '.']));
    let words: Vec<&str> = words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// All Rust files below a folder.
fn source_files(folder: &Path) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_ours);
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let rust = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    rust.chain(folders.iter().filter(|folder| !folder.ends_with("target")).flat_map(|folder| source_files(folder)))
        .collect()
}

#[test]
fn commands_that_are_named_exist() {
    let binary = crate::compose::binary();
    let mut commands = BTreeSet::new();
    for document in DOCUMENTS {
        let content = text(document);
        commands.extend(spoken(&content));
        let shown = content.lines().filter_map(|line| line.trim_start().strip_prefix("dbintel "));
        commands.extend(shown.filter_map(command));
    }
    let documented = commands.len();
    // What messages and comments of the code name.
    for file in source_files(root()) {
        commands.extend(spoken(&text(file)));
    }
    assert!(commands.contains("up") && commands.contains("topics create"), "{commands:?}");
    assert!(commands.contains("config print") && documented > 5, "{commands:?}");
    for command in commands {
        let mut words: Vec<&str> = command.split(' ').collect();
        // A topic, or words of the sentence that the command stands in.
        words.truncate(2);
        let one = Command::new(&binary).args(&words[..1]).arg("--help").output().unwrap();
        let two = Command::new(&binary).args(&words).arg("--help").output().unwrap();
        assert!(one.status.success() && two.status.success(), "there is no `dbintel {command}`");
    }
}
