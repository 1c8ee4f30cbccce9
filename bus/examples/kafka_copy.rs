//! Copies a topic into another one, exactly once, and says how fast: the measure for everything that does more.
//!
//! ```text
//! kafka_copy <bootstrap servers> fill <topic> <partitions> <rows>   # makes a topic with rows of 346 bytes
//! kafka_copy <bootstrap servers> bare <input> <output>              # plain rdkafka, tuned
//! kafka_copy <bootstrap servers> bus  <input> <output>              # through dbintel-bus
//! ```
//!
//! Both copies commit each 200 ms and end when the input does. The output topic is made if it is missing.
#![allow(clippy::print_stdout, reason = "its output is for people")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::time::{Duration, Instant};

use dbintel_bus::kafka::{Config, Kafka};
use dbintel_bus::{
    Bus, Committed, GroupSpec, NewTopic, Outgoing, Polled, Position, Receive, Record, Retention, SendError, Start,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const COMMIT_INTERVAL: Duration = Duration::from_millis(200);
const ROW_BYTES: usize = 346;
const STEP: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [servers, "fill", topic, partitions, rows] => fill(servers, topic, partitions.parse()?, rows.parse()?),
        [servers, "bare", input, output] => report("bare", || bare(servers, input, output)),
        [servers, "bus", input, output] => report("bus", || through_bus(servers, input, output)),
        _ => Err("arguments: <servers> fill <topic> <partitions> <rows> | <servers> bare|bus <input> <output>".into()),
    }
}

fn report(name: &str, copy: impl FnOnce() -> Outcome<Copied>) -> Outcome<()> {
    let copied = copy()?;
    let rows = copied.rows as f64;
    let seconds = copied.time.as_secs_f64();
    println!(
        "{name}: {} rows in {seconds:.2} s = {:.0} rows/s, {:.2} CPU-s per million rows, {} MiB, {} commits of {:.1} ms",
        copied.rows,
        rows / seconds,
        copied.cpu.as_secs_f64() / rows * 1e6,
        peak_mebibytes(),
        copied.commits,
        copied.committing.as_secs_f64() * 1e3 / f64::from(copied.commits.max(1)),
    );
    Ok(())
}

/// What was done, from the first record on.
#[derive(Default)]
struct Copied {
    rows: u64,
    time: Duration,
    cpu: Duration,
    commits: u32,
    committing: Duration,
}

fn bus(servers: &str) -> Outcome<Kafka> {
    let bootstrap_servers = servers.split(',').map(str::to_owned).collect();
    Ok(Kafka::open(&Config { bootstrap_servers, ..Config::default() })?)
}

fn make(bus: &Kafka, name: &str, partitions: u32) -> Outcome<()> {
    let retention = Retention::Unlimited;
    bus.create_topics(&[NewTopic { name: name.to_owned(), partitions, retention, message_bytes_max: 1 << 20 }])?;
    Ok(())
}

fn partitions_of(bus: &Kafka, topic: &str) -> Outcome<u32> {
    let found = bus.describe_topics(topic)?.into_iter().find(|found| found.name == topic);
    Ok(found.ok_or("there is no input topic; make it with fill")?.partitions)
}

fn fill(servers: &str, topic: &str, partitions: u32, rows: u32) -> Outcome<()> {
    let bus = bus(servers)?;
    make(&bus, topic, partitions)?;
    let producer = bus.producer()?;
    let mut value = [0; ROW_BYTES];
    for row in 0..rows {
        // Half of it compresses, as in rows of statistics.
        for (at, byte) in value.iter_mut().enumerate().step_by(2) {
            *byte = (row.wrapping_mul(2_654_435_761).rotate_left(at as u32) & 0xff) as u8;
        }
        let key = row.to_be_bytes();
        let record = Outgoing {
            topic,
            partition: row % partitions,
            timestamp: i64::from(row),
            key: Some(&key),
            value: Some(&value),
            headers: &[],
        };
        while let Err(error) = producer.send(record) {
            match error {
                SendError::Full => std::thread::sleep(STEP),
                error => return Err(error.into()),
            }
        }
    }
    producer.flush(LIMIT)?;
    println!("{topic}: {rows} rows in {partitions} partitions");
    Ok(())
}

fn bare(servers: &str, input: &str, output: &str) -> Outcome<Copied> {
    let setup = bus(servers)?;
    let partitions = partitions_of(&setup, input)?;
    make(&setup, output, partitions)?;
    let (consumer, producer) = bare_clients(servers)?;
    producer.init_transactions(LIMIT)?;
    consumer.subscribe(&[input])?;

    let mut copied = Copied::default();
    let mut began: Option<(Instant, Duration)> = None;
    let mut next: Vec<Option<i64>> = vec![None; partitions as usize];
    let mut ended = 0;
    let mut opened_at = Instant::now();
    producer.begin_transaction()?;
    while ended < partitions {
        match consumer.poll(STEP) {
            Some(Ok(message)) => {
                began.get_or_insert_with(|| (Instant::now(), cpu_time()));
                copied.rows += 1;
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
            bare_commit(&consumer, &producer, input, &next, &mut copied)?;
            if ended < partitions {
                producer.begin_transaction()?;
            }
            opened_at = Instant::now();
        } else if copied.rows.is_multiple_of(1000) {
            producer.poll(Duration::ZERO);
        }
    }
    finish(copied, began)
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
    copied: &mut Copied,
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
    copied.commits += 1;
    copied.committing += started.elapsed();
    Ok(())
}

fn through_bus(servers: &str, input: &str, output: &str) -> Outcome<Copied> {
    let bus = bus(servers)?;
    make(&bus, output, partitions_of(&bus, input)?)?;
    let group = GroupSpec {
        group: format!("kafka-copy-bus-{}", std::process::id()),
        topics: vec![input.to_owned()],
        changelog: None,
        slot: "0".to_owned(),
        fetch_bytes_max: 64 << 20,
    };
    let mut member = bus.join(&group)?;
    let mut copied = Copied::default();
    let mut began: Option<(Instant, Duration)> = None;
    let mut batch = Batch::default();
    let mut opened_at = Instant::now();
    let mut assigned = 0;
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
            began.get_or_insert_with(|| (Instant::now(), cpu_time()));
        }
        copied.rows += batch.rows.len() as u64;
        for row in &batch.rows {
            member.send(row.outgoing(output, &batch.bytes))?;
        }
        if opened_at.elapsed() >= COMMIT_INTERVAL || (assigned > 0 && batch.ended == assigned) {
            let started = Instant::now();
            member.commit(&batch.positions(input))?;
            copied.commits += 1;
            copied.committing += started.elapsed();
            opened_at = Instant::now();
        }
    }
    member.close()?;
    finish(copied, began)
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

fn finish(mut copied: Copied, began: Option<(Instant, Duration)>) -> Outcome<Copied> {
    let (began_at, cpu_before) = began.ok_or("the input is empty")?;
    copied.time = began_at.elapsed();
    copied.cpu = cpu_time().saturating_sub(cpu_before);
    Ok(copied)
}

/// CPU time of this process: ticks of 10 ms, fields 14 and 15 of its line in /proc.
fn cpu_time() -> Duration {
    let line = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = line.rsplit(')').next().unwrap_or_default();
    let ticks =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or(0) / 1024
}
