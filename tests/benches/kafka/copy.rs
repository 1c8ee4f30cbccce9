//! Copies of a topic, exactly once, with a commit each 200 ms: the measure for everything that does more. One is plain rdkafka as
//! a competent user would tune it, the other goes through the bus.

use std::time::{Duration, Instant};

use dbintel_bus::{Bus, Committed, GroupSpec, NewTopic, Outgoing, Polled, Position, Receive, Record, Retention, Start};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::measure::{Meter, Outcome};

const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
/// The embedded log takes no larger transactions than some MiB.
const COMMIT_BYTES: usize = 16 << 20;
const STEP: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(30);

fn make(bus: &dyn Bus, input: &str, output: &str) -> Outcome<u32> {
    let found = bus.describe_topics(input)?.into_iter().find(|found| found.name == input);
    let partitions = found.ok_or("there is no input topic")?.partitions;
    let (name, retention) = (output.to_owned(), Retention::Unlimited);
    bus.create_topics(&[NewTopic { name, partitions, retention, message_bytes_max: 1 << 20 }])?;
    Ok(partitions)
}

/// Plain rdkafka.
pub fn bare(bus: &dyn Bus, servers: &str, input: &str, output: &str) -> Outcome<Meter> {
    let partitions = make(bus, input, output)?;
    let (consumer, producer) = bare_clients(servers)?;
    producer.init_transactions(LIMIT)?;
    consumer.subscribe(&[input])?;

    let mut meter = Meter::default();
    let mut next: Vec<Option<i64>> = vec![None; partitions as usize];
    let mut ended = 0;
    let mut opened_at = Instant::now();
    producer.begin_transaction()?;
    while ended < partitions {
        match consumer.poll(STEP) {
            Some(Ok(message)) => {
                meter.begin();
                meter.rows += 1;
                next[message.partition() as usize] = Some(message.offset() + 1);
                let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(output).partition(message.partition());
                record.key = message.key();
                record.payload = message.payload();
                record.timestamp = message.timestamp().to_millis();
                while let Err((error, again)) = producer.send(record) {
                    if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                        return Err(error.into());
                    }
                    producer.poll(STEP);
                    record = again;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
        if opened_at.elapsed() >= COMMIT_INTERVAL || ended == partitions {
            bare_commit(&consumer, &producer, input, &next, &mut meter)?;
            if ended < partitions {
                producer.begin_transaction()?;
            }
            opened_at = Instant::now();
        } else if meter.rows.is_multiple_of(1000) {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(meter.end())
}

fn bare_clients(servers: &str) -> Outcome<(BaseConsumer, BaseProducer)> {
    let mut common = ClientConfig::new();
    common.set("bootstrap.servers", servers).set("socket.nagle.disable", "true");
    let consumer = common
        .clone()
        .set("group.id", format!("kafka-copy-bare-{}", std::process::id()))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.queue.backoff.ms", "2")
        .create()?;
    let producer = common
        .clone()
        .set("transactional.id", format!("kafka-copy-bare-{}", std::process::id()))
        .set("linger.ms", "5")
        .set("compression.type", "lz4")
        .set("retry.backoff.ms", "2")
        .set("queue.buffering.max.messages", "200000")
        .create()?;
    Ok((consumer, producer))
}

fn bare_commit(
    consumer: &BaseConsumer,
    producer: &BaseProducer,
    topic: &str,
    next: &[Option<i64>],
    meter: &mut Meter,
) -> Outcome<()> {
    let started = Instant::now();
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in next.iter().enumerate() {
        if let Some(offset) = offset {
            offsets.add_partition_offset(topic, partition as i32, Offset::Offset(*offset))?;
        }
    }
    while producer.in_flight_count() > 0 {
        producer.poll(STEP);
    }
    if offsets.count() > 0 {
        let membership = consumer.group_metadata().ok_or("not a member of the group")?;
        producer.send_offsets_to_transaction(&offsets, &membership, LIMIT)?;
    }
    producer.commit_transaction(LIMIT)?;
    meter.commits += 1;
    meter.committing += started.elapsed();
    Ok(())
}

/// Through the bus.
pub fn through_bus(bus: &dyn Bus, input: &str, output: &str) -> Outcome<Meter> {
    make(bus, input, output)?;
    let group = GroupSpec {
        group: format!("kafka-copy-bus-{}", std::process::id()),
        topics: vec![input.to_owned()],
        changelog: None,
        slot: "0".into(),
        fetch_bytes_max: 64 << 20,
    };
    let mut member = bus.join(&group)?;
    let mut meter = Meter::default();
    let mut batch = Batch::default();
    let mut opened_at = Instant::now();
    let (mut assigned, mut open_bytes) = (0, 0);
    while assigned == 0 || batch.ended < assigned {
        batch.rows.clear();
        batch.bytes.clear();
        match member.poll(STEP, 1000, &mut batch)? {
            Polled::Records(_) => {}
            Polled::Revoked { .. } => return Err("the copy has its group for itself".into()),
            Polled::Assigned(partitions) => {
                assigned = partitions.len();
                batch.next = vec![None; assigned];
                let position = |partition| Position { topic: input.to_owned(), partition, start: Start::Beginning };
                member.start(&partitions.into_iter().map(position).collect::<Vec<_>>())?;
            }
        }
        if !batch.rows.is_empty() {
            meter.begin();
        }
        meter.rows += batch.rows.len() as u64;
        open_bytes += batch.bytes.len();
        for row in &batch.rows {
            member.send(row.outgoing(output, &batch.bytes))?;
        }
        let is_due = opened_at.elapsed() >= COMMIT_INTERVAL || open_bytes >= COMMIT_BYTES;
        if is_due || (assigned > 0 && batch.ended == assigned) {
            let started = Instant::now();
            open_bytes = 0;
            member.commit(&batch.positions(input))?;
            meter.commits += 1;
            meter.committing += started.elapsed();
            opened_at = Instant::now();
        }
    }
    member.close()?;
    Ok(meter.end())
}

/// A batch of rows: bytes one after the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    next: Vec<Option<i64>>,
    ended: usize,
}

struct Row {
    partition: u32,
    timestamp: i64,
    key: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
}

impl Row {
    fn outgoing<'a>(&self, topic: &'a str, bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            topic,
            partition: self.partition,
            timestamp: self.timestamp,
            key: Some(&bytes[self.key.clone()]),
            value: Some(&bytes[self.value.clone()]),
            headers: &[],
        }
    }
}

impl Receive for Batch {
    fn record(&mut self, record: Record<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        let Record { partition, timestamp, .. } = record;
        self.rows.push(Row { partition, timestamp, key: start..middle, value: middle..self.bytes.len() });
        self.next[partition as usize] = Some(record.offset + 1);
    }

    fn at_end(&mut self, _topic: usize, _partition: u32, _next_offset: i64) {
        self.ended += 1;
    }
}

impl Batch {
    fn positions(&self, topic: &str) -> Vec<Committed> {
        let position = |(partition, next): (usize, &Option<i64>)| {
            next.map(|next_offset| Committed {
                topic: topic.to_owned(),
                partition: partition as u32,
                next_offset,
                metadata: String::new(),
            })
        };
        self.next.iter().enumerate().filter_map(position).collect()
    }
}
