//! Generates `records.rs` from `avsc/*.avsc`: one struct with its codec per record type.

#[path = "../src/wire/canonical.rs"]
mod canonical;
mod counters;
mod emit;
mod model;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use model::SchemaFile;

#[expect(clippy::disallowed_methods, reason = "cargo hands the directories to a build script in its environment")]
fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    rerun_if_changed("avsc");
    rerun_if_changed("build");
    rerun_if_changed("src/wire/canonical.rs");
    let files = read_schema_files(&manifest_dir.join("avsc"))?;
    fs::write(out_dir.join("records.rs"), emit::module(&files)?)?;
    Ok(())
}

/// Files are read in the order of their names, so that the output does not depend on the file system.
fn read_schema_files(directory: &Path) -> Result<Vec<SchemaFile>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "avsc") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read_schema_file(path)).collect()
}

fn read_schema_file(path: &Path) -> Result<SchemaFile, Box<dyn Error>> {
    let topic = path.file_stem().unwrap_or_default().to_string_lossy();
    let text = fs::read_to_string(path)?;
    SchemaFile::parse(&topic, &text).map_err(|error| format!("{}: {error}", path.display()).into())
}

#[expect(clippy::print_stdout, reason = "a build script talks to cargo on its standard output")]
fn rerun_if_changed(path: &str) {
    println!("cargo::rerun-if-changed={path}");
}
