//! House rules that neither the compiler nor clippy checks, over every file of the repository.
//! A finding is `file:line: what`.

mod source;

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// Not ours, or not kept.
const SKIPPED: [&str; 3] = [".git", "target", "var"];

/// Written in pieces, so that this file is tidy itself.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!"), concat!("#[ign", "ore")];

/// Folders that only one machine has.
const MACHINE_PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Where packages come from is a setting of the machine.
const REGISTRY_HOSTS: [&str; 12] = [
    concat!("registry.npm", "js.org"),
    concat!("repo.maven.", "apache.org"),
    concat!("repo1.", "maven.org"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("proxy.", "golang.org"),
    concat!("sum.", "golang.org"),
    concat!("deb.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("registry-1.", "docker.io"),
];

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    collect(root, &mut files);
    assert!(files.iter().any(|file| file.ends_with("tests/tests/all/tidy.rs")), "the walk misses files");

    let mut findings = Vec::new();
    for path in files {
        // What is not text has no lines to check.
        let Ok(content) = String::from_utf8(fs::read(&path).unwrap()) else {
            continue;
        };
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        findings.extend(check(name, &content));
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() || SKIPPED.iter().any(|skipped| path.ends_with(skipped)) {
            continue;
        }
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// Checks one file, whose name is relative to the repository.
fn check(name: &str, content: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in content.lines().enumerate() {
        let found = line_findings(name, line);
        findings.extend(found.into_iter().map(|what| format!("{name}:{}: {what}", index + 1)));
    }
    if name.ends_with(".rs") {
        findings.extend(rust_findings(name, content));
    }
    findings
}

fn line_findings(name: &str, line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in MACHINE_PATHS {
        if has_absolute(line, path) {
            found.push(format!("names the folder {path} of one machine"));
        }
    }
    for host in REGISTRY_HOSTS {
        if line.contains(host) {
            found.push(format!("names the package registry {host}"));
        }
    }
    let is_prose_or_code = [".rs", ".md", ".yaml"].iter().any(|ending| name.ends_with(ending));
    if is_prose_or_code && line.contains('\t') {
        found.push("holds a tab".to_owned());
    }
    if is_prose_or_code && line.ends_with([' ', '\t', '\r']) {
        found.push("ends in blanks".to_owned());
    }
    if name.ends_with(".rs") {
        let unfinished = UNFINISHED.iter().filter(|mark| has_word(line, mark));
        found.extend(unfinished.map(|mark| format!("holds {mark}")));
    }
    found
}

/// Whether the path stands in the line with nothing before it that would make it a part of another.
fn has_absolute(line: &str, path: &str) -> bool {
    let part_of_another = |before: char| before.is_ascii_alphanumeric() || "._-}~*/:".contains(before);
    line.match_indices(path).any(|(start, _)| !line[..start].ends_with(part_of_another))
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_another = |before: char| before.is_ascii_alphanumeric() || before == '_';
    line.match_indices(word).any(|(start, _)| !line[..start].ends_with(part_of_another))
}

fn rust_findings(name: &str, content: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = content.lines().count();
    if lines > FILE_LINES_MAX {
        findings.push(format!("{name}:{lines}: the file is longer than {FILE_LINES_MAX} lines"));
    }
    let is_test = name.split('/').any(|part| part == "tests") || name.ends_with("tests.rs");
    if !content.starts_with("//!") && !is_test {
        findings.push(format!("{name}:1: does not begin with a `//!` that says what the module is for"));
    }
    let long = source::functions(content).into_iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    findings.extend(long.map(|function| {
        let source::Function { name: function, line, lines } = function;
        format!("{name}:{line}: function {function} has {lines} lines, more than {FUNCTION_LINES_MAX}")
    }));
    findings
}

#[test]
fn each_rule_finds_what_it_forbids() {
    let long_function = format!("//! Doc.\nfn long() {{\n{}}}\n", "    step();\n".repeat(69));
    let cases = [
        ("a.rs", "fn f() {}\n".to_owned(), "a.rs:1: does not begin"),
        ("a.rs", "//! Doc.\n".repeat(501), "a.rs:501: the file is longer than 500"),
        ("a.rs", long_function, "a.rs:2: function long has 71 lines"),
        ("a.rs", format!("//! Doc.\nfn f() {{ {}() }}\n", UNFINISHED[0]), "a.rs:2: holds"),
        ("a.rs", format!("//! Doc.\n    {}]\n", UNFINISHED[3]), "a.rs:2: holds"),
        ("a.md", "one\n\ttwo\n".to_owned(), "a.md:2: holds a tab"),
        ("a.yaml", "one \n".to_owned(), "a.yaml:1: ends in blanks"),
        ("Makefile", format!("x:\n\tcp {}x .\n", MACHINE_PATHS[0]), "Makefile:2: names the folder"),
        ("a.sh", format!("cd \"{}x\"\n", MACHINE_PATHS[2]), "a.sh:1: names the folder"),
        ("a.json", format!("\"https://{}/x\"\n", REGISTRY_HOSTS[0]), "a.json:1: names the package registry"),
    ];
    for (name, content, expected) in cases {
        let findings = check(name, &content);
        let [finding] = findings.as_slice() else { panic!("{expected}: {findings:?}") };
        assert!(finding.starts_with(expected), "{finding}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    let function = format!("//! Doc.\nfn f() {{\n{}}}\n", "    step();\n".repeat(68));
    let part = format!(
        "//! {}target{}x $HOME{}x is_{}\n",
        MACHINE_PATHS[0].len(),
        MACHINE_PATHS[0],
        MACHINE_PATHS[2],
        UNFINISHED[0]
    );
    let cases = [
        ("a.rs", function),
        ("a.rs", part),
        ("a.rs", "//! Doc.\n".repeat(500)),
        ("a/tests/b.rs", "fn f() {}\n".to_owned()),
        ("Makefile", "x:\n\tcargo build\n".to_owned()),
    ];
    for (name, content) in cases {
        assert_eq!(check(name, &content), Vec::<String>::new(), "{content}");
    }
}
