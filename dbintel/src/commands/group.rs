//! `dbintel group`: where consumer groups stand, and how to move one that nobody is in.

use std::sync::Arc;
use std::time::Duration;

use dbintel_bus::{
    Bus, BusError, Committed, GroupSpec, Isolation, Outgoing, Polled, Position, ReaderSpec, Receive, Record, Start,
};
use dbintel_config::Environment;
use dbintel_processors::engine::changelog::{ChangeWriter, Checkpoint, Marker};
use dbintel_processors::engine::restore;
use dbintel_schemas::topics::PREFIX;
use serde_json::json;

use crate::cli::{ConfigArgument, GroupSeekArguments, JsonArgument};
use crate::clock;
use crate::failure::Failure;
use crate::output;
use crate::roles::Roles;
use crate::runtime::groups;
use crate::settings::{self, ProcessorGroup, Settings};
use crate::tap::start;

/// Longest wait for the partitions of a group that nobody is in: longer than a dead member is waited for.
const JOIN_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Longest wait for the first record of a time.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the member that moves positions.
const SLOT: &str = "operator";
/// Bytes that it may fetch: it wants none.
const FETCH_BYTES: usize = 1 << 20;

/// Prints a line per group, topic and partition that has a position.
pub fn show(config: &ConfigArgument, json: JsonArgument, environment: &Environment) -> Result<(), Failure> {
    let settings = settings::load_to_look(config, environment)?.config;
    let bus = super::open_to_read(&settings).map_err(Failure::runtime)?;
    if !json.json {
        output::line(&line("GROUP", "TOPIC", "PARTITION", "POSITION", "START", "END", "BEHIND", "NOTE"));
    }
    for (group, topics) in groups(Roles::ALL, &settings) {
        for committed in bus.committed(&group, &topics).map_err(Failure::runtime)? {
            let log = bus.offsets(&committed.topic, committed.partition).map_err(Failure::runtime)?;
            let behind = (log.stable_end - committed.next_offset).max(0);
            let note = match committed.next_offset {
                next if next < log.start => format!("{} offsets in front of it were deleted", log.start - next),
                next if next > log.end => "beyond the end: the topic was made anew, or replaced".to_owned(),
                _ if committed.metadata.is_empty() => "-".to_owned(),
                _ => format!("commit {}", committed.metadata.split(':').next().unwrap_or_default()),
            };
            let topic = committed.topic.trim_start_matches(PREFIX);
            let text = match json.json {
                true => json!({
                    "group": group, "topic": topic, "partition": committed.partition,
                    "position": committed.next_offset, "start": log.start, "end": log.stable_end, "behind": behind,
                    "metadata": committed.metadata, "note": note,
                })
                .to_string(),
                false => {
                    let numbers =
                        [i64::from(committed.partition), committed.next_offset, log.start, log.stable_end, behind];
                    let [partition, position, start, end, behind] = numbers.map(|number| number.to_string());
                    line(&group, topic, &partition, &position, &start, &end, &behind, &note)
                }
            };
            output::line(&text);
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the cells of a row")]
fn line(
    group: &str,
    topic: &str,
    partition: &str,
    at: &str,
    start: &str,
    end: &str,
    behind: &str,
    note: &str,
) -> String {
    format!("{group:<24} {topic:<18} {partition:>9} {at:>12} {start:>12} {end:>12} {behind:>10}  {note}")
}

/// Where a group is to go on.
enum Goal {
    State,
    Start(Start),
}

/// Moves the positions of a group, or says what that would mean.
pub fn seek(arguments: &GroupSeekArguments, environment: &Environment) -> Result<(), Failure> {
    let goal = parse_goal(&arguments.to)?;
    let settings = settings::load_to_look(&arguments.config, environment)?.config;
    let topics = topics_of(&arguments.group, &settings)?;
    let bus = match arguments.yes {
        true => super::open_to_write(&settings).map_err(Failure::runtime)?,
        false => super::open_to_read(&settings).map_err(Failure::runtime)?,
    };
    let changelog = changelog_of(&arguments.group, &settings);
    let Plan { moves, lost, commits } = plan(&*bus, arguments, &goal, &topics, changelog.as_deref())?;
    for (partition, commit_seq) in &lost {
        output::line(&format!(
            "partition {partition}: the changelog holds no commit, its state is gone; it {} anew after commit {commit_seq}, \
             each statement with a baseline",
            if arguments.yes { "begins" } else { "would begin" },
        ));
    }
    for (from, to) in moves.iter().filter(|(_, to)| lost.iter().all(|(partition, _)| *partition != to.partition)) {
        output::line(&say(from.as_ref(), to, arguments.yes));
    }
    if moves.is_empty() {
        output::line("there is nothing to move");
    } else if arguments.yes {
        let positions: Vec<Committed> = moves.into_iter().map(|(_, to)| to).collect();
        commit(&bus, &arguments.group, &topics, changelog, &positions, &commits)?;
        output::line(&format!("moved {} positions of {}", positions.len(), arguments.group));
    } else {
        output::line("nothing was moved: --yes does it");
    }
    Ok(())
}

fn parse_goal(text: &str) -> Result<Goal, Failure> {
    if text == "state" {
        return Ok(Goal::State);
    }
    if let Ok(offset) = text.parse::<u32>() {
        return Ok(Goal::Start(Start::Offset(i64::from(offset))));
    }
    start::parse(text, clock::wall_ms()).map(Goal::Start).map_err(Failure::Usage)
}

/// All topics of the group: a member reads all of them.
pub(super) fn topics_of(group: &str, settings: &Settings) -> Result<Vec<String>, Failure> {
    let all = groups(Roles::ALL, settings);
    let found = all.iter().find(|(name, _)| *name == group).map(|(_, topics)| topics.clone());
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
        Failure::Usage(format!("the configuration has no group {group}; there are: {}", names.join(", ")))
    })
}

/// What a seek does.
#[derive(Default)]
struct Plan {
    /// Each position that moves, as it is and as it will be.
    moves: Vec<(Option<Committed>, Committed)>,
    /// Partitions whose changelog holds no commit any more, with the one that the positions belong to.
    lost: Vec<(u32, u64)>,
    /// Of each partition of processors that moves: a commit without changes for its changelog. It names the new positions, and offsets
    /// that this log has, whatever cluster the changelog comes from.
    commits: Vec<(u32, Marker)>,
}

/// What has to move.
fn plan(
    bus: &dyn Bus,
    arguments: &GroupSeekArguments,
    goal: &Goal,
    topics: &[String],
    changelog: Option<&str>,
) -> Result<Plan, Failure> {
    let committed = bus.committed(&arguments.group, topics).map_err(Failure::runtime)?;
    let only = arguments.topic.as_ref().map(|topic| topic.trim_start_matches(PREFIX));
    let mut plan = Plan::default();
    for partition in 0..super::partitions_of(bus, &topics[0])? {
        if arguments.partition.is_some_and(|only| only != partition) {
            continue;
        }
        let at: Vec<&Committed> = committed.iter().filter(|position| position.partition == partition).collect();
        let mut marker = match changelog {
            Some(changelog) => last_commit(bus, changelog, partition, goal, &at, &mut plan)?,
            None => None,
        };
        let metadata = marker.as_ref().map(restore::metadata).unwrap_or_default();
        let before = plan.moves.len();
        for topic in topics {
            if only.is_some_and(|only| only != topic.trim_start_matches(PREFIX)) {
                continue;
            }
            let next_offset = match goal {
                Goal::Start(start) => Some(resolve(bus, topic, partition, *start).map_err(Failure::runtime)?),
                Goal::State => marker.as_ref().and_then(|marker| position_in(marker, topic)),
            };
            let from = at.iter().find(|of| of.topic == *topic).copied().cloned();
            let Some(next_offset) = next_offset else { continue };
            let to = Committed { topic: topic.clone(), partition, next_offset, metadata: metadata.clone() };
            if from.as_ref() != Some(&to) {
                plan.moves.push((from, to));
            }
        }
        if let (Some(marker), true) = (&mut marker, plan.moves.len() > before) {
            for (_, to) in &plan.moves[before..] {
                marker.positions.retain(|(topic, _)| *topic != to.topic);
                marker.positions.push((to.topic.clone(), to.next_offset));
            }
            plan.commits.push((partition, marker.clone()));
        }
    }
    Ok(plan)
}

/// The last commit of a partition's state, as one that a checkpoint begins anew after; if the changelog has lost it, the one that
/// the positions belong to. None if there was none ever.
fn last_commit(
    bus: &dyn Bus,
    changelog: &str,
    partition: u32,
    goal: &Goal,
    at: &[&Committed],
    plan: &mut Plan,
) -> Result<Option<Marker>, Failure> {
    let restore_from = bus.offsets(changelog, partition).map_err(Failure::runtime)?.start;
    let checkpoint = Checkpoint { restore_from, ..Checkpoint::default() };
    if let Some(place) = restore::last_commit(bus, changelog, partition).map_err(Failure::runtime)? {
        let lies_beyond = |(topic, next): &(String, i64)| Ok(*next > bus.offsets(topic, partition)?.end);
        let beyond = place.marker.positions.iter().map(lies_beyond).collect::<Result<Vec<bool>, BusError>>();
        let is_elsewhere = place.is_of_a_copy() || beyond.map_err(Failure::runtime)?.contains(&true);
        if matches!(goal, Goal::State) && is_elsewhere {
            return Err(Failure::Usage(format!(
                "{changelog} partition {partition} names positions that are not there: it was copied from another cluster, or \
                 its inputs were made anew; give a place of this one, such as --to 2026-01-31T12:00:00Z"
            )));
        }
        return Ok(Some(Marker { checkpoint, ..place.marker }));
    }
    let commit_seq = restore::committed_seq(at.iter().copied());
    if commit_seq == 0 {
        return Ok(None);
    }
    plan.lost.push((partition, commit_seq));
    let positions = at.iter().map(|position| (position.topic.clone(), position.next_offset)).collect();
    Ok(Some(Marker { commit_seq, positions, checkpoint }))
}

fn position_in(marker: &Marker, topic: &str) -> Option<i64> {
    marker.positions.iter().find(|(name, _)| name == topic).map(|(_, next_offset)| *next_offset)
}

/// Where the state of processors is; sinks have none.
fn changelog_of(group: &str, settings: &Settings) -> Option<String> {
    settings.groups.iter().find(|of| of.name == group).map(ProcessorGroup::changelog)
}

/// The offset that a start means.
fn resolve(bus: &dyn Bus, topic: &str, partition: u32, start: Start) -> Result<i64, BusError> {
    let log = bus.offsets(topic, partition)?;
    match start {
        Start::Beginning => return Ok(log.start),
        Start::End => return Ok(log.stable_end),
        Start::Offset(offset) => return Ok(offset.clamp(log.start, log.end)),
        Start::Time(_) => {}
    }
    let partitions = vec![Position { topic: topic.to_owned(), partition, start }];
    let mut reader = bus.reader(&ReaderSpec { partitions, isolation: Isolation::Committed })?;
    let deadline = clock::now() + RESOLVE_TIMEOUT;
    let mut first = First(None);
    while first.0.is_none() && clock::now() < deadline {
        reader.read(POLL_TIMEOUT, 1, &mut first)?;
    }
    Ok(first.0.unwrap_or(log.stable_end))
}

/// The first offset that is heard of.
struct First(Option<i64>);

impl Receive for First {
    fn record(&mut self, record: Record<'_>) {
        self.0.get_or_insert(record.offset);
    }

    fn at_end(&mut self, _: usize, _: u32, next_offset: i64) {
        self.0.get_or_insert(next_offset);
    }
}

fn say(from: Option<&Committed>, to: &Committed, is_done: bool) -> String {
    let verb = if is_done { "moves" } else { "would move" };
    let place = format!("{} partition {}", to.topic.trim_start_matches(PREFIX), to.partition);
    let Some(from) = from else { return format!("{place} {verb} to {} from nowhere", to.next_offset) };
    let means = match to.next_offset - from.next_offset {
        0 => format!("stays, for commit {} instead of {}", commit_of(to), commit_of(from)),
        more if more > 0 => format!("{more} offsets would never be processed"),
        fewer => format!("{} offsets come again", -fewer),
    };
    format!("{place} {verb} from {} to {}: {means}", from.next_offset, to.next_offset)
}

fn commit_of(position: &Committed) -> &str {
    position.metadata.split(':').next().filter(|commit| !commit.is_empty()).unwrap_or("none")
}

/// Commits positions as the only member of the group.
fn commit(
    bus: &Arc<dyn Bus>,
    group: &str,
    topics: &[String],
    changelog: Option<String>,
    positions: &[Committed],
    commits: &[(u32, Marker)],
) -> Result<(), Failure> {
    let spec = GroupSpec {
        group: group.to_owned(),
        topics: topics.to_vec(),
        changelog: changelog.clone(),
        slot: SLOT.into(),
        fetch_bytes_max: FETCH_BYTES,
    };
    let all = super::partitions_of(&**bus, &topics[0])?;
    let mut member = bus.join(&spec).map_err(Failure::runtime)?;
    let deadline = clock::now() + JOIN_TIMEOUT;
    let owned = loop {
        match member.poll(POLL_TIMEOUT, 1, &mut |_: Record<'_>| {}).map_err(Failure::runtime)? {
            Polled::Assigned(owned) => break owned,
            Polled::Revoked { .. } => member.release().map_err(Failure::runtime)?,
            Polled::Records(_) if clock::now() > deadline => break Vec::new(),
            Polled::Records(_) => {}
        }
    };
    let committed = if owned.len() as u32 == all {
        for (partition, marker) in commits {
            let mut changes = ChangeWriter::default();
            changes.begin(marker.commit_seq);
            for part in changes.finish(marker) {
                let topic = changelog.as_deref().unwrap_or_default();
                let (partition, timestamp, value) = (*partition, clock::wall_ms(), Some(&*part));
                let record = Outgoing { topic, partition, timestamp, key: None, value, headers: &[] };
                member.send(record).map_err(|error| Failure::Runtime(format!("{topic}: {error}")))?;
            }
        }
        Some(member.commit(positions))
    } else {
        None
    };
    member.close().map_err(Failure::runtime)?;
    match committed {
        Some(committed) => committed.map(|_| ()).map_err(Failure::runtime),
        None => Err(Failure::Runtime(format!(
            "somebody is in the group {group}: stop its processes, and wait until they have left"
        ))),
    }
}
