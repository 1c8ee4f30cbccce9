//! Writes `docs/metrics.md`.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    fs::write(path, dbintel_tests::metrics::markdown())
}
