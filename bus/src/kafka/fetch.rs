//! Fetching: what members and readers have in common.
//!
//! It delivers the records of the places that it was told to expect, and of no other: what was fetched for a partition that
//! has been taken away, or before a jump to another position, is dropped.

use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::admin::edges_patiently;
use super::client::Context;
use super::clock::Deadline;
use super::failure::{bus_error, code_error, timed_out, way_out};
use super::ffi::{Event, Fetched, Pump};
use super::partitions::{Place, native, number, place_list, resolve};
use super::retire::Retiring;
use crate::{BusError, Position, Receive, Record};

/// How long librdkafka may take to jump to other positions.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to jump.
const SEEK_PAUSE: Duration = Duration::from_millis(5);
/// Between two looks at whether the consumer is closed.
const CLOSE_STEP: Duration = Duration::from_millis(5);

/// A change of the assignment.
#[derive(Debug)]
pub enum Change {
    /// These partitions are ours; they wait to be started.
    Assigned(Vec<(String, i32)>),
    /// All partitions have to be given back.
    Revoked,
    /// What was to be read next is not in the log, and librdkafka has given the partition up.
    OutOfRange(Place),
}

/// What came in one round.
#[derive(Debug, Default)]
pub struct Round {
    /// Records delivered.
    pub records: usize,
    /// A change of the assignment; it comes alone.
    pub change: Option<Change>,
}

/// A consumer with the places it delivers.
pub struct Fetcher {
    pump: Retiring<Pump<BaseConsumer<Context>>>,
    expected: Expected,
    pending: Option<Result<Change, BusError>>,
}

/// The next offset to deliver, by topic and partition; none where nothing is to be delivered.
#[derive(Debug, Default)]
struct Expected {
    topics: Vec<String>,
    next: Vec<Vec<Option<Offset>>>,
}

impl Fetcher {
    /// Delivers nothing yet.
    pub fn new(pump: Pump<BaseConsumer<Context>>, topics: Vec<String>) -> Fetcher {
        let next = vec![Vec::new(); topics.len()];
        Fetcher { pump: Retiring::new(pump), expected: Expected { topics, next }, pending: None }
    }

    /// The client.
    pub fn pump(&self) -> &Pump<BaseConsumer<Context>> {
        &self.pump
    }

    /// The consumer.
    pub fn consumer(&self) -> &BaseConsumer<Context> {
        self.pump.client()
    }

