//! `dbintel targets`: who polls each target, and how to make records count again that are taken for those of a stale owner.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dbintel_bus::registry::Registry as SchemaRegistry;
use dbintel_bus::{
    Bus, Framings, Isolation, Position, Publisher, ReaderSpec, Receive, Record as Read, Start, topic_name,
};
use dbintel_config::Environment;
use dbintel_pollers::sharing::{Entry, Register};
use dbintel_schemas::partition::partition_of;
use dbintel_schemas::records::{DEFINITIONS, RawPoll, Target};
use dbintel_schemas::rfc3339;
use dbintel_schemas::wire::{Framing, unframe};
use dbintel_schemas::{Record, TextMap, Topic};
use serde_json::{Map, Value, json};

use crate::cli::{ConfigArgument, JsonArgument, TargetsAdoptArguments};
use crate::clock;
use crate::failure::Failure;
use crate::output;
use crate::settings::{self, Settings};

/// Polls that are older say nothing about now.
const RECENT_MS: i64 = 120_000;
/// Longest wait for the log to tell everything.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Longest wait for the log to take a record.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);
const RECORDS: usize = 10_000;

/// Prints a line per target.
pub fn list(config: &ConfigArgument, json: JsonArgument, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(config, environment)?.config;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    let register = read_register(&*bus, &settings)?;
    let polls = read_polls(&*bus, &settings, Start::Time(clock::wall_ms() - RECENT_MS), None)?;
    if !json.json {
        output::line(&line(["TARGET", "OWNER", "EPOCH", "SINCE", "LAST POLL", "STATE", "LABELS"].map(str::to_owned)));
    }
    let configured = configured(&settings)?;
    let known = register.entries().map(|(target, _)| target.to_owned());
    let targets: BTreeSet<String> = configured.iter().cloned().chain(known).collect();
    for target in targets {
        let (entry, poll) = (register.get(&target), polls.newest.get(&target));
        let text = match json.json {
            true => to_json(&target, entry, poll, configured.contains(&target)).to_string(),
            false => line(cells(&target, entry, poll)),
        };
        output::line(&text);
    }
    Ok(())
}

/// Names of all targets of the configuration.
fn configured(settings: &Settings) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for poller in &settings.pollers {
        names.extend(poller.targets().map_err(Failure::Runtime)?.into_keys());
    }
    Ok(names)
}

fn cells(target: &str, entry: Option<&Entry>, poll: Option<&LastPoll>) -> [String; 7] {
    let dash = || "-".to_owned();
    let now = clock::wall_ms();
    let labels = entry.map(|entry| entry.labels.iter().map(|(name, value)| format!("{name}={value}")));
    [
        target.to_owned(),
        entry.and_then(|entry| entry.owner.clone()).unwrap_or_else(dash),
        entry.map_or_else(dash, |entry| entry.owner_epoch.to_string()),
        entry.map_or_else(dash, |entry| age(now - entry.updated_at / 1000)),
        poll.map_or_else(dash, |poll| age(now - poll.started_at / 1000)),
        poll.map_or_else(|| "not polled".to_owned(), LastPoll::state),
        labels.map_or_else(String::new, |labels| labels.collect::<Vec<_>>().join(",")),
    ]
}

fn to_json(target: &str, entry: Option<&Entry>, poll: Option<&LastPoll>, is_configured: bool) -> Value {
    let labels = |entry: &Entry| -> Map<String, Value> {
        entry.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect()
    };
    json!({
        "target": target,
        "configured": is_configured,
        "owner": entry.and_then(|entry| entry.owner.as_ref()),
        "owner_epoch": entry.map(|entry| entry.owner_epoch),
        "since": entry.map(|entry| rfc3339::format_ms(entry.updated_at / 1000)),
        "poller": entry.map(|entry| &entry.poller),
        "endpoint": entry.map(|entry| &entry.endpoint),
        "labels": entry.map(labels),
        "last_poll_at": poll.map(|poll| rfc3339::format_ms(poll.started_at / 1000)),
        "last_poll_outcome": poll.map(|poll| &poll.outcome),
        "last_poll_error": poll.map(|poll| &poll.error_class),
        "last_poll_owner_epoch": poll.map(|poll| poll.owner_epoch),
    })
}

fn line(cells: [String; 7]) -> String {
    let [target, owner, epoch, since, polled, state, labels] = cells;
    let line = format!("{target:<24} {owner:<40} {epoch:>12} {since:>8} {polled:>10}  {state:<18} {labels}");
    line.trim_end().to_owned()
}

