//! Topics, offsets and health: questions to the brokers, each bounded in time.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic as NativeTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::{self, Context};
use super::clock::Deadline;
use super::failure::{Failure, bus_error, code_error, timed_out};
use super::ffi::Pump;
use super::partitions::{list, native};
use super::retire::Retiring;
use super::settings::Settings;
use super::{groups, topics};
use crate::{BusError, Committed, Isolation, NewTopic, Offsets, TopicDescription};

/// How long the brokers may take to say that they are there.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// Topics that one question may name.
const TOPICS_MAX: usize = 200;
/// While an answer is awaited, what the client wants is served this often.
const STEP: Duration = Duration::from_millis(5);
/// A new topic may be unknown to some broker for this long.
const UNKNOWN_GRACE: Duration = Duration::from_secs(3);
/// How long the leader of a partition may take to say an offset, before it is asked who the leader is.
const EDGES_STEP: Duration = Duration::from_secs(2);
/// Between two questions about a partition that has no leader yet.
const PAUSE: Duration = Duration::from_millis(20);

type Inquirer = Arc<Retiring<Pump<BaseConsumer<Context>>>>;
type Admin = Arc<Retiring<Pump<AdminClient<Context>>>>;

/// Clients for questions, made when first needed and kept.
pub struct Brokers {
    settings: Arc<Settings>,
    stable: Mutex<Option<Inquirer>>,
    all: Mutex<Option<Inquirer>>,
    admin: Mutex<Option<Admin>>,
}

impl Brokers {
    /// Nothing is connected yet.
    pub fn new(settings: Arc<Settings>) -> Brokers {
        Brokers { settings, stable: Mutex::default(), all: Mutex::default(), admin: Mutex::default() }
    }

    /// Creates the topics that are missing; returns their names.
    pub fn create_topics(&self, wanted: &[NewTopic]) -> Result<Vec<String>, BusError> {
        let inquirer = self.inquirer(Isolation::Committed)?;
        let known = names(&inquirer, self.timeout())?;
        let missing: Vec<&NewTopic> = wanted.iter().filter(|topic| !known.contains(&topic.name)).collect();
        let admin = self.admin()?;
        let options = self.options().operation_timeout(Some(self.timeout()));
        let mut created = Vec::new();
        for batch in missing.chunks(TOPICS_MAX) {
            let settings: Vec<topics::Settings> = batch.iter().map(|topic| topics::settings(topic)).collect();
            let native: Vec<NativeTopic<'_>> =
                batch.iter().zip(&settings).map(|(topic, settings)| self.native_topic(topic, settings)).collect();
            let results = self.wait(&admin, "create topics", admin.client().create_topics(&native, &options))?;
            for result in results {
                match result {
                    Ok(name) => created.push(name),
                    Err((_, Code::TopicAlreadyExists)) => {}
                    Err((name, code)) => return Err(code_error(format!("create the topic {name}"), code)),
                }
            }
        }
        self.await_leaders(wanted, &created)?;
        Ok(created)
    }

