//! The name of a process among those that share a state directory and a log.
//!
//! A slot is a number whose lock file is free, with an identifier of the host that is made once and kept in the state
//! directory. The name is stable over restarts (a restarted process takes the lowest free number) and unique among live
//! processes, as transactional ids need it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Processes that can share a state directory.
const SLOTS_MAX: u32 = 1024;

/// A slot that is taken while this lives.
#[derive(Debug)]
pub struct Slot {
    name: String,
    number: u32,
    /// The lock ends with the file.
    _lock: File,
}

/// No slot was taken.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The state directory does not work.
    #[error(
        "could not use {path}: {source}; name a folder that can be written with --state-directory or DBINTEL_STATE_DIRECTORY"
    )]
    Directory {
        /// What was to be used.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// All slots are taken.
    #[error("{SLOTS_MAX} processes use {0} already; give this one a --state-directory of its own")]
    Full(PathBuf),
}

impl Slot {
    /// Takes the lowest free slot of a state directory, which is made if it is missing.
    pub fn take(state_directory: &Path) -> Result<Slot, SlotError> {
        let slots = state_directory.join("slots");
        let in_place = |path: &Path| {
            let path = path.to_owned();
            move |source| SlotError::Directory { path, source }
        };
        fs::create_dir_all(&slots).map_err(in_place(&slots))?;
        let host = host_id(&state_directory.join("host-id")).map_err(in_place(state_directory))?;
        for number in 0..SLOTS_MAX {
            let path = slots.join(format!("{number}.lock"));
            let lock = open(&path).map_err(in_place(&path))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Slot { name: format!("{host}-{number}"), number, _lock: lock }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(SlotError::Directory { path, source }),
            }
        }
        Err(SlotError::Full(state_directory.to_owned()))
    }

    /// Name: host and number.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number within the state directory; what each process keeps for itself is in a folder of this name.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// The identifier in a file, which is written if it is empty.
fn host_id(path: &Path) -> io::Result<String> {
    let mut file = open(path)?;
    file.lock()?;
    let mut id = String::new();
    file.read_to_string(&mut id)?;
    if id.trim().is_empty() {
        id = format!("{:016x}", RandomState::new().hash_one(path));
        file.rewind()?;
        file.write_all(id.as_bytes())?;
        file.sync_all()?;
    }
    Ok(id.trim().to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_numbered_by_what_is_free_and_the_host_stays() {
        let directory = tempfile::tempdir().unwrap();
        let first = Slot::take(directory.path()).unwrap();
        let second = Slot::take(directory.path()).unwrap();
        let host = fs::read_to_string(directory.path().join("host-id")).unwrap();
        assert_eq!(host.len(), 16);
        assert_eq!((first.name(), second.name()), (&*format!("{host}-0"), &*format!("{host}-1")));
        drop(first);
        let again = Slot::take(directory.path()).unwrap();
        assert_eq!((again.name(), again.number()), (&*format!("{host}-0"), 0));
    }

    #[test]
    fn hosts_differ() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(Slot::take(one.path()).unwrap().name(), Slot::take(other.path()).unwrap().name());
    }

    #[test]
    fn a_directory_that_does_not_work_names_the_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = Slot::take(file.path()).unwrap_err().to_string();
        assert!(message.starts_with(&format!("could not use {}/slots: ", file.path().display())), "{message}");
        assert!(message.contains("--state-directory"), "{message}");
    }
}
