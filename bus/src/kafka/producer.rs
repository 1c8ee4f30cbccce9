//! Sends outside of transactions.
//!
//! librdkafka is told to try for ever, and does so for everything that passes by itself. What a broker refuses all the same
//! is kept in order and sent again, by a new client if the old one is beyond repair: a topic or a right that is missing may
//! come back. Only a record that no broker will ever take is given up, and [`flush`](Producer::flush) says so.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{self, Context};
use super::clock::{self, Deadline};
use super::failure::{bus_error, code_error};
use super::ffi::{Delivery, Event, Pump};
use super::partitions::{native, number};
use super::retire::Retiring;
use super::settings::Settings;
use crate::{BusError, Outgoing, Producer, SendError};

/// Between two looks at the queue while nothing happens.
const IDLE: Duration = Duration::from_millis(100);
/// One step of a flush.
const FLUSH_STEP: Duration = Duration::from_millis(5);
/// How long a producer that is dropped waits for what is outstanding.
const LAST_FLUSH: Duration = Duration::from_secs(2);
/// How long refused records rest before they are sent again.
const REST: Duration = Duration::from_secs(1);

type Client = Arc<Retiring<Pump<BaseProducer<Context>>>>;

/// A producer with a thread that takes in what was delivered.
pub struct KafkaProducer {
    sender: Arc<Sender>,
    thread: Option<JoinHandle<()>>,
}

struct Sender {
    settings: Arc<Settings>,
    client: RwLock<Client>,
    /// Accepted and neither durable nor given up.
    outstanding: AtomicUsize,
    refused: Mutex<Refused>,
    /// Length of the refused records, to be read without the lock.
    waiting: AtomicUsize,
    stop: AtomicBool,
}

#[derive(Default)]
struct Refused {
    records: VecDeque<Kept>,
    bytes: usize,
    rest_until: Option<Instant>,
    reason: String,
    given_up: Option<String>,
}

/// A record that was refused.
struct Kept {
    topic: String,
    partition: u32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl KafkaProducer {
    /// Connects in the background.
    pub fn start(settings: &Arc<Settings>) -> Result<KafkaProducer, BusError> {
        let sender = Arc::new(Sender {
            client: RwLock::new(new_client(settings)?),
            settings: Arc::clone(settings),
            outstanding: AtomicUsize::new(0),
            refused: Mutex::default(),
            waiting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let worker = Arc::clone(&sender);
        let started = thread::Builder::new().name("kafka-producer".to_owned()).spawn(move || worker.run());
        let thread = started.map_err(|error| BusError::Unavailable {
            operation: "start a producer".to_owned(),
            message: error.to_string(),
        })?;
        Ok(KafkaProducer { sender, thread: Some(thread) })
    }
}

impl Producer for KafkaProducer {
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        self.sender.send(record)
    }

    fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        self.sender.flush(timeout)
    }

    fn outstanding(&self) -> usize {
        self.sender.outstanding.load(Ordering::Acquire)
    }
}

impl Drop for KafkaProducer {
    /// Waits a moment for what is outstanding; who has to be sure flushes.
    fn drop(&mut self) {
        if let Err(error) = self.sender.flush(LAST_FLUSH) {
            tracing::warn!(%error, "a kafka producer is dropped");
        }
        self.sender.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a kafka producer panicked");
        }
    }
}

impl Sender {
    fn send(&self, record: Outgoing<'_>) -> Result<(), SendError> {
        let bytes = size(&record);
        if bytes > self.settings.config().message_bytes_max {
            return Err(SendError::TooLarge { bytes });
        }
        if self.waiting.load(Ordering::Acquire) > 0 {
            return self.line_up(&record);
        }
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        let Err(error) = self.hand_over(&record) else {
            return Ok(());
        };
        self.outstanding.fetch_sub(1, Ordering::AcqRel);
        match error {
            KafkaError::MessageProduction(Code::QueueFull) => Err(SendError::Full),
            KafkaError::MessageProduction(Code::MessageSizeTooLarge) => Err(SendError::TooLarge { bytes }),
            KafkaError::MessageProduction(Code::Fatal) => self.line_up(&record),
            error => Err(bus_error(format!("send to {}, partition {}", record.topic, record.partition), error).into()),
        }
    }

