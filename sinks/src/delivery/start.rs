//! Where the reading of a partition begins, and what that leaves out.

use std::collections::HashMap;
use std::time::Duration;

use dbintel_bus::{Bus, BusError, Committed, Isolation, Offsets, Position, ReaderSpec, Receive, Record, Start};
use dbintel_config::{Section, parse_duration};

use super::sink::StartAt;
use crate::clock;

/// Key of the setting.
const KEY: &str = "start_at";
/// Longest time to find the offsets that belong to a time.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a record meanwhile.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// Records taken at once meanwhile.
const READ_RECORDS_MAX: usize = 1000;

/// Where a sink begins that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStart {
    /// At what is written from now on.
    Now,
    /// At the first record kept.
    Beginning,
    /// At the records of so long ago.
    Ago(Duration),
}

impl Default for FirstStart {
    /// 5 minutes ago.
    fn default() -> Self {
        FirstStart::Ago(Duration::from_secs(300))
    }
}

impl FirstStart {
    /// Reads the setting `start_at`.
    pub fn read(section: &mut Section) -> FirstStart {
        let doc = "Where it begins when it has never run: now, beginning, or how long ago.";
        match section.doc(doc).text(KEY, "5m").as_str() {
            "now" => FirstStart::Now,
            "beginning" => FirstStart::Beginning,
            text => parse_duration(text).map(FirstStart::Ago).unwrap_or_else(|| {
                section.problem(KEY, "expected `now`, `beginning` or a duration such as `5m`");
                FirstStart::default()
            }),
        }
    }
}

/// Where a partition of a topic is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// The position that was committed; none for a sink that begins anew.
    pub committed: Option<i64>,
    /// Offset to read first.
    pub read_from: i64,
    /// What lies before is settled: it is committed before anything is read, so that a restart begins here too.
    pub settled: i64,
    /// Offsets that retention deleted before they were delivered; marks of transactions count as well.
    pub expired: i64,
    /// Offsets that are kept and will not be read.
    pub passed_over: i64,
}

/// Decides where a partition is begun. `entry` is the offset at which one without a position is entered, or at which a
/// store in memory is filled from.
pub fn start_of(committed: Option<i64>, log: Offsets, entry: i64, start_at: StartAt) -> Beginning {
    // A position past the end is of a log that is no more.
    let committed = committed.filter(|position| *position <= log.end);
    let kept = committed.map(|position| position.max(log.start));
    let entry = entry.min(log.end).max(log.start);
    let read_from = match (start_at, kept) {
        (StartAt::Committed, Some(kept)) => kept,
        (StartAt::Committed, None) | (StartAt::Ago(_), _) => entry,
    };
    let settled = read_from.max(kept.unwrap_or(read_from));
    let expired = kept.zip(committed).map_or(0, |(kept, committed)| kept - committed);
    Beginning { committed, read_from, settled, expired, passed_over: settled - kept.unwrap_or(log.start) }
}

/// How a sink starts: by its kind, and by its settings.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What its kind asks for.
    pub start_at: StartAt,
    /// What the user asks for.
    pub first: FirstStart,
}

/// A partition of a topic before it is begun.
struct Place<'t> {
    topic: usize,
    name: &'t str,
    partition: u32,
    committed: Option<i64>,
    log: Offsets,
}

/// Where each topic of each partition is begun.
pub fn survey(
    bus: &dyn Bus,
    topics: &[String],
    partitions: &[u32],
    committed: &[Committed],
    policy: Policy,
) -> Result<Vec<(usize, u32, Beginning)>, BusError> {
    let mut places = Vec::new();
    for &partition in partitions {
        for (topic, name) in topics.iter().enumerate() {
            let log = bus.offsets(name, partition)?;
            let committed = committed_offset(committed, name, partition);
            places.push(Place { topic, name, partition, committed, log });
        }
    }
    let entries = entries(bus, &places, policy)?;
    let begin = |(place, entry): (&Place<'_>, i64)| {
        let beginning = start_of(place.committed, place.log, entry, policy.start_at);
        (place.topic, place.partition, beginning)
    };
    Ok(places.iter().zip(entries).map(begin).collect())
}

