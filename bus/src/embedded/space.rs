//! Stops writing before the disk is full, so that deleting old records, which needs a little space, still works.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::BusError;

/// Watches the free space of a file system.
#[derive(Debug)]
pub(super) struct Space {
    directory: PathBuf,
    free_bytes_min: u64,
    short: AtomicBool,
}

impl Space {
    /// Watches the file system of a directory.
    pub fn new(directory: PathBuf, free_bytes_min: u64) -> Space {
        Space { directory, free_bytes_min, short: AtomicBool::new(false) }
    }

    /// Whether this many bytes may be written; says so in the log when the answer changes.
    pub fn admit(&self, bytes: u64) -> Result<(), BusError> {
        let free = match rustix::fs::statvfs(&self.directory) {
            Ok(status) => status.f_bavail.saturating_mul(status.f_frsize),
            // Whether there is space is not known; the write will tell.
            Err(_) => return Ok(()),
        };
        let needed = self.free_bytes_min.saturating_add(bytes);
        let short = free < needed;
        let changed = self.short.swap(short, Ordering::Relaxed) != short;
        let directory = self.directory.display();
        if changed && short {
            tracing::error!(%directory, free, needed, "the disk is nearly full: writing pauses until there is space again");
        } else if changed {
            tracing::info!(%directory, free, "there is space again: writing goes on");
        }
        if !short {
            return Ok(());
        }
        Err(BusError::Unavailable {
            operation: format!("write the embedded log in {directory}"),
            message: format!(
                "disk full: {free} bytes are free and {needed} are needed; free some space, writing goes on by itself"
            ),
        })
    }
}
