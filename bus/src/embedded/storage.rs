//! The RocksDB directory: how it is opened, and what its errors mean.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB,
    DBCompressionType, DBPinnableSlice, DBRawIterator, Options, ReadOptions, WriteBatch, WriteOptions,
};
use tempfile::TempDir;

use super::keys::{BLOCKS, FORMAT, INDEX, META};
use super::space::Space;
use crate::BusError;

/// Version of the directory's format: raised when an older release could not read it.
const FORMAT_VERSION: u8 = 1;
const LOCK_FILE: &str = "writer.pid";
const BLOCKS_BUFFER_BYTES: usize = 8 << 20;
const SMALL_BUFFER_BYTES: usize = 1 << 20;
const SMALL_ARENA_BYTES: usize = 64 << 10;
const CACHE_BYTES: usize = 8 << 20;
const WAL_BYTES_MAX: u64 = 32 << 20;
const OPEN_FILES_MAX: i32 = 64;
const BLOB_BYTES_MIN: u64 = 4 << 10;
const BLOB_FILE_BYTES: u64 = 32 << 20;
const MANIFEST_STEP_BYTES: usize = 64 << 10;
/// Sizes of the blob files, and of what is no longer used in them, as RocksDB calls them.
const BLOB_BYTES: &str = "rocksdb.live-blob-file-size";
const BLOB_GARBAGE_BYTES: &str = "rocksdb.live-blob-file-garbage-size";
/// Options with which a compaction rewrites blob files, and how many of them, the oldest first.
const BLOB_REWRITING: &str = "enable_blob_garbage_collection";
const BLOB_REWRITING_SHARE: &str = "blob_garbage_collection_age_cutoff";

/// The open directory.
pub(super) struct Storage {
    db: DB,
    directory: PathBuf,
    /// After the database, which is closed first.
    _lock: Option<Lock>,
    /// Where a reader keeps files of its own.
    beside: Option<TempDir>,
}

impl Storage {
    /// Opens the directory for writing, creating it if it is missing.
    pub fn open(directory: &Path) -> Result<Storage, BusError> {
        let operation = || opening(directory);
        std::fs::create_dir_all(directory)
            .map_err(|error| failed(operation(), &format!("the directory cannot be created: {error}")))?;
        let lock = take_lock(directory)?;
        let mut options = database_options();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_max_open_files(OPEN_FILES_MAX);
        let db = DB::open_cf_descriptors(&options, directory, families())
            .map_err(|error| failed(operation(), error.as_ref()))?;
        let storage = Storage { db, directory: directory.to_owned(), _lock: Some(lock), beside: None };
        storage.check_format(true)?;
        Ok(storage)
    }

    /// Opens the directory for reading, beside the process that writes it, if there is one.
    pub fn open_beside(directory: &Path) -> Result<Storage, BusError> {
        let operation = || opening(directory);
        if !directory.join("CURRENT").exists() {
            let message = "there is no log; start `dbintel up` on it, or name the right directory";
            return Err(fatal(operation(), message.to_owned()));
        }
        let beside = tempfile::Builder::new().prefix("dbintel-reader-").tempdir().map_err(|error| {
            fatal(operation(), format!("a directory for temporary files is needed to read a log: {error}"))
        })?;
        let mut options = database_options();
        // A reader keeps each file open, so that the writer may delete it.
        options.set_max_open_files(-1);
        let db = DB::open_cf_descriptors_as_secondary(&options, directory, beside.path(), families())
            .map_err(|error| fatal(operation(), error.to_string()))?;
        let storage = Storage { db, directory: directory.to_owned(), _lock: None, beside: Some(beside) };
        storage.check_format(false)?;
        Ok(storage)
    }

