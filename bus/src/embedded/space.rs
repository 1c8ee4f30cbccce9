//! Stops writing before the disk is full, so that deleting old records, which needs a little space, still works.

use std::path::PathBuf;

use crate::BusError;

/// Looks at the free space of a file system.
#[derive(Debug)]
pub(super) struct Space {
    directory: PathBuf,
    free_bytes_min: u64,
}

impl Space {
    /// Looks at the file system of a directory.
    pub fn new(directory: PathBuf, free_bytes_min: u64) -> Space {
        Space { directory, free_bytes_min }
    }

    /// Whether this many bytes may be written.
    pub fn admit(&self, bytes: u64) -> Result<(), BusError> {
        let (free, needed) = (self.free(), self.free_bytes_min.saturating_add(bytes));
        if free >= needed {
            return Ok(());
        }
        Err(BusError::Unavailable {
            operation: format!("write the embedded log in {}", self.directory.display()),
            message: format!(
                "disk full: {free} bytes are free and {needed} are needed; free some space, writing goes on by itself"
            ),
        })
    }

    /// How many bytes may be written.
    pub fn room(&self) -> u64 {
        self.free().saturating_sub(self.free_bytes_min)
    }

    /// Without end if it is not known: the write will tell.
    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.directory).map_or(u64::MAX, |status| status.f_bavail.saturating_mul(status.f_frsize))
    }
}