/// A time span in its largest unit.
fn age(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Writes the highest epoch down that was ever seen of a target, or says what that would mean.
pub fn adopt(arguments: &TargetsAdoptArguments, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    if settings.bus.is_embedded() {
        return Err(Failure::Usage("on an embedded log one process owns all targets, without epochs".to_owned()));
    }
    let bus = super::open_to_write(&settings).map_err(Failure::runtime)?;
    let register = read_register(&*bus, &settings)?;
    let known = configured(&settings)?;
    for target in &arguments.targets {
        if register.get(target).is_none() && !known.contains(target) {
            return Err(Failure::Usage(format!(
                "there is no target `{target}`: neither the configuration nor the log knows it; `dbintel targets list` lists them"
            )));
        }
    }
    let partitions = arguments.targets.iter().map(|target| partition_of(target, settings.bus.partitions)).collect();
    let polls = read_polls(&*bus, &settings, Start::Beginning, Some(partitions))?;
    let producer = bus.producer().map_err(Failure::runtime)?;
    let publisher = Publisher::new(producer, framings(&settings)?, settings.bus.partitions);
    for target in &arguments.targets {
        let last = register.get(target).map_or(0, |entry| entry.owner_epoch);
        let highest = polls.highest.get(target).copied().unwrap_or(0).max(last);
        let would = if arguments.yes { "is" } else { "would be" };
        output::line(&format!(
            "{target}: the epoch of its owner is {last}, the highest on the log {highest}: the next {would} {}",
            highest + 1
        ));
        if arguments.yes {
            write(&publisher, target, register.get(target), highest)?;
        }
    }
    if !arguments.yes {
        output::line("nothing was written: --yes does it");
        return Ok(());
    }
    publisher.flush(FLUSH_TIMEOUT).map_err(Failure::runtime)
}

fn write(publisher: &Publisher, target: &str, entry: Option<&Entry>, owner_epoch: i64) -> Result<(), Failure> {
    let now = clock::wall_ms();
    let labels: Vec<(&str, &str)> = entry.map_or_else(Vec::new, |entry| {
        entry.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    });
    let text = |of: fn(&Entry) -> &str| entry.map_or("", of);
    let record = Target {
        target,
        poller: text(|entry| &entry.poller),
        engine: text(|entry| &entry.engine),
        endpoint: text(|entry| &entry.endpoint),
        labels: TextMap::from_slice(&labels),
        owner: None,
        owner_epoch,
        updated_at: now * 1000,
    };
    publisher.publish(&record, target, now).map_err(Failure::runtime)
}

/// How the records that are read here are framed.
fn framings(settings: &Settings) -> Result<Framings, Failure> {
    let Some(registry) = &settings.bus.registry else { return Ok(Framings::single_object()) };
    let registry = SchemaRegistry::new(registry).map_err(Failure::runtime)?;
    let mut framings = BTreeMap::new();
    for definition in DEFINITIONS.iter().filter(|one| [Topic::Targets, Topic::RawPolls].contains(&one.topic)) {
        let registered = registry.register(&topic_name(definition.topic), definition.schema);
        framings.insert(definition.topic, Framing::Confluent { schema_id: registered.map_err(Failure::runtime)? });
    }
    Ok(Framings::registered(framings))
}

fn read_register(bus: &dyn Bus, settings: &Settings) -> Result<Register, Failure> {
    let partitions: Vec<u32> = (0..settings.bus.partitions).collect();
    let mut register = Register::of(&framings(settings)?, &partitions);
    read(bus, Topic::Targets, &partitions, Start::Beginning, &mut register, Register::is_complete)?;
    Ok(register)
}

/// What a poll of a target said.
struct LastPoll {
    started_at: i64,
    outcome: String,
    error_class: Option<String>,
    owner_epoch: i64,
}

impl LastPoll {
    fn state(&self) -> String {
        self.error_class.as_ref().map_or_else(|| self.outcome.clone(), |class| format!("{}: {class}", self.outcome))
    }
}

/// The newest poll and the highest epoch of each target.
#[derive(Default)]
struct Polls {
    newest: BTreeMap<String, LastPoll>,
    highest: BTreeMap<String, i64>,
    open: BTreeSet<u32>,
}

impl Receive for Polls {
    fn record(&mut self, record: Read<'_>) {
        let datum = record.value.and_then(|value| unframe(value).ok());
        let Some(poll) = datum.and_then(|(_, datum)| RawPoll::decode(datum).ok()) else { return };
        let highest = self.highest.entry(poll.target.to_owned()).or_insert(poll.owner_epoch);
        *highest = poll.owner_epoch.max(*highest);
        let last = LastPoll {
            started_at: poll.started_at,
            outcome: poll.outcome.to_owned(),
            error_class: poll.error_class.map(str::to_owned),
            owner_epoch: poll.owner_epoch,
        };
        self.newest.insert(poll.target.to_owned(), last);
    }

    fn at_end(&mut self, _topic: usize, partition: u32, _next_offset: i64) {
        self.open.remove(&partition);
    }
}

fn read_polls(bus: &dyn Bus, settings: &Settings, start: Start, only: Option<Vec<u32>>) -> Result<Polls, Failure> {
    let partitions = only.unwrap_or_else(|| (0..settings.bus.partitions).collect());
    let mut polls = Polls { open: partitions.iter().copied().collect(), ..Polls::default() };
    let partitions: Vec<u32> = polls.open.iter().copied().collect();
    read(bus, Topic::RawPolls, &partitions, start, &mut polls, |polls| polls.open.is_empty())?;
    Ok(polls)
}

/// Reads partitions until they were seen at their end.
fn read<R: Receive>(
    bus: &dyn Bus,
    topic: Topic,
    partitions: &[u32],
    start: Start,
    receive: &mut R,
    is_complete: impl Fn(&R) -> bool,
) -> Result<(), Failure> {
    let topic = topic_name(topic);
    let position = |partition: &u32| Position { topic: topic.clone(), partition: *partition, start };
    let spec = ReaderSpec { partitions: partitions.iter().map(position).collect(), isolation: Isolation::Committed };
    let mut reader = bus.reader(&spec).map_err(Failure::runtime)?;
    let deadline = clock::now() + READ_TIMEOUT;
    while !is_complete(receive) {
        let records = reader.read(POLL_TIMEOUT, RECORDS, receive).map_err(Failure::runtime)?;
        if records == 0 && clock::now() > deadline {
            return Err(Failure::Runtime(format!(
                "{topic} was not read to its end within {} s",
                READ_TIMEOUT.as_secs()
            )));
        }
    }
    Ok(())
}
