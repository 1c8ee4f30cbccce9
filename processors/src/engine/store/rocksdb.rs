//! A store on disk: one RocksDB per task, without write-ahead log, since the changelog is one.
//!
//! One column family and no log make the order in the memtable the order of the commits, so that after a crash the disk
//! holds a prefix of the batches, each with its [`Place`].

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, Cache, DB, ErrorKind, IngestExternalFileOptions, Options, SstFileWriter, WriteBatch,
    WriteBufferManager, WriteOptions,
};

use crate::engine::changelog::Marker;

use super::{OpenStore, Place, Slice, Store, StoreBatch, StoreError, TableId, full_key};

/// Key of the [`Place`]: table 0 is nobody's.
const PLACE: &[u8] = &[0; 8];

/// File with the note.
const NOTE: &str = "note";

/// Batches of this size go to a file of their own.
const FILE_BYTES_MIN: usize = 256 << 10;

/// That file, until the store has taken it in.
const INCOMING: &str = "incoming";

/// File in the directory of a store in which something could not be read.
const DAMAGED: &str = "DAMAGED";

/// Memory that all stores of a process share.
#[derive(Clone)]
pub struct StoreMemory {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl StoreMemory {
    /// `bytes` for block caches and write buffers together.
    pub fn new(bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(bytes);
        // Never stalls: with many stores far below their own flush trigger a stall would be for ever.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Self { cache, write_buffers }
    }

    /// Stores on disk that share this memory.
    pub fn stores(self) -> OpenStore {
        Box::new(move |directory| Ok(Arc::new(RocksStore::open(directory, &self)?)))
    }
}

impl Place {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.changelog_next.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.marker.commit_seq.to_le_bytes());
        bytes.extend_from_slice(&self.marker.encode());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (next, rest) = bytes.split_first_chunk::<8>()?;
        let (commit_seq, marker) = rest.split_first_chunk::<8>()?;
        let marker = Marker::decode(u64::from_le_bytes(*commit_seq), marker).ok()?;
        Some(Self { changelog_next: i64::from_le_bytes(*next), marker })
    }
}

/// A store in a directory.
pub struct RocksStore {
    db: DB,
    note: Option<File>,
    file_options: Options,
    directory: PathBuf,
}

impl RocksStore {
    /// Opens the directory, creating it when it is missing. One that is damaged is emptied: the changelog has everything.
    pub fn open(directory: &Path, memory: &StoreMemory) -> Result<Self, StoreError> {
        let open = || DB::open(&options(memory), directory);
        std::fs::create_dir_all(directory).map_err(|error| unusable(directory, "create", &error))?;
        if directory.join(DAMAGED).exists() {
            empty(directory)?;
        }
        let opened = match open() {
            Err(error) if error.kind() == ErrorKind::Corruption => {
                tracing::warn!(%error, "the state on disk is damaged; filling it anew from the changelog");
                empty(directory)?;
                open()
            }
            opened => opened,
        };
        let db = opened.map_err(|error| failure(directory, "open", &error))?;
        let note = File::options().write(true).create(true).truncate(false).open(directory.join(NOTE)).ok();
        Ok(Self { db, note, file_options: options(memory), directory: directory.to_path_buf() })
    }

    /// The place of the store in a directory, as it is on disk; another process may have it open.
    pub fn look(directory: &Path) -> Result<Option<Place>, StoreError> {
        let db = DB::open_for_read_only(&Options::default(), directory, false)
            .map_err(|error| failure(directory, "open", &error))?;
        let bytes = db.get(PLACE).map_err(|error| failure(directory, "read", &error))?;
        Ok(bytes.and_then(|bytes| Place::from_bytes(&bytes)))
    }

    fn failed(&self, operation: &'static str) -> impl Fn(rocksdb::Error) -> StoreError {
        move |error| {
            if error.kind() == ErrorKind::Corruption {
                // What cannot be read now was not noticed by opening it, and would not be the next time.
                drop(std::fs::write(self.directory.join(DAMAGED), error.to_string()));
            }
            failure(&self.directory, operation, &error)
        }
    }
}