    /// Turns positions into places. What retention has deleted is passed over, and said.
    pub fn resolve(&self, positions: &[Position], timeout: Duration) -> Result<Vec<Place>, BusError> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let mut places = resolve(self.consumer(), positions, timeout)?;
        let asked: Vec<(&str, u32)> = places.iter().map(|place| (place.topic.as_str(), place.partition)).collect();
        let starts = edges_patiently(self.consumer(), &asked, Offset::Beginning, timeout)?;
        for (place, start) in places.iter_mut().zip(starts) {
            place.skip_deleted(start);
        }
        Ok(places)
    }

    /// Fetches these places, and nothing else.
    pub fn assign(&mut self, places: &[Place]) -> Result<(), BusError> {
        self.forget();
        let list = place_list(places)?;
        self.consumer().assign(&list).map_err(|error| bus_error("start to fetch", error))?;
        self.expected.set(places);
        Ok(())
    }

    /// Fetches and delivers nothing any more.
    pub fn unassign(&mut self) -> Result<(), BusError> {
        self.forget();
        self.consumer().unassign().map_err(|error| bus_error("stop fetching", error))
    }

    /// Delivers nothing any more.
    pub fn forget(&mut self) {
        for partitions in &mut self.expected.next {
            partitions.clear();
        }
    }

    /// What is left of a partition whose next record was deleted: the place of the first one that is kept. An error if nothing
    /// was deleted, so that the place lies past the end.
    pub fn skip_deleted(&mut self, place: &Place) -> Result<(), BusError> {
        let mut next = Place { offset: self.expected.next_of(place), ..place.clone() };
        if !next.skip_deleted(self.first_kept(place)?) {
            let operation = format!("fetch from {}, partition {}", place.topic, place.partition);
            return Err(code_error(operation, Code::OffsetOutOfRange));
        }
        self.expected.set(&[next]);
        Ok(())
    }

    /// Fetches anew, everything from where its delivery stands.
    pub fn assign_again(&mut self) -> Result<(), BusError> {
        let places = self.expected.all();
        self.assign(&places)
    }

    fn first_kept(&self, place: &Place) -> Result<i64, BusError> {
        let asked = [(place.topic.as_str(), place.partition)];
        let found = edges_patiently(self.consumer(), &asked, Offset::Beginning, SEEK_TIMEOUT)?;
        Ok(found.first().copied().unwrap_or(0))
    }

    /// Where the delivery of these partitions goes on, on all topics.
    pub fn places(&self, partitions: &[u32]) -> Vec<Place> {
        self.expected.places(partitions)
    }

    /// Goes on from other places; what was fetched before is dropped.
    pub fn seek(&mut self, places: &[Place]) -> Result<(), BusError> {
        if places.is_empty() {
            return Ok(());
        }
        self.expected.set(places);
        let deadline = Deadline::after(SEEK_TIMEOUT);
        let mut left = places.to_vec();
        loop {
            let sought = self.consumer().seek_partitions(place_list(&left)?, SEEK_TIMEOUT);
            let sought = sought.map_err(|error| bus_error("go to other positions", error))?;
            // Right after an assignment librdkafka has not started to fetch and refuses.
            left.retain(|place| {
                let element = sought.find_partition(&place.topic, native(place.partition));
                element.is_none_or(|element| element.error().is_err())
            });
            if left.is_empty() {
                return Ok(());
            }
            if deadline.passed() {
                return Err(timed_out("go to other positions", "the consumer"));
            }
            std::thread::sleep(SEEK_PAUSE);
        }
    }

    /// Leaves the group, if it is in one, and stops. Says whether that was done in time.
    pub fn close(&mut self, limit: Duration) -> bool {
        self.forget();
        let consumer = self.consumer();
        if let Err(error) = consumer.close_queue() {
            tracing::debug!(%error, "closing a consumer");
            return true;
        }
        let deadline = Deadline::after(limit);
        while !consumer.closed() && !deadline.passed() {
            self.pump.next(CLOSE_STEP, |event| {
                if let Some(Event::Assigned(_) | Event::Revoked) = self.pump.common(event)
                    && let Err(error) = consumer.unassign()
                {
                    tracing::debug!(%error, "unassigning while closing");
                }
            });
        }
        consumer.closed()
    }

    /// Waits for the first event, and delivers what is there.
    pub fn round(&mut self, timeout: Duration, limit: usize, receive: &mut dyn Receive) -> Result<Round, BusError> {
        let deadline = Deadline::after(timeout);
        let mut records = 0;
        let mut ended = false;
        while self.pending.is_none() && records < limit {
            let wait = if records > 0 || ended { Duration::ZERO } else { deadline.left() };
            match self.step(wait, receive) {
                Step::Nothing if wait.is_zero() || deadline.passed() => break,
                Step::Record => records += 1,
                Step::End => ended = true,
                Step::Nothing | Step::Served => {}
            }
        }
        if records > 0 {
            return Ok(Round { records, change: None });
        }
        let change = self.pending.take().transpose()?;
        Ok(Round { records, change })
    }

    fn step(&mut self, wait: Duration, receive: &mut dyn Receive) -> Step {
        let Fetcher { pump, expected, pending } = self;
        let mut step = Step::Nothing;
        pump.next(wait, |event| {
            step = match event {
                Event::Record(record) => expected.deliver(&record, receive),
                event => pump.common(event).map_or(Step::Served, |event| rare(event, expected, pending, receive)),
            };
        });
        step
    }
}

enum Step {
    Nothing,
    Served,
    Record,
    End,
}

