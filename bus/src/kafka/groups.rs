//! Questions about groups: what is committed, and whether topics can be read together.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::clock::Deadline;
use super::failure::{Failure, code_error, timed_out, way_out};
use super::ffi::Pump;
use super::partitions::number;
use crate::{BusError, Committed};

/// Between two questions while the answer is pending.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a new topic may be unknown.
const UNKNOWN_GRACE: Duration = Duration::from_secs(2);

/// Positions that the consumer's group has committed. Waits until no transaction is pending on them.
pub fn committed(
    pump: &Pump<BaseConsumer<Context>>,
    partitions: TopicPartitionList,
    timeout: Duration,
) -> Result<Vec<Committed>, BusError> {
    const OPERATION: &str = "read the committed positions";
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let deadline = Deadline::after(timeout);
    loop {
        let reason = match pump.client().committed_offsets(partitions.clone(), deadline.left()) {
            Ok(found) => match unsettled(&found) {
                None => return Ok(settled(&found)),
                Some(code) if way_out(code).is_some() => return Err(code_error(OPERATION, code)),
                Some(_) => "pending transactions",
            },
            Err(error) => {
                let failure = Failure::from(error);
                if way_out(failure.code).is_some() {
                    return Err(failure.into_bus(OPERATION));
                }
                // librdkafka asks again by itself as long as a transaction is pending, and does not say so.
                "the group coordinator, or for the end of a transaction that holds positions back; Kafka's \
                 kafka-transactions.sh find-hanging shows one that nobody will end"
            }
        };
        if deadline.passed() {
            return Err(timed_out(OPERATION, reason));
        }
        std::thread::sleep(PAUSE);
    }
}

fn unsettled(found: &TopicPartitionList) -> Option<Code> {
    found.elements().iter().find_map(|element| match element.error() {
        Err(KafkaError::OffsetFetch(code)) => Some(code),
        _ => None,
    })
}

fn settled(found: &TopicPartitionList) -> Vec<Committed> {
    let position = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(next_offset) => Some(Committed {
            topic: element.topic().to_owned(),
            partition: number(element.partition())?,
            next_offset,
            metadata: element.metadata().to_owned(),
        }),
        _ => None,
    };
    found.elements().iter().filter_map(position).collect()
}

/// The number of partitions that all of the topics have. What one has more than others is said, since nobody reads it.
pub fn common_partitions(
    pump: &Pump<BaseConsumer<Context>>,
    topics: &[String],
    timeout: Duration,
) -> Result<u32, BusError> {
    let mut counts = Vec::with_capacity(topics.len());
    for topic in topics {
        let Some(count) = patient_count(pump, topic, timeout)? else {
            let message = format!("the topic {topic} does not exist: create the topics first");
            return Err(BusError::Fatal { operation: "join a group".to_owned(), message });
        };
        counts.push(count);
    }
    let common = counts.iter().copied().min().unwrap_or(0);
    for (topic, partitions) in topics.iter().zip(counts).filter(|(_, count)| *count > common) {
        tracing::error!(
            topic,
            partitions,
            read = common,
            "the topic has more partitions than others that are read with it: those beyond are not read; what is on them has to \
             be written to the right ones again"
        );
    }
    Ok(u32::try_from(common).unwrap_or(u32::MAX))
}

/// A new topic may be unknown to some broker for a moment.
fn patient_count(
    pump: &Pump<BaseConsumer<Context>>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<usize>, BusError> {
    let grace = Deadline::after(UNKNOWN_GRACE);
    loop {
        let count = partition_count(pump, topic, timeout)?;
        if count.is_some() || grace.passed() {
            return Ok(count);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Number of partitions; none if there is no such topic.
pub fn partition_count(
    pump: &Pump<BaseConsumer<Context>>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<usize>, BusError> {
    let operation = format!("describe the topic {topic}");
    let metadata = pump.client().fetch_metadata(Some(topic), timeout);
    let metadata = metadata.map_err(|error| pump.explain(operation.as_str(), error))?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(None);
    };
    match found.error().map(Code::from) {
        None => Ok(Some(found.partitions().len())),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(code_error(operation, code)),
    }
}
