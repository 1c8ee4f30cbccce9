//! Settings of the embedded log.

use std::path::PathBuf;
use std::time::Duration;

/// Where the embedded log lives and how it behaves. The number of partitions is a property of each topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory that holds the whole log; created if it is missing.
    pub directory: PathBuf,
    /// Whether a commit is on the disk before it is reported (fsync). Without it a commit survives the death of the
    /// process, but not that of the machine.
    pub sync: bool,
    /// How long a record sent outside of a transaction may wait for others to share its fsync.
    pub linger: Duration,
    /// How long a rebalance waits for a member to give its partitions back before it is taken for dead.
    pub rebalance_timeout: Duration,
    /// Bytes that one producer may have accepted and not yet written; above, `send` says that it is full.
    pub producer_bytes_max: usize,
    /// Bytes that one transaction may hold; above, `send` fails: waiting would not help.
    pub transaction_bytes_max: usize,
    /// Time between two passes of retention and compaction.
    pub retention_check_interval: Duration,
    /// How long a compacted topic keeps a tombstone, so that readers learn of the deletion.
    pub tombstone_retention: Duration,
    /// Free space of the file system, in bytes, below which nothing is written any more.
    pub disk_free_bytes_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            directory: PathBuf::from("var/bus"),
            sync: true,
            linger: Duration::from_millis(5),
            rebalance_timeout: Duration::from_secs(60),
            producer_bytes_max: 16 << 20,
            transaction_bytes_max: 64 << 20,
            retention_check_interval: Duration::from_secs(30),
            tombstone_retention: Duration::from_secs(24 * 60 * 60),
            disk_free_bytes_min: 64 << 20,
        }
    }
}
