//! Lists of partitions with offsets, to librdkafka and back.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::failure::{bus_error, code_error};
use crate::{BusError, Committed, Position, Start};

/// A partition of a topic, and an offset in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Full name of the topic.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Offset; may be logical.
    pub offset: Offset,
}

impl Place {
    /// Moves to the first record that is kept, `start`, if the next one to read was deleted; says so and gives whether it was.
    pub fn skip_deleted(&mut self, start: i64) -> bool {
        let Offset::Offset(wanted) = self.offset else { return false };
        let deleted = wanted < start;
        if deleted {
            let (topic, partition, lost) = (&self.topic, self.partition, start - wanted);
            tracing::warn!(topic, partition, lost, "retention deleted records before they were read");
            self.offset = Offset::Offset(start);
        }
        deleted
    }
}

/// For librdkafka. Partitions beyond its range become one that does not exist.
pub fn list<'a>(places: impl IntoIterator<Item = (&'a str, u32, Offset)>) -> Result<TopicPartitionList, BusError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in places {
        if topic.contains('\0') {
            return Err(BusError::Fatal { operation: "name a topic".to_owned(), message: "it holds a NUL".to_owned() });
        }
        let mut element = list.add_partition(topic, native(partition));
        element.set_offset(offset).map_err(|error| bus_error(format!("go to an offset of {topic}"), error))?;
    }
    Ok(list)
}

/// For librdkafka, from places.
pub fn place_list(places: &[Place]) -> Result<TopicPartitionList, BusError> {
    list(places.iter().map(|place| (place.topic.as_str(), place.partition, place.offset)))
}

/// Positions to commit, with their texts.
pub fn committed_list(positions: &[Committed]) -> Result<TopicPartitionList, BusError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        let mut element = list.add_partition(&position.topic, native(position.partition));
        let set = element.set_offset(Offset::Offset(position.next_offset));
        set.map_err(|error| bus_error(format!("commit a position of {}", position.topic), error))?;
        element.set_metadata(&position.metadata);
    }
    Ok(list)
}

/// A partition number in librdkafka's type.
pub fn native(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// A partition number in ours; none if it is negative.
pub fn number(partition: i32) -> Option<u32> {
    u32::try_from(partition).ok()
}

/// Turns positions into offsets: times and ends are looked up now, all at once. librdkafka would look an end up when it
/// begins to fetch, and pass over what was written in between.
pub fn resolve(
    consumer: &BaseConsumer<Context>,
    positions: &[Position],
    timeout: Duration,
) -> Result<Vec<Place>, BusError> {
    let mut places: Vec<Place> = positions.iter().map(place).collect();
    let timed: Vec<usize> =
        (0..positions.len()).filter(|&at| matches!(positions[at].start, Start::Time(_) | Start::End)).collect();
    if timed.is_empty() {
        return Ok(places);
    }
    let operation = "look up offsets by time";
    let asked = list(timed.iter().map(|&at| {
        let Place { topic, partition, offset } = &places[at];
        (topic.as_str(), *partition, *offset)
    }))?;
    let found = consumer.offsets_for_times(asked, timeout).map_err(|error| bus_error(operation, error))?;
    for at in timed {
        let place = &mut places[at];
        let Some(element) = found.find_partition(&place.topic, native(place.partition)) else {
            return Err(code_error(operation, rdkafka::types::RDKafkaErrorCode::UnknownPartition));
        };
        element.error().map_err(|error| bus_error(format!("{operation} in {}", place.topic), error))?;
        place.offset = match element.offset() {
            Offset::Offset(offset) => Offset::Offset(offset),
            _ => Offset::End,
        };
    }
    Ok(places)
}

/// A time stands in the place of the offset until it has been looked up.
fn place(position: &Position) -> Place {
    let offset = match position.start {
        Start::Beginning => Offset::Beginning,
        Start::End => Offset::End,
        Start::Offset(offset) => Offset::Offset(offset),
        Start::Time(time) => Offset::Offset(time.max(0)),
    };
    Place { topic: position.topic.clone(), partition: position.partition, offset }
}