fn rare(
    event: Event<'_>,
    expected: &mut Expected,
    pending: &mut Option<Result<Change, BusError>>,
    receive: &mut dyn Receive,
) -> Step {
    match event {
        Event::End { topic, partition, next_offset } => return expected.end(&topic, partition, next_offset, receive),
        Event::Assigned(partitions) => *pending = Some(Ok(Change::Assigned(partitions))),
        Event::Revoked => *pending = Some(Ok(Change::Revoked)),
        Event::Failed { code: Code::AutoOffsetReset, place: Some((topic, partition)), .. } => {
            let partition = number(partition).unwrap_or(u32::MAX);
            *pending = Some(Ok(Change::OutOfRange(Place { topic, partition, offset: Offset::Invalid })));
        }
        Event::Failed { code, fatal, place, reason } => {
            if let Some(error) = worth_telling(code, fatal, place, reason) {
                *pending = Some(Err(error));
            }
        }
        _ => {}
    }
    Step::Served
}

/// What librdkafka gets over by itself is only logged.
fn worth_telling(code: Code, fatal: bool, place: Option<(String, i32)>, reason: String) -> Option<BusError> {
    let operation = match place {
        Some((topic, partition)) => format!("fetch from {topic}, partition {partition}"),
        None => "fetch".to_owned(),
    };
    match code {
        _ if fatal => Some(BusError::Fatal { operation, message: reason }),
        // These may pass while a cluster is being changed: a member that has been in keeps its place.
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => unavailable(operation, reason),
        Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => unavailable(operation, reason),
        Code::BadMessage | Code::BadCompression | Code::NotImplemented => unavailable(operation, reason),
        code if way_out(code).is_some() => Some(code_error(operation, code)),
        _ => None,
    }
}

fn unavailable(operation: String, message: String) -> Option<BusError> {
    Some(BusError::Unavailable { operation, message })
}

impl Expected {
    fn set(&mut self, places: &[Place]) {
        for place in places {
            let Some(topic) = self.topics.iter().position(|topic| *topic == place.topic) else {
                continue;
            };
            let Ok(partition) = usize::try_from(place.partition) else {
                continue;
            };
            let partitions = &mut self.next[topic];
            if partitions.len() <= partition {
                partitions.resize(partition + 1, None);
            }
            partitions[partition] = Some(place.offset);
        }
    }

    fn all(&self) -> Vec<Place> {
        let most = self.next.iter().map(Vec::len).max().unwrap_or(0);
        let partitions: Vec<u32> = (0..most).filter_map(|partition| u32::try_from(partition).ok()).collect();
        self.places(&partitions)
    }

    fn next_of(&self, place: &Place) -> Offset {
        let places = self.places(&[place.partition]);
        places.into_iter().find(|found| found.topic == place.topic).map_or(Offset::Invalid, |found| found.offset)
    }

    fn places(&self, partitions: &[u32]) -> Vec<Place> {
        let mut places = Vec::new();
        for (topic, next) in self.topics.iter().zip(&self.next) {
            for &partition in partitions {
                let offset = usize::try_from(partition).ok().and_then(|at| next.get(at).copied().flatten());
                if let Some(offset) = offset {
                    places.push(Place { topic: topic.clone(), partition, offset });
                }
            }
        }
        places
    }

    fn find(&mut self, topic: &[u8], partition: i32) -> Option<(usize, u32, &mut Offset)> {
        let topic = self.topics.iter().position(|expected| expected.as_bytes() == topic)?;
        let partition = number(partition)?;
        let next = self.next[topic].get_mut(usize::try_from(partition).ok()?)?.as_mut()?;
        Some((topic, partition, next))
    }

    fn deliver(&mut self, record: &Fetched<'_>, receive: &mut dyn Receive) -> Step {
        let Some((topic, partition, next)) = self.find(record.topic, record.partition) else {
            return Step::Served;
        };
        if matches!(*next, Offset::Offset(next) if record.offset < next) {
            return Step::Served;
        }
        *next = Offset::Offset(record.offset + 1);
        receive.record(Record {
            topic,
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
        });
        Step::Record
    }

    fn end(&mut self, topic: &str, partition: i32, next_offset: i64, receive: &mut dyn Receive) -> Step {
        let Some((topic, partition, next)) = self.find(topic.as_bytes(), partition) else {
            return Step::Served;
        };
        if matches!(*next, Offset::Offset(next) if next_offset < next) {
            return Step::Served;
        }
        *next = Offset::Offset(next_offset);
        receive.at_end(topic, partition, next_offset);
        Step::End
    }
}
