//! Scratch directories, all under one root per test process.
//!
//! A watchdog, a shell in its own process group, waits for the end of the test process, however
//! that comes, and removes the root with what dropped values did not remove: a server shared
//! between tests is never dropped.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The user and group (nobody, nogroup) for servers that refuse to run as root.
pub(crate) const UNPRIVILEGED: u32 = 65_534;

/// Waits until its input ends. Then removes the directory, trying again while killed servers are
/// still writing there. A PostgreSQL that was killed leaves a shared memory segment, whose id is
/// the second number in the seventh line of its pid file. What is mounted there is in the way.
const WATCHDOG: &str = r#"
cat >/dev/null
for pid_file in "$1"/*/data/postmaster.pid; do
    [ -e "$pid_file" ] && ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$pid_file")"
done
awk -v root="$1/" 'index($2, root) == 1 { print $2 }' /proc/mounts | while read -r mount; do
    umount -l "$mount"
done
attempt=0
while [ -e "$1" ] && [ "$attempt" -lt 50 ]; do
    rm -rf -- "$1"
    attempt=$((attempt + 1))
    sleep 0.1
done
"#;

/// A directory that is removed with the value.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// Makes a directory whose name begins with `name`.
    ///
    /// # Panics
    /// If the temporary directory cannot be written to.
    #[must_use]
    pub fn new(name: &str) -> Scratch {
        let prefix = format!("{name}-");
        let made = tempfile::Builder::new().prefix(&prefix).permissions(passable()).tempdir_in(root());
        Scratch(made.expect("a scratch directory can be made in the temporary directory"))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in it and gives its path.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file can be written in a scratch directory");
        path
    }

    /// Gives the directory and what is in it to the user under which servers run that refuse root.
    /// Does nothing for a caller that is not root.
    pub(crate) fn give_away(&self) {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let files = fs::read_dir(self.path()).expect("a scratch directory can be read");
        let paths = files.map(|file| file.expect("a scratch directory can be read").path());
        for path in paths.chain([self.path().to_owned()]) {
            chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("root can give a file away");
        }
    }
}

/// Others may pass through, to what is theirs.
fn passable() -> fs::Permissions {
    fs::Permissions::from_mode(0o711)
}

struct Root {
    directory: PathBuf,
    /// Its input ends with this process.
    _watchdog: Child,
}

fn root() -> &'static Path {
    static ROOT: OnceLock<Root> = OnceLock::new();
    let root = ROOT.get_or_init(|| make_root().expect("the temporary directory can be written to"));
    &root.directory
}

fn make_root() -> io::Result<Root> {
    let directory = tempfile::Builder::new().prefix("dbintel-tests-").permissions(passable()).tempdir()?.keep();
    let watchdog = Command::new("sh")
        .args(["-c", WATCHDOG, "watchdog"])
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    Ok(Root { directory, _watchdog: watchdog })
}
