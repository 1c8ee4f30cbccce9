//! Stores that fail, and that their process may not live to see written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use dbintel_bus::model::Fate;

use super::faults::{Operation, Random, Shaken};
use crate::engine::store::{MemoryStore, Place, Slice, Store, StoreBatch, StoreError, TableId};

/// The disks of all processes: stores by directory.
#[derive(Clone, Default)]
pub struct Disks(Arc<Mutex<BTreeMap<PathBuf, Arc<MemoryStore>>>>);

impl Disks {
    /// Opens a store, as the process that has its turn.
    pub fn open(&self, directory: &Path, faults: &Shaken) -> Result<Arc<dyn Store>, StoreError> {
        let open = || {
            let mut disks = self.0.lock().unwrap();
            Ok(Arc::clone(disks.entry(directory.to_owned()).or_default()))
        };
        let store = operate(faults, Operation::Open, open)?;
        Ok(Arc::new(Disk { store, faults: faults.clone() }))
    }

    /// What becomes of the stores of a process that was killed: all that it wrote is there, or what it had persisted, or nothing, or
    /// each partition has the store of another one.
    pub fn after_death(&self, directory: &Path, random: &mut Random) {
        let fate = random.below(5);
        if fate == 2 {
            let mut disks = self.0.lock().unwrap();
            let mut stores: Vec<_> = disks.iter_mut().filter(|(path, _)| path.starts_with(directory)).collect();
            if let Some(((_, first), rest)) = stores.split_first_mut() {
                rest.iter_mut().for_each(|(_, store)| std::mem::swap(*first, *store));
            }
            return;
        }
        for (_, store) in self.0.lock().unwrap().iter().filter(|(path, _)| path.starts_with(directory)) {
            match fate {
                0 => store.crash(),
                1 => store.wipe().unwrap(),
                _ => {}
            }
        }
    }
}

struct Disk {
    store: Arc<MemoryStore>,
    faults: Shaken,
}

fn operate<T>(
    faults: &Shaken,
    operation: Operation,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let fate = faults.fate_of(operation);
    let done = matches!(fate, Fate::Done | Fate::Killed).then(run).transpose()?;
    let failed = |name| StoreError {
        directory: PathBuf::new(),
        operation: name,
        message: "the disk is full".to_owned(),
        busy: false,
    };
    done.filter(|_| fate == Fate::Done).ok_or_else(|| failed("work"))
}

impl Store for Disk {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(table, key)
    }

    fn write(&self, batch: &StoreBatch, place: &Place) -> Result<(), StoreError> {
        operate(&self.faults, Operation::Write, || self.store.write(batch, place))
    }

    fn place(&self) -> Result<Option<Place>, StoreError> {
        self.store.place()
    }

    fn scan(&self, cursor: &[u8], bytes_max: usize) -> Result<Slice, StoreError> {
        self.store.scan(cursor, bytes_max)
    }

    fn persist(&self) -> Result<(), StoreError> {
        operate(&self.faults, Operation::Persist, || self.store.persist())
    }

    fn note(&self) -> Option<Vec<u8>> {
        self.store.note()
    }

    fn set_note(&self, note: &[u8]) {
        self.store.set_note(note);
    }

    fn wipe(&self) -> Result<(), StoreError> {
        operate(&self.faults, Operation::Wipe, || self.store.wipe())
    }
}