    /// Topics whose name starts with `prefix`, sorted by name.
    pub fn describe_topics(&self, prefix: &str) -> Result<Vec<TopicDescription>, BusError> {
        const OPERATION: &str = "describe topics";
        let inquirer = self.inquirer(Isolation::Committed)?;
        let metadata = inquirer.client().fetch_metadata(None, self.timeout());
        let metadata = metadata.map_err(|error| inquirer.explain(OPERATION, error))?;
        let mut partitions: BTreeMap<String, u32> = BTreeMap::new();
        for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(prefix)) {
            partitions.insert(topic.name().to_owned(), u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX));
        }
        let configs = self.configs(&partitions)?;
        let places: Vec<(&str, u32)> = partitions.iter().flat_map(|(name, &count)| each(name, count)).collect();
        let mut offsets = self.offsets_of(&places)?.into_iter();
        let mut descriptions = Vec::new();
        for (name, count) in &partitions {
            let config = configs.get(name).cloned().unwrap_or_default();
            descriptions.push(TopicDescription {
                name: name.clone(),
                partitions: *count,
                retention: config.retention,
                message_bytes_max: config.message_bytes_max,
                offsets: offsets.by_ref().take(each(name, *count).count()).collect(),
            });
        }
        Ok(descriptions)
    }

    /// First offset and ends of a partition.
    pub fn offsets(&self, topic: &str, partition: u32) -> Result<Offsets, BusError> {
        let found = self.offsets_of(&[(topic, partition)])?;
        found.first().copied().ok_or_else(|| code_error("look up offsets", Code::UnknownPartition))
    }

    /// Positions that a group has committed.
    pub fn committed(&self, group: &str, topics: &[String]) -> Result<Vec<Committed>, BusError> {
        let properties = self.settings.inquirer(Isolation::Committed, Some(group));
        let inquirer = Retiring::new(client::create("positions of a group", &self.settings, &properties)?);
        let inquirer: &Pump<BaseConsumer<Context>> = &inquirer;
        let mut places = Vec::new();
        for topic in topics {
            let count = groups::partition_count(inquirer, topic, self.timeout())?.unwrap_or(0);
            places.extend(each(topic, u32::try_from(count).unwrap_or(u32::MAX)));
        }
        let asked = list(places.into_iter().map(|(topic, partition)| (topic, partition, Offset::Invalid)))?;
        groups::committed(inquirer, asked, self.timeout() + self.settings.config().transaction_timeout)
    }

    /// Deletes the records of a partition below `before`.
    pub fn trim(&self, topic: &str, partition: u32, before: i64) -> Result<(), BusError> {
        let operation = format!("trim {topic}, partition {partition}");
        let end = self.offsets(topic, partition)?.end;
        let list = list([(topic, partition, Offset::Offset(before.clamp(0, end)))])?;
        let admin = self.admin()?;
        let trimmed = self.wait(&admin, &operation, admin.client().delete_records(&list, &self.options()))?;
        for element in trimmed.elements() {
            element.error().map_err(|error| bus_error(operation.as_str(), error))?;
        }
        Ok(())
    }

    /// Whether a broker answers.
    pub fn health(&self) -> Result<(), BusError> {
        let inquirer = self.inquirer(Isolation::Committed)?;
        let metadata = inquirer.client().fetch_metadata(None, HEALTH_TIMEOUT);
        metadata.map(|_| ()).map_err(|error| inquirer.explain("reach the kafka brokers", error))
    }

    /// A new topic can be used once its partitions have leaders.
    fn await_leaders(&self, wanted: &[NewTopic], created: &[String]) -> Result<(), BusError> {
        let new = wanted.iter().filter(|topic| created.contains(&topic.name));
        let places: Vec<(&str, u32)> = new.flat_map(|topic| each(&topic.name, topic.partitions)).collect();
        self.offsets_of(&places).map(|_| ())
    }

    fn native_topic<'a>(&self, topic: &'a NewTopic, settings: &'a topics::Settings) -> NativeTopic<'a> {
        let copies = self.settings.config().replication_factor.map_or(-1, i32::from);
        let mut native = NativeTopic::new(&topic.name, native(topic.partitions), TopicReplication::Fixed(copies));
        for (name, value) in settings {
            native = native.set(name, value);
        }
        native
    }

    fn configs(&self, topics: &BTreeMap<String, u32>) -> Result<BTreeMap<String, topics::Kept>, BusError> {
        let admin = self.admin()?;
        let mut configs = BTreeMap::new();
        let names: Vec<ResourceSpecifier<'_>> = topics.keys().map(|name| ResourceSpecifier::Topic(name)).collect();
        for batch in names.chunks(TOPICS_MAX) {
            let asked = admin.client().describe_configs(batch, &self.options());
            for result in self.wait(&admin, "describe topics", asked)? {
                let resource: ConfigResource = result.map_err(|code| code_error("describe a topic", code))?;
                if let rdkafka::admin::OwnedResourceSpecifier::Topic(name) = &resource.specifier {
                    configs.insert(name.clone(), topics::kept(&resource));
                }
            }
        }
        Ok(configs)
    }

    /// Offsets of many partitions with three questions to each of their brokers.
    fn offsets_of(&self, places: &[(&str, u32)]) -> Result<Vec<Offsets>, BusError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let starts = self.edges(Isolation::Uncommitted, places, Offset::Beginning)?;
        let stable_ends = self.edges(Isolation::Committed, places, Offset::End)?;
        let ends = self.edges(Isolation::Uncommitted, places, Offset::End)?;
        let zipped = starts.into_iter().zip(stable_ends).zip(ends);
        Ok(zipped.map(|((start, stable_end), end)| Offsets { start, stable_end, end }).collect())
    }

    /// The first or the last offsets, again until the leaders of all partitions are known.
    fn edges(&self, isolation: Isolation, places: &[(&str, u32)], edge: Offset) -> Result<Vec<i64>, BusError> {
        let inquirer = self.inquirer(isolation)?;
        let deadline = Deadline::after(self.timeout());
        let grace = Deadline::after(UNKNOWN_GRACE);
        loop {
            match edges(inquirer.client(), places, edge, deadline.left()) {
                Ok(offsets) => return Ok(offsets),
                Err((_, code)) if passes(code) && !deadline.passed() => inquirer.serve_for(PAUSE),
                Err((_, Code::UnknownTopicOrPartition | Code::UnknownPartition)) if !grace.passed() => {
                    inquirer.serve_for(PAUSE);
                    // librdkafka remembers that a topic was unknown, until it is told all that are.
                    names(&inquirer, self.timeout())?;
                }
                Err((place, code)) => return Err(code_error(format!("look up offsets{place}"), code)),
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.settings.config().request_timeout
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.timeout()))
    }

    fn inquirer(&self, isolation: Isolation) -> Result<Inquirer, BusError> {
        let slot = match isolation {
            Isolation::Committed => &self.stable,
            Isolation::Uncommitted => &self.all,
        };
        let inquirer =
            kept(slot, || client::create("questions", &self.settings, &self.settings.inquirer(isolation, None)))?;
        inquirer.serve();
        Ok(inquirer)
    }

    fn admin(&self) -> Result<Admin, BusError> {
        let admin = kept(&self.admin, || client::create("administration", &self.settings, &self.settings.admin()))?;
        admin.serve();
        Ok(admin)
    }

    /// Waits for an answer and serves the client meanwhile.
    fn wait<T>(
        &self,
        admin: &Admin,
        operation: &str,
        answer: impl Future<Output = KafkaResult<T>>,
    ) -> Result<T, BusError> {
        let deadline = Deadline::after(self.timeout() + STEP);
        let mut answer = pin!(answer);
        let mut context = task::Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
                return answer.map_err(|error| admin.explain(operation, error));
            }
            if deadline.passed() {
                return Err(timed_out(operation, "the brokers"));
            }
            admin.serve_for(STEP);
        }
    }
}