    fn check_format(&self, writable: bool) -> Result<(), BusError> {
        match self.get(META, FORMAT)?.as_deref() {
            Some([FORMAT_VERSION]) => Ok(()),
            None if writable => {
                let mut batch = WriteBatch::default();
                batch.put(FORMAT, [FORMAT_VERSION]);
                self.write(batch, true)
            }
            None => Err(fatal(opening(&self.directory), "the log is being created; try again".to_owned())),
            Some(other) => {
                let message = format!("its format {other:?} is not {FORMAT_VERSION}; use the release that wrote it");
                Err(fatal(opening(&self.directory), message))
            }
        }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether another process may be writing.
    pub fn beside(&self) -> bool {
        self.beside.is_some()
    }

    /// A stored value.
    pub fn get(&self, family: &str, key: impl AsRef<[u8]>) -> Result<Option<DBPinnableSlice<'_>>, BusError> {
        match self.db.get_pinned_cf(self.family(family), key) {
            // The writer deleted the file; the next look shows where the value is now.
            Err(error) if self.beside() && error.to_string().contains("No such file") => Ok(None),
            result => result.map_err(|error| self.reading_failed(&error)),
        }
    }

    /// Walks over keys from `lower` up to and without `upper`.
    pub fn range(&self, family: &str, lower: &[u8], upper: &[u8]) -> DBRawIterator<'_> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(lower);
        options.set_iterate_upper_bound(upper);
        self.db.raw_iterator_cf_opt(self.family(family), options)
    }

    /// A column family, to put into a batch.
    pub fn family(&self, name: &str) -> &ColumnFamily {
        self.db.cf_handle(name).expect("all families are opened with the directory")
    }

    /// Writes a batch as a whole; with `sync` it is on the disk afterwards.
    pub fn write(&self, batch: WriteBatch, sync: bool) -> Result<(), BusError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).map_err(|error| self.writing_failed(&error))
    }

    /// Reclaims the disk space of deleted blocks. Files without any other block just go. The rest is rewritten once half
    /// of it is garbage, so that a byte reclaimed never costs more than a byte written; if there is no room for all of
    /// it at once, the oldest files.
    pub fn reclaim(&self, space: &Space) -> Result<(), BusError> {
        let blocks = self.family(BLOCKS);
        self.db.flush_cf(blocks).map_err(|error| self.writing_failed(&error))?;
        self.db.compact_range_cf(blocks, None::<&[u8]>, None::<&[u8]>);
        let (bytes, garbage) = (self.property(BLOB_BYTES)?, self.property(BLOB_GARBAGE_BYTES)?);
        let Some(share) = share_to_rewrite(bytes, garbage, space.room()) else {
            return Ok(());
        };
        self.set_blocks_options(&[(BLOB_REWRITING, "true"), (BLOB_REWRITING_SHARE, &share.to_string())])?;
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db.compact_range_cf_opt(blocks, None::<&[u8]>, None::<&[u8]>, &options);
        self.set_blocks_options(&[(BLOB_REWRITING, "false")])
    }

    fn property(&self, name: &str) -> Result<u64, BusError> {
        let value = self.db.property_int_value_cf(self.family(BLOCKS), name);
        value.map(Option::unwrap_or_default).map_err(|error| self.reading_failed(&error))
    }

    fn set_blocks_options(&self, options: &[(&str, &str)]) -> Result<(), BusError> {
        self.db.set_options_cf(self.family(BLOCKS), options).map_err(|error| self.writing_failed(&error))
    }

    /// Ends flushes and compactions, before closing. The log of writes keeps what they did not get to.
    pub fn stop_background_work(&self) {
        self.db.cancel_all_background_work(false);
    }

    /// Makes a reader see what the writer wrote since.
    pub fn catch_up(&self) -> Result<(), BusError> {
        self.db.try_catch_up_with_primary().map_err(|error| self.reading_failed(&error))
    }

    /// What an error while reading means.
    pub fn reading_failed(&self, error: &rocksdb::Error) -> BusError {
        BusError::Unavailable {
            operation: format!("read the embedded log in {}", self.directory.display()),
            message: error.to_string(),
        }
    }

    fn writing_failed(&self, error: &rocksdb::Error) -> BusError {
        let operation = format!("write the embedded log in {}", self.directory.display());
        failed(operation, error.as_ref())
    }
}