    fn hand_over(&self, record: &Outgoing<'_>) -> Result<(), KafkaError> {
        let base: BaseRecord<'_, [u8], [u8]> = BaseRecord {
            topic: record.topic,
            partition: Some(native(record.partition)),
            payload: record.value,
            key: record.key,
            timestamp: Some(record.timestamp),
            headers: headers(record.headers),
            delivery_opaque: (),
        };
        self.client().client().send(base).map_err(|(error, _)| error)
    }

    /// Puts the record behind those that were refused.
    fn line_up(&self, record: &Outgoing<'_>) -> Result<(), SendError> {
        let mut refused = self.refused();
        let config = self.settings.config();
        if refused.records.len() >= config.send_records_max || refused.bytes >= config.send_bytes_max {
            return Err(SendError::Full);
        }
        self.outstanding.fetch_add(1, Ordering::AcqRel);
        refused.keep(Kept::of(record));
        self.waiting.store(refused.records.len(), Ordering::Release);
        Ok(())
    }

    fn flush(&self, timeout: Duration) -> Result<(), BusError> {
        const OPERATION: &str = "flush";
        let deadline = Deadline::after(timeout);
        while self.outstanding.load(Ordering::Acquire) > 0 {
            if deadline.passed() {
                let outstanding = self.outstanding.load(Ordering::Acquire);
                let reason = self.refused().reason.clone();
                let failure = self.client().context().last_failure().map(|(_, text)| text);
                let reason = if reason.is_empty() { failure.unwrap_or_default() } else { reason };
                let message = format!("{outstanding} records are not acknowledged yet: {reason}");
                return Err(BusError::Unavailable { operation: OPERATION.to_owned(), message });
            }
            if self.waiting.load(Ordering::Acquire) > 0 {
                thread::sleep(FLUSH_STEP.min(deadline.left()));
            } else {
                self.client().flush(FLUSH_STEP.min(deadline.left()));
            }
        }
        match self.refused().given_up.take() {
            Some(message) => Err(BusError::Fatal { operation: OPERATION.to_owned(), message }),
            None => Ok(()),
        }
    }

    fn run(&self) {
        while !self.stop.load(Ordering::Relaxed) {
            let client = self.client();
            let mut wait = IDLE;
            while client.next(wait, |event| self.take_in(&client, event)) {
                wait = Duration::ZERO;
            }
            self.try_again();
        }
    }

    fn take_in(&self, client: &Client, event: Event<'_>) {
        if let Some(Event::Delivered(deliveries)) = client.common(event) {
            for delivery in deliveries {
                match delivery.error {
                    None => {
                        self.outstanding.fetch_sub(1, Ordering::AcqRel);
                    }
                    Some(code) => self.refuse(&delivery, code),
                }
            }
        }
    }

    fn refuse(&self, delivery: &Delivery<'_>, code: Code) {
        let mut refused = self.refused();
        let topic = String::from_utf8_lossy(delivery.record.topic).into_owned();
        let partition = delivery.record.partition;
        refused.reason = code_error(format!("send to {topic}, partition {partition}"), code).to_string();
        if hopeless(code) {
            tracing::error!(topic, partition, %code, "no broker takes this record, it is given up");
            let message = format!("a record for {topic}, partition {partition}, was given up: {code}");
            refused.given_up.get_or_insert(message);
            self.outstanding.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        if refused.records.is_empty() {
            tracing::warn!(topic, partition, %code, "records are refused; they are kept and sent again");
        }
        refused.keep(Kept::of_delivery(delivery, topic));
        refused.rest_until = Some(clock::now() + REST);
        self.waiting.store(refused.records.len(), Ordering::Release);
    }

    /// Sends the refused records again, once everything else has been answered and they have rested.
    fn try_again(&self) {
        let mut refused = self.refused();
        let all_answered = self.outstanding.load(Ordering::Acquire) <= refused.records.len();
        let rested = refused.rest_until.is_none_or(|until| clock::now() >= until);
        if refused.records.is_empty() || !all_answered || !rested {
            return;
        }
        if self.client().client().client().fatal_error().is_some() && !self.replace_client() {
            refused.rest_until = Some(clock::now() + REST);
            return;
        }
        while let Some(kept) = refused.records.front() {
            if let Err(error) = kept.with_outgoing(|record| self.hand_over(&record)) {
                refused.reason = error.to_string();
                refused.rest_until = Some(clock::now() + REST);
                break;
            }
            refused.bytes -= kept.bytes();
            refused.records.pop_front();
        }
        self.waiting.store(refused.records.len(), Ordering::Release);
    }

    fn replace_client(&self) -> bool {
        match new_client(&self.settings) {
            Ok(client) => {
                tracing::warn!("a kafka producer is beyond repair and has been replaced");
                *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a kafka producer is beyond repair and cannot be replaced yet");
                false
            }
        }
    }

    fn client(&self) -> Client {
        Arc::clone(&self.client.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_client(settings: &Arc<Settings>) -> Result<Client, BusError> {
    let producer: Pump<BaseProducer<Context>> = client::create("sending", settings, &settings.producer())?;
    Ok(Arc::new(Retiring::new(producer)))
}

/// Whether the record itself is at fault.
fn hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::MessageSizeTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::InvalidMessageSize
            | Code::PurgeQueue
            | Code::PurgeInflight
    )
}

impl Refused {
    fn keep(&mut self, kept: Kept) {
        self.bytes += kept.bytes();
        self.records.push_back(kept);
    }
}

impl Kept {
    fn of(record: &Outgoing<'_>) -> Kept {
        Kept {
            topic: record.topic.to_owned(),
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        }
    }

    fn of_delivery(delivery: &Delivery<'_>, topic: String) -> Kept {
        Kept {
            topic,
            partition: number(delivery.record.partition).unwrap_or_default(),
            timestamp: delivery.record.timestamp,
            key: delivery.record.key.map(<[u8]>::to_vec),
            value: delivery.record.value.map(<[u8]>::to_vec),
            headers: delivery.headers(),
        }
    }

    fn with_outgoing<T>(&self, use_it: impl FnOnce(Outgoing<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        use_it(Outgoing {
            topic: &self.topic,
            partition: self.partition,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        })
    }

    fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        length(&self.key) + length(&self.value)
    }
}

/// Bytes of key, value and headers.
pub fn size(record: &Outgoing<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len) + headers
}

/// For librdkafka.
pub fn headers(headers: &[(&str, &[u8])]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let owned = OwnedHeaders::new_with_capacity(headers.len());
    let add = |owned: OwnedHeaders, (key, value): &(&str, &[u8])| owned.insert(Header { key, value: Some(*value) });
    Some(headers.iter().fold(owned, add))
}