/// The offset at which each place is entered. Times are only looked up where they are needed.
fn entries(bus: &dyn Bus, places: &[Place<'_>], policy: Policy) -> Result<Vec<i64>, BusError> {
    let age = match (policy.start_at, policy.first) {
        (StartAt::Ago(age), _) | (StartAt::Committed, FirstStart::Ago(age)) => age,
        (StartAt::Committed, FirstStart::Now) => return Ok(places.iter().map(|place| place.log.stable_end).collect()),
        (StartAt::Committed, FirstStart::Beginning) => return Ok(places.iter().map(|place| place.log.start).collect()),
    };
    let asks = |place: &&Place<'_>| {
        policy.start_at != StartAt::Committed || place.committed.is_none_or(|position| position > place.log.end)
    };
    let asked: Vec<&Place<'_>> = places.iter().filter(asks).collect();
    let time = (clock::wall_us() / 1000 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX)).max(0);
    let found = offsets_at(bus, &asked, time)?;
    let entry = |place: &Place<'_>| found.get(&(place.topic, place.partition)).copied().unwrap_or(place.log.start);
    Ok(places.iter().map(entry).collect())
}

/// The first offset of this time (ms since the epoch) or a later one, by topic and partition: a reader that starts there
/// tells it with its first record, or with the end.
fn offsets_at(bus: &dyn Bus, places: &[&Place<'_>], time: i64) -> Result<HashMap<(usize, u32), i64>, BusError> {
    let position = |place: &&Place<'_>| Position {
        topic: place.name.to_owned(),
        partition: place.partition,
        start: Start::Time(time),
    };
    let spec = ReaderSpec { partitions: places.iter().map(position).collect(), isolation: Isolation::Committed };
    let mut firsts = Firsts::default();
    if !places.is_empty() {
        let (mut reader, started) = (bus.reader(&spec)?, clock::now());
        while firsts.0.len() < places.len() {
            if clock::now().duration_since(started) > LOOK_UP_LIMIT {
                let message = format!("{} of {} partitions answered in time", firsts.0.len(), places.len());
                return Err(BusError::Unavailable { operation: "look up offsets by time".to_owned(), message });
            }
            reader.read(READ_TIMEOUT, READ_RECORDS_MAX, &mut firsts)?;
        }
    }
    let topics = spec.topics();
    let offset = |place: &&Place<'_>| {
        let topic = topics.iter().position(|topic| topic == place.name)?;
        Some(((place.topic, place.partition), *firsts.0.get(&(topic, place.partition))?))
    };
    Ok(places.iter().filter_map(offset).collect())
}

/// The first offset that a reader tells of each partition.
#[derive(Default)]
struct Firsts(HashMap<(usize, u32), i64>);

impl Receive for Firsts {
    fn record(&mut self, record: Record<'_>) {
        self.0.entry((record.topic, record.partition)).or_insert(record.offset);
    }

    fn at_end(&mut self, topic: usize, partition: u32, next_offset: i64) {
        self.0.entry((topic, partition)).or_insert(next_offset);
    }
}

fn committed_offset(committed: &[Committed], topic: &str, partition: u32) -> Option<i64> {
    let is_it = |position: &&Committed| position.topic == topic && position.partition == partition;
    committed.iter().find(is_it).map(|position| position.next_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Offsets = Offsets { start: 100, stable_end: 900, end: 1000 };
    const FILL: StartAt = StartAt::Ago(Duration::from_secs(60));

    #[test]
    fn a_partition_is_begun_where_the_position_and_the_log_allow() {
        let cases = [
            // Position, entry, and then: read from, settled, expired, passed over.
            (StartAt::Committed, Some(500), 900, (500, 500, 0, 0)),
            (StartAt::Committed, Some(100), 900, (100, 100, 0, 0)),
            (StartAt::Committed, Some(40), 900, (100, 100, 60, 0)),
            (StartAt::Committed, Some(1000), 900, (1000, 1000, 0, 0)),
            (StartAt::Committed, None, 100, (100, 100, 0, 0)),
            (StartAt::Committed, None, 700, (700, 700, 0, 600)),
            (StartAt::Committed, None, 20, (100, 100, 0, 0)),
            // Of a log that was replaced by a shorter one.
            (StartAt::Committed, Some(5000), 700, (700, 700, 0, 600)),
            // A store in memory is filled from the entry, whatever was settled before.
            (FILL, Some(800), 700, (700, 800, 0, 0)),
            (FILL, Some(500), 700, (700, 700, 0, 200)),
            (FILL, Some(40), 700, (700, 700, 60, 600)),
            (FILL, None, 700, (700, 700, 0, 600)),
        ];
        for (start_at, committed, entry, expected) in cases {
            let Beginning { read_from, settled, expired, passed_over, .. } = start_of(committed, LOG, entry, start_at);
            assert_eq!((read_from, settled, expired, passed_over), expected, "{start_at:?} {committed:?} {entry}");
        }
    }
}