fn opening(directory: &Path) -> String {
    format!("open the embedded log in {}", directory.display())
}

fn fatal(operation: String, message: String) -> BusError {
    BusError::Fatal { operation, message }
}

/// Which part of the files to rewrite, the oldest first, if they hold this much and so much of it is garbage.
fn share_to_rewrite(bytes: u64, garbage: u64, room: u64) -> Option<f64> {
    let live = bytes.saturating_sub(garbage);
    if garbage == 0 || garbage < live || room == 0 {
        return None;
    }
    Some(if room >= live { 1.0 } else { room as f64 / bytes as f64 })
}

/// What an error of the disk means: one that is full may have space again.
fn failed(operation: String, text: &str) -> BusError {
    if text.to_lowercase().contains("no space") {
        let message = format!("disk full: {text}; free some space, it goes on by itself");
        return BusError::Unavailable { operation, message };
    }
    fatal(operation, format!("{text}; check the owner and the disk, then restart"))
}

/// A file lock ends with its process, however it ends, and names the holder to whoever comes second.
struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough: a child process that is just being started has it open, too.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

fn take_lock(directory: &Path) -> Result<Lock, BusError> {
    let failed = |error| failed(opening(directory), &format!("{LOCK_FILE} cannot be written: {error}"));
    let path = directory.join(LOCK_FILE);
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(fatal(opening(directory), held_by(&mut file))),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let pid = std::process::id().to_string();
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes())).map_err(failed)?;
    Ok(Lock(file))
}

fn held_by(file: &mut File) -> String {
    let mut pid = String::new();
    let holder = match file.read_to_string(&mut pid) {
        Ok(_) if pid == std::process::id().to_string() => format!("this process (pid {pid})"),
        Ok(_) if !pid.is_empty() => format!("the process with pid {pid}"),
        _ => "another process".to_owned(),
    };
    format!(
        "{holder} is writing to it, and only one can; stop that process, give this one a directory of its own, \
         or use a command that only reads"
    )
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_max_background_jobs(2);
    options.set_manifest_preallocation_size(MANIFEST_STEP_BYTES);
    options.set_skip_stats_update_on_db_open(true);
    options
}

fn families() -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    vec![
        ColumnFamilyDescriptor::new(META, small_family(&cache)),
        ColumnFamilyDescriptor::new(INDEX, small_family(&cache)),
        ColumnFamilyDescriptor::new(BLOCKS, blocks_family(&cache)),
    ]
}

fn small_family(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(SMALL_BUFFER_BYTES);
    options.set_arena_block_size(SMALL_ARENA_BYTES);
    options
}

/// Blocks go to blob files, so that compaction moves only their keys; they are compressed already.
fn blocks_family(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(BLOCKS_BUFFER_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_BYTES_MIN);
    options.set_blob_file_size(BLOB_FILE_BYTES);
    options.set_blob_compression_type(DBCompressionType::None);
    // Else each compaction would rewrite the oldest files, whether there is garbage in them or not.
    options.set_enable_blob_gc(false);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_rewritten_once_half_of_them_is_garbage_and_as_far_as_there_is_room() {
        let cases = [
            (0, 0, 1_000, None),
            (100, 0, 1_000, None),
            (100, 49, 1_000, None),
            (100, 50, 1_000, Some(1.0)),
            (100, 50, 50, Some(1.0)),
            (100, 50, 49, Some(0.49)),
            (100, 90, 5, Some(0.05)),
            (100, 90, 0, None),
        ];
        for (bytes, garbage, room, expected) in cases {
            assert_eq!(share_to_rewrite(bytes, garbage, room), expected, "{garbage} of {bytes}, {room} free");
        }
    }

    #[test]
    fn a_full_disk_passes_by_itself_and_all_else_needs_a_person() {
        let full = failed("open".to_owned(), "IO error: No space left on device");
        assert!(matches!(full, BusError::Unavailable { .. }), "{full}");
        let refused = failed("open".to_owned(), "IO error: Permission denied");
        assert!(matches!(refused, BusError::Fatal { .. }), "{refused}");
    }
}