impl RocksStore {
    fn write_entries(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        for (key, value) in batch.iter() {
            match value {
                Some(value) => writes.put(key, value),
                None => writes.delete(key),
            }
        }
        writes.put(PLACE, place.to_bytes());
        let mut without_log = WriteOptions::default();
        without_log.disable_wal(true);
        self.db.write_opt(writes, &without_log).map_err(self.failed("write"))
    }

    /// Writes a sorted file and has RocksDB take it in: less work than a way through the memtable, and durable at once.
    /// What is in the memtable goes to disk before it, since the place is in both.
    fn write_file(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError> {
        let path = self.directory.join(INCOMING);
        let mut entries: Vec<_> = batch.iter().collect();
        // Stable: of several entries of one key the last one counts.
        entries.sort_by_key(|(key, _)| *key);
        let mut file = SstFileWriter::create(&self.file_options);
        let written = file.open(&path).and_then(|()| {
            file.put(PLACE, place.to_bytes())?;
            for same in entries.chunk_by(|(one, _), (other, _)| one == other) {
                match same[same.len() - 1] {
                    (key, Some(value)) => file.put(key, value)?,
                    (key, None) => file.delete(key)?,
                }
            }
            file.finish()
        });
        written.map_err(self.failed("write a file of"))?;
        let mut moved = IngestExternalFileOptions::default();
        moved.set_move_files(true);
        self.db.ingest_external_file_opts(&moved, vec![&path]).map_err(self.failed("take in a file of"))
    }
}

fn empty(directory: &Path) -> Result<(), StoreError> {
    std::fs::remove_dir_all(directory)
        .and_then(|()| std::fs::create_dir_all(directory))
        .map_err(|error| unusable(directory, "empty", &error))
}

fn failure(directory: &Path, operation: &'static str, error: &rocksdb::Error) -> StoreError {
    let message = error.to_string();
    let busy = error.kind() == ErrorKind::IOError && message.contains("lock");
    StoreError { directory: directory.to_path_buf(), operation, message, busy }
}

fn unusable(directory: &Path, operation: &'static str, error: &std::io::Error) -> StoreError {
    StoreError { directory: directory.to_path_buf(), operation, message: error.to_string(), busy: false }
}

fn options(memory: &StoreMemory) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_manager(&memory.write_buffers);
    options.set_write_buffer_size(8 << 20);
    options.set_max_write_buffer_number(2);
    // Most look-ups are of keys that are new.
    options.set_memtable_prefix_bloom_ratio(0.05);
    options.set_memtable_whole_key_filtering(true);
    options.set_arena_block_size(64 << 10);
    options.set_max_open_files(64);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_max_background_jobs(2);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_skip_stats_update_on_db_open(true);
    options
}