/// The names of all topics.
fn names(inquirer: &Inquirer, timeout: Duration) -> Result<HashSet<String>, BusError> {
    let metadata = inquirer.client().fetch_metadata(None, timeout);
    let metadata = metadata.map_err(|error| inquirer.explain("list topics", error))?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}

/// First or last offsets of partitions. In a look-up by time, the logical offsets stand for the first and the last record.
///
/// # Errors
/// The place, if the trouble is with one, and the code.
fn edges(
    consumer: &BaseConsumer<Context>,
    places: &[(&str, u32)],
    edge: Offset,
    timeout: Duration,
) -> Result<Vec<i64>, (String, Code)> {
    let anywhere = |error: KafkaError| (String::new(), Failure::from(error).code);
    let asked = list(places.iter().map(|&(topic, partition)| (topic, partition, edge)));
    let asked = asked.map_err(|_| (String::new(), Code::InvalidTopic))?;
    let found = consumer.offsets_for_times(asked, timeout.min(EDGES_STEP)).map_err(|error| {
        if error.rdkafka_error_code() == Some(Code::OperationTimedOut) {
            // The leader may be gone, and librdkafka asks it for ever: it learns of the new one with all topics.
            drop(consumer.fetch_metadata(None, timeout.min(EDGES_STEP)));
        }
        anywhere(error)
    })?;
    let offset_of = |&(topic, partition): &(&str, u32)| {
        let place = format!(" of {topic}, partition {partition}");
        let element = found.find_partition(topic, native(partition));
        let element = element.ok_or_else(|| (place.clone(), Code::UnknownPartition))?;
        element.error().map_err(|error| (place.clone(), Failure::from(error).code))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            _ => Err((place, Code::LeaderNotAvailable)),
        }
    };
    places.iter().map(offset_of).collect()
}

/// As [`edges`], again while leaders move.
pub fn edges_patiently(
    consumer: &BaseConsumer<Context>,
    places: &[(&str, u32)],
    edge: Offset,
    timeout: Duration,
) -> Result<Vec<i64>, BusError> {
    let deadline = Deadline::after(timeout);
    loop {
        match edges(consumer, places, edge, deadline.left()) {
            Ok(offsets) => return Ok(offsets),
            Err((_, code)) if passes(code) && !deadline.passed() => std::thread::sleep(PAUSE),
            Err((place, code)) => return Err(code_error(format!("look up offsets{place}"), code)),
        }
    }
}

/// Whether this is what comes for a moment after a topic has been made or a leader has moved or died.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::ReplicaNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::RequestTimedOut
            | Code::OperationTimedOut
            | Code::BrokerTransportFailure
            // The broker that was asked has left the cluster.
            | Code::DestroyBroker
    )
}

fn each(topic: &str, count: u32) -> impl Iterator<Item = (&str, u32)> {
    (0..count).map(move |partition| (topic, partition))
}

type Slot<T> = Mutex<Option<Arc<Retiring<T>>>>;

fn kept<T: Send + 'static>(
    slot: &Slot<T>,
    create: impl FnOnce() -> Result<T, BusError>,
) -> Result<Arc<Retiring<T>>, BusError> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = &*slot {
        return Ok(Arc::clone(client));
    }
    let client = Arc::new(Retiring::new(create()?));
    *slot = Some(Arc::clone(&client));
    Ok(client)
}
