//! Brings the table of topics in README.md up to date.

use std::path::Path;
use std::{fs, io};

const START: &str = "<!-- topics -->\n";
const END: &str = "<!-- end of topics -->\n";

fn main() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path)?;
    let parts = readme.split_once(START).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) =
        parts.ok_or_else(|| io::Error::other(format!("{}: no {START:?} … {END:?}", path.display())))?;
    fs::write(path, format!("{before}{START}{}{END}{after}", dbintel_schemas::topics::markdown()))
}
