//! The name of a process among those that share a state directory and a log.
//!
//! A slot is a number whose lock file is free, with an identifier of the host that is made once and kept in the state
//! directory. The name is stable over restarts (a restarted process takes the lowest free number) and unique among live
//! processes, as transactional ids need it. Or it is a name that somebody gives, such as that of a pod, who then answers for
//! it being unique.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

/// Processes that can share a state directory.
const SLOTS_MAX: u32 = 1024;

/// Longest name, in bytes.
const NAME_MAX: usize = 64;

/// A slot that is taken while this lives.
#[derive(Debug)]
pub struct Slot {
    member: dbintel_bus::Slot,
    id: String,
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
    /// A name that is not one.
    #[error("the slot `{0}` is not a name: 1 to 64 letters, digits, `-`, `_` and `.`, and not digits only")]
    Name(String),
    /// The slot that was named is taken.
    #[error("another process on this machine has the slot `{0}`: stop it, or name another one with --slot")]
    Taken(String),
    /// All slots are taken.
    #[error("{SLOTS_MAX} processes use {0} already; give this one a --state-directory of its own")]
    Full(PathBuf),
}

impl Slot {
    /// Takes the slot of this name, or the lowest free one, of a state directory, which is made if it is missing.
    pub fn take(state_directory: &Path, name: Option<&str>) -> Result<Slot, SlotError> {
        let slots = state_directory.join("slots");
        fs::create_dir_all(&slots).map_err(in_place(&slots))?;
        if let Some(name) = name {
            let lock = lock(state_directory, checked(name)?)?.ok_or_else(|| SlotError::Taken(name.to_owned()))?;
            let member = dbintel_bus::Slot { name: name.to_owned(), kept: true };
            return Ok(Slot { member, id: name.to_owned(), _lock: lock });
        }
        let host = host_id(&state_directory.join("host-id")).map_err(in_place(state_directory))?;
        for number in 0..SLOTS_MAX {
            let id = number.to_string();
            if let Some(lock) = lock(state_directory, &id)? {
                let member = dbintel_bus::Slot { name: format!("{host}-{number}"), kept: false };
                return Ok(Slot { member, id, _lock: lock });
            }
        }
        Err(SlotError::Full(state_directory.to_owned()))
    }

    /// What the process is called in its groups: the name that was given, or host and number.
    pub fn member(&self) -> &dbintel_bus::Slot {
        &self.member
    }

    /// Name within the state directory; what each process keeps for itself is in a folder of this name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// The name, if it can be that of a file and of a member.
fn checked(name: &str) -> Result<&str, SlotError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with('.');
    if is_name && name.bytes().any(|byte| !byte.is_ascii_digit()) {
        Ok(name)
    } else {
        Err(SlotError::Name(name.into()))
    }
}

/// The lock of a slot of a state directory, so that no process takes it; none when one has.
pub fn lock(state_directory: &Path, id: &str) -> Result<Option<File>, SlotError> {
    let path = state_directory.join("slots").join(format!("{id}.lock"));
    let lock = open(&path).map_err(in_place(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(SlotError::Directory { path, source }),
    }
}

fn in_place(path: &Path) -> impl Fn(io::Error) -> SlotError + use<> {
    let path = path.to_owned();
    move |source| SlotError::Directory { path: path.clone(), source }
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
        let first = Slot::take(directory.path(), None).unwrap();
        let second = Slot::take(directory.path(), None).unwrap();
        let host = fs::read_to_string(directory.path().join("host-id")).unwrap();
        assert_eq!(host.len(), 16);
        assert_eq!((&*first.member().name, &*second.member().name), (&*format!("{host}-0"), &*format!("{host}-1")));
        drop(first);
        let again = Slot::take(directory.path(), None).unwrap();
        assert_eq!((&*again.member().name, again.id(), again.member().kept), (&*format!("{host}-0"), "0", false));
    }

    #[test]
    fn a_name_is_taken_once_and_the_group_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let slot = Slot::take(directory.path(), Some("dbintel-processor-3")).unwrap();
        let member = dbintel_bus::Slot { name: "dbintel-processor-3".into(), kept: true };
        assert_eq!((slot.member(), slot.id()), (&member, "dbintel-processor-3"));
        let message = Slot::take(directory.path(), Some("dbintel-processor-3")).unwrap_err().to_string();
        assert!(message.contains("another process on this machine has the slot `dbintel-processor-3`"), "{message}");
        for name in ["", "3", "../x", ".", "a b", "ä", &"a".repeat(65)] {
            let message = Slot::take(directory.path(), Some(name)).unwrap_err().to_string();
            assert!(message.starts_with(&format!("the slot `{name}` is not a name")), "{message}");
        }
    }

    #[test]
    fn hosts_differ() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_ne!(Slot::take(one.path(), None).unwrap().member(), Slot::take(other.path(), None).unwrap().member());
    }

    #[test]
    fn a_directory_that_does_not_work_names_the_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = Slot::take(file.path(), None).unwrap_err().to_string();
        assert!(message.starts_with(&format!("could not use {}/slots: ", file.path().display())), "{message}");
        assert!(message.contains("--state-directory"), "{message}");
    }
}