impl Store for RocksStore {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut full = Vec::with_capacity(8 + key.len());
        full_key(table, key, &mut full);
        self.db.get(full).map_err(self.failed("read"))
    }

    fn write(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError> {
        if batch.bytes() >= FILE_BYTES_MIN { self.write_file(batch, place) } else { self.write_entries(batch, place) }
    }

    fn place(&self) -> Result<Option<Place>, StoreError> {
        let bytes = self.db.get(PLACE).map_err(self.failed("read"))?;
        Ok(bytes.and_then(|bytes| Place::from_bytes(&bytes)))
    }

    fn scan(&self, cursor: &[u8], bytes_max: usize) -> Result<Slice, StoreError> {
        let from = if cursor.is_empty() { PLACE } else { cursor };
        let mut slice = Slice::default();
        let mut entries = self.db.raw_iterator();
        entries.seek(from);
        while slice.bytes() < bytes_max
            && let Some((key, value)) = entries.item()
        {
            if key != from {
                slice.push(key, value);
            }
            entries.next();
        }
        entries.status().map_err(self.failed("scan"))?;
        Ok(slice)
    }

    fn persist(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(self.failed("flush"))
    }

    fn note(&self) -> Option<Vec<u8>> {
        std::fs::read(self.directory.join(NOTE)).ok()
    }

    fn set_note(&self, note: &[u8]) {
        let written = match &self.note {
            Some(file) => file.write_all_at(note, 0),
            None => return,
        };
        if let Err(error) = written {
            tracing::debug!(%error, directory = %self.directory.display(), "the note beside the state was not written");
        }
    }

    fn wipe(&self) -> Result<(), StoreError> {
        let mut writes = WriteBatch::default();
        writes.delete_range(PLACE, &[0xff; 9][..]);
        let mut without_log = WriteOptions::default();
        without_log.disable_wal(true);
        self.db.write_opt(writes, &without_log).map_err(self.failed("wipe"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: TableId = TableId(3);

    fn batch(entries: &[(&[u8], &[u8])]) -> StoreBatch {
        let mut batch = StoreBatch::default();
        for (key, value) in entries {
            batch.put(TABLE, key, |out| out.extend_from_slice(value));
        }
        batch
    }

    fn place(changelog_next: i64) -> Place {
        Place { changelog_next, marker: Marker { commit_seq: changelog_next as u64, ..Marker::default() } }
    }

    /// What a crash at this moment leaves.
    fn after_a_crash(directory: &Path, memory: &StoreMemory) -> (tempfile::TempDir, RocksStore) {
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(directory).unwrap().flatten().filter(|entry| entry.file_name() != "LOCK") {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let store = RocksStore::open(copy.path(), memory).unwrap();
        (copy, store)
    }

    #[test]
    fn a_crash_leaves_a_prefix_of_the_batches_however_each_was_written() {
        let (directory, memory) = (tempfile::tempdir().unwrap(), StoreMemory::new(8 << 20));
        let store = RocksStore::open(directory.path(), &memory).unwrap();
        let large = vec![7; FILE_BYTES_MIN];
        store.write(&batch(&[(b"small", b"1")]), &place(1)).unwrap();
        let mut twice = batch(&[(b"large", b"an earlier value"), (b"gone", b"x"), (b"large", &large)]);
        twice.delete(TABLE, b"gone");
        store.write(&twice, &place(2)).unwrap();
        store.write(&batch(&[(b"small", b"3")]), &place(3)).unwrap();

        let (_copy, crashed) = after_a_crash(directory.path(), &memory);
        assert_eq!(
            crashed.place().unwrap(),
            Some(place(2)),
            "the file was written, the entries after it were in memory"
        );
        assert_eq!(
            crashed.get(TABLE, b"small").unwrap().as_deref(),
            Some(&b"1"[..]),
            "what came before the file is there"
        );
        assert_eq!(crashed.get(TABLE, b"large").unwrap(), Some(large.clone()));
        assert_eq!(crashed.get(TABLE, b"gone").unwrap(), None);
        assert_eq!((store.place().unwrap(), store.scan(&[], usize::MAX).unwrap().len()), (Some(place(3)), 2));

        store.wipe().unwrap();
        store.write(&batch(&[(b"new", &large)]), &place(4)).unwrap();
        let (_copy, crashed) = after_a_crash(directory.path(), &memory);
        assert_eq!(crashed.place().unwrap(), Some(place(4)));
        let keys: Vec<Vec<u8>> =
            crashed.scan(&[], usize::MAX).unwrap().iter().map(|(key, _)| key[8..].to_vec()).collect();
        assert_eq!(keys, [b"new"], "what was wiped does not come back");
    }

    #[test]
    fn a_note_outlives_the_store_that_wrote_it() {
        let (directory, memory) = (tempfile::tempdir().unwrap(), StoreMemory::new(8 << 20));
        let store = RocksStore::open(directory.path(), &memory).unwrap();
        store.set_note(b"a note");
        store.wipe().unwrap();
        drop(store);
        assert_eq!(RocksStore::open(directory.path(), &memory).unwrap().note().as_deref(), Some(&b"a note"[..]));
    }
}
