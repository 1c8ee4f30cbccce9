//! `dbintel state`: the stores of this machine, and how to fill or delete one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use dbintel_bus::{Bus, Committed};
use dbintel_config::Environment;
use dbintel_processors::engine::restore::{self, Progress, Restore};
use dbintel_processors::engine::store::{RocksStore, Store, StoreMemory};
use serde_json::json;

use crate::cli::{ConfigArgument, JsonArgument, StateChangeArguments, StateFilter};
use crate::clock;
use crate::failure::Failure;
use crate::output;
use crate::settings::{self, ProcessorGroup, Settings};
use crate::slot;

/// Memory for filling a store.
const STORE_BYTES: usize = 64 << 20;

/// A store on this machine.
struct Found {
    group: ProcessorGroup,
    slot: String,
    partition: u32,
    directory: PathBuf,
    /// The slot, which nobody can take while it is held; none when a process has it.
    slot_lock: Option<Rc<File>>,
}

impl Found {
    fn in_use(&self) -> bool {
        self.slot_lock.is_none()
    }

    /// Committed positions of the group on the store's partition.
    fn committed(&self, bus: &dyn Bus) -> Result<Vec<Committed>, Failure> {
        let mut committed = bus.committed(&self.group.name, &self.group.input_names()).map_err(Failure::runtime)?;
        committed.retain(|position| position.partition == self.partition);
        Ok(committed)
    }
}

/// Prints a line per store.
pub fn list(
    filter: &StateFilter,
    config: &ConfigArgument,
    json: JsonArgument,
    environment: &Environment,
) -> Result<(), Failure> {
    let settings = settings::load_to_look(config, environment)?.config;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    if !json.json {
        output::line(&line("GROUP", "SLOT", "PARTITION", "COMMIT", "MIB", "BEHIND", "NOTE"));
    }
    for found in find(&settings, filter)? {
        let place = RocksStore::look(&found.directory);
        let log = bus.offsets(&found.group.changelog(), found.partition).map_err(Failure::runtime)?;
        let bytes = size(&found.directory);
        let note = match &place {
            Err(error) => format!("cannot be read: {error}"),
            Ok(None) => "empty".to_owned(),
            Ok(Some(place)) if !place.lies_in(&log) => {
                "does not fit the changelog: it is filled anew at the next start".to_owned()
            }
            Ok(Some(_)) if found.in_use() => "in use; as it is on disk".to_owned(),
            Ok(Some(_)) => "-".to_owned(),
        };
        let commit = place.ok().flatten().map(|place| place.marker.commit_seq);
        let last = restore::committed_seq(found.committed(&*bus)?.iter());
        let behind = commit.map(|commit| last.saturating_sub(commit));
        let text = match json.json {
            true => json!({
                "group": found.group.name, "slot": found.slot, "partition": found.partition, "commit": commit, "bytes": bytes,
                "behind": behind, "in_use": found.in_use(), "directory": found.directory, "note": note,
            })
            .to_string(),
            false => line(
                &found.group.name,
                &found.slot,
                &found.partition.to_string(),
                &commit.map_or("-".to_owned(), |commit| commit.to_string()),
                &format!("{:.1}", bytes as f64 / f64::from(1 << 20)),
                &behind.map_or("-".to_owned(), |behind| behind.to_string()),
                &note,
            ),
        };
        output::line(&text);
    }
    Ok(())
}

fn line(group: &str, slot: &str, partition: &str, commit: &str, mebibytes: &str, behind: &str, note: &str) -> String {
    format!("{group:<24} {slot:>4} {partition:>9} {commit:>12} {mebibytes:>9} {behind:>10}  {note}")
}

/// Fills stores from the changelog, or says which.
pub fn rebuild(arguments: &StateChangeArguments, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    change(&settings, arguments, "fill anew", |found| fill(&*bus, found))
}

fn fill(bus: &dyn Bus, found: &Found) -> Result<String, Failure> {
    let began = clock::now();
    let store = RocksStore::open(&found.directory, &StoreMemory::new(STORE_BYTES)).map_err(Failure::runtime)?;
    store.wipe().map_err(Failure::runtime)?;
    let restore = Restore {
        bus,
        changelog: &found.group.changelog(),
        partition: found.partition,
        topics: &found.group.input_names(),
        committed: &found.committed(bus)?,
        batch_bytes: restore::BATCH_BYTES,
        progress: &Progress::default(),
    };
    let restored = restore.run(&store).map_err(Failure::runtime)?;
    store.persist().map_err(Failure::runtime)?;
    let seconds = Duration::as_secs_f64(&(clock::now() - began));
    Ok(format!("filled up to commit {} in {seconds:.1} s", restored.marker.commit_seq))
}

/// Deletes stores, or says which.
pub fn discard(arguments: &StateChangeArguments, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    change(&settings, arguments, "delete", |found| {
        fs::remove_dir_all(&found.directory).map_err(|error| in_place(&found.directory, &error))?;
        Ok("deleted".to_owned())
    })
}

/// Does something to the stores that nobody uses, and says what; without `--yes` it only says.
fn change(
    settings: &Settings,
    arguments: &StateChangeArguments,
    verb: &str,
    mut run: impl FnMut(&Found) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let all = find(settings, &arguments.filter)?;
    let (in_use, free): (Vec<&Found>, Vec<&Found>) = all.iter().partition(|found| found.in_use());
    for found in &free {
        let said = if arguments.yes { run(found)? } else { format!("would {verb}") };
        output::line(&format!("{} slot {} partition {}: {said}", found.group.name, found.slot, found.partition));
    }
    match (in_use.len(), free.len()) {
        (0, 0) => {
            let root = settings.service.state_directory.display();
            output::line(&format!("there is no such store below {root}"));
        }
        (0, _) if !arguments.yes => drop(output::line("nothing was changed: --yes does it")),
        (0, _) => {}
        (used, _) => {
            return Err(Failure::Runtime(format!(
                "{used} stores are in use and were left alone: stop the process of slot {} first",
                in_use[0].slot
            )));
        }
    }
    Ok(())
}

/// The stores below the state directory, in order.
fn find(settings: &Settings, filter: &StateFilter) -> Result<Vec<Found>, Failure> {
    let root = &settings.service.state_directory;
    let mut all = Vec::new();
    for slot in names(root, "slot-")?.into_iter().filter(|slot| filter.slot.as_ref().is_none_or(|only| only == slot)) {
        let slot_lock = slot::lock(root, &slot).map_err(Failure::runtime)?.map(Rc::new);
        for group in &settings.groups {
            let stores = root.join(format!("slot-{slot}")).join("processors").join(&group.name);
            let mut partitions: Vec<u32> = names(&stores, "")?.iter().filter_map(|name| name.parse().ok()).collect();
            partitions.sort_unstable();
            let wanted = partitions.into_iter().filter(|number| filter.partition.is_none_or(|only| only == *number));
            all.extend(wanted.map(|partition| {
                let directory = stores.join(partition.to_string());
                Found { group: group.clone(), slot: slot.clone(), partition, directory, slot_lock: slot_lock.clone() }
            }));
        }
    }
    Ok(all)
}

/// What stands behind a prefix in the names of a folder's entries, in order; nothing of a folder that is not there.
fn names(directory: &Path, prefix: &str) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| in_place(directory, &error))?,
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned())).collect();
    names.sort_unstable();
    Ok(names)
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

fn in_place(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Runtime(format!("{}: {error}", path.display()))
}
