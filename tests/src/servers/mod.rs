//! One file per server: how to start it, and how to see whether it answers.

use std::path::{Path, PathBuf};

pub mod clock;
pub mod collector;
pub mod exporters;
pub mod kafka;
pub mod mysql;
pub mod pgbouncer;
pub mod postgres;
pub mod prometheus;
pub mod received;
pub mod registry;
pub mod rotel;

/// Where everything on loopback is.
pub const HOST: &str = "127.0.0.1";

/// The folder into which `install.sh` has put the server of that name.
///
/// # Panics
/// If it is not installed, with the command that does so.
#[must_use]
pub fn installed(name: &str) -> PathBuf {
    let folder = cache().join("servers").join(name);
    assert!(
        folder.join(".installed").exists(),
        "{name} is not in {}: run tests/servers/install.sh {name}",
        folder.display()
    );
    folder
}

/// The folder with the foreign Kafka and Avro clients of Python, for `PYTHONPATH`.
///
/// # Panics
/// As [`installed`].
#[must_use]
pub fn python_site() -> PathBuf {
    installed("python").join("site")
}

/// A file's path as the text of an argument.
fn text(path: &Path) -> String {
    path.to_str().expect("the cache and the temporary directory have UTF-8 paths").to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the only setting of the harness, shared with install.sh")]
fn cache() -> PathBuf {
    std::env::var_os("DBINTEL_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").expect("HOME says where the cache is, or DBINTEL_CACHE does");
            PathBuf::from(home).join(".cache/dbintel")
        },
        PathBuf::from,
    )
}
